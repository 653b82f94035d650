"""Read the log of a plant from a file into a `Record`, and guess its columns."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import ConfigError, InputDataError, printable

from .record import Experiment, Record
from .rows import RowBlock, check_names
from .table import Table, read_table
from .time_axis import (
    SECONDS,
    TIME_NAMES,
    MissingPolicy,
    Recording,
    TimeColumn,
    check_increasing,
    fill_missing,
    find_sampling_time,
    read_time,
    regularise,
)
from .writing import write_csv

_POLICIES = ("error", "interpolate", "split")


@dataclass(frozen=True)
class ColumnOptions:
    """What the columns of a file mean, where the header alone does not say it.

    Args:
        time: the column of the instants: numbers (seconds, or the unit in its head: ns, us, ms, s, min, h,
            d) or dates and times after ISO 8601. A column called time, timestamp or t is found by itself.
        experiment: the column that names the experiment of each row. One called experiment is found by
            itself.
        sampling_time: seconds between two rows. It takes the place of a time column that was found by
            itself; where `time` names a column, that column still tells where rows are missing.
        missing: what to do with blank cells and missing rows: `error` stops; `interpolate` draws straight
            lines between the neighbours; `split` begins a new experiment after the hole.
        delimiter: what separates the cells: one character, or comma, semicolon, tab, blanks. Sniffed if
            `None`.
        rows: blocks of rows to take as experiments, counted from 0 without the header; all rows if empty.
        resample: put unevenly spaced rows on a grid of the median step by linear interpolation.
    """

    time: str | None = None
    experiment: str | None = None
    sampling_time: float | None = None
    missing: MissingPolicy = "error"
    delimiter: str | None = None
    rows: tuple[RowBlock, ...] = ()
    resample: bool = False

    def __post_init__(self) -> None:
        if self.sampling_time is not None and not 0 < self.sampling_time < math.inf:
            message = f"sampling_time {self.sampling_time} s is not a positive number of seconds"
            raise ConfigError(message)
        if self.missing not in _POLICIES:
            message = f"missing {self.missing!r} is unknown; choose one of: {', '.join(_POLICIES)}"
            raise ConfigError(message)
        check_names(self.rows)


@dataclass(frozen=True)
class _Places:
    """Which column of the table plays which part."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    time: int | None
    experiment: int | None

    @property
    def channels(self) -> tuple[int, ...]:
        return self.inputs + self.outputs


def read_csv(
    path: str | Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    columns: ColumnOptions = ColumnOptions(),
) -> Record:
    """Read the log of a plant from a delimited text file.

    The first row names the columns, with units in brackets if there are any (`q3 [ml/s]`); a file without a
    header has the columns c1, c2, ... Lines that begin with `#` or `%` are comments.

    Args:
        path: the file.
        inputs: the columns that were applied to the plant, by name, with or without the unit.
        outputs: the columns that the plant answered; may be empty when only inputs are needed.
        columns: time, experiments, missing values, delimiter.

    Returns:
        The record. Without a time column and without `sampling_time` one row counts as one second.

    Raises:
        ConfigError: the choice of columns contradicts itself.
        InputDataError: the file cannot be used; the message names file, row, column and text.

    Example:
        >>> record = read_csv("tank.csv", inputs=["q"], outputs=["level"])  # doctest: +SKIP
    """
    table = read_table(path, columns.delimiter)
    places = _find_places(table, inputs, outputs, columns)
    values = table.numbers(places.channels)
    recordings = [
        part
        for name, rows in _group_rows(table, places, columns.rows)
        for part in fill_missing(Recording(name, rows, values[rows]), table, places.channels, columns.missing)
    ]
    recordings = _require_rows(recordings, table)
    if places.time is None:
        return _to_record(table, places, recordings, columns.sampling_time or 1.0)
    return _read_timed(table, places, recordings, columns)


def _find_places(
    table: Table, inputs: Sequence[str], outputs: Sequence[str], columns: ColumnOptions
) -> _Places:
    if isinstance(inputs, str) or isinstance(outputs, str) or not inputs:
        message = (
            f"inputs {inputs!r} and outputs {outputs!r} are lists of column names, with one input or more"
        )
        raise ConfigError(message)
    chosen = {label: table.find(label) for label in (*inputs, *outputs)}
    places = [chosen[label] for label in (*inputs, *outputs)]
    for place in places:
        if places.count(place) > 1:
            message = (
                f"{table.path}: column '{table.signals[place].label}' is chosen more than once; "
                "a signal is either an input or an output"
            )
            raise ConfigError(message)
    time, experiment = _find_time(table, places, columns), _find_experiment(table, places, columns)
    return _Places(tuple(places[: len(inputs)]), tuple(places[len(inputs) :]), time, experiment)


def _find_time(table: Table, taken: Sequence[int], columns: ColumnOptions) -> int | None:
    if columns.time is not None:
        return table.find(columns.time)
    return None if columns.sampling_time is not None else _detect(table, taken, TIME_NAMES)


def _find_experiment(table: Table, taken: Sequence[int], columns: ColumnOptions) -> int | None:
    if columns.experiment is not None:
        return table.find(columns.experiment)
    return _detect(table, taken, ("experiment",))


def _detect(table: Table, taken: Sequence[int], names: Sequence[str]) -> int | None:
    """The free column with the first of these names, whatever its case."""
    for name in names:
        for place, signal in enumerate(table.signals):
            if signal.name.casefold() == name and place not in taken:
                return place
    return None


def _group_rows(
    table: Table, places: _Places, blocks: Sequence[RowBlock]
) -> list[tuple[str, Int[np.ndarray, "_"]]]:
    """Name and rows of each experiment, in order of appearance."""
    names = None if places.experiment is None else table.text(places.experiment)
    if blocks:
        return [(block.name, _block_rows(table, block, names)) for block in blocks]
    if names is None:
        return [(printable(table.path.stem), np.arange(len(table)))]
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        groups.setdefault(name, []).append(row)
    return [(name, np.asarray(rows, dtype=np.int64)) for name, rows in groups.items()]


def _block_rows(table: Table, block: RowBlock, names: Sequence[str] | None) -> Int[np.ndarray, "_"]:
    start, stop = block.bounds(len(table))
    inside = sorted(set(names[start:stop])) if names is not None else []
    if len(inside) > 1:
        message = (
            f"{table.path}: rows {block.name!r} ({start}:{stop}) hold several experiments: "
            f"{', '.join(inside[:5])}; cut them at the border"
        )
        raise InputDataError(message)
    return np.arange(start, stop)


def _require_rows(recordings: Sequence[Recording], table: Table) -> list[Recording]:
    for recording in recordings:
        if len(recording) < 2:
            row = f", row {table.row_numbers[recording.rows[0]]}" if len(recording) else ""
            message = (
                f"{table.path}{row}: experiment '{recording.name}' has {len(recording)} usable row(s); an "
                "experiment needs at least two: add rows or remove it"
            )
            raise InputDataError(message)
    if not recordings:
        message = f"{table.path}: no two complete rows in a row are left; fill in the missing values"
        raise InputDataError(message)
    return list(recordings)


def _read_timed(
    table: Table, places: _Places, recordings: Sequence[Recording], columns: ColumnOptions
) -> Record:
    """The record of recordings that have a time column."""
    column = read_time(table, -1 if places.time is None else places.time)
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
    return _to_record(
        table, places, _require_rows(regular, table), columns.sampling_time or _seconds(column, step)
    )


def _seconds(column: TimeColumn, step: float) -> float:
    if column.is_in_seconds:
        return step
    signal = column.table.signals[column.place]
    known = ", ".join(unit for unit in SECONDS if unit)
    message = (
        f"{column.table.path}: column '{signal.label}' has the unknown unit '{signal.unit}'; "
        f"use one of {known}, or give sampling_time in seconds"
    )
    raise InputDataError(message)


def _to_record(
    table: Table, places: _Places, recordings: Sequence[Recording], sampling_time: float
) -> Record:
    count = len(places.inputs)
    experiments = tuple(_to_experiment(recording, count) for recording in recordings)
    inputs = tuple(table.signals[place] for place in places.inputs)
    outputs = tuple(table.signals[place] for place in places.outputs)
    return Record(inputs, outputs, experiments, float(sampling_time), table.path)


def _to_experiment(recording: Recording, inputs: int) -> Experiment:
    values: Float[np.ndarray, "rows channels"] = np.ascontiguousarray(recording.values)
    return Experiment(recording.name, values[:, :inputs], values[:, inputs:], recording.rows)


def write_record(path: str | Path, record: Record) -> Path:
    """Write experiment, time, inputs and outputs of a record, one row a sample.

    Raises:
        StorageError: the file cannot be written.
    """
    experiments = record.experiments
    names = [name for one in experiments for name in [one.name] * len(one)]
    times = np.concatenate([np.arange(len(one)) * record.sampling_time for one in experiments])
    signals = np.concatenate([np.hstack([one.inputs, one.outputs]) for one in experiments])
    labels = [signal.label for signal in (*record.inputs, *record.outputs)]
    return write_csv(path, ["experiment", "time [s]", *labels], [names, times, *signals.T])


def guess_columns(
    path: str | Path,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    columns: ColumnOptions | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs and outputs of a file about which nothing is known: the last column answers to the others.

    Args:
        path: the file.
        inputs: input columns, if they are known.
        outputs: output columns, if they are known.
        columns: what is known about time, experiments and delimiter; those columns are no signals.

    Returns:
        Inputs and outputs with their units; those that were known are as they were given.

    Raises:
        InputDataError: fewer than two columns of signals, or no column with a name that was given.
    """
    columns = ColumnOptions() if columns is None else columns
    table = read_table(path, columns.delimiter)
    aside = (columns.time, columns.experiment, *inputs, *outputs)
    taken = {table.find(label) for label in aside if label is not None}
    free = [
        signal.label
        for place, signal in enumerate(table.signals)
        if place not in taken and signal.name.casefold() not in {*TIME_NAMES, "experiment"}
    ]
    if not outputs:
        outputs, free = free[-1:], free[:-1]
    inputs = inputs or free
    if not (inputs and outputs):
        labels = ", ".join(signal.label for signal in table.signals)
        message = f"{path} has the columns {labels}; name an input and an output by --inputs, --outputs"
        raise InputDataError(message)
    return tuple(inputs), tuple(outputs)
