"""Labelled series from a table with one row for each case and time; groups of cases in a small table."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from attractor.errors import DataWarning, InputDataError
from attractor.settings import Settings

from .counters import counting_variables
from .delimited import is_number
from .finding import Finding, warning
from .labelled_sequences import Sequences, empty_cases, name_some
from .sequence_labels import encode_words
from .table import FrameTable, Table, read_table
from .time_axis import find_time, find_times, measure_steps, read_time

if TYPE_CHECKING:
    import pandas as pd


CASE_NAMES = ("id", "case", "case_id", "series", "sequence")
LABEL_NAMES = ("label", "class", "target", "y")


@dataclass(frozen=True)
class LongColumns(Settings):
    """What the columns of a table of series mean, where the header alone does not say it.

    Args:
        case: the column that tells the cases apart; one called id, case, case_id, series or sequence is
            found by itself.
        label: the class, the same in all rows of a case; one called label, class, target or y is found by
            itself. Without such a column the cases have no labels.
        time: numbers or dates by which the rows of a case are put in order; one called time, timestamp, t,
            datetime, date, elapsed, ts or epoch is found by itself, also with a unit in its name, as in t_ms.
            Without it the rows of a case follow one another as in the file.
        variables: the measured quantities; if empty all other columns but those that only count rows or tell
            the time (see `attractor.data.counting_variables`).
        delimiter: what separates the cells: one character, or comma, semicolon, tab, blanks. Sniffed if
            `None`.
    """

    case: str | None = None
    label: str | None = None
    time: str | None = None
    variables: tuple[str, ...] = ()
    delimiter: str | None = None


@dataclass(frozen=True)
class _Parts:
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


def read_long_csv(
    source: "str | Path | pd.DataFrame", columns: LongColumns = LongColumns(), like: Sequences | None = None
) -> Sequences:
    """Read labelled series from a table with one row for each case and time.

    Rows may come in any order if there is a time column. The steps of a case are taken as equally spaced; a
    blank cell is a missing value. What is left out or assumed stands among the remarks of the cases, and a
    `DataWarning` says it.

    Args:
        source: a file whose first row names the columns, or a DataFrame; the two levels of a MultiIndex of
            its rows are case and time.
        columns: which of them is the case, the class, the time, a variable.
        like: the cases that a model learned from, whose variables are looked for: none is left out then.

    Returns:
        The cases in the order in which they first appear, called as the file calls them.

    Raises:
        ConfigError: a column is chosen twice.
        InputDataError: the file cannot be used; the message names file, row, column and text.

    Example:
        >>> import pandas as pd
        >>> stays = pd.DataFrame({"stay": ["a", "a", "b"], "pulse": [71, 74, 90], "died": [0, 0, 1]})
        >>> read_long_csv(stays, LongColumns(case="stay", label="died")).lengths.tolist()
        [2, 1]
    """
    table = read_table(source, columns.delimiter)
    parts = _find_parts(table, columns)
    rows = _group(table, parts)
    values = empty_cases(rows.lengths, len(parts.variables))
    steps = np.arange(len(rows.order)) - np.repeat(rows.starts, rows.lengths)
    values[rows.codes, steps] = table.numbers(parts.variables)[rows.order]
    places = np.zeros(values.shape[:2], table.row_numbers.dtype)
    places[rows.codes, steps] = table.row_numbers[rows.order]
    labels, classes, class_values = _read_classes(table, parts, rows)
    data = Sequences(
        values,
        rows.lengths,
        tuple(table.signals[position].label for position in parts.variables),
        labels,
        classes,
        rows.names,
        class_values,
        places,
        str(table.path),
        (*_check_order(table, parts, rows), *_check_times(table, parts, rows)),
    )
    return told(data if columns.variables or like is not None else without_counters(data))


def without_counters(data: Sequences) -> Sequences:
    """The cases without variables that only count or tell the time, and a remark for each that is left out.

    Where nothing else would be left, all stay.
    """
    counters = counting_variables(data)
    kept = [name for name in data.names if name not in counters]
    if not counters or not kept:
        return data
    advice = "If it is a measured quantity, name all variables that are to be used, this one among them."
    remarks = [
        warning("left-out", name, f"'{name}' was left out: {why}", advice) for name, why in counters.items()
    ]
    return replace(data.chosen(kept), remarks=(*data.remarks, *remarks))


def told(data: Sequences) -> Sequences:
    """The cases, once their remarks were given as warnings."""
    for remark in data.remarks:
        warnings.warn(f"{remark.message}. {remark.advice}", DataWarning, stacklevel=4)
    return data


def _check_order(table: Table, parts: _Parts, rows: _Rows) -> list[Finding]:
    """A remark if nothing tells the order of rows that lie between those of other cases."""
    found = np.empty(len(rows.order), int)
    found[rows.order] = rows.codes
    runs = np.flatnonzero(np.diff(found, prepend=-1))
    if parts.time is not None or len(runs) == len(rows.lengths):
        return []
    again = next(at for at, run in enumerate(runs) if found[run] in found[runs[:at]])
    row = runs[again]
    message = (
        f"the rows of the cases are mixed (row {table.row_numbers[row]} is of case "
        f"'{rows.names[found[row]]}' again) and no column tells the time: those of a case follow one another "
        "as in the file"
    )
    advice = "Name the column of the times, or put the rows in order, if that is not what was recorded."
    return [warning("mixed-rows", "", message, advice, runs=len(runs))]


def _check_times(table: Table, parts: _Parts, rows: _Rows) -> list[Finding]:
    """A remark if the steps within the cases are not all alike: a classifier takes them as equal."""
    if parts.time is None or len(rows.order) == len(rows.lengths):
        return []
    times = read_time(table, parts.time).values[rows.order]
    within = np.diff(rows.codes) == 0
    base = float(np.median(np.diff(times)[within]))
    uneven = np.zeros(len(rows.lengths), bool)
    for case, (start, length) in enumerate(zip(rows.starts, rows.lengths, strict=True)):
        steps = measure_steps(times[start : start + length], base)
        uneven[case] = length > 1 and not (steps.is_whole & (steps.multiples == 1)).all()
    if not uneven.any():
        return []
    odd = np.flatnonzero(within & uneven[rows.codes[1:]])
    worst = odd[np.abs(np.log(np.diff(times)[odd] / base)).argmax()]
    message = (
        f"times are not evenly spaced in {np.count_nonzero(uneven)} of {len(uneven)} cases: most steps are "
        f"{base:g}, the one to row {table.row_numbers[rows.order[worst + 1]]} is "
        f"{times[worst + 1] - times[worst]:g}; a classifier takes all steps as equal"
    )
    advice = "Interpolate the cases onto equal steps, or keep the time since the step before as a variable."
    return [warning("uneven-times", table.signals[parts.time].label, message, advice, step=base)]


def _find_parts(table: Table, columns: LongColumns) -> _Parts:
    chosen = [table.find(name) for name in columns.variables]

    def find(wanted: str | None, usual: Sequence[str]) -> int | None:
        return table.first_of(usual, chosen) if wanted is None else table.find(wanted)

    case = _own_case(table, chosen) if columns.case is None else table.find(columns.case)
    if case is None:
        heads = name_some([signal.label for signal in table.signals])
        raise InputDataError(
            f"{table.path}: which column tells the cases apart? Name it; there are: {heads}. The table needs "
            "one row for each case and time; one with a whole case in a row is not read"
        )
    label = find(columns.label, LABEL_NAMES)
    aside = [*chosen, case] if label is None else [*chosen, case, label]
    time = find_time(table, aside) if columns.time is None else table.find(columns.time)
    roles = [position for position in (case, label, time) if position is not None]
    table.check_once([*chosen, *roles], "a column is the case, the label, the time, or a variable")
    aside = [*roles, *_dates(table, roles)]
    variables = chosen or [position for position in range(len(table.signals)) if position not in aside]
    if not variables:
        raise InputDataError(
            f"{table.path}: no column is left for the variables; the file needs at least one"
        )
    return _Parts(case, label, time, tuple(variables))


def _own_case(table: Table, taken: Sequence[int]) -> int | None:
    """The column that tells the cases apart by its name, rather not one that numbers the rows."""
    found = [position for name in CASE_NAMES if (position := table.first_of([name], taken)) is not None]
    shared = (position for position in found if len(set(table.text(position))) < len(table))
    return next(shared, found[0] if found else None)


def _dates(table: Table, taken: Sequence[int]) -> list[int]:
    """Further columns of dates: they are written as texts, and no variables."""
    return [at for at in find_times(table, taken) if not is_number(table.cell(0, at))]


def _group(table: Table, parts: _Parts) -> _Rows:
    words = _filled(table, parts.case, "say to which case the row belongs")
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    lengths = np.bincount(codes)
    if parts.time is None:
        order = np.argsort(codes, kind="stable")
        return _Rows(order, codes[order], lengths, tuple(numbers))
    times = read_time(table, parts.time).values
    order = np.lexsort((times, codes))
    rows = _Rows(order, codes[order], lengths, tuple(numbers))
    same = (np.diff(times[order]) == 0) & (np.diff(rows.codes) == 0)
    for first, second in zip(order[:-1][same], order[1:][same], strict=True):
        raise InputDataError(
            f"{table.where(int(second), parts.time)}: case '{words[first]}' has this time already in row "
            f"{table.row_numbers[first]}; remove one of the rows, or check the column of the cases"
        )
    return rows


def _read_classes(
    table: Table, parts: _Parts, rows: _Rows
) -> tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...], tuple[object, ...]]:
    """Labels, classes, and these in the type of a DataFrame; each row of a case tells the same class."""
    if parts.label is None:
        return None, (), ()
    position, own = parts.label, _own_values(table, parts.label)
    words = np.array([str(value) for value in own])
    first = rows.order[rows.starts]
    for at in np.flatnonzero(words[rows.order] != words[first][rows.codes])[:1]:
        row, case = int(rows.order[at]), rows.codes[at]
        raise InputDataError(
            f"{table.where(row, position)}: case '{rows.names[case]}' has the label {str(words[row])!r} here "
            f"and {str(words[first[case]])!r} in row {table.row_numbers[first[case]]}; a case has one label"
        )
    where = partial(_label_place, table, position, first)
    labels, classes = encode_words(words[first].tolist(), where)
    values = {str(value): value for value in own}
    return labels, classes, tuple(values[name] for name in classes) if labels is not None else ()


def _label_place(table: Table, position: int, first: np.ndarray, case: int) -> str:
    return table.where(int(first[case]), position)


def _own_values(table: Table, position: int) -> Sequence[object]:
    """The cells of a column; of a DataFrame in its type: whole numbers, truth values, texts."""
    text = table.text(position)
    if not isinstance(table, FrameTable) or table.frame[position].dtype.kind not in "biuf":
        return text
    values = table.frame[position].tolist()
    return [
        cell if not cell else int(value) if isinstance(value, float) and value.is_integer() else value
        for cell, value in zip(text, values, strict=True)
    ]


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
    groups = _filled(table, table.find("group"), "every case needs a group")
    position = table.first_of(["case"])
    if position is None:
        if len(groups) != len(data):
            raise InputDataError(
                f"{table.path}: {len(groups)} groups for {len(data)} cases; give one row for each case, or a "
                "column 'case' with their names"
            )
        return np.array(groups)
    known: dict[str, str] = {}
    for row, (name, group) in enumerate(zip(table.text(position), groups, strict=True)):
        if known.setdefault(name, group) != group:
            raise InputDataError(
                f"{table.where(row, position)}: {name} is in group {known[name]} and in group {group}"
            )
    lost = [name for name in data.ids if name not in known]
    if lost:
        raise InputDataError(f"{table.path}: no group for {name_some(lost)}")
    return np.array([known[name] for name in data.ids])


def _filled(table: Table, position: int, advice: str) -> list[str]:
    """The text of a column that may not have a blank cell."""
    words = table.text(position)
    if "" in words:
        raise InputDataError(f"{table.where(words.index(''), position)}: blank; {advice}")
    return words
