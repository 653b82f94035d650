"""What drives the cell of an identified model: its inputs, as the cell sees them."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from attractor.data import ColumnOptions, Record, from_archive, read_csv, read_table
from attractor.errors import ConfigError
from attractor.folders import facts_of
from attractor.runs import load_run

from .file_prediction import label_in
from .plant_model import PlantModel


def driving_inputs(model: PlantModel, record: Record) -> Float[np.ndarray, "time inputs"]:
    """Scaled inputs of all experiments, one after the other, the state carried over."""
    parts = [model.input_scaling_.to_unit(experiment.inputs) for experiment in record.experiments]
    return np.concatenate(parts).astype(np.float64)


def driving_file(model: PlantModel, source: Path, columns: ColumnOptions) -> Float[np.ndarray, "time inputs"]:
    """Scaled inputs from a file with the input columns of the model.

    Raises:
        InputDataError: the file cannot be used, or lacks a column.
    """
    table = read_table(source, columns.delimiter)
    names = [label_in(table, signal, source) for signal in model.signals_.inputs]
    return driving_inputs(model, read_csv(table, inputs=names, outputs=[], columns=columns))


def driving_of_run(model: PlantModel, folder: Path) -> Float[np.ndarray, "time inputs"]:
    """Scaled inputs of the test data that a run was saved with, of the training data if it has none.

    Raises:
        ConfigError: the run was saved without its data.
        RunFolderError: the folder is damaged.
    """
    run = load_run(folder)
    if not run.evaluation or "data" not in run.card:
        raise ConfigError(f"{folder} was saved without its data; give a file with the inputs")
    with facts_of(folder / "card.json"):
        roles = from_archive(run.card["data"], run.evaluation)
    return driving_inputs(model, roles.test if roles.test.experiments else roles.training)
