"""Identification on real records and on the simulated pH plant, through `PlantModel`.

Options were chosen on validation data or on blocks held out of the training data; every test record is
scored once, here. Figures are free runs after the washout: mean and spread over seeds, and the seed that
validation chooses. The records are not part of the repository; without them only the simulated plant runs.

    python -m benchmarks.identification --data ../shared/data/control
"""

import argparse
import time
from pathlib import Path

import numpy as np
import scipy.io
from rich.console import Console
from rich.table import Table

from attractor.control import PHNeutralisation, PlantModel, record_experiments
from attractor.data import ColumnOptions, Experiment, Record, Signal, assign_roles, parse_row_block, read_csv
from attractor.training import TrainingSettings
from benchmarks.recording import record

PUBLISHED = {
    "cascaded tanks": "best linear 757, Volterra 540, PNLSS 450, NLSS2 343 mV (Hindawi MPE 2021, 6613425)",
    "Silverbox": "freq-statespace (README, github.com/merijnfloren): NRMSE 0.44 % on training data with a "
    "given cubic feedback, 0.55 % with a small network; NRMSE is 100 - FIT here, on test data",
    "pH record": "GRU 8, no observer: FIT 94.1/96.8/97.4; encoder: 96.8/97.5/97.9 (min/median/max)",
}


def rows(path, inputs, outputs, sampling_time, *blocks):
    """A record of some rows of a file."""
    columns = ColumnOptions(sampling_time=sampling_time, rows=tuple(map(parse_row_block, blocks)))
    return read_csv(path, inputs=[inputs], outputs=[outputs], columns=columns)


def tanks(folder):
    """Options from four held-out blocks of the training record; then all of it trains."""
    path = folder / "cascaded_tanks.csv"
    settings = TrainingSettings(steps=2400, learning_rate=5e-3, seeds=5, validate_every=300)
    options = {"hidden_size": 16, "washout": 10, "window": 200, "validation_share": 0.0}
    training = rows(path, "uEst", "yEst", 4.0)
    return training, None, rows(path, "uVal", "yVal", 4.0), {**options, "training": settings}


def silverbox(folder):
    """Multisine records from row 40 600 on; the last one and the arrow head are tests."""
    path = folder / "silverbox_SNLS80mV.csv"

    def part(*blocks):
        return rows(path, "V1", "V2", 1 / 610.35, *blocks)

    options = {"cell": "state-space", "hidden_size": 4, "washout": 100, "initial_state": "washout"}
    settings = TrainingSettings(
        steps=1000, batch_size=64, learning_rate=5e-3, seeds=2, validate_every=200, refine=50
    )
    test = part("multisine=118500:127500", "arrow head, first 25000=0:25000", "arrow head=0:40000")
    return part("40600:110000"), part("110000:118000"), test, {**options, "training": settings}


def ph_record(folder):
    """The published simulation of the pH process: training, validation and test as published."""
    content = scipy.io.loadmat(folder / "ph_bonassi_6000.mat")

    def part(name):
        signals = (content[f"{letter}_{name}"].astype(float) for letter in "UY")
        return Record((Signal("q3", "ml/s"),), (Signal("pH"),), (Experiment(name, *signals),), 10.0)

    options = {"hidden_size": 8, "training": TrainingSettings(steps=8000, seeds=3, validate_every=400)}
    return part("train"), part("val"), part("test"), options


def simulated(cell, hidden, **options):
    """Our pH plant, 8000 samples."""
    roles = assign_roles(record_experiments(PHNeutralisation(), 8000, seed=0))
    settings = TrainingSettings(steps=4000, seeds=2)
    return (
        roles.training,
        roles.validation,
        roles.test,
        {
            "cell": cell,
            "hidden_size": hidden,
            "training": settings,
            **options,
        },
    )


def run(grid, name, case):
    """Fit, score once, add a row for every test experiment."""
    training, validation, test, options = case
    begin = time.perf_counter()
    model = PlantModel(**{"cell": "gru", **options}).fit(training, validation=validation)
    seconds = time.perf_counter() - begin
    for experiment in test.experiments:
        metrics = [model.evaluate(experiment, member) for member in range(model.training.seeds)]
        fit = np.array([one.fit[0] for one in metrics])
        error = 1e3 * np.array([one.rmse[0] for one in metrics])
        grid.add_row(
            name,
            experiment.name,
            f"{fit.mean():.2f} ± {fit.std():.2f}",
            f"{error.mean():.3g} ± {error.std():.2g}",
            f"{fit[model.chosen_]:.2f} / {error[model.chosen_]:.3g}",
            f"{len(fit)} in {seconds:.0f} s",
        )
    Console().print(f"{name}: done in {seconds:.0f} s. Published: {PUBLISHED.get(name, 'none verified')}")


def main():
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/control"))
    parser.add_argument("--only", nargs="*", default=["tanks", "ph", "simulated", "silverbox"])
    asked = parser.parse_args()
    grid = Table("record", "test", "FIT % mean", "RMSE x 1000 mean", "chosen: FIT / RMSE", "seeds, time")
    real = {"tanks": tanks, "ph": ph_record, "silverbox": silverbox}
    names = {"tanks": "cascaded tanks", "ph": "pH record", "silverbox": "Silverbox"}
    for key in asked.only:
        if key == "simulated":
            for cell, hidden in {"gru": 8, "lstm": 8, "nnarx": 16, "esn": 200, "ren": 8}.items():
                run(grid, f"simulated pH, {cell} {hidden}", simulated(cell, hidden))
        elif asked.data.is_dir():
            run(grid, names[key], real[key](asked.data))
        else:
            Console().print(f"{names[key]}: left out, there is no folder {asked.data}")
    Console().print(grid)
    record("identification", grid)


if __name__ == "__main__":
    main()
