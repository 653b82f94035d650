"""Our bounds of one step beside the interval arithmetic of immrax: how tight, and how fast.

For random cells and boxes of states and inputs of several widths: the width of the image and the contraction
rate that the bound of the Jacobian gives with the best weights. immrax has no rule for the logistic function
(0.3.8), so both read a gated unit whose gates are written with tanh; and it rounds to nearest, ours outward.

    pip install --no-deps immrax==0.3.8
    python -m benchmarks.intervals
"""

import argparse
import importlib
import importlib.metadata
import sys
import time
import types
from importlib.util import find_spec

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.cells import GRU, Elman
from attractor.certify.domains import Box, step_bounds
from attractor.certify.stability.weighted_norms import best_weights
from benchmarks.certificates import random_cells
from benchmarks.recording import record


def immrax_inclusion():
    """Its inclusion functions without the rest of the package, which needs libraries of the system."""
    package = types.ModuleType("immrax")
    package.__path__ = list(find_spec("immrax").submodule_search_locations)
    sys.modules["immrax"] = package
    return importlib.import_module("immrax.inclusion")


class TanhGated(GRU):
    """A gated recurrent unit whose gates are (1 + tanh(p / 2)) / 2, which is the logistic function."""

    def __call__(self, input, state, *, key=None):
        """One step."""
        driven = self.input_weight @ input + self.bias
        gates = 0.5 + 0.5 * jnp.tanh(0.5 * (driven[: 2 * self.hidden_size] + self.gate_weight @ state))
        keep, reset = jnp.split(gates, 2)
        candidate = jnp.tanh(driven[2 * self.hidden_size :] + self.candidate_weight @ (reset * state))
        return keep * state + (1 - keep) * candidate


class Leaky(eqx.Module):
    """A leaky unit of a user's own."""

    weight: jax.Array
    input_weight: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight, self.input_weight = jnp.zeros((hidden_size,) * 2), jnp.zeros((hidden_size, input_size))
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        """One step."""
        return 0.7 * state + 0.3 * jnp.tanh(self.weight @ state + self.input_weight @ input)


CELLS = {"Elman": Elman, "GRU, gates by tanh": TanhGated, "leaky, user-written": Leaky}


def rate_of(magnitudes):
    """The smallest weighted row sum of one matrix."""
    return best_weights(lambda weights: magnitudes @ weights, jnp.ones(magnitudes.shape[0]))[0]


def ours(cell, width):
    """Mean width of the image and the rate."""
    states = cell.hidden_size
    high = jnp.full(states + cell.input_size, width)
    bounds = step_bounds(cell, Box(-high, high, states))
    rate, _ = best_weights(bounds.row_sums, jnp.ones(states))
    return jnp.mean(bounds.image.width), rate


def theirs(inclusion):
    """The same by the natural inclusion functions of the step and of its Jacobian."""

    def measured(cell, width):
        states, inputs = jnp.full(cell.hidden_size, width), jnp.full(cell.input_size, width)
        box = inclusion.interval(-inputs, inputs), inclusion.interval(-states, states)
        image = inclusion.natif(lambda given, state: cell(given, state))(*box)
        jacobian = inclusion.natif(jax.jacfwd(lambda given, state: cell(given, state), argnums=1))(*box)
        magnitudes = jnp.maximum(jnp.abs(jacobian.lower), jnp.abs(jacobian.upper))
        return jnp.mean(image.upper - image.lower), rate_of(magnitudes)

    return measured


def timed(function, *arguments):
    """Result, seconds of the first call, median of thirty others."""
    begin = time.perf_counter()
    result = jax.block_until_ready(function(*arguments))
    first, times = time.perf_counter() - begin, []
    for _ in range(30):
        begin = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - begin)
    return result, first, float(np.median(times))


def compare(inclusion, name, width, cells, size):
    """One line: medians over cells of theirs divided by ours."""
    arrays, static = random_cells(CELLS[name], 1, size, cells, 0, spread=(0.3, 0.300001))
    results = []
    for read in (ours, theirs(inclusion)):

        def one(arrays, read=read):
            return read(eqx.combine(arrays, static), width)

        each = jax.jit(one)
        first_cell = jax.tree.map(lambda leaf: leaf[0], arrays)
        _, first, median = timed(each, first_cell)
        results.append((*map(np.asarray, jax.jit(jax.vmap(one))(arrays)), first, median))
    (image, rate, first, median), (image_2, rate_2, first_2, median_2) = results
    return (
        name,
        f"{width:g}",
        f"{np.median(image_2 / image):.2f}",
        f"{np.median(rate):.3f}",
        f"{np.median(rate_2):.3f}",
        f"{1e3 * median:.3f}",
        f"{1e3 * median_2:.3f}",
        f"{first:.2f}",
        f"{first_2:.2f}",
    )


def main():
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--size", type=int, default=8)
    asked = parser.parse_args()
    inclusion = immrax_inclusion()
    grid = Table(
        title=f"One step, {asked.size} units: ours and immrax {importlib.metadata.version('immrax')}"
    )
    for column in ("cell", "half width", "image, theirs / ours", "rate, ours", "rate, theirs"):
        grid.add_column(column)
    for column in ("ms, ours", "ms, theirs", "first call s, ours", "theirs"):
        grid.add_column(column)
    with jax.enable_x64(True):
        for name in CELLS:
            for width in (0.01, 0.1, 1.0):
                grid.add_row(*compare(inclusion, name, width, asked.cells, asked.size))
    Console(width=140).print(grid)
    record("intervals", grid)


if __name__ == "__main__":
    main()
