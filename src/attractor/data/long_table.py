"""Labelled series from a table with one row for each case and time; groups of cases in a small table."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from attractor.errors import DataWarning, InputDataError, warn

from .column_guesses import proposal, telling_apart, text_columns
from .counters import counting_variables
from .delimited import is_number
from .finding import Finding, Severity, note, warning
from .labelled_sequences import Sequences, empty_cases, name_some
from .long_columns import CASE_NAMES, LABEL_NAMES, LongColumns, named_by
from .sequence_labels import encode_words
from .table import FrameTable, Table, read_table
from .time_axis import find_time, find_times, measure_steps, read_time

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class _Parts:
    """Which column of the table plays which part; several may tell the cases apart together."""

    case: tuple[int, ...]
    label: int | None
    time: int | None
    group: int | None
    variables: tuple[int, ...]

    @property
    def roles(self) -> list[int]:
        """The columns that are no variables."""
        return [*self.case, *(one for one in (self.label, self.time, self.group) if one is not None)]


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
    source: "str | Path | pd.DataFrame", columns: LongColumns | None = None, like: Sequences | None = None
) -> Sequences:
    """Read labelled series from a table with one row for each case and time.

    Rows may come in any order if there is a time column. The steps of a case are taken as equally spaced; a
    blank cell is a missing value. What is left out or assumed stands among the remarks of the cases, and a
    `DataWarning` says it.

    Args:
        source: a file whose first row names the columns, or a DataFrame; the two levels of a MultiIndex of
            its rows are case and time.
        columns: which of them is the case, the class, the time, a variable.
        like: the cases that a model learned from: their variables are looked for, and where nothing is said
            the columns have the parts that they had there; other columns are left alone.

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
    columns = columns or LongColumns()
    table = read_table(source, columns.delimiter)
    heads = [signal.label for signal in table.signals]
    asked, columns = columns, columns.completed(None if like is None else like.columns, heads)
    parts = _find_parts(table, columns, like)
    rows = _group(table, parts, columns)
    values = empty_cases(rows.lengths, len(parts.variables))
    steps = np.arange(len(rows.order)) - np.repeat(rows.starts, rows.lengths)
    values[rows.codes, steps] = table.numbers(parts.variables)[rows.order]
    places = np.zeros(values.shape[:2], table.row_numbers.dtype)
    places[rows.codes, steps] = table.row_numbers[rows.order]
    is_sure = asked.label == columns.label
    (labels, classes, class_values), doubts = _sure_classes(table, parts, rows, None if is_sure else like)
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
        (
            *_check_order(table, parts, rows),
            *_check_times(table, parts, rows),
            *_left_alone(table, parts, like),
            *doubts,
        ),
        None if parts.group is None else np.array(_one_for_each(table, parts.group, rows, "group")),
        _as_read(table, parts, columns),
    )
    return told(data if columns.variables or like is not None else without_counters(data))


def _as_read(table: Table, parts: _Parts, columns: LongColumns) -> LongColumns:
    """The parts that the columns were found to have, to read other tables alike."""

    def label(position: int | None) -> str | None:
        return None if position is None else table.signals[position].label

    case = tuple(table.signals[position].label for position in parts.case)
    return LongColumns(
        case[0] if len(case) == 1 else case,
        label(parts.label),
        label(parts.time),
        columns.wanted,
        None,
        label(parts.group),
    )


def _left_alone(table: Table, parts: _Parts, like: Sequences | None) -> list[Finding]:
    """A note on the columns that a model does not know."""
    used = {*parts.roles, *parts.variables}
    other = [signal.label for position, signal in enumerate(table.signals) if position not in used]
    if like is None or not other:
        return []
    advice = "Nothing is to be done, if these are no variables of the model."
    return [note("left-alone", "", f"columns that are not used: {', '.join(other)}", advice)]


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
    """The cases, once their remarks were given as warnings; a note only stands among the remarks."""
    for remark in data.remarks:
        if remark.severity is not Severity.NOTE:
            warn(f"{remark.message}. {remark.advice}", DataWarning)
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


def _find_parts(table: Table, columns: LongColumns, like: Sequences | None) -> _Parts:
    heads = [signal.label for signal in table.signals]
    chosen = [table.find(name) for name in named_by(columns.wanted, heads) or _known(table, like)]

    def find(wanted: str | None, usual: Sequence[str]) -> int | None:
        return table.first_of(usual, chosen) if wanted is None else table.find(wanted)

    case = tuple(map(table.find, columns.case_columns)) or _own_case(table, chosen)
    if not case:
        raise InputDataError(
            f"{table.path}: which column tells the cases apart? Name it and the class, as in "
            f"{proposal(table, columns)}; there are: {', '.join(heads)}. The table needs one row for each "
            "case and time; one with a whole case in a row is not read"
        )
    group = None if columns.group is None else table.find(columns.group)
    label = find(columns.label, LABEL_NAMES)
    aside = [*chosen, *case, *(one for one in (label, group) if one is not None)]
    time = find_time(table, aside) if columns.time is None else table.find(columns.time)
    parts = _Parts(case, label, time, group, tuple(chosen))
    # A case may be its own group.
    roles = [one for one in parts.roles if one != group] + ([] if group in case or group is None else [group])
    table.check_once([*chosen, *roles], "a column is the case, the label, the time, the group, or a variable")
    aside = [*roles, *_dates(table, roles)]
    others = [position for position in range(len(heads)) if position not in aside]
    variables = chosen or [at for at in others if like is None or heads[at] not in text_columns(table, [at])]
    if not variables:
        raise InputDataError(
            f"{table.path}: no column is left for the variables; the file needs at least one"
        )
    _check_numbers(table, variables, columns)
    return replace(parts, variables=tuple(variables))


def _known(table: Table, like: Sequences | None) -> tuple[str, ...]:
    """The variables of a model, if the table has them all; whoever matches others to it says what lacks."""
    heads = {signal.label for signal in table.signals}
    return like.names if like is not None and {*like.names} <= heads else ()


def _check_numbers(table: Table, variables: Sequence[int], columns: LongColumns) -> None:
    """Refuse columns of texts as variables.

    Raises:
        InputDataError: names them, and how to name the others.
    """
    texts = text_columns(table, variables)
    if not texts:
        return
    numbers = [table.signals[at].label for at in variables if table.signals[at].label not in texts]
    said = "is a text column" if len(texts) == 1 else "are text columns"
    said_so = {"case": columns.case, "label": columns.label} if columns.case and columns.label else {}
    parts = [columns.written(**said_so, group=texts[0])]
    parts += [columns.written(label=texts[-1])] if columns.label is None else []
    others = f"; or name the variables, {columns.written(variables=numbers)}" if numbers else ""
    raise InputDataError(
        f"{table.path}: {', '.join(map(repr, texts))} {said} and no variable. Say what it is, "
        f"{' or '.join(parts)}{others}: other columns are left alone then"
    )


def _own_case(table: Table, taken: Sequence[int]) -> tuple[int, ...]:
    """The column that tells the cases apart by its name, rather not one that numbers the rows."""
    found = [position for name in CASE_NAMES if (position := table.first_of([name], taken)) is not None]
    shared = (position for position in found if len(set(table.text(position))) < len(table))
    return tuple([*shared, *found][:1])


def _dates(table: Table, taken: Sequence[int]) -> list[int]:
    """Further columns of dates: they are written as texts, and no variables."""
    return [at for at in find_times(table, taken) if not is_number(table.cell(0, at))]


def _group(table: Table, parts: _Parts, columns: LongColumns) -> _Rows:
    each = [_filled(table, position, "say to which case the row belongs") for position in parts.case]
    words = ["/".join(one) for one in zip(*each, strict=True)]
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
            f"{_counted_anew(table, parts, times, columns)}"
        )
    return rows


def _counted_anew(table: Table, parts: _Parts, times: np.ndarray, columns: LongColumns) -> str:
    """What to name if cases are counted anew, for every subject for instance."""
    other = telling_apart(table, parts.case[0], times, parts.roles) if len(parts.case) == 1 else None
    if other is None and parts.group is not None and parts.group not in parts.case:
        other = parts.group
    if other is None:
        return ""
    names = [table.signals[position].label for position in (other, *parts.case)]
    return f"; if they are counted anew for each {names[0]!r}, name both: {columns.written(case=names)}"


_Classes = tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...], tuple[object, ...]]


def _sure_classes(
    table: Table, parts: _Parts, rows: _Rows, like: Sequences | None
) -> tuple[_Classes, list[Finding]]:
    """The classes; where only other cases say which column has them, what is no class of theirs is none.

    Args:
        table: the table.
        parts: of its columns.
        rows: of its cases.
        like: cases with the classes that the column may have; None if the user named it.
    """
    if like is None or parts.label is None:
        return _read_classes(table, parts, rows), []
    try:
        found = _read_classes(table, parts, rows)
        unknown = [name for name in found[1] if name not in like.classes]
        problem = f"classes not known: {', '.join(unknown)}" if unknown else ""
    except InputDataError as refused:
        found, problem = (None, (), ()), str(refused)
    if not problem:
        return found, []
    name = table.signals[parts.label].label
    message = f"the labels in column '{name}' are not used: {problem}"
    return (None, (), ()), [warning("labels", name, message, "Correct them if the cases are to be judged.")]


def _read_classes(table: Table, parts: _Parts, rows: _Rows) -> _Classes:
    """Labels, classes, and these in the type of a DataFrame; each row of a case tells the same class."""
    if parts.label is None:
        return None, (), ()
    own = _own_values(table, parts.label)
    words = _one_for_each(table, parts.label, rows, "label")
    where = partial(_label_place, table, parts.label, rows.order[rows.starts])
    labels, classes = encode_words(words, where)
    values = {str(value): value for value in own}
    return labels, classes, tuple(values[name] for name in classes) if labels is not None else ()


def _one_for_each(table: Table, position: int, rows: _Rows, what: str) -> list[str]:
    """What a column says of every case, as text.

    Raises:
        InputDataError: rows of one case say different things, or a group is blank.
    """
    is_group = what == "group"
    own = _filled(table, position, "every case needs a group") if is_group else _own_values(table, position)
    words = np.array([str(value) for value in own])
    first = rows.order[rows.starts]
    for at in np.flatnonzero(words[rows.order] != words[first][rows.codes])[:1]:
        row, case = int(rows.order[at]), rows.codes[at]
        raise InputDataError(
            f"{table.where(row, position)}: case '{rows.names[case]}' has the {what} {str(words[row])!r} "
            f"here and {str(words[first[case]])!r} in row {table.row_numbers[first[case]]}; a case has one "
            f"{what}"
        )
    return words[first].tolist()


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


def with_known_groups(data: Sequences, path: str | Path, others: Sequence[str]) -> Sequences:
    """Cases with the groups that a table names for them, where it names all; else as they are.

    Args:
        data: test cases, which the table may be silent about.
        path: see `read_case_groups`.
        others: names of the cases that the table is about. Cases that are called alike, as those of an array
            are, may be meant instead.
    """
    table = read_table(path)
    position = table.first_of(["case"])
    is_about = position is not None and {*data.ids} <= {*table.text(position)} - {*others}
    return data.grouped(read_case_groups(path, data)) if is_about else data


def _filled(table: Table, position: int, advice: str) -> list[str]:
    """The text of a column that may not have a blank cell."""
    words = table.text(position)
    if "" in words:
        raise InputDataError(f"{table.where(words.index(''), position)}: blank; {advice}")
    return words
