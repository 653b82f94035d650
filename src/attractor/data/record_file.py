"""A record as a file that `read_csv` reads back, and a first guess at the columns of a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attractor.errors import InputDataError

from .delimited import ColumnOptions
from .record import Record
from .table import read_table
from .time_axis import TIME_NAMES
from .writing import write_csv


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
