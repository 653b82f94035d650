"""Cases as Python gives them: an array, a list of arrays or tables, or a wide table; all become arrays."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.errors import DataWarning, InputDataError, ShapeError, warn

from .column_guesses import proposal
from .long_columns import LongColumns
from .table import column_names, numbers_of, positions_of, read_table


def as_arrays(
    cases: object, known: Sequence[str] = ()
) -> tuple[list[Float[np.ndarray, "time variables"]], tuple[str, ...]]:
    """Cases as arrays (time, variables), and the names that the columns of tables have.

    Args:
        cases: an array (cases, time, variables), a list of arrays or tables, or a wide table with a case a
            row.
        known: the variables of a model: where the first table has them all, other columns are left out.

    Raises:
        ShapeError: arrays of other shapes.
        InputDataError: values that are no real numbers, no case, or a table that is not wide.
    """
    parts = _as_list(cases)
    names_found = (column_names(one, f"case {position}") for position, one in enumerate(parts))
    found = next((own for own in names_found if own), ())
    found = tuple(known) if {*known} <= {*found} and known else found
    arrays = [_as_case(position, one, found) for position, one in enumerate(parts)]
    if not arrays:
        raise InputDataError("no cases")
    width = arrays[0].shape[1]
    for position, one in enumerate(arrays):
        if one.shape[1] != width:
            turned = "; all have the same first axis: if the second is the time, give one.T of each"
            raise ShapeError(
                f"case {position} has {one.shape[1]} variables, case 0 has {width}; every case needs the "
                f"same variables{turned if len({len(each) for each in arrays}) == 1 else ''}"
            )
    return arrays, found


def default_names(count: int) -> tuple[str, ...]:
    """What variables without names are called."""
    return tuple(f"v{position + 1}" for position in range(count))


def _as_list(cases: object) -> Iterable[object]:
    cases = cases if isinstance(cases, Sized) or not hasattr(cases, "__array__") else np.asarray(cases)
    is_single = isinstance(cases, str | bytes) or (isinstance(cases, np.ndarray) and not cases.ndim)
    if is_single or not isinstance(cases, Sized) or not isinstance(cases, Iterable):
        raise InputDataError(
            f"{type(cases).__name__} holds no cases; give an array (cases, time, variables) or a list of "
            "arrays (time, variables)"
        )
    if hasattr(cases, "toarray"):
        numbers_of(cases, "X")  # says why sparse cases are not read
    if isinstance(cases, Mapping):
        raise InputDataError(
            "a dictionary has names of cases or of variables, and no order; give its arrays as a list: "
            "list(cases.values()) where each is a case"
        )
    return _wide(cases) if hasattr(cases, "columns") else cases


def _wide(table: object) -> Float[np.ndarray, "cases time"]:
    """The numbers of a table with one case a row.

    Raises:
        InputDataError: the table is long or nested, or columns of it are no steps.
    """
    names = column_names(table, "the cases") or ()
    cells = series_columns(table)
    if cells:
        raise InputDataError(
            f"a DataFrame with series in its cells ({', '.join(map(str, cells))}): read it with "
            "attractor.data.read_sequences(frame), where a column called label or "
            'LongColumns(label="...") is the class, and fit that; or give series in cells as a list '
            "of tables or arrays (time, variables)"
        )
    if {"case", "id", "time", "timestamp", "label"} & {name.lower() for name in names}:
        raise InputDataError(
            f"a long DataFrame with the columns {', '.join(names)}: give one table for each case, "
            f"[one[variables] for _, one in table.groupby(id)], or read it with {_reading(table)}"
        )
    table = _without_index(table)
    _check_steps(table)
    try:
        return numbers_of(table, "the DataFrame")
    except InputDataError as problem:
        raise InputDataError(
            f"{problem}; a DataFrame alone is wide, with one case a row and one number a cell: give series "
            "in cells as a list of tables or arrays (time, variables)"
        ) from None


def series_columns(frame: Any) -> list[Any]:
    """The columns of a DataFrame whose cells are series."""
    if not hasattr(frame, "iloc") or not len(frame):
        return []
    first = {name: frame[name].iloc[0] for name in frame.columns}
    return [name for name, cell in first.items() if not isinstance(cell, str) and np.ndim(cell) == 1]


# What counts in the name of a step: t0, 0.02, 12:30:05, 2024-01-01.
_NUMBER = re.compile(r"\d[\d.:-]*")
# So many columns that are no steps may stand beside steps.
_FEW = 3


def _check_steps(table: Any) -> None:
    """Refuse a table whose columns are no steps, because their names do not count.

    Raises:
        InputDataError: says how a long table is read, or which columns to leave out.
    """
    names = column_names(table, "the cases") or ()
    forms = Counter(_NUMBER.sub("#", name) for name in names)
    most, count = forms.most_common(1)[0] if forms else ("#", 0)
    odd = [name for name in names if _NUMBER.sub("#", name) != most] if "#" in most else list(names)
    if not odd:
        return
    shown = ", ".join(map(repr, odd[:_FEW])) + (", ..." if len(odd) > _FEW else "")
    if len(odd) <= _FEW and count > len(odd):
        raise InputDataError(
            f"a DataFrame with a case a row and a step a column ({most.replace('#', '0')}, ...): {shown} is "
            f"no step; leave it out: frame.drop(columns={odd}), and give labels as y"
        )
    raise InputDataError(
        f"a DataFrame with the columns {shown}: one table is read as wide, a case a row and a step a column, "
        "and these names count no steps (t0, t1, ...). If its rows are the times of several cases, read all "
        f"of it with {_reading(table)}. If the columns are the steps of one variable, give frame.to_numpy()"
    )


def _reading(table: Any) -> str:
    """How a long table is read, its likely columns in place."""
    columns = LongColumns()
    try:
        how = proposal(read_table(table), columns)
    except InputDataError:
        how = columns.written(case="...", label="...")
    return f"attractor.data.read_sequences(table, {how})"


# What pandas calls a column that was the index of a table, when it is read or made one.
_INDEX = re.compile(r"Unnamed: \d+|index|level_0")


def _without_index(table: Any) -> Any:
    """A wide table without the column that was an index: it is no step of the series."""
    names = [name for name in table.columns if isinstance(name, str) and _INDEX.fullmatch(name)]
    if not names or len(names) == len(table.columns):
        return table
    warn(
        f"a DataFrame with a case a row: {names[0]!r} was left out, which is an index and no step",
        DataWarning,
    )
    return table[[name for name in table.columns if name not in names]]


def _as_case(position: int, values: object, names: Sequence[str]) -> Float[np.ndarray, "time variables"]:
    where = f"case {position}"
    own = column_names(values, where)
    if np.ma.isMaskedArray(values) or hasattr(values, "columns") or hasattr(values, "to_frame"):
        values = numbers_of(values, where)
        values = values[:, positions_of(names, own, where)] if own else values
    try:
        array = np.asarray(values)
    except ValueError as problem:
        raise ShapeError(f"{where} is no array ({problem}); every step needs the same variables") from None
    if array.dtype.kind not in "biuf":
        complex_too = ". Complex data not supported" if array.dtype.kind == "c" else ""
        raise InputDataError(
            f"{where} holds {array.dtype}, expected real numbers; convert them first{complex_too}"
        )
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or 0 in array.shape:
        raise ShapeError(f"{where} has shape {array.shape}, expected (time, variables), none of them 0")
    return array.astype(float)
