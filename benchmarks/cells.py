"""Forward and backward of recurrent layers, side by side with torch in one process.

Both sides compute the states of a whole sequence and the gradients of parameters and inputs from a cotangent
of all states, in float32, with their default threads. The runs take turns, so that a busy machine disturbs
all alike; the table gives the ratio torch / ours (above 1: ours is faster) for the minimum and for the
median of wall time. `--keep-freed-memory` spares both sides the page faults of large temporary memory.

    python benchmarks/cells.py --sizes tiny small --repeats 30
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from attractor.cells import LSTM, Lipschitz, ResetAfterGRU, exposed
from attractor.scan import keep_freed_memory, unroll
from attractor.training.spreading import AXIS, in_parts
from benchmarks.recording import record

SIZES = {
    "tiny": (1, 100, 2, 8),
    "small": (32, 100, 8, 32),
    "wide": (128, 64, 28, 256),
    "long": (64, 784, 1, 128),
    "language": (32, 35, 650, 650),
}
"""(batch, time, inputs, hidden)."""
SECONDS = 45
"""A size takes no new round after this long."""


CELLS = {"GRU": ResetAfterGRU, "LSTM": LSTM, "Lipschitz": Lipschitz}
PEER = {"GRU": "torch GRU", "LSTM": "torch LSTM", "Lipschitz": "torch GRU"}
"""A Lipschitz cell has no peer in torch; it is compared with the GRU of the same width."""


@dataclass
class Runner:
    """One side of the comparison at one size."""

    name: str
    peer: str | None
    call: Callable[[], object]
    compile_seconds: float = 0.0
    temporary_bytes: int = 0
    seconds: list[float] = field(default_factory=list)


def pull(cell, inputs, cotangent):
    """Gradients of cell and inputs."""

    def loss(both):
        cell, inputs = both
        states = jax.vmap(lambda u: unroll(cell, u).states)(inputs)
        return jnp.sum(jax.vmap(jax.vmap(lambda state: exposed(cell, state)))(states) * cotangent)

    return eqx.filter_grad(loss)((cell, inputs))


def our_runners(kind, size, inputs, cotangent):
    # Plain, sliced over the devices by hand, and as the trainer does it (it differentiates parameters alone).
    batch, _, features, hidden = size
    cell = CELLS[kind](features, hidden, key=jax.random.key(0))
    inputs, cotangent = jnp.asarray(inputs), jnp.asarray(cotangent)
    start = time.perf_counter()
    lowered = eqx.filter_jit(pull).lower(cell, inputs, cotangent).compile()
    seconds = time.perf_counter() - start
    memory = lowered.compiled.memory_analysis().temp_size_in_bytes
    yield Runner(
        f"{kind}",
        PEER[kind],
        lambda: jax.block_until_ready(lowered(cell, inputs, cotangent)),
        seconds,
        memory,
    )
    if batch < len(jax.devices()):
        return
    sliced = over_devices(cell, inputs, cotangent)
    yield Runner(f"{kind} on {len(jax.devices())} devices", PEER[kind], warmed(sliced))
    library = spread_gradient(Mesh(np.array(jax.devices()), (AXIS,)))
    whole = lambda: jax.block_until_ready(library(cell, (inputs, cotangent)))  # noqa: E731
    yield Runner(f"{kind} as the trainer spreads it, parameters only", PEER[kind], warmed(whole))


def spread_gradient(mesh):
    """The gradient of the mean loss, as the trainer spreads a batch over devices."""

    def loss(cell, pair):
        return jnp.mean(in_parts(losses, cell, pair, mesh))

    return eqx.filter_jit(eqx.filter_value_and_grad(loss))


def losses(cell, pair):
    inputs, cotangent = pair
    states = jax.vmap(lambda u: unroll(cell, u).states)(inputs)
    seen = jax.vmap(jax.vmap(lambda state: exposed(cell, state)))(states)
    return jnp.sum(seen * cotangent, axis=tuple(range(1, seen.ndim)))


def over_devices(cell, inputs, cotangent):
    """Slices of the batch on all devices; gradients of the cell are added on the first."""
    arrays, static = eqx.partition(cell, eqx.is_array)
    # Not `eqx.filter_jit`, which waits for the result: the devices would work one after the other.
    gradient = jax.jit(
        lambda arrays, *batch: eqx.filter(pull(eqx.combine(arrays, static), *batch), eqx.is_array)
    )
    add = jax.jit(lambda parts: jax.tree.map(lambda *leaves: sum(leaves), *parts))
    devices = jax.devices()
    cuts = np.linspace(0, len(inputs), len(devices) + 1).astype(int)
    pairs = list(pairwise(cuts))

    def call():
        slices = [(arrays, inputs[a:b], cotangent[a:b]) for a, b in pairs]
        placed = [jax.device_put(part, device) for device, part in zip(devices, slices, strict=True)]
        parts = [gradient(*part) for part in placed]
        of_cell = add([jax.device_put(part[0], devices[0]) for part in parts])
        return jax.block_until_ready((of_cell, [part[1] for part in parts]))

    return call


def warmed(call):
    call()
    return call


def torch_runners(torch, size, inputs, cotangent):
    _, _, features, hidden = size
    given, pulled = torch.from_numpy(inputs).requires_grad_(), torch.from_numpy(cotangent)
    for kind in ("GRU", "LSTM"):
        module = getattr(torch.nn, kind)(features, hidden, batch_first=True)

        def call(module=module):
            module.zero_grad(set_to_none=True)
            given.grad = None
            module(given)[0].backward(pulled)

        yield Runner(f"torch {kind}", None, warmed(call))


def measure(runners, repeats):
    """Wall seconds of every runner, by turns."""
    end = time.perf_counter() + SECONDS
    for done in range(repeats):
        for runner in runners:
            start = time.perf_counter()
            runner.call()
            runner.seconds.append(time.perf_counter() - start)
        if time.perf_counter() > end and done >= 2:
            return


def compare(torch, name, repeats):
    """The rows of one size."""
    size = SIZES[name]
    batch, steps, features, hidden = size
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(batch, steps, features)).astype("f4")
    cotangent = rng.normal(size=(batch, steps, hidden)).astype("f4")
    runners = list(torch_runners(torch, size, inputs, cotangent))
    for kind in CELLS:
        runners += our_runners(kind, size, inputs, cotangent)
    measure(runners, repeats)
    rows = [
        asdict(Runner(**{**vars(runner), "call": str})) | {"size": name, "shape": size} for runner in runners
    ]
    best = {runner.name: (min(runner.seconds), statistics.median(runner.seconds)) for runner in runners}
    for row in rows:
        del row["call"]
        row["min"], row["median"] = best[row["name"]]
        if row["peer"]:
            row["ratio_min"] = best[row["peer"]][0] / row["min"]
            row["ratio_median"] = best[row["peer"]][1] / row["median"]
    return rows


def table_of(rows):
    table = Table("size", "run", "min ms", "median ms", "torch/ours min", "median", "compile s", "temp MiB")
    last = None
    for row in rows:
        if row["size"] != last:
            table.add_section()
        known = row["temporary_bytes"] > 0
        table.add_row(
            " x ".join(map(str, row["shape"])) if row["size"] != last else "",
            row["name"],
            f"{1e3 * row['min']:.2f}",
            f"{1e3 * row['median']:.2f}",
            f"{row['ratio_min']:.2f}" if row["peer"] else "",
            f"{row['ratio_median']:.2f}" if row["peer"] else "",
            f"{row['compile_seconds']:.1f}" if known else "",
            f"{row['temporary_bytes'] / 2**20:.2f}" if known else "",
        )
        last = row["size"]
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--keep-freed-memory", action="store_true", help="of both sides, see attractor.scan")
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        sys.exit("benchmarks/cells.py compares with torch, which is not installed here; run `make bench`")
    jax.config.update("jax_num_cpu_devices", 2)
    if options.keep_freed_memory:
        keep_freed_memory()
    console, before = Console(width=130), os.getloadavg()
    rows = [row for name in options.sizes for row in compare(torch, name, options.repeats)]
    console.print(table_of(rows))
    console.print(f"load average before {before}, after {os.getloadavg()}; {os.cpu_count()} cores")
    record("cells", table_of(rows), rows)


if __name__ == "__main__":
    main()
