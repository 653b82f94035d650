"""Which column of a long table may tell the cases apart, or be the class: proposals for messages."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from .delimited import MISSING_MARKS, Layout, is_number
from .long_columns import LABEL_NAMES, LongColumns
from .table import FrameTable, Table, TextTable
from .time_axis import find_time

# A case has at least so many rows on average.
_FEWEST_ROWS = 3
# How many cells tell whether a column holds texts, unless none of them is a number.
_SAMPLE = 50


def is_text(table: Table, position: int) -> bool:
    """Whether no cell of a column is a number, and one is a text."""
    if isinstance(table, FrameTable) and table.frame[position].dtype.kind in "biufcmM":
        return False
    layout = table.layout if isinstance(table, TextTable) else Layout()
    cells = [cell for cell in table.text(position) if cell.lower() not in MISSING_MARKS]
    some = (cells[:_SAMPLE], cells[_SAMPLE:])
    return bool(cells) and not any(is_number(cell, layout) for part in some for cell in part)


def text_columns(table: Table, positions: Sequence[int]) -> list[str]:
    """Those among some columns that hold texts."""
    return [table.signals[position].label for position in positions if is_text(table, position)]


def proposal(table: Table, columns: LongColumns) -> str:
    """How to say which column tells the cases apart, and which has the class, the likely ones in place."""
    time = find_time(table, [])
    case = likely_case(table, time)
    found = {"case": case, "label": None if case is None else likely_label(table, time, case)}
    heads = [signal.label for signal in table.signals]
    return columns.written(**{name: "..." if at is None else heads[at] for name, at in found.items()})


def likely_case(table: Table, time: int | None) -> int | None:
    """The one column that makes sense as that of the cases; None where there is none, or are several.

    It has the same value in many rows, no two of them of one time, or, without a time, one after the other;
    and every other column of which that holds follows from it: a trial has one subject and one class.
    """
    codes = {at: own for at, own in _repeated(table, time).items() if _holds(table, time, own)}
    finest = [at for at, own in codes.items() if all(_follows(other, own) for other in codes.values())]
    return finest[0] if len(finest) == 1 else None


def likely_label(table: Table, time: int | None, case: int) -> int | None:
    """A column with few values that follow from the case: perhaps the class."""
    codes = _repeated(table, time)
    cases = codes.pop(case, None)
    if cases is None:
        return None
    named = table.first_of(LABEL_NAMES, [case])
    fitting = {at: int(own.max()) for at, own in codes.items() if _follows(own, cases)}
    return named if named in fitting else min(fitting, key=fitting.__getitem__, default=None)


def telling_apart(table: Table, case: int, times: np.ndarray, taken: Sequence[int]) -> int | None:
    """The column that tells cases apart together with the one that was named, if one does; else None."""
    own = _codes(table, case)
    for position in range(len(table.signals)):
        if position in taken or position == case:
            continue
        both = _codes(table, position) * (int(own.max()) + 1) + own
        rows = np.unique(np.column_stack([both, times]), axis=0)
        if len(rows) == len(table) and len(np.unique(both)) * _FEWEST_ROWS <= len(table):
            return position
    return None


def _repeated(table: Table, time: int | None) -> dict[int, Int[np.ndarray, " rows"]]:
    """The columns with several values, each of them in many rows."""
    found = {}
    for position in range(len(table.signals)):
        own = _codes(table, position) if position != time else np.zeros(1, int)
        if 1 < own.max() + 1 <= len(table) / _FEWEST_ROWS:
            found[position] = own
    return found


def _codes(table: Table, position: int) -> Int[np.ndarray, " rows"]:
    return np.unique(np.array(table.text(position)), return_inverse=True)[1]


def _follows(codes: np.ndarray, known: np.ndarray) -> bool:
    """Whether a column has one value wherever another one has one."""
    pairs = np.unique(known * (int(codes.max()) + 1) + codes)
    return len(pairs) == len(np.unique(known))


def _holds(table: Table, time: int | None, codes: np.ndarray) -> bool:
    """Whether rows with one value may be one case."""
    if time is None:
        return bool(np.count_nonzero(np.diff(codes)) * _FEWEST_ROWS <= len(codes))
    times = _codes(table, time)
    return len(np.unique(codes * (int(times.max()) + 1) + times)) == len(table)
