"""Labelled multivariate series of unequal lengths: what a classifier learns from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import InputDataError, ShapeError


@dataclass(frozen=True, eq=False)
class Sequences:
    """Cases side by side, padded with NaN to the longest.

    Args:
        values: shape (cases, time, variables), float64; NaN within the length of a case is a missing value,
            beyond it padding.
        lengths: steps of each case, shape (cases,).
        names: of the variables.
        labels: class of each case as a place in `classes`; None if nobody knows.
        classes: their names in the file's own words.
        ids: how the user calls each case.

    Raises:
        ShapeError: parts that do not fit one another.
        InputDataError: no case, a length outside the data, an infinite value, a label without a class, or a
            name twice; the message names the place.
    """

    values: Float[np.ndarray, "cases time variables"]
    lengths: Int[np.ndarray, " cases"]
    names: tuple[str, ...]
    labels: Int[np.ndarray, " cases"] | None = None
    classes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ids:
            object.__setattr__(self, "ids", tuple(f"case {place}" for place in range(len(self.values))))
        _check_sizes(self)
        _check_lengths(self)
        _check_values(self)
        _check_labels(self)

    def __len__(self) -> int:
        return len(self.values)

    def select(self, places: Any) -> "Sequences":
        """Some of the cases, in the order given, no longer than they need to be."""
        places = np.asarray(places, int)
        lengths = self.lengths[places]
        return replace(
            self,
            values=self.values[places, : int(lengths.max(initial=1))],
            lengths=lengths,
            labels=None if self.labels is None else self.labels[places],
            ids=tuple(self.ids[place] for place in places),
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

    def counts(self) -> dict[str, int]:
        """Cases of every class."""
        numbers = np.bincount(self._known_labels(), minlength=len(self.classes))
        return dict(zip(self.classes, numbers.tolist(), strict=True))

    def relabelled(self, labels: Sequence[Any] | np.ndarray) -> "Sequences":
        """The same cases with other labels; classes are their sorted values."""
        if len(labels) != len(self):
            message = f"{len(labels)} labels for {len(self)} cases"
            raise ShapeError(message)
        classes, codes = np.unique(np.asarray(labels), return_inverse=True)
        return replace(self, labels=codes, classes=tuple(str(one) for one in classes))

    def aligned(self, like: "Sequences") -> "Sequences":
        """The same cases with variables and classes in the order of `like`.

        Raises:
            InputDataError: a variable is missing, or a class is not known there.
        """
        absent = [name for name in like.names if name not in self.names]
        if absent:
            message = f"variables missing: {', '.join(absent)}; found: {', '.join(self.names)}"
            raise InputDataError(message)
        values = self.values[:, :, [self.names.index(name) for name in like.names]]
        if self.labels is None:
            return replace(self, values=values, names=like.names)
        present = [self.classes[place] for place in np.unique(self.labels)]
        unknown = [name for name in present if name not in like.classes]
        if unknown:
            message = f"classes not known: {', '.join(unknown)}; known: {', '.join(like.classes)}"
            raise InputDataError(message)
        places = [like.classes.index(name) if name in like.classes else 0 for name in self.classes]
        labels = np.array(places)[self.labels]
        return replace(self, values=values, names=like.names, labels=labels, classes=like.classes)

    @classmethod
    def from_arrays(
        cls, cases: Any, labels: Sequence[Any] | np.ndarray | None = None, names: Sequence[str] = ()
    ) -> "Sequences":
        """Cases from an array (cases, time, variables), or a list of arrays (time, variables) or (time,).

        Args:
            cases: numbers of any real type; NaN is a missing value.
            labels: one for every case; None for cases without.
            names: of the variables; v1, v2, ... if not given.

        Raises:
            ShapeError: arrays of other shapes.
            InputDataError: values that are no real numbers, or no case.
        """
        arrays = [_as_case(place, one) for place, one in enumerate(cases)]
        if not arrays:
            message = "no cases"
            raise InputDataError(message)
        widths = {one.shape[1] for one in arrays}
        if len(widths) > 1:
            odd = next(place for place, one in enumerate(arrays) if one.shape[1] != arrays[0].shape[1])
            message = (
                f"case {odd} has {arrays[odd].shape[1]} variables, case 0 has {arrays[0].shape[1]}; "
                "every case needs the same variables"
            )
            raise ShapeError(message)
        values, lengths = padded(arrays)
        chosen = tuple(names) or tuple(f"v{place + 1}" for place in range(values.shape[2]))
        data = cls(values, lengths, chosen)
        return data if labels is None else data.relabelled(labels)

    def _known_labels(self) -> np.ndarray:
        if self.labels is None:
            message = "these cases have no labels"
            raise InputDataError(message)
        return self.labels


def padded(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Cases of unequal lengths as one array with NaN behind their ends, and their lengths."""
    lengths = np.array([len(one) for one in arrays])
    values = np.full((len(arrays), int(lengths.max()), arrays[0].shape[1]), np.nan)
    for place, one in enumerate(arrays):
        values[place, : len(one)] = one
    return values, lengths


def _as_case(place: int, values: Any) -> Float[np.ndarray, "time variables"]:
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        message = f"case {place} holds {array.dtype}, expected real numbers"
        raise InputDataError(message)
    if np.iscomplexobj(array):
        message = f"case {place} holds complex numbers, expected real ones"
        raise InputDataError(message)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or 0 in array.shape:
        message = (
            f"case {place} has shape {array.shape}, expected (time, variables) with at least one of each"
        )
        raise ShapeError(message)
    return array.astype(float)


def _check_sizes(data: Sequences) -> None:
    cases, _, variables = data.values.shape
    if 0 in data.values.shape:
        message = f"values of shape {data.values.shape}: no case, no step or no variable"
        raise InputDataError(message)
    sizes = {"lengths": len(data.lengths), "ids": len(data.ids)}
    sizes |= {} if data.labels is None else {"labels": len(data.labels)}
    for name, size in sizes.items():
        if size != cases:
            message = f"{size} {name} for {cases} cases"
            raise ShapeError(message)
    if len(data.names) != variables:
        message = f"{len(data.names)} names for {variables} variables"
        raise ShapeError(message)
    for name, count in Counter(data.names).items():
        if count > 1:
            message = f"variable {name!r} appears {count} times; give each its own name"
            raise InputDataError(message)


def _check_lengths(data: Sequences) -> None:
    time = data.values.shape[1]
    for case in np.flatnonzero((data.lengths < 1) | (data.lengths > time))[:1]:
        message = f"{data.ids[case]}: length {data.lengths[case]}, expected 1 to {time}"
        raise InputDataError(message)


def _check_values(data: Sequences) -> None:
    for case, step, variable in np.argwhere(np.isinf(data.values))[:1]:
        message = f"{data.ids[case]}, step {step}, variable {data.names[variable]!r}: an infinite value"
        raise InputDataError(message)


def _check_labels(data: Sequences) -> None:
    if data.labels is None:
        return
    for case in np.flatnonzero((data.labels < 0) | (data.labels >= len(data.classes)))[:1]:
        message = f"{data.ids[case]}: label {data.labels[case]} of {len(data.classes)} classes"
        raise InputDataError(message)
