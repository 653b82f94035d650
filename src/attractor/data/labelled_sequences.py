"""Labelled multivariate series of unequal lengths: what a classifier learns from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError, ShapeError
from attractor.shown import Shown

from .finding import Finding
from .given_cases import as_arrays, default_names
from .long_columns import LongColumns, named_by
from .per_case import case_groups, in_order, in_order_of, own_names
from .sequence_labels import check_labels

Index = int | np.integer

# Cells of a padded array, one gigabyte, from which on padding must not be nearly all of it.
MOST_CELLS = 2**27
# Values beyond it have differences that are no numbers; files mark missing values by the largest number.
LARGEST_VALUE = 1e307
# How many of many names a message lists.
SHOWN = 5
_MOST_PADDING = 50


@dataclass(frozen=True, eq=False)
class Sequences(Shown, next_call="examine_sequences(data), SequenceClassifier().fit(data)"):
    """Cases side by side, padded with NaN to the longest.

    Args:
        values: shape (cases, time, variables), float64; NaN within the length of a case is a missing value,
            beyond it padding, where any value becomes NaN.
        lengths: steps of each case, shape (cases,), whole numbers.
        names: of the variables.
        labels: class of each case as a position in `classes`, shape (cases,), whole numbers; None if nobody
            knows.
        classes: their names in the file's own words.
        ids: how the user calls each case; `case 17` is the one at position 17, counted from 0.
        class_values: the classes in the user's own type, where their names are the texts of these; the names
            otherwise.
        rows: the line of the file, or the index of the DataFrame, that each step comes from, shape (cases,
            time), or (cases, 1) where a line holds a case; None where nothing is known about it.
        source: the file, for messages.
        remarks: what reading left out, or had to assume.
        groups: what each case comes from (a patient, a device), shape (cases,); None where nobody said so.
        columns: how the table that they come from was read, so that others are read alike.
        counted: whether the labels of the file are numbers that count the classes, as those of others may.

    Raises:
        ShapeError: parts that do not fit one another.
        InputDataError: no case, a length outside the data, an infinite value, a label without a class, or a
            name twice; the message names the position.
    """

    values: np.ndarray
    lengths: np.ndarray
    names: tuple[str, ...]
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    class_values: tuple[object, ...] = ()
    rows: np.ndarray | None = None
    source: str = ""
    remarks: tuple[Finding, ...] = ()
    groups: np.ndarray | None = None
    columns: LongColumns | None = None
    counted: bool = False

    def __post_init__(self) -> None:
        _check_arrays(self)
        if not self.ids:
            object.__setattr__(self, "ids", tuple(f"case {position}" for position in range(len(self.values))))
        if tuple(map(str, self.class_values)) != tuple(self.classes):
            object.__setattr__(self, "class_values", tuple(self.classes))
        _check_sizes(self)
        _check_lengths(self)
        _clear_padding(self)
        _check_values(self)
        _check_labels(self)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Cases, steps of the longest, variables; scikit-learn asks for the first of these."""
        cases, time, variables = self.values.shape
        return cases, time, variables

    def __getitem__(self, key: object) -> Any:
        """One case as an array (time, variables) by its position; some by a slice, positions or truth values.

        Raises:
            IndexError: there is no case at this position.
            InputDataError: positions that are none.
        """
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # rows and all that is in them, as scikit-learn asks
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            if not -len(self) <= key < len(self):
                raise IndexError(f"there is no case {key} of {len(self)}")
            return self.one(int(key))
        return self.select(np.arange(len(self))[key] if isinstance(key, slice) else key)

    def take(self, positions: object) -> "Sequences":
        """The same as `select`."""
        return self.select(positions)

    def select(self, positions: object) -> "Sequences":
        """Some of the cases, in the order given, no longer than they need to be.

        Args:
            positions: whole numbers, or a truth value for every case; a Series of these goes by the names of
                the cases, where its index has them.

        Raises:
            InputDataError: no case, or one that is not there.
        """
        positions = _as_positions(in_order(positions, self.ids, "the choice"), len(self))
        lengths = self.lengths[positions]
        return replace(
            self,
            values=self.values[positions, : int(lengths.max(initial=1))],
            lengths=lengths,
            labels=None if self.labels is None else self.labels[positions],
            ids=tuple(self.ids[position] for position in positions),
            rows=None if self.rows is None else self.rows[positions],
            groups=None if self.groups is None else self.groups[positions],
        )

    def one(self, case: int) -> Float[np.ndarray, "time variables"]:
        """The valid steps of one case."""
        return self.values[case, : self.lengths[case]]

    @property
    def valid(self) -> np.ndarray:
        """Which steps are no padding, shape (cases, time)."""
        return np.arange(self.values.shape[1]) < self.lengths[:, None]

    @property
    def has_missing(self) -> bool:
        """Whether a value within the length of its case is missing."""
        return bool(np.isnan(self.values[self.valid]).any())

    def where(self, case: Index, step: Index, variable: Index) -> str:
        """Name a value for a message as the user counts: row and column of the file, case and step."""
        name = self.ids[case] if self.ids[case].startswith("case ") else f"case {self.ids[case]!r}"
        place = f"{name}, step {step}, variable {self.names[variable]!r}"
        if self.rows is None:
            return f"{self.source}: {place}" if self.source else place
        row = self.rows[case, min(step, self.rows.shape[1] - 1)]
        return f"{self.source}, row {row}: {place}" if self.source else f"row {row}: {place}"

    def counts(self) -> dict[str, int]:
        """Cases of every class."""
        numbers = np.bincount(self._known_labels(), minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def relabelled(self, labels: object) -> "Sequences":
        """The same cases with other labels; classes are their sorted values.

        Args:
            labels: texts or whole numbers, one for every case; a Series whose index has the names of the
                cases goes by these.

        Raises:
            ShapeError: more or fewer labels than cases.
            InputDataError: a label is missing or a fraction, or an index that fits the cases only in part.
        """
        labels = check_labels(in_order(labels, self.ids, "labels"))
        if len(labels) != len(self):
            raise ShapeError(f"{len(labels)} labels for {len(self)} cases; give one for each")
        classes, codes = np.unique(labels, return_inverse=True)
        names = tuple(str(one) for one in classes)
        values = tuple(classes.tolist())
        return replace(self, labels=codes, classes=names, class_values=values, counted=False)

    def grouped(self, groups: object) -> "Sequences":
        """The same cases with what each comes from: a patient, a device, an annotator.

        Args:
            groups: one value for every case; a Series whose index has the names of the cases goes by these.

        Raises:
            InputDataError: more or fewer groups than cases, or a case without one.
        """
        return replace(self, groups=case_groups(groups, self.ids))

    def chosen(self, names: Sequence[str]) -> "Sequences":
        """The same cases with some of the variables, by name or by patterns such as "acc_*", in that order.

        Raises:
            InputDataError: a variable is not there.
        """
        names = named_by(names, self.names)
        absent = [name for name in names if name not in self.names]
        if absent:
            raise InputDataError(
                f"no variable {', '.join(map(repr, absent))}; there are: {', '.join(self.names)}"
            )
        positions = [self.names.index(name) for name in names]
        return replace(self, values=self.values[:, :, positions], names=tuple(names))

    def matched(self, names: Sequence[str]) -> "Sequences":
        """The same cases with the variables that a model knows, in its order.

        Variables are found by name; where those of the cases or of the model have no names (they are v1, v2,
        ... then) the order counts.

        Raises:
            InputDataError: a variable is not there.
        """
        by_order = len(self.names) == len(names) and default_names(len(names)) in (self.names, tuple(names))
        if not self.is_named and len(self.names) > len(names):
            known = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
            raise InputDataError(
                f"the cases have {len(self.names)} variables without names, the model knows {len(names)}: "
                f"{known}. Give all of them in that order, or their names; are time and variables swapped?"
            )
        return replace(self, names=tuple(names)) if by_order else self.chosen(names)

    @property
    def is_named(self) -> bool:
        """Whether the variables have names of their own."""
        return self.names != default_names(len(self.names))

    def aligned(self, like: "Sequences") -> "Sequences":
        """The same cases with variables and classes in the order of `like`.

        See `matched` for the variables. Classes are found by name.

        Args:
            like: the cases a model learned from.

        Raises:
            InputDataError: a variable is missing, or a class is not known there.
        """
        same = self.matched(like.names)
        if self.labels is None:
            return replace(same, classes=like.classes, class_values=like.class_values)
        present = [self.classes[position] for position in np.unique(self.labels)]
        unknown = [name for name in present if name not in like.classes]
        if unknown:
            raise InputDataError(f"classes not known: {', '.join(unknown)}; known: {', '.join(like.classes)}")
        positions = [like.classes.index(name) if name in like.classes else 0 for name in self.classes]
        labels = np.array(positions)[self.labels]
        return replace(same, labels=labels, classes=like.classes, class_values=like.class_values)

    @classmethod
    def from_arrays(
        cls,
        cases: object,
        labels: object = None,
        names: Sequence[str] = (),
        *,
        known: Sequence[str] = (),
        trim: bool = False,
    ) -> "Sequences":
        """Cases from an array (cases, time, variables), or a list of arrays (time, variables) or (time,).

        Tables (DataFrames) may stand for arrays: their columns keep their names, and those of later cases are
        put in the order of the first. One table alone is wide: a row a case, its columns are the times; its
        index calls the cases, unless it only counts them.

        Args:
            cases: numbers of any real type; NaN is a missing value, and so is what is masked.
            labels: texts or whole numbers, one for every case; None for cases without.
            names: of the variables; those of the tables, or v1, v2, ... if not given.
            known: the variables of a model: where the first table has them all, other columns are left out.
            trim: whether steps at the end of a case without a single value are padding and not missing.

        Raises:
            ShapeError: arrays of other shapes.
            InputDataError: values that are no finite real numbers, or no case.
        """
        arrays, found = as_arrays(cases, known)
        if trim:
            arrays = [trimmed(one, f"case {position}") for position, one in enumerate(arrays)]
        names = tuple(names) or found or default_names(arrays[0].shape[1])
        data = cls(*padded(arrays), names, ids=own_names(cases))
        return data if labels is None else data.relabelled(in_order_of(cases, labels, "labels"))

    def _known_labels(self) -> np.ndarray:
        if self.labels is None:
            raise InputDataError("these cases have no labels")
        return self.labels

    def __str__(self) -> str:
        """How many cases, of which length, variables and classes."""
        low, high = self.lengths.min(), self.lengths.max()
        counts = {} if self.labels is None else self.counts()
        steps = f"{low} steps" if low == high else f"{low} to {high} steps"
        count, missing = len(self.names), " with missing values" if self.has_missing else ""
        classes = ", ".join(f"{name} {cases}" for name, cases in counts.items())
        return "\n".join([
            f"{len(self)} cases of {steps}, {count} variable(s){missing}",
            f"variables: {', '.join(self.names)}",
            f"classes: {classes}" if classes else "without labels",
            *([] if self.groups is None else [f"{len(np.unique(self.groups))} groups, which stay together"]),
            *(one.message for one in self.remarks),
        ])


def name_some(parts: list[str], joint: str = ", ") -> str:
    """The first few of many parts, and how many more there are."""
    rest = len(parts) - SHOWN
    return joint.join(parts[:SHOWN]) + (f"{joint}and {rest} more" if rest > 0 else "")


def padded(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Cases of unequal lengths as one array with NaN behind their ends, and their lengths."""
    lengths = np.array([len(one) for one in arrays])
    values = empty_cases(lengths, arrays[0].shape[1])
    for position, one in enumerate(arrays):
        values[position, : len(one)] = one
    return values, lengths


def empty_cases(lengths: np.ndarray, variables: int) -> Float[np.ndarray, "cases time variables"]:
    """An array for cases of these lengths, all NaN.

    Raises:
        InputDataError: it would be large and hold little but padding.
    """
    longest = int(lengths.max())
    cells = len(lengths) * longest * variables
    if cells > max(MOST_CELLS, _MOST_PADDING * int(lengths.sum()) * variables):
        raise InputDataError(
            f"case {int(lengths.argmax())} has {longest} steps, half of the cases have at most "
            f"{int(np.median(lengths))}; padded to one length they would need {cells * 8 / 1e9:.0f} GB: cut "
            "long cases into pieces"
        )
    return np.full((len(lengths), longest, variables), np.nan)


def trimmed(case: Float[np.ndarray, "time variables"], where: str) -> Float[np.ndarray, "steps variables"]:
    """A case without the steps at its end that have no value at all.

    Raises:
        InputDataError: no step has a value; `where` says in which case.
    """
    some = np.flatnonzero(~np.isnan(case).all(axis=1))
    if not len(some):
        raise InputDataError(f"{where}: the case has no value at all; leave it out")
    return case[: some[-1] + 1]


def _as_positions(positions: object, cases: int) -> np.ndarray:
    array = np.asarray(positions)
    if array.dtype == bool:
        if array.shape != (cases,):
            raise ShapeError(
                f"a choice of shape {array.shape} for {cases} cases; give one truth value for each"
            )
        array = np.flatnonzero(array)
    if not array.size:
        raise InputDataError(f"none of the {cases} cases is chosen; choose one or more")
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ShapeError(
            f"positions of shape {array.shape} and type {array.dtype}, expected a list of whole numbers"
        )
    bad = array[(array < -cases) | (array >= cases)]
    if len(bad):
        raise InputDataError(f"there is no case {bad[0]}; the {cases} cases are 0 to {cases - 1}")
    return array


def _check_arrays(data: Sequences) -> None:
    """Kinds and ranks, before anything is compared."""
    if data.values.ndim != 3 or data.values.dtype.kind != "f":
        raise ShapeError(
            f"values of shape {data.values.shape} and type {data.values.dtype}, expected floating numbers of "
            "shape (cases, time, variables); Sequences.from_arrays converts"
        )
    for name in ("lengths", "labels"):
        array = getattr(data, name)
        if array is not None and (array.ndim != 1 or array.dtype.kind not in "iu"):
            raise ShapeError(
                f"{name} of shape {array.shape} and type {array.dtype}, expected whole numbers (cases,)"
            )


def _check_sizes(data: Sequences) -> None:
    cases, _, variables = data.values.shape
    if 0 in data.values.shape:
        raise InputDataError(f"values of shape {data.values.shape}: no case, no step or no variable")
    sizes = {"lengths": len(data.lengths), "ids": len(data.ids)}
    optional = {"labels": data.labels, "groups": data.groups}
    sizes |= {name: len(one) for name, one in optional.items() if one is not None}
    for name, size in sizes.items():
        if size != cases:
            raise ShapeError(f"{size} {name} for {cases} cases")
    if len(data.names) != variables:
        raise ShapeError(f"{len(data.names)} names for {variables} variables")
    for kind, names in (("variable", data.names), ("class", data.classes)):
        for name, count in Counter(names).items():
            if count > 1:
                raise InputDataError(f"{kind} {name!r} appears {count} times; give each its own name")


def _check_lengths(data: Sequences) -> None:
    time = data.values.shape[1]
    for case in np.flatnonzero((data.lengths < 1) | (data.lengths > time))[:1]:
        raise InputDataError(f"{data.ids[case]}: length {data.lengths[case]}, expected 1 to {time}")


def _clear_padding(data: Sequences) -> None:
    """NaN behind the end of every case; the array given stays as it is."""
    beyond = ~data.valid
    if not np.isnan(data.values[beyond]).all():
        object.__setattr__(data, "values", np.where(beyond[:, :, None], np.nan, data.values))


def _check_values(data: Sequences) -> None:
    beyond = data.values > LARGEST_VALUE
    beyond |= data.values < -LARGEST_VALUE
    for case, step, variable in np.argwhere(beyond)[:1]:
        value = data.values[case, step, variable]
        what = "an infinite value" if np.isinf(value) else f"{value:g}, whose differences are no numbers"
        raise InputDataError(
            f"{data.where(case, step, variable)}: {what}; correct it, or make it NaN, which means missing"
        )


def _check_labels(data: Sequences) -> None:
    if data.labels is None:
        return
    for case in np.flatnonzero((data.labels < 0) | (data.labels >= len(data.classes)))[:1]:
        raise InputDataError(
            f"{data.ids[case]}: label {data.labels[case]} of {len(data.classes)} classes; labels are "
            "positions in the list of classes, counted from 0"
        )
