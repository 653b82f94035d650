"""Labelled series in a table with one row for each case and time; groups of cases in a small table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import ConfigError, InputDataError

from .labelled_sequences import Sequences, empty_cases
from .sequence_doctor import name_some
from .sequence_labels import encode_words
from .table import Table, read_table
from .time_axis import TIME_NAMES, read_time

CASE_NAMES = ("id", "case", "case_id", "series", "sequence")
LABEL_NAMES = ("label", "class", "target", "y")


@dataclass(frozen=True)
class LongColumns:
    """What the columns of a table of series mean, where the header alone does not say it.

    Args:
        case: the column that tells the cases apart; one called id, case, case_id, series or sequence is
            found by itself.
        label: the class, the same in all rows of a case; one called label, class, target or y is found by
            itself. Without such a column the cases have no labels.
        time: numbers or dates by which the rows of a case are put in order; one called time, timestamp or t
            is found by itself. Without it the rows of a case follow one another as in the file.
        variables: the measured quantities; all other columns if empty.
        delimiter: what separates the cells: one character, or comma, semicolon, tab, blanks. Sniffed if
            `None`.
    """

    case: str | None = None
    label: str | None = None
    time: str | None = None
    variables: tuple[str, ...] = ()
    delimiter: str | None = None


@dataclass(frozen=True)
class _Places:
    """Which column of the table plays which part."""

    case: int
    label: int | None
    time: int | None
    variables: tuple[int, ...]


@dataclass(frozen=True)
class _Rows:
    """The rows of a table, case after case.

    Args:
        order: rows of the table, those of one case together, in the order of time.
        codes: the case of each of them.
        lengths: how many each case has.
        names: of the cases, in the order in which they appear in the file.
    """

    order: Int[np.ndarray, " rows"]
    codes: Int[np.ndarray, " rows"]
    lengths: Int[np.ndarray, " cases"]
    names: tuple[str, ...]

    @property
    def starts(self) -> Int[np.ndarray, " cases"]:
        """Where each case begins in `order`."""
        return np.cumsum(self.lengths) - self.lengths


def read_long_csv(path: str | Path, columns: LongColumns = LongColumns()) -> Sequences:
    """Read labelled series from a delimited text file with one row for each case and time.

    Rows may come in any order if there is a time column. The steps of a case are taken as equally spaced; a
    blank cell is a missing value.

    Args:
        path: the file; the first row names the columns.
        columns: which of them is the case, the class, the time, a variable.

    Returns:
        The cases in the order in which they first appear, called as the file calls them.

    Raises:
        ConfigError: a column is chosen twice.
        InputDataError: the file cannot be used; the message names file, row, column and text.

    Example:
        >>> cases = read_long_csv("stays.csv", LongColumns(case="stay", label="died"))  # doctest: +SKIP
    """
    table = read_table(path, columns.delimiter)
    places = _find_places(table, columns)
    rows = _group(table, places)
    values = empty_cases(rows.lengths, len(places.variables))
    steps = np.arange(len(rows.order)) - np.repeat(rows.starts, rows.lengths)
    values[rows.codes, steps] = table.numbers(places.variables)[rows.order]
    labels, classes = _read_classes(table, places, rows)
    names = tuple(table.signals[place].label for place in places.variables)
    return Sequences(values, rows.lengths, names, labels, classes, rows.names)


def _find_places(table: Table, columns: LongColumns) -> _Places:
    chosen = [table.find(name) for name in columns.variables]
    case = _find(table, columns.case, CASE_NAMES, chosen)
    if case is None:
        heads = name_some([signal.label for signal in table.signals])
        raise InputDataError(
            f"{table.path}: which column tells the cases apart? Name it; there are: {heads}. The table needs "
            "one row for each case and time; one with a whole case in a row is not read"
        )
    label = _find(table, columns.label, LABEL_NAMES, chosen)
    time = _find(table, columns.time, TIME_NAMES, chosen)
    roles = [place for place in (case, label, time) if place is not None]
    taken = [*chosen, *roles]
    for place in taken:
        if taken.count(place) > 1:
            raise ConfigError(
                f"{table.path}: column '{table.signals[place].label}' is chosen more than once; a column is "
                "the case, the label, the time, or a variable"
            )
    variables = chosen or [place for place in range(len(table.signals)) if place not in roles]
    if not variables:
        raise InputDataError(
            f"{table.path}: no column is left for the variables; the file needs at least one"
        )
    return _Places(case, label, time, tuple(variables))


def _find(table: Table, wanted: str | None, usual: Sequence[str], taken: Sequence[int]) -> int | None:
    """The column asked for, or the free one with the first of the usual names."""
    if wanted is not None:
        return table.find(wanted)
    heads = [signal.name.casefold() for signal in table.signals]
    found = [heads.index(name) for name in usual if name in heads]
    return next((place for place in found if place not in taken), None)


def _group(table: Table, places: _Places) -> _Rows:
    words = table.text(places.case)
    if "" in words:
        raise InputDataError(
            f"{table.where(words.index(''), places.case)}: blank; say to which case the row belongs"
        )
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    lengths = np.bincount(codes)
    if places.time is None:
        order = np.argsort(codes, kind="stable")
        return _Rows(order, codes[order], lengths, tuple(numbers))
    times = read_time(table, places.time).values
    order = np.lexsort((times, codes))
    rows = _Rows(order, codes[order], lengths, tuple(numbers))
    _check_times(table, places.time, rows, times)
    return rows


def _check_times(table: Table, place: int, rows: _Rows, times: Float[np.ndarray, " rows"]) -> None:
    """No case has two rows for one time."""
    same = (np.diff(times[rows.order]) == 0) & (np.diff(rows.codes) == 0)
    for at in np.flatnonzero(same)[:1]:
        first, second = rows.order[at], rows.order[at + 1]
        raise InputDataError(
            f"{table.where(int(second), place)}: case '{rows.names[rows.codes[at]]}' has this time already "
            f"in row {table.row_numbers[first]}; remove one of the rows, or check the column of the cases"
        )


def _read_classes(
    table: Table, places: _Places, rows: _Rows
) -> tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...]]:
    """Labels and classes; each row of a case tells the same class."""
    if places.label is None:
        return None, ()
    words = np.array(table.text(places.label))
    first = rows.order[rows.starts]
    differs = np.flatnonzero(words[rows.order] != words[first][rows.codes])
    if len(differs):
        row, case = int(rows.order[differs[0]]), int(rows.codes[differs[0]])
        raise InputDataError(
            f"{table.where(row, places.label)}: case '{rows.names[case]}' has the label {str(words[row])!r} "
            f"here and {str(words[first[case]])!r} in row {table.row_numbers[first[case]]}; a case has one "
            "label"
        )
    place = places.label
    return encode_words(words[first].tolist(), lambda case: table.where(int(first[case]), place))


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
        raise InputDataError(
            f"{table.where(groups.index(''), table.find(_GROUP))}: blank; every case needs a group"
        )
    if _CASE in [signal.name for signal in table.signals]:
        return _by_name(table, groups, data)
    if len(groups) != len(data):
        raise InputDataError(
            f"{table.path}: {len(groups)} groups for {len(data)} cases; give one row for each case, or a "
            "column 'case' with their names"
        )
    return np.array(groups)


def _by_name(table: Table, groups: list[str], data: Sequences) -> np.ndarray:
    place = table.find(_CASE)
    known: dict[str, str] = {}
    for row, (name, group) in enumerate(zip(table.text(place), groups, strict=True)):
        if known.setdefault(name, group) != group:
            raise InputDataError(
                f"{table.where(row, place)}: {name} is in group {known[name]} and in group {group}"
            )
    lost = [name for name in data.ids if name not in known]
    if lost:
        raise InputDataError(f"{table.path}: no group for {name_some(lost)}")
    return np.array([known[name] for name in data.ids])
