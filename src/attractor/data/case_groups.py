"""What cases come from (a patient, an annotator, a device), from a small table of its own."""

from pathlib import Path

import numpy as np

from attractor.errors import InputDataError

from .sequence_twins import name_some
from .sequences import Sequences
from .table import Table, read_table

_CASE, _GROUP = "case", "group"


def read_case_groups(path: str | Path, data: Sequences) -> np.ndarray:
    """The group of every case, as text, in the order of the data.

    The table has a column `group`, and a column `case` with the names of the cases in any order; cases that
    the data do not have are passed over. Without the column `case` its rows are the cases of the data in
    their order.

    Args:
        path: a delimited text file with a header.
        data: the cases.

    Raises:
        InputDataError: a case without a group or with two, or a column or rows that are missing.

    Example:
        >>> patients = read_case_groups("patients.csv", cases)  # doctest: +SKIP
    """
    table = read_table(path)
    groups = table.text(table.find(_GROUP))
    if "" in groups:
        message = f"{table.where(groups.index(''), table.find(_GROUP))}: blank; every case needs a group"
        raise InputDataError(message)
    if _CASE in [signal.name for signal in table.signals]:
        return _by_name(table, groups, data)
    if len(groups) != len(data):
        message = (
            f"{table.path}: {len(groups)} groups for {len(data)} cases; give one row for each case, or a "
            "column 'case' with their names"
        )
        raise InputDataError(message)
    return np.array(groups)


def _by_name(table: Table, groups: list[str], data: Sequences) -> np.ndarray:
    place = table.find(_CASE)
    known: dict[str, str] = {}
    for row, (name, group) in enumerate(zip(table.text(place), groups, strict=True)):
        if known.setdefault(name, group) != group:
            message = f"{table.where(row, place)}: {name} is in group {known[name]} and in group {group}"
            raise InputDataError(message)
    lost = [name for name in data.ids if name not in known]
    if lost:
        message = f"{table.path}: no group for {name_some(lost)}"
        raise InputDataError(message)
    return np.array([known[name] for name in data.ids])
