"""Recurrent networks for learning-based control: arXiv 2111.13557 at the scale of a laptop.

Bonassi, Farina, Xie and Scattolini survey NNARX, echo state, LSTM and GRU models, their conditions of
stability, and predictive control with them. Here all families learn the simulated pH plant, once free and
once with a certificate, and each then controls the true plant. The survey's own table could not be read, so
none is quoted.

    python -m experiments.control --steps 4000 --seeds 3
"""

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.certify import CertifySettings
from attractor.control import PHNeutralisation, PlantModel, record_experiments
from attractor.control.predictive import Scenario
from attractor.control.study import ControlSettings, control_study
from attractor.data import assign_roles
from attractor.errors import AttractorError
from attractor.training import TrainingSettings
from benchmarks.recording import record

FAMILIES: dict[str, dict[str, Any]] = {
    "NNARX": {"cell": "nnarx", "hidden_size": 16},
    "ESN": {"cell": "esn", "hidden_size": 200},
    "LSTM": {"cell": "lstm", "hidden_size": 8},
    "GRU": {"cell": "gru", "hidden_size": 8},
    "REN": {"cell": "ren", "hidden_size": 8},
}
"""Families and sizes; the last one is not in the survey."""

BY_CONSTRUCTION = ("ESN", "REN")
"""Families that contract whatever their training does; they are trained once."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        family: of cells.
        certified: whether it was trained for a certificate.
        fits: FIT on the test record, a seed each, percent.
        seconds: training time of all seeds.
        proved: seeds with a proof.
        level: rung of the proof of the chosen seed; -1 for none.
        rate: its contraction rate; NaN for none.
        published: residual of the published condition of the chosen seed, if there is one.
        loop_error: mean absolute error of the closed loop on the true plant with the chosen seed, pH; NaN if
            no controller could be made.
        loop_note: why not.
    """

    family: str
    certified: bool
    fits: tuple[float, ...]
    seconds: float
    proved: int
    level: int
    rate: float
    published: str
    loop_error: float
    loop_note: str = ""


def reproduce(steps: int = 4000, seeds: int = 3, samples: int = 8000) -> list[Row]:
    """Train, certify and control with every family.

    Args:
        steps: updates of the weights.
        seeds: models of each kind.
        samples: rows of the simulated log.
    """
    roles = assign_roles(record_experiments(PHNeutralisation(), samples, seed=0))
    settings = TrainingSettings(steps=steps, seeds=seeds)
    rows = []
    for family, options in FAMILIES.items():
        for certified in (True,) if family in BY_CONSTRUCTION else (False, True):
            asked = certified and family not in BY_CONSTRUCTION
            model = PlantModel(**options, certified=asked, feedthrough=False, training=settings)
            begin = time.monotonic()
            model.fit(roles.training, validation=roles.validation)
            seconds = time.monotonic() - begin
            fits = [model.evaluate(roles.test.experiments[0], member).mean_fit for member in range(seeds)]
            rows.append(_judge(family, certified, model, tuple(fits), seconds))
    return rows


def _judge(family: str, certified: bool, model: PlantModel, fits: tuple[float, ...], seconds: float) -> Row:
    quick = CertifySettings(levels=(0, 1, 2, 4), refute=False)
    results = [model.certify(member, quick) for member in range(len(fits))]
    chosen = results[model.chosen_]
    certificate = chosen.certificate
    published = next((one.outcome for one in chosen.attempts if one.level == 0), "")
    error, note = _closed_loop(model)
    return Row(
        family=family,
        certified=certified,
        fits=fits,
        seconds=seconds,
        proved=sum(result.certificate is not None for result in results),
        level=-1 if certificate is None else certificate.level,
        rate=float("nan") if certificate is None else certificate.rate,
        published=published.split(",")[0],
        loop_error=error,
        loop_note=note,
    )


def _closed_loop(model: PlantModel) -> tuple[float, str]:
    """Steps 7, 8, 6.5, 7 with sensor noise, and less buffer at the end."""
    references = np.repeat([7.0, 8.0, 6.5, 7.0, 7.0], 60)[:, None]
    disturbances = np.tile([16.6, 0.55], (300, 1))
    disturbances[240:, 1] = 0.35
    kind = "measured" if model.cell == "nnarx" else "open-loop"
    try:
        study = control_study(
            model, PHNeutralisation(), Scenario(references, disturbances), ControlSettings(observer=kind)
        )
    except AttractorError as problem:
        return float("nan"), str(problem)
    return float(study.metrics.absolute_error[0]), ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=8000)
    asked = parser.parse_args()
    grid = Table(
        "family",
        "trained for a proof",
        "test FIT %",
        "training",
        "proved",
        "proof",
        "published",
        "loop error",
    )
    for row in reproduce(asked.steps, asked.seeds, asked.samples):
        spread = f" ± {np.std(row.fits, ddof=1):.2f}" if len(row.fits) > 1 else ""
        proof = "none" if row.level < 0 else f"level {row.level}, rate {row.rate:.4f}"
        grid.add_row(
            row.family,
            "yes" if row.certified else "no",
            f"{np.mean(row.fits):.2f}{spread}",
            f"{row.seconds:.0f} s",
            f"{row.proved} of {len(row.fits)}",
            proof,
            row.published,
            row.loop_note or f"{row.loop_error:.4f} pH",
        )
    console = Console()
    console.width = max(console.width, 110)  # also where the output is a file
    console.print(grid)
    record("learning_based_control", grid, seeds=range(asked.seeds))


if __name__ == "__main__":
    main()
