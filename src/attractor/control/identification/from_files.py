"""An identified model and files: predictions beside what a file held, and the inputs of a file, scaled."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from attractor.data import (
    ColumnOptions,
    Experiment,
    Record,
    Signal,
    Table,
    read_csv,
    read_table,
    write_csv,
)
from attractor.data.time_axis import find_time
from attractor.errors import ConfigError, InputDataError, UnsupportedError
from attractor.files import check_target
from attractor.runs import load_run

from .bands import ASSUMPTION, in_words
from .plant_model import PlantModel
from .recordings import Signals, check_sampling_time, check_unit, stored_roles

if TYPE_CHECKING:
    import pandas as pd

Columns = Float[np.ndarray, "rows columns"]


def predict_file(
    model: PlantModel, source: Path, target: Path, columns: ColumnOptions, coverage: float | None = None
) -> str:
    """Write `target`: all columns of `source`, and a column `<output>_pred` for every output.

    With a coverage there are `<output>_low` and `<output>_high` beside it, the ends of a band that holds the
    measured output with that probability; see `PlantModel.predict_bands`.

    Outputs that the file holds set the initial state over the washout, whose rows stay blank; what it holds
    later is not looked at. Without them the model starts from rest. Experiments of a file are simulated one
    by one; rows that reading left out (blank inputs) stay blank.

    Args:
        model: a fitted model.
        source: a delimited file with the input columns of the model.
        target: the file to write.
        columns: how to read the source.
        coverage: of the bands; None writes none.

    Returns:
        A sentence about what was done.

    Raises:
        ConfigError: the target is the source, a coverage outside (0, 1), or a model that no validation data
            calibrated.
        InputDataError: the source cannot be used: columns, units, sampling time, gaps in time, or no measured
            rows from which bands could start.
        UnsupportedError: the rows were to be resampled, so that predictions would belong to no row.
    """
    check_target(target, source, overwrite=True)
    table = read_table(source, columns.delimiter)
    values, sentence = _predictions(model, table, source, columns, coverage)
    kept = [table.copied(position) for position in range(len(table.signals))]
    labels = [*(signal.label for signal in table.signals), *_predicted_names(model, coverage)]
    write_csv(target, labels, [*kept, *values.T])
    return sentence


def predict_frame(
    model: PlantModel,
    frame: "pd.DataFrame",
    columns: ColumnOptions | None = None,
    coverage: float | None = None,
) -> "pd.DataFrame":
    """The frame and a column `<output>_pred` for every output, with a coverage its band; see `predict_file`.

    Raises:
        InputDataError: the frame cannot be used: columns, units, sampling time, gaps in time.
        UnsupportedError: the rows were to be resampled, so that predictions would belong to no row.
    """
    table = read_table(frame)
    values, _ = _predictions(model, table, Path("DataFrame"), columns or ColumnOptions(), coverage)
    return frame.assign(**dict(zip(_predicted_names(model, coverage), values.T, strict=True)))


def _predicted_names(model: PlantModel, coverage: float | None) -> list[str]:
    kinds = ("pred",) if coverage is None else ("pred", "low", "high")
    return [f"{signal.name}_{kind}" for kind in kinds for signal in model.signals_.outputs]


def _predictions(
    model: PlantModel, table: Table, source: Path, columns: ColumnOptions, coverage: float | None
) -> tuple[Float[np.ndarray, "rows predictions"], str]:
    """Predictions for the rows of a table, NaN where there are none, and a sentence about them."""
    if columns.resample:
        raise UnsupportedError("predict keeps the rows of the file; it cannot resample them")
    signals = model.signals_
    names = [label_in(table, signal, source) for signal in signals.inputs]
    record = read_csv(table, inputs=names, outputs=[], columns=_with_time(table, columns, signals))
    check_sampling_time(signals.sampling_time, record.sampling_time, str(source))
    measured = _measured(model, table, source)
    values = np.full((len(table), len(_predicted_names(model, coverage))), np.nan)
    for experiment in record.experiments:
        rows = _rows_of(experiment, source)
        values[rows] = _simulate(model, experiment, measured[rows], coverage)
    reads = model.settled > 0 and model.network().reads_state and not np.isnan(measured).all()
    start = f"started from the first {model.settled} measured rows" if reads else "from rest"
    said = f"{record.samples} rows simulated in free run, {start}{_beyond(model, record)}"
    if coverage is not None and model.calibration_ is not None:
        said += f". {in_words(model.calibration_, coverage)} {ASSUMPTION}"
    return values, said


_MARGIN = 0.05
"""Part of the half range of the training by which an input may leave it without a word."""


def _beyond(model: PlantModel, record: Record) -> str:
    """Which inputs leave the range of the training, and in how many rows; empty if none does."""
    rows = np.concatenate([np.abs(model.input_scaling_.to_unit(one.inputs)) for one in record.experiments])
    shares = np.mean(rows > 1 + _MARGIN, axis=0)
    told = [
        f"{signal.name} in {100 * share:.2g} %"
        for signal, share in zip(model.signals_.inputs, shares, strict=True)
        if share > 0
    ]
    if not told:
        return ""
    return f"; inputs leave the range of the training ({', '.join(told)} of the rows): nothing is known there"


def label_in(table: Table, trained: Signal, source: Path) -> str:
    """The column of a signal of the model: the same name, and the same unit where both are known."""
    same = [table.signals[position] for position in table.called(trained.name)]
    if trained in same or len(same) != 1:
        return trained.label  # what is missing or ambiguous is said by the reader
    check_unit(trained, same[0], str(source))
    return same[0].label


def _with_time(table: Table, columns: ColumnOptions, signals: Signals) -> ColumnOptions:
    """The time column by name, for a signal may be called T as well; without one, the time of the model."""
    if columns.time or columns.sampling_time:
        return columns
    own = {signal.name for signal in signals.inputs + signals.outputs}
    taken = [position for position, signal in enumerate(table.signals) if signal.name in own]
    found = find_time(table, taken)
    if found is None:
        return replace(columns, sampling_time=signals.sampling_time)
    return replace(columns, time=table.signals[found].label)


def _measured(model: PlantModel, table: Table, source: Path) -> Columns:
    """The outputs that the file holds, NaN where a cell is blank; all NaN if a column is missing."""
    if not all(table.called(signal.name) for signal in model.signals_.outputs):
        return np.full((len(table), len(model.signals_.outputs)), np.nan)
    return table.numbers([table.find(label_in(table, signal, source)) for signal in model.signals_.outputs])


def _rows_of(experiment: Experiment, source: Path) -> np.ndarray:
    rows = experiment.source_rows
    if rows is None or len(np.unique(rows)) < len(experiment):
        raise InputDataError(
            f"{source}: rows are missing in {experiment.name!r}, and predictions for them would belong to no "
            "row; add the rows, or set missing to 'split'"
        )
    return rows


def _simulate(
    model: PlantModel, experiment: Experiment, measured: Columns, coverage: float | None
) -> Float[np.ndarray, "rows predictions"]:
    """Predictions, and lower and upper ends of their bands where a coverage is asked for."""
    seen = None if np.isnan(measured[: model.washout]).all() else measured
    if coverage is None:
        return model.simulator().run(experiment.inputs, seen)
    found = model.bands(experiment.inputs, seen, coverage)
    return np.concatenate([found.predicted, found.low, found.high], axis=1)


def scaled_inputs(model: PlantModel, record: Record) -> Float[np.ndarray, "time inputs"]:
    """Scaled inputs of all experiments, one after the other, the state carried over."""
    parts = [model.applied(experiment.inputs) for experiment in record.experiments]
    return np.concatenate(parts).astype(np.float64)


def inputs_of_file(
    model: PlantModel, source: Path, columns: ColumnOptions
) -> Float[np.ndarray, "time inputs"]:
    """Scaled inputs from a file with the input columns of the model.

    Raises:
        InputDataError: the file cannot be used, or lacks a column.
    """
    table = read_table(source, columns.delimiter)
    names = [label_in(table, signal, source) for signal in model.signals_.inputs]
    return scaled_inputs(model, read_csv(table, inputs=names, outputs=[], columns=columns))


def experiment_of_file(model: PlantModel, source: Path, columns: ColumnOptions) -> Experiment:
    """The first experiment of a file with the input columns of a model; outputs that it lacks are NaN.

    Raises:
        InputDataError: the file cannot be used, or lacks an input.
    """
    table, signals = read_table(source, columns.delimiter), model.signals_
    names = [label_in(table, signal, source) for signal in signals.inputs]
    known = all(table.called(signal.name) for signal in signals.outputs)
    answered = [label_in(table, signal, source) for signal in signals.outputs] if known else []
    timed = _with_time(table, columns, signals)
    record = read_csv(table, inputs=names, outputs=answered, columns=timed)
    check_sampling_time(signals.sampling_time, record.sampling_time, str(source))
    first = record.experiments[0]
    if known:
        return first
    return replace(first, outputs=np.full((len(first), len(signals.outputs)), np.nan))


def inputs_of_run(model: PlantModel, folder: Path) -> Float[np.ndarray, "time inputs"]:
    """Scaled inputs of the test data that a run was saved with, of the training data if it has none.

    Raises:
        ConfigError: the run was saved without its data.
        RunFolderError: the folder is damaged.
    """
    roles = stored_roles(folder, load_run(folder))
    if roles is None:
        raise ConfigError(f"{folder} was saved without its data; give a file with the inputs")
    return scaled_inputs(model, roles.test if roles.test.experiments else roles.training)
