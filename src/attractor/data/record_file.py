"""A record as a file that `read_csv` reads back, and a first guess at the columns of a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attractor.errors import InputDataError

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
    path: str | Path, inputs: Sequence[str] = (), outputs: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs and outputs of a file about which nothing is known: the last column answers to the others.

    Args:
        path: the file.
        inputs: input columns, if they are known.
        outputs: output columns, if they are known.

    Raises:
        InputDataError: fewer than two columns of signals.
    """
    labels = [signal.name for signal in read_table(path).signals]
    aside = {*TIME_NAMES, "experiment"}
    known = {*inputs, *outputs}
    free = [name for name in labels if name.lower() not in aside and name not in known]
    if len(free) + len(known) < 2 or not (outputs or free):
        message = (
            f"{path} has the columns {', '.join(labels)}; name an input and an output by --inputs, --outputs"
        )
        raise InputDataError(message)
    if not outputs:
        outputs, free = (free[-1],), free[:-1]
    return tuple(inputs or free), tuple(outputs)
