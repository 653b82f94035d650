"""What is given for every case: a Series goes by the names of the cases, anything else by their order."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from attractor.errors import InputDataError, ShapeError

# A whole number that was written as a floating one.
_WHOLE = re.compile(r"(-?\d+)\.0+")
# What is no name.
_NONE = frozenset({"", "nan", "NaN", "None", "<NA>", "NaT"})


def in_order(values: Any, names: Sequence[object], what: str) -> Any:
    """Values in the order of the cases.

    A Series whose index has the names of the cases is brought into their order. A plain count of rows, an
    array or a list goes by position, and so does an index that has nothing to do with the names.

    Args:
        values: one for every case; of another number they are left as they are.
        names: of the cases.
        what: they are, for messages.

    Raises:
        InputDataError: an index that fits the names only in part, or of which nobody can say what it means.
    """
    found = index_of(values)
    if found is None or len(found) != len(names):
        return values
    wanted = [_spelled(name) for name in names]
    if found == wanted:
        return values
    known, counts = {*wanted}, Counter(found)
    common = [name for name in found if name in known]
    if not common or (is_count(values) and len(common) < len(found)):
        return values
    if is_count(values):
        raise InputDataError(
            f"{what}: a Series that only counts its rows, 0 to {len(found) - 1}, for cases that have these "
            f"numbers as their names in another order ({_some(wanted)}). Say what is meant: "
            ".to_numpy() goes by the order of the cases; an index with a name, .rename_axis('case'), by "
            "their names"
        )
    strangers, again = [name for name in found if name not in known], [n for n in counts if counts[n] > 1]
    if strangers or again or len(known) < len(wanted):
        why = f"{len(strangers)} of its names are no cases ({_some(strangers)})" if strangers else ""
        why = why or f"{_some(again) or 'a case'} occurs several times"
        raise InputDataError(
            f"{what}: the index of this Series has names of cases, but {why}; give one entry for each case "
            "with its name, or .to_numpy() if the values stand in the order of the cases"
        )
    places = {name: position for position, name in enumerate(found)}
    return values.iloc[[places[name] for name in wanted]]


def in_order_of(cases: object, values: Any, what: str) -> Any:
    """Values in the order of cases as they were given: those of a table are called by its index."""
    names = index_of(cases) if hasattr(cases, "columns") else None
    return values if names is None else in_order(values, names, what)


def own_names(cases: object) -> tuple[str, ...]:
    """How a table calls its rows; empty where it does not, or only counts them."""
    names = index_of(cases) if hasattr(cases, "columns") else None
    return () if names is None or is_count(cases) else tuple(names)


def index_of(values: Any) -> list[str] | None:
    """How the index of a Series or a table of pandas calls its rows; None for anything else."""
    index = getattr(values, "index", None)
    if index is None or not hasattr(values, "iloc") or not hasattr(index, "nlevels"):
        return None
    return [_spelled(name) for name in index]


def is_count(values: Any) -> bool:
    """Whether an index is none: it counts the rows from 0 on, and has no name."""
    index = values.index
    return type(index).__name__ == "RangeIndex" and index.name is None and (index.start, index.step) == (0, 1)


def case_groups(values: Any, names: Sequence[str]) -> np.ndarray:
    """What every case comes from, as texts in the order of the cases.

    Args:
        values: one for every case.
        names: of the cases.

    Raises:
        InputDataError: more or fewer values than cases, a case without one, or a text, which names something
            else.
    """
    if isinstance(values, str):
        raise InputDataError(
            f"groups={values!r}: expected one value for each of {len(names)} cases, such as the patient. A "
            f"column of a long table gives them when it is read: read_sequences(table, "
            f"LongColumns(case=..., group={values!r})). Groups of variables are an option of the classifier, "
            "SequenceClassifier(groups=...)"
        )
    found = np.asarray(in_order(values, names, "groups"))
    if found.ndim != 1 or len(found) != len(names):
        raise ShapeError(
            f"groups of shape {found.shape}, expected ({len(names)},): one for each of the {len(names)} cases"
        )
    masked = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else np.zeros(len(found), bool)
    missing = masked | np.array([str(one).strip() in _NONE for one in found.tolist()])
    for case in np.flatnonzero(missing)[:1]:
        raise InputDataError(f"case {names[case]!r} has no group; give it one, if only its own")
    return np.array([_spelled(one) for one in found.tolist()])


def _spelled(name: object) -> str:
    """A name as text: the parts of several columns as cases are called by them, 1.0 as 1, bytes as read."""
    if isinstance(name, tuple):
        return "/".join(map(_spelled, name))
    text = (name.decode(errors="replace") if isinstance(name, bytes) else str(name)).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
