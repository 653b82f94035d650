"""Bands of `PlantModel()` on public logs: coverage on the test record beside what is stated, and width.

Bands are calibrated on the validation part of each log (its last fifth, or what the benchmark gives) and
checked once on the test record. Time series are only nearly exchangeable: where the test record has other
inputs than the calibration (Silverbox: an arrow head that leaves the range of the training), or where errors
last so long that the validation part is a dozen stretches, the table shows what that costs.

    python -m experiments.bands ../shared/data/control
"""

from typing import Any

from rich.console import Console

from attractor.control import PlantModel
from attractor.control.identification.assessment import assess_bands
from attractor.data import Roles
from benchmarks.recording import record
from experiments.identification_defaults import asked_logs


def judge(log: str, roles: Roles, seed: int = 0) -> list[dict[str, Any]]:
    """Fit with the defaults, and check bands of several coverages: a row for each, and for each output.

    Args:
        log: a name for the table.
        roles: the data.
        seed: of the model.
    """
    model = PlantModel(seed=seed).fit(roles.training, validation=roles.validation)
    found = model.calibration_
    if found is None:
        return []
    return [
        {
            "log": log,
            "output": one["output"],
            "asked %": f"{100 * one['coverage']:g}",
            "stated %": f"{100 * one['coverage']:g} to {100 * one['stated']:.1f}",
            "held %": f"{100 * one['held']:.1f} ± {100 * one['error']:.1f}",
            "width": f"{one['width']:.3g}",
            "constant": f"{one['constant']:.3g}",
            "stretches": ", ".join(map(str, found.stretches)),
            "rows in one": found.length,
        }
        for one in assess_bands(model, roles)
    ]


def main() -> None:
    """Print the rows and keep them."""
    console, rows = Console(), []
    asked, logs = asked_logs(__doc__, console)
    for name, roles in logs:
        found = judge(name, roles, asked.seed)
        console.print(*found, sep="\n")
        rows += found
    record("bands", rows, seeds=[asked.seed])


if __name__ == "__main__":
    main()
