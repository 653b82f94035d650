"""`PlantModel()` as it comes beside simple models, on six public logs, without tuning; tests are scored once.

ARX and polynomial NARX (`attractor.control.baselines`) have orders and penalties chosen on the same
validation part, and are simulated over the same test rows after the same washout. The logs are not part of
the repository; those that a folder lacks are left out. Logs of a user's own come from Python, see `judge`.

    python -m experiments.identification_defaults ../shared/data/control
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
from rich.console import Console
from rich.table import Table

from attractor.control import PlantModel
from attractor.control.identification.assessment import assess
from attractor.control.identification.comparison import Comparison
from attractor.data import (
    ColumnOptions,
    Experiment,
    Record,
    Roles,
    Signal,
    assign_roles,
    parse_row_block,
    read_csv,
)
from attractor.errors import InputDataError
from benchmarks.recording import record


def _rows(path: Path, inputs: str, outputs: str, *blocks: str) -> Record:
    columns = ColumnOptions(sampling_time=1.0, rows=tuple(map(parse_row_block, blocks)))
    return read_csv(path, inputs=[inputs], outputs=[outputs], columns=columns)


def _record(inputs: np.ndarray, outputs: np.ndarray, name: str) -> Record:
    signals = [
        tuple(Signal(f"{letter}{index}") for index in range(side.shape[1]))
        for letter, side in (("u", inputs), ("y", outputs))
    ]
    return Record(signals[0], signals[1], (Experiment(name, inputs.astype(float), outputs.astype(float)),))


def tanks(folder: Path) -> Roles:
    """The estimation record trains, the validation record of the benchmark is the test."""
    path = folder / "cascaded_tanks.csv"
    return assign_roles(_rows(path, "uEst", "yEst"), _rows(path, "uVal", "yVal"))


def silverbox(folder: Path) -> Roles:
    """Multisine rows train, the arrow head, which leaves their range, is the test."""
    path = folder / "silverbox_SNLS80mV.csv"
    return assign_roles(_rows(path, "V1", "V2", "40600:110000"), _rows(path, "V1", "V2", "0:40000"))


def wiener_hammerstein(folder: Path) -> Roles:
    """Rows 10000 to 30000 train, the test half of the benchmark is the test."""
    found = scipy.io.loadmat(folder / "wiener_hammerstein_2009.mat")
    inputs, outputs = (found[name].reshape(-1, 1) for name in ("uBenchMark", "yBenchMark"))
    parts = [
        _record(inputs[rows], outputs[rows], name)
        for name, rows in (("training", slice(10_000, 30_000)), ("test", slice(100_000, 188_000)))
    ]
    return assign_roles(*parts)


def heat_exchanger(folder: Path) -> Roles:
    """The last fifth is the test."""
    return assign_roles(_rows(folder / "daisy_heat_exchanger.csv", "q", "th"))


def ball_and_beam(folder: Path) -> Roles:
    """The last fifth is the test."""
    return assign_roles(_rows(folder / "daisy_ball_and_beam.csv", "u", "y"))


def ph(folder: Path) -> Roles:
    """The last fifth is the test."""
    table = np.loadtxt(folder / "daisy_ph.dat")
    return assign_roles(_record(table[:, 1:3], table[:, 3:4], "daisy_ph"))


LOGS: dict[str, Callable[[Path], Roles]] = {
    "cascaded tanks": tanks,
    "Silverbox": silverbox,
    "Wiener-Hammerstein": wiener_hammerstein,
    "heat exchanger": heat_exchanger,
    "ball and beam": ball_and_beam,
    "DaISy pH": ph,
}


@dataclass(frozen=True)
class Judged:
    """One line of the table.

    Args:
        log: its name.
        found: the model and the simple ones on the test data.
        seconds: of `fit`.
        remarks: what `fit` had to say.
    """

    log: str
    found: Comparison
    seconds: float
    remarks: tuple[str, ...]

    @property
    def ahead(self) -> float:
        """Points of FIT over the better one of ARX and polynomial NARX."""
        return self.found.fit - max(self.fit_of(name) for name in ("ARX", "polynomial NARX"))

    def fit_of(self, name: str) -> float:
        """FIT of a simple model; minus infinity where there is none."""
        return next((one.fit for one in self.found.rivals if one.name == name), float("-inf"))


def judge(log: str, roles: Roles, seed: int = 0) -> Judged:
    """Fit with the defaults, and compare.

    Args:
        log: a name for the table.
        roles: the data.
        seed: of the model.
    """
    begin = time.monotonic()
    model = PlantModel(seed=seed).fit(roles.training, validation=roles.validation)
    seconds = time.monotonic() - begin
    found = Comparison.of(assess(model, roles)["comparison"])
    return Judged(log, found, seconds, model.remarks_)


def table_of(judged: list[Judged]) -> Table:
    """FIT of every model on every log, percent."""
    grid = Table(
        "log", "chosen", "FIT", "ARX", "polynomial NARX", "persistence", "ceiling", "ahead by", "time"
    )
    for one in judged:
        fits = (one.fit_of(name) for name in ("ARX", "polynomial NARX", "persistence"))
        numbers = [f"{value:.1f}" for value in (one.found.fit, *fits, one.found.ceiling)]
        grid.add_row(one.log, one.found.family, *numbers, f"{one.ahead:+.1f}", f"{one.seconds:.0f} s")
    return grid


def asked_logs(
    description: str | None, console: Console
) -> tuple[argparse.Namespace, Iterator[tuple[str, Roles]]]:
    """What the command line asks for, and the logs that the folder has of them, by name."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--logs", nargs="*", default=list(LOGS), help="some of them")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    return asked, _read(asked.folder, asked.logs, console)


def _read(folder: Path, names: Sequence[str], console: Console) -> Iterator[tuple[str, Roles]]:
    for name in names:
        try:
            roles = LOGS[name](folder)
        except (OSError, InputDataError) as problem:
            console.print(f"{name} is left out: {problem}")
            continue
        yield name, roles


def main() -> None:
    """Print the table and keep it."""
    console, judged = Console(), []
    console.width = max(console.width, 120)
    asked, logs = asked_logs(__doc__, console)
    for name, roles in logs:
        judged.append(judge(name, roles, asked.seed))
        console.print(table_of(judged[-1:]), *judged[-1].remarks, sep="\n")
    console.print(table_of(judged))
    if set(asked.logs) == set(LOGS):
        record("identification_defaults", table_of(judged), seeds=[asked.seed])


if __name__ == "__main__":
    main()
