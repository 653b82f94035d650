"""Lyapunov spectra beside what published code does, and beside the floor that LAPACK and BLAS set.

Three networks in float64, all exponents: a GRU and a rate network, driven by white inputs. Beside ours:

- the floor: the products of the step's matrices with the basis, and a QR decomposition as often as ours makes
  one, by SciPy's BLAS and LAPACK, nothing else;
- row by row: the Jacobian of every step by reverse mode, one row after the other, then a product and a QR
  decomposition in every step, in torch, as published research code does; measured over a few steps.

All take turns in one process; the table gives the fastest of each for one step, and ratios.

    python -m benchmarks.dynamics --repeats 5
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import equinox as eqx
import jax
import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.linalg import blas, lapack

from attractor.cells import GRU, Elman
from attractor.dynamics import LyapunovSettings, lyapunov_exponents
from benchmarks.recording import record

CASES = {
    "GRU 128": (GRU, 128, 2000),
    "GRU 512": (GRU, 512, 200),
    "rate network 1024": (Elman, 1024, 60),
}
"""Cell, units, and steps of one measurement."""

BURN_IN, ROWS_STEPS = 20, 3
GAIN = 3.0


@dataclass
class Timed:
    """Seconds a step of one way to get the exponents of one network."""

    case: str
    way: str
    call: Callable[[], object]
    steps: int
    seconds: list[float] = field(default_factory=list)

    @property
    def best(self):
        """The fastest of all measurements, a step."""
        return min(self.seconds) / self.steps


def network(build, units):
    """A network whose matrices between units are strong enough for a lively spectrum."""
    cell = build(1, units, key=jax.random.key(0))
    name = "candidate_weight" if build is GRU else "state_weight"
    return eqx.tree_at(lambda cell: getattr(cell, name), cell, GAIN * getattr(cell, name))


def ours(cell, inputs):
    settings = LyapunovSettings("all", BURN_IN, alignment=0)
    return lambda: lyapunov_exponents(cell, inputs, settings=settings)


def floor(matrices, units, steps, decompositions):
    """The products and decompositions alone, in column-major order and without copies."""
    generator = np.random.default_rng(0)
    parts = [np.asfortranarray(generator.normal(size=(rows, units))) for rows in matrices]
    results = [np.zeros((rows, units), order="F") for rows in matrices]
    basis = np.asfortranarray(generator.normal(size=(units, units)))
    work = int(lapack.dgeqrf_lwork(units, units)[0])

    def run():
        every = max(steps // max(decompositions, 1), 1)
        for step in range(steps):
            for part, result in zip(parts, results, strict=True):
                blas.dgemm(1.0, part, basis, c=result, overwrite_c=1)
            if step % every == every - 1:
                factors, scales, _, _ = lapack.dgeqrf(basis, lwork=work)
                lapack.dorgqr(factors, scales, lwork=work, overwrite_a=1)

    return run


def row_by_row(cell, inputs):
    """Jacobians by reverse mode, a row at a time, in torch."""
    import torch

    def wide(array):
        return torch.tensor(np.asarray(array, np.float64))

    units, rows = cell.hidden_size, wide(inputs)
    if isinstance(cell, GRU):
        driven, gates, candidate, bias = map(
            wide, (cell.input_weight, cell.gate_weight, cell.candidate_weight, cell.bias)
        )

        def step(row, state):
            given = driven @ row + bias
            opened = torch.sigmoid(given[: 2 * units] + gates @ state)
            keep, reset = opened[:units], opened[units:]
            return keep * state + (1 - keep) * torch.tanh(given[2 * units :] + candidate @ (reset * state))

    else:
        driven, weight, bias = map(wide, (cell.input_weight, cell.state_weight, cell.bias))

        def step(row, state):
            return torch.tanh(driven @ row + weight @ state + bias)

    def run():
        state, basis = torch.zeros(units, dtype=torch.float64), torch.eye(units, dtype=torch.float64)
        total = torch.zeros(units, dtype=torch.float64)
        for row in rows[:ROWS_STEPS]:
            jacobian = torch.autograd.functional.jacobian(lambda x, row=row: step(row, x), state)
            state = step(row, state)
            basis, triangle = torch.linalg.qr(jacobian @ basis)
            total += torch.log(torch.abs(torch.diagonal(triangle)))
        return total

    return run


def prepared(name):
    build, units, steps = CASES[name]
    cell = network(build, units)
    inputs = np.random.default_rng(0).normal(size=(BURN_IN + steps, 1))
    run = ours(cell, inputs)
    found = run()
    matrices = (2 * units, units) if build is GRU else (units,)
    return [
        Timed(name, "ours", run, steps),
        Timed(name, "floor", floor(matrices, units, steps, found.decompositions), steps),
        Timed(name, "row by row", row_by_row(cell, inputs), ROWS_STEPS),
    ], found


def measured(timed, repeats):
    for _ in range(repeats):
        for one in timed:
            begun = time.perf_counter()
            one.call()
            one.seconds.append(time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    asked = parser.parse_args()
    grid = Table(
        "network", "steps", "QR", "ours [s]", "ours / floor", "row by row / ours", title="all exponents"
    )
    rows = []
    for name in asked.cases:
        timed, found = prepared(name)
        measured(timed, asked.repeats)
        own, least, slow = (one.best for one in timed)
        steps = timed[0].steps
        grid.add_row(
            name,
            str(steps),
            str(found.decompositions),
            f"{own * steps:.3f}",
            f"{own / least:.2f}",
            f"{slow / own:.1f}",
        )
        rows += [{key: value for key, value in asdict(one).items() if key != "call"} for one in timed]
    Console().print(grid)
    record("dynamics", grid, rows)


if __name__ == "__main__":
    main()
