"""What the explicit regulariser costs: a training step with P, and with P + Q, beside a plain one.

A step is the loss of a batch (cross-entropy of the last state) and its gradient in the weights of cell and
read-out, float32, default threads. The kinds of step take turns in one process; the table gives the fastest
of each and its ratio to the plain one. The step with noise in the states, which the regulariser replaces, is
there to compare with.

    python -m benchmarks.regulariser --repeats 30
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import equinox as eqx
import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

from attractor.cells import GRU, LSTM, Lipschitz, StateNoise, exposed
from attractor.scan import unroll
from attractor.training import NoisyState
from attractor.training.regulariser import NoiseProblem, regularised_loss
from benchmarks.recording import record

CELLS = {"Lipschitz": Lipschitz, "GRU": GRU, "LSTM": LSTM}
BATCH, STEPS, INPUTS, HIDDEN, CLASSES = 64, 100, 1, 128, 10
NOISE = StateNoise(additive=0.05, multiplicative=0.02)
TARGETS = {"P": 2.5, "P + Q": 5.0}
"""Plain steps that a regularised one may cost."""


@dataclass
class Timed:
    """One kind of step of one cell."""

    cell: str
    kind: str
    call: Callable[[], object]
    compile_seconds: float
    temporary_bytes: int
    seconds: list[float] = field(default_factory=list)


def cross_entropy(readout, seen, label):
    return -jax.nn.log_softmax(readout @ seen)[label]


def plain(model, inputs, label, key):
    del key
    cell, readout = model
    return cross_entropy(readout, exposed(cell, unroll(cell, inputs).last), label)


def noisy(model, inputs, label, key):
    cell, readout = NoisyState(model[0], NOISE), model[1]
    return cross_entropy(readout, exposed(cell, unroll(cell, inputs, key=key).last), label)


def explicit(curvature):
    def loss(model, inputs, label, key):
        cell, readout = model
        problem = NoiseProblem(cell, inputs, lambda seen: cross_entropy(readout, seen, label), NOISE)
        return regularised_loss(problem, key, curvature=curvature)

    return loss


KINDS = {"plain": plain, "noise": noisy, "P": explicit(False), "P + Q": explicit(True)}


def prepared(name):
    # The kinds of step of one cell, compiled.
    weights, data, labels, draws = jax.random.split(jax.random.key(0), 4)
    model = (CELLS[name](INPUTS, HIDDEN, key=weights), jax.random.normal(weights, (CLASSES, HIDDEN)) / 8)
    inputs = jax.random.normal(data, (BATCH, STEPS, INPUTS))
    label = jax.random.randint(labels, (BATCH,), 0, CLASSES)
    keys = jax.random.split(draws, BATCH)
    for kind, loss in KINDS.items():

        def mean(model, inputs, label, keys, loss=loss):
            return jnp.mean(jax.vmap(lambda *one: loss(model, *one))(inputs, label, keys))

        start = time.perf_counter()
        step = eqx.filter_jit(eqx.filter_value_and_grad(mean)).lower(model, inputs, label, keys).compile()
        seconds, memory = time.perf_counter() - start, step.compiled.memory_analysis().temp_size_in_bytes
        call = lambda step=step: jax.block_until_ready(step(model, inputs, label, keys))  # noqa: E731
        yield Timed(name, kind, call, seconds, memory)


def measure(steps, repeats):
    for _ in range(repeats):
        for step in steps:
            start = time.perf_counter()
            step.call()
            step.seconds.append(time.perf_counter() - start)


def rows_of(name, repeats):
    steps = list(prepared(name))
    measure(steps, repeats)
    fastest = {step.kind: min(step.seconds) for step in steps}
    rows = [asdict(Timed(**{**vars(step), "call": str})) for step in steps]
    for row in rows:
        del row["call"]
        row |= {"fastest": fastest[row["kind"]], "ratio": fastest[row["kind"]] / fastest["plain"]}
    return rows


def table_of(rows):
    table = Table("cell", "step", "fastest ms", "plain steps", "at most", "compile s", "temp MiB")
    for row in rows:
        table.add_row(
            row["cell"],
            row["kind"],
            f"{1e3 * row['fastest']:.1f}",
            f"{row['ratio']:.2f}",
            f"{TARGETS[row['kind']]:.1f}" if row["kind"] in TARGETS else "",
            f"{row['compile_seconds']:.1f}",
            f"{row['temporary_bytes'] / 2**20:.1f}",
        )
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    console, before = Console(width=110), os.getloadavg()
    rows = [row for name in options.cells for row in rows_of(name, options.repeats)]
    console.print(f"batch {BATCH}, {STEPS} steps, {INPUTS} input, {HIDDEN} hidden")
    console.print(table_of(rows))
    console.print(f"load average before {before}, after {os.getloadavg()}; {os.cpu_count()} cores")
    record("regulariser", table_of(rows), rows)


if __name__ == "__main__":
    main()
