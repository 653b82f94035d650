"""Simulate a trained model over a file and write its predictions beside what the file held."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from attractor.data import ColumnOptions, Experiment, Table, read_csv, read_table, write_csv
from attractor.errors import InputDataError, UnsupportedError

from .estimator import PlantModel


def predict_file(model: PlantModel, source: Path, target: Path, columns: ColumnOptions) -> str:
    """Write `target`: all columns of `source`, and a column `<output>_pred` for every output.

    Outputs that the file holds set the initial state over the washout, whose rows stay blank; without them
    the model starts from rest. Experiments of a file are simulated one by one.

    Args:
        model: a fitted model.
        source: a delimited file with the input columns of the model.
        target: the file to write.
        columns: how to read the source.

    Returns:
        A sentence about what was done.

    Raises:
        InputDataError: the source cannot be used.
        UnsupportedError: missing values were to be split, which would lose the order of the rows.
    """
    if columns.missing == "split" or columns.resample:
        message = "predict keeps the rows of the file; it can neither split nor resample them"
        raise UnsupportedError(message)
    table = read_table(source, columns.delimiter)
    known = _has_outputs(model, table)
    signals = model.signals_
    record = read_csv(
        source,
        inputs=[signal.name for signal in signals.inputs],
        outputs=[signal.name for signal in signals.outputs] if known else [],
        columns=columns,
    )
    predicted = np.concatenate([_predict(model, one, known) for one in record.experiments])
    if len(predicted) != len(table):
        message = (
            f"{source}: {len(table)} rows, but {len(predicted)} remain after reading; fill the gaps first"
        )
        raise InputDataError(message)
    order = _order(table, columns)
    shuffled = np.empty_like(predicted)
    shuffled[order] = predicted
    header = [signal.label for signal in table.signals]
    names = [f"{signal.name}_pred" for signal in signals.outputs]
    kept = [table.text(place) for place in range(len(table.signals))]
    write_csv(target, [*header, *names], [*kept, *shuffled.T])
    reads = known and model.settled > 0 and model.network().reads_state
    start = f"started from the first {model.settled} measured rows" if reads else "from rest"
    return f"{len(predicted)} rows simulated in free run, {start}"


def _has_outputs(model: PlantModel, table: Table) -> bool:
    names = {signal.name for signal in table.signals}
    return all(signal.name in names for signal in model.signals_.outputs)


def _predict(model: PlantModel, experiment: Experiment, known: bool) -> Float[np.ndarray, "time outputs"]:
    if known:
        return model.simulate(experiment)
    return model.predict(experiment.inputs).reshape(len(experiment), -1)


def _order(table: Table, columns: ColumnOptions) -> np.ndarray:
    """Rows of the file in the order in which experiments were read."""
    names = [signal.name for signal in table.signals]
    if columns.experiment is None and "experiment" not in [name.lower() for name in names]:
        return np.arange(len(table))
    place = table.find(columns.experiment or next(name for name in names if name.lower() == "experiment"))
    labels = table.text(place)
    first = {label: row for row, label in reversed(list(enumerate(labels)))}
    return np.array(sorted(range(len(labels)), key=lambda row: (first[labels[row]], row)))
