"""Read the log of a plant from a file into a `Record`, and guess its columns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from jaxtyping import Int

from attractor.errors import ConfigError, DataWarning, InputDataError, printable, warn
from attractor.settings import Settings, Within

from .counters import why_counted
from .record import Experiment, Record, RowBlock, check_names
from .table import Table, read_table
from .time_axis import (
    SECONDS,
    MissingPolicy,
    Recording,
    TimeColumn,
    check_increasing,
    fill_missing,
    find_sampling_time,
    find_time,
    find_times,
    read_time,
    regularise,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ColumnOptions(Settings):
    """What the columns of a file mean, where the header alone does not say it.

    Args:
        time: the column of the instants: numbers (seconds, or the unit in its head: ns, us, ms, s, min, h,
            d) or dates and times. A column called time, timestamp, t, datetime, date, elapsed, ts or epoch
            is found by itself, also with a unit in its name, as in t_ms.
        experiment: the column that names the experiment of each row. One called experiment is found by
            itself.
        sampling_time: seconds between two rows. It replaces a time column that was found by
            itself; where `time` names a column, that column still tells where rows are missing.
        missing: what to do with blank cells and missing rows: `error` stops; `interpolate` draws straight
            lines between the neighbours; `split` begins a new experiment after the hole.
        delimiter: what separates the cells: one character, or comma, semicolon, tab, blanks. Sniffed if
            `None`.
        rows: blocks of rows to take as experiments, counted from 0 without the header; all rows if empty.
        resample: put unevenly spaced rows on a grid of the median step by linear interpolation.

    Raises:
        ConfigError: a value of another kind, or two blocks of rows with one name.
    """

    time: str | None = None
    experiment: str | None = None
    sampling_time: Annotated[float, Within(0, above=True), "in seconds"] | None = None
    missing: MissingPolicy = "error"
    delimiter: str | None = None
    rows: tuple[RowBlock, ...] = ()
    resample: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_names(self.rows)


@dataclass(frozen=True)
class _Parts:
    """Which column of the table plays which part."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    time: int | None
    experiment: int | None

    @property
    def channels(self) -> tuple[int, ...]:
        return self.inputs + self.outputs


def read_csv(
    source: "str | Path | pd.DataFrame | Table",
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    columns: ColumnOptions = ColumnOptions(),
) -> Record:
    """Read the log of a plant from a file or a DataFrame.

    The first row of a text file names the columns, with units in brackets if there are any (`q3 [ml/s]`) or
    in a second row; a file without a header has the columns c1, c2, ... Lines that begin with `#` or `%` are
    comments. `.parquet` and `.mat` files are read as well (see `read_table`).

    Args:
        source: the file, a DataFrame, or a table that was read before.
        inputs: the columns that were applied to the plant, by name, with or without the unit.
        outputs: the columns that the plant answered; may be empty when only inputs are needed.
        columns: time, experiments, missing values, delimiter.

    Returns:
        The record. Without a time column and without `sampling_time` one row counts as one second, and the
        record says that this is assumed.

    Raises:
        ConfigError: the choice of columns contradicts itself.
        InputDataError: the file cannot be used; the message names file, row, column and text.

    Example:
        >>> import pandas as pd
        >>> log = pd.DataFrame({"time [s]": [0.0, 0.5, 1.0], "q [l/s]": [1, 1, 2], "level": [0.1, 0.2, 0.3]})
        >>> read_csv(log, inputs=["q"], outputs=["level"]).sampling_time
        0.5
    """
    table = read_table(source, columns.delimiter)
    parts = _find_parts(table, inputs, outputs, columns)
    values = table.numbers(parts.channels)
    found = [Recording(name, rows, values[rows]) for name, rows in _group_rows(table, parts, columns.rows)]
    column = None if parts.time is None else read_time(table, parts.time)
    if column is not None:
        found = [_without_repeats(one, column) for one in found]
    recordings = [part for one in found for part in fill_missing(one, table, parts.channels, columns.missing)]
    _require_rows(recordings, table)
    sampling_time, assumed = columns.sampling_time or 1.0, "no column tells the time"
    if column is not None:
        recordings, sampling_time = _timed(column, recordings, columns)
        assumed = column.assumed
    if not columns.resample:
        _tell_filled(table, found, recordings, columns.missing)
    record = _to_record(table, parts, recordings, sampling_time)
    return replace(record, assumed="" if columns.sampling_time is not None else assumed)


def _find_parts(
    table: Table, inputs: Sequence[str], outputs: Sequence[str], columns: ColumnOptions
) -> _Parts:
    if isinstance(inputs, str) or isinstance(outputs, str) or not inputs:
        raise ConfigError(
            f"inputs {inputs!r} and outputs {outputs!r} are lists of column names, with one input or more"
        )
    chosen = [table.find(label) for label in (*inputs, *outputs)]
    table.check_once(chosen, "a signal is either an input or an output")
    time = None if columns.sampling_time is not None else find_time(table, chosen)
    if columns.time is not None:
        time = table.find(columns.time)
    experiment = table.first_of(("experiment",), chosen)
    if columns.experiment is not None:
        experiment = table.find(columns.experiment)
    return _Parts(tuple(chosen[: len(inputs)]), tuple(chosen[len(inputs) :]), time, experiment)


def _group_rows(
    table: Table, parts: _Parts, blocks: Sequence[RowBlock]
) -> list[tuple[str, Int[np.ndarray, "_"]]]:
    """Name and rows of each experiment, in order of appearance."""
    names = None if parts.experiment is None else table.text(parts.experiment)
    if names is None and not blocks:
        return [(printable(table.path.stem), np.arange(len(table)))]
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names or ()):
        groups.setdefault(name, []).append(row)
    if not blocks:
        return [(name, np.asarray(rows, dtype=np.int64)) for name, rows in groups.items()]
    bounds = [(block.name, *block.bounds(len(table))) for block in blocks]
    for block, start, stop in bounds:
        inside = sorted(set(names[start:stop])) if names else []
        if len(inside) > 1:
            raise InputDataError(
                f"{table.path}: rows {block!r} ({start}:{stop}) hold several experiments: "
                f"{', '.join(inside[:5])}; cut them at the border"
            )
    return [(block, np.arange(start, stop)) for block, start, stop in bounds]


def _require_rows(recordings: Sequence[Recording], table: Table) -> None:
    for recording in recordings:
        if len(recording) < 2:
            row = f", row {table.row_numbers[recording.rows[0]]}" if len(recording) else ""
            raise InputDataError(
                f"{table.path}{row}: experiment '{recording.name}' has {len(recording)} usable row(s); an "
                "experiment needs at least two: add rows or remove it"
            )
    if not recordings:
        raise InputDataError(
            f"{table.path}: no two complete rows in a row are left; fill in the missing values"
        )


def _timed(
    column: TimeColumn, recordings: Sequence[Recording], columns: ColumnOptions
) -> tuple[list[Recording], float]:
    """Recordings with evenly spaced rows, and the sampling time in seconds."""
    # Absurd times overflow; find_sampling_time refuses the step that results.
    with np.errstate(all="ignore"):
        for recording in recordings:
            check_increasing(column, recording.rows)
        step = find_sampling_time(column, [recording.rows for recording in recordings], columns.resample)
        regular = [
            part
            for recording in recordings
            for part in regularise(recording, column, step, columns.missing, columns.resample)
        ]
    _require_rows(regular, column.table)
    if columns.sampling_time is None and not column.is_in_seconds:
        signal = column.table.signals[column.position]
        raise InputDataError(
            f"{column.table.path}: column '{signal.label}' has the unknown unit '{signal.unit}'; "
            f"use one of {', '.join(unit for unit in SECONDS if unit)}, or give sampling_time in seconds"
        )
    return regular, columns.sampling_time or step


_FEW_REPEATS = 0.05
"""Share of repeated rows up to which they are slips."""


def _without_repeats(recording: Recording, column: TimeColumn) -> Recording:
    """The recording without rows that say once more what the row before says, time and all; a warning tells.

    Loggers write such rows when they retry. Where many are so, the clock is too coarse, and they stay.
    """
    times, values = column.values[recording.rows], recording.values
    alike = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    same = (np.diff(times) == 0) & alike.all(axis=1)
    if not 0 < same.sum() <= _FEW_REPEATS * len(same):
        return recording
    kept = np.concatenate([[True], ~same])
    first = column.table.row_numbers[int(recording.rows[~kept][0])]
    warn(
        f"{column.table.path}: {int(same.sum())} row(s) repeat the row before them (the first is "
        f"row {first}), and are left out",
        DataWarning,
    )
    return replace(recording, rows=recording.rows[kept], values=values[kept])


def _tell_filled(
    table: Table, found: Sequence[Recording], made: Sequence[Recording], policy: MissingPolicy
) -> None:
    """Warn of rows that nobody measured, and of measured ones that are left out, by their number."""
    measured = sum(int(np.isfinite(one.values).all(axis=1).sum()) for one in found)
    rows, read = (sum(map(len, some)) for some in (made, found))
    if rows > measured:
        told = f"{rows - measured} of {rows} rows are straight lines between measured ones"
    elif len(made) != len(found) or rows < measured:
        told = f"{len(found)} experiment(s) of {read} rows are cut at holes into {len(made)} of {rows}"
    else:
        return
    warn(f"{table.path}: {told} (missing={policy!r})", DataWarning)


def _to_record(table: Table, parts: _Parts, recordings: Sequence[Recording], sampling_time: float) -> Record:
    sides = [np.split(np.ascontiguousarray(one.values), [len(parts.inputs)], axis=1) for one in recordings]
    experiments = [
        Experiment(one.name, inputs, outputs, one.rows)
        for one, (inputs, outputs) in zip(recordings, sides, strict=True)
    ]
    inputs, outputs = (tuple(table.signals[at] for at in side) for side in (parts.inputs, parts.outputs))
    return Record(inputs, outputs, tuple(experiments), float(sampling_time), table.path)


def _is_aside(table: Table, position: int) -> bool:
    """Whether a column is no signal: a time, texts, or what only counts the rows, which is told."""
    if position in find_times(table):
        return True
    try:
        values = table.numbers([position])[:, 0]
    except InputDataError:
        return True
    why = why_counted(table.signals[position].name, [values])
    if why:
        label = table.signals[position].label
        warn(f"column '{label}' is no signal: {why}; name it by --inputs if it is one", DataWarning)
    return bool(why)


def guess_columns(
    source: "str | Path | pd.DataFrame",
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    columns: ColumnOptions = ColumnOptions(),
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs and outputs of a file about which nothing is known: the last column answers to the others.

    Args:
        source: a file or a DataFrame.
        inputs: input columns, if they are known.
        outputs: output columns, if they are known.
        columns: what is known about time, experiments and delimiter; those columns are no signals.

    Returns:
        Inputs and outputs with their units; those that were known are as they were given. Columns of times,
        texts, and columns that only count the rows are none of them: a `DataWarning` names the latter.

    Raises:
        InputDataError: fewer than two columns of signals, or no column with a name that was given.
    """
    table = read_table(source, columns.delimiter)
    aside = (columns.time, columns.experiment, *inputs, *outputs)
    taken = {table.find(label) for label in aside if label is not None}
    free = [
        signal.label
        for position, signal in enumerate(table.signals)
        if position not in taken and signal.name.casefold() != "experiment" and not _is_aside(table, position)
    ]
    if not outputs:
        outputs, free = free[-1:], free[:-1]
    inputs = inputs or free
    if not (inputs and outputs):
        labels = ", ".join(signal.label for signal in table.signals)
        raise InputDataError(
            f"{table.path} has the columns {labels}; name an input and an output by --inputs, --outputs"
        )
    return tuple(inputs), tuple(outputs)
