"""What a certificate costs: models trained with and without one, on the same data with the same seeds.

Test records are scored once, here; nothing is chosen by them. A model counts as certified if `certify` proves
it in float64 after training (levels 0 to 3), whatever it was trained for.

    python -m benchmarks.certified --data ../shared/data/control --only ph tanks --cells gru lstm
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.certify import CertifySettings, Verdict
from attractor.cli.own_cells import own_cell
from attractor.control import PHNeutralisation, PlantModel, QuadrupleTank, record_experiments
from attractor.data import assign_roles
from attractor.training import TrainingSettings
from benchmarks.identification import ph_record, tanks
from benchmarks.recording import record

CELLS = {"gru": "gru", "lstm": "lstm", "own": own_cell("examples/own_cell.py:Leaky")}


def simulated(plant, samples=8000, steps=8000):
    """Experiments on a plant of ours."""
    roles = assign_roles(record_experiments(plant, samples, seed=0))
    options = {"hidden_size": 8, "training": TrainingSettings(steps=steps, seeds=3, validate_every=400)}
    return roles.training, roles.validation, roles.test, options


CASES = {
    "ph": lambda folder: ph_record(folder),
    "simulated": lambda _: simulated(PHNeutralisation()),
    "quadruple-tank": lambda _: simulated(QuadrupleTank()),
    "tanks": lambda folder: tanks(folder),
}


def compare(grid, name, cell, case):
    """Train without and with a certificate; one row each."""
    training, validation, test, options = case
    rows = []
    for certified in (False, True):
        begin = time.perf_counter()
        given = {**options, "cell": CELLS[cell], "certified": certified}
        model = PlantModel(**given).fit(training, validation=validation)
        seconds = time.perf_counter() - begin
        members = range(model.training.seeds)
        fits = [np.mean([model.evaluate(one, m).mean_fit for one in test.experiments]) for m in members]
        rmse = [np.mean([model.evaluate(one, m).rmse for one in test.experiments]) for m in members]
        settings = CertifySettings(
            time_budget=60, refute=False, levels=(0, 1, 2, 3) if certified else (0, 1, 2)
        )
        proofs = [model.certify(m, settings) for m in members]
        rates = [proof.certificate.rate for proof in proofs if proof.certificate]
        proved = sum(proof.verdict is Verdict.PROVED for proof in proofs)
        rows.append({
            "data": name,
            "cell": cell,
            "certified_training": certified,
            "fit": fits,
            "rmse": rmse,
            "seconds": seconds,
            "proved": proved,
            "rates": rates,
            "levels": [proof.certificate.level for proof in proofs if proof.certificate],
            "attempts": [[(one.level, one.outcome) for one in proof.attempts] for proof in proofs],
        })
        grid.add_row(
            name,
            cell,
            "yes" if certified else "no",
            f"{np.mean(fits):.2f} ± {np.std(fits, ddof=1):.2f}",
            f"{np.mean(rmse):.4g}",
            f"{proved} of {len(fits)}",
            ", ".join(f"{rate:.4f}" for rate in rates) or "-",
            f"{seconds:.0f}",
        )
        Console().print(rows[-1])
    return rows


def main():
    """Print one table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/control"))
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--cells", nargs="*", default=["gru", "lstm"])
    asked = parser.parse_args()
    grid = Table("data", "cell", "trained for it", "test FIT %", "RMSE", "proved", "rates", "s")
    results = []
    for name in asked.only:
        for cell in asked.cells:
            results += compare(grid, name, cell, CASES[name](asked.data))
            record("certified", grid, results)
    Console().print(grid)


if __name__ == "__main__":
    main()
