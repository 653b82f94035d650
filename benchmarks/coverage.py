"""How often the stated 95 % intervals of Lyapunov exponents hold the truth: 20 systems, 40 seeds each.

Maps, flows with small steps, and slow driven networks. The truth is a closed form, or runs that are 100
times as long altogether. The first two exponents count (one where there is one). Systems go through joblib;
each is compiled once and runs its seeds side by side, every seed judged by itself.

    python -m benchmarks.coverage --out results/coverage.json
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from joblib import Parallel, delayed
from scipy.special import digamma

from attractor.cells import GRU, LSTM, Cell, Elman, Flow, discretise
from attractor.dynamics import LyapunovSettings, lyapunov_exponents
from benchmarks.recording import record

SEEDS, LEAST, LEVELS = 40, 34, (0.93, 0.97)
LONGER, TRUTHS = 10, 10
"""Ten runs of ten times the steps, with other seeds, are the truth where there is no closed form."""


class Map(Cell):
    """state' = rule(state)."""

    rule: Callable[[Any], Any] = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=0)

    def __call__(self, input, state, *, key=None):
        """One step."""
        return self.rule(state)


class Field(Flow):
    """dx/dt = rule(input, x)."""

    rule: Callable[[Any, Any], Any] = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=0)

    def vector_field(self, input, state):
        """The change per unit of time."""
        return self.rule(input, state)


class Product(Cell):
    """state' = M state, the matrix given as the input."""

    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True)

    def __call__(self, input, state, *, key=None):
        """One step."""
        return input.reshape(self.hidden_size, self.hidden_size) @ state


class Scaled(Cell):
    """state' = exp(u) state."""

    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        """One step."""
        return jnp.exp(input) * state


class Leaky(Cell):
    """h' = h + (tanh(W h + U u) - h) / time."""

    weight: jax.Array
    given: jax.Array
    time: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=1)

    @property
    def hidden_size(self):
        """How many units."""
        return len(self.weight)

    def __call__(self, input, state, *, key=None):
        """One step."""
        return state + (jnp.tanh(self.weight @ state + self.given @ input) - state) / self.time


@dataclass(frozen=True)
class System:
    """A system whose exponents are measured.

    Args:
        cell: its step.
        steps: that count.
        burn_in: before them.
        inputs: of one seed, for so many steps; None for a system without.
        start: of one seed; None for the cell's own.
        truth: exponents in closed form; None where long runs are the truth.
        kind: map, flow or driven.
    """

    cell: Any
    steps: int
    burn_in: int
    inputs: Callable[[np.random.Generator, int], np.ndarray] | None = None
    start: Callable[[np.random.Generator], np.ndarray] | None = None
    truth: tuple[float, ...] | None = None
    kind: str = "map"


def near(*centre, size=0.1):
    return lambda source: np.array(centre) + size * source.uniform(-1, 1, len(centre))


def white(size=1.0, count=1):
    return lambda source, steps: size * source.normal(size=(steps, count))


def slow_input(memory, size=1.0):
    """An autoregression of first order with unit variance times the size."""

    def drawn(source, steps):
        keep, noise, found = np.exp(-1 / memory), source.normal(size=steps), np.zeros(steps)
        found[0] = noise[0]
        for step in range(1, steps):
            found[step] = keep * found[step - 1] + (1 - keep**2) ** 0.5 * noise[step]
        return size * found[:, None]

    return drawn


def ginibre(units):
    return lambda source, steps: source.normal(size=(steps, units**2)) / units**0.5


def leaky(units, gain, time, drive):
    keys = jax.random.split(jax.random.key(1))
    weight = gain / units**0.5 * jax.random.normal(keys[0], (units, units))
    return Leaky(weight, drive * jax.random.normal(keys[1], (units, 1)), float(time))


def elman(gain):
    cell = Elman(1, 30, key=jax.random.key(2))
    return eqx.tree_at(lambda cell: cell.state_weight, cell, gain * cell.state_weight)


def skew_tent(share):
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    return Map(lambda x: jnp.where(x < share, x / share, (1 - x) / (1 - share)), 1), (entropy,)


def lorenz(input, state):
    x, y, z = state
    return jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def roessler(input, state):
    x, y, z = state
    return jnp.stack([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)])


def lorenz_96(input, state):
    return (jnp.roll(state, -1) - jnp.roll(state, 2)) * jnp.roll(state, 1) - state + 8.0


def van_der_pol(input, state):
    return jnp.stack([state[1], (1 - state[0] ** 2) * state[1] - state[0]])


def duffing(input, state):
    return jnp.stack([state[1], state[0] - state[0] ** 3 - 0.3 * state[1] + input[0]])


def flow(rule, states, step, steps, burn_in, start, **more):
    cell = discretise(Field(rule, states, 1 if "inputs" in more else 0), step)
    return System(cell, steps, burn_in, start=start, kind="flow", **more)


def driven(cell, steps, burn_in, inputs, **more):
    size = cell.hidden_size
    start = None if isinstance(cell, LSTM) else lambda source: 0.5 * source.normal(size=size)
    return System(cell, steps, burn_in, inputs, start, kind="driven", **more)


def systems():
    """All 20, by name."""
    tent, entropy = skew_tent(0.3)
    golden = float(np.log((3 + 5**0.5) / 2))
    newman = tuple((0.5 * (np.log(2 / 4) + digamma((4 - np.arange(2)) / 2))).tolist())
    unit = lambda source: source.uniform(0.1, 0.9, 1)  # noqa: E731
    attractor = near(1.0, 1.0, 20.0, size=2.0)
    return {
        "logistic 4": System(Map(lambda x: 4 * x * (1 - x), 1), 2000, 100, start=unit, truth=(np.log(2),)),
        "logistic 3.9": System(Map(lambda x: 3.9 * x * (1 - x), 1), 2000, 100, start=unit),
        "skew tent": System(tent, 2000, 100, start=unit, truth=entropy),
        "Henon": System(
            Map(lambda x: jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]]), 2),
            2000,
            200,
            start=near(0.1, 0.1),
        ),
        "Lozi": System(
            Map(lambda x: jnp.stack([1 - 1.7 * jnp.abs(x[0]) + x[1], 0.5 * x[0]]), 2),
            2000,
            200,
            start=near(0.1, 0.1),
        ),
        "cat": System(
            Map(lambda x: jnp.mod(jnp.stack([2 * x[0] + x[1], x[0] + x[1]]), 1.0), 2),
            1000,
            100,
            start=near(0.5, 0.5, size=0.4),
            truth=(golden, -golden),
        ),
        "Ginibre 4": System(Product(4, 16), 2000, 100, ginibre(4), near(1.0, 0.0, 0.0, 0.0), newman),
        "Lorenz 0.01": flow(lorenz, 3, 0.01, 12_000, 2000, attractor),
        "Lorenz 0.005": flow(lorenz, 3, 0.005, 12_000, 4000, attractor),
        "Roessler 0.02": flow(roessler, 3, 0.02, 12_000, 5000, near(1.0, 1.0, 0.1)),
        "Lorenz-96 0.01": flow(lorenz_96, 6, 0.01, 10_000, 2000, near(*[1.0] * 6, size=2.0)),
        "van der Pol 0.01": flow(van_der_pol, 2, 0.01, 10_000, 5000, near(1.0, 1.0)),
        "driven Duffing 0.02": flow(
            duffing,
            2,
            0.02,
            10_000,
            2000,
            near(0.5, 0.0),
            inputs=lambda source, steps: _waves(source, steps, 0.02),
        ),
        "memory 50": driven(Scaled(), 2000, 100, slow_input(50.0, 0.1), truth=(0.0,)),
        "memory 200": driven(Scaled(), 2000, 100, slow_input(200.0, 0.1), truth=(0.0,)),
        "leaky 0.9": driven(leaky(50, 0.9, 100, 0.5), 2000, 2000, white()),
        "leaky 1.5": driven(leaky(50, 1.5, 100, 2.0), 2000, 2000, white()),
        "leaky 30": driven(leaky(20, 1.2, 30, 1.0), 2000, 1000, slow_input(20.0)),
        "Elman chaotic": driven(elman(5.0), 1500, 200, white(0.5)),
        # In 1500 steps some runs see none of the rare stretches of fast forgetting, and 83 % hold.
        "GRU": driven(
            GRU(1, 12, timescales=(5.0, 50.0), key=jax.random.key(3)), 5000, 1000, slow_input(20.0)
        ),
    }


def _waves(source, steps, step):
    return 0.5 * np.cos(1.2 * step * np.arange(steps) + 2 * np.pi * source.uniform())[:, None]


def measured(system, seeds, longer=1):
    """Exponents of all seeds, a spectrum each."""
    sources = [np.random.default_rng(seed) for seed in seeds]
    total = system.burn_in + longer * system.steps
    inputs = (
        total if system.inputs is None else np.stack([system.inputs(source, total) for source in sources])
    )
    start = (
        None if system.start is None else jnp.asarray(np.stack([system.start(source) for source in sources]))
    )
    count = min(system.cell.hidden_size, 2)
    found = lyapunov_exponents(system.cell, inputs, start, settings=LyapunovSettings(count, system.burn_in))
    return [found.alone(run) for run in range(len(found.sums))]


def covered(name, seeds=SEEDS):
    """One line of the table."""
    system, begun = systems()[name], time.perf_counter()
    runs = measured(system, range(seeds))
    if system.truth is None:
        far = measured(system, range(10_000, 10_000 + TRUTHS), LONGER)
        truth = np.mean([one.per_step for one in far], axis=0)
    else:
        truth = np.array(system.truth)
    low, high = (np.stack([one.interval()[end] for one in runs]) for end in (0, 1))
    values = np.stack([one.per_step for one in runs])
    # a float32 weight is not the number of the closed form; rounding is not what is asked here
    inside = (low - 1e-9 <= truth) & (truth <= high + 1e-9)
    return {
        "name": name,
        "kind": system.kind,
        "seeds": len(runs),
        "truth": truth.tolist(),
        "closed_form": system.truth is not None,
        "held": inside.sum(axis=0).tolist(),
        "half_width": np.median((high - low) / 2, axis=0).tolist(),
        "scatter": (1.96 * np.sqrt(np.mean((values - truth) ** 2, axis=0))).tolist(),
        "edge": int(np.sum((low[:, 0] <= 0) & (high[:, 0] >= 0))),
        "seconds": time.perf_counter() - begun,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None, help="names of systems")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    names = asked.only or list(systems())
    from benchmarks.coverage import covered  # by its module, so that workers import it

    rows = Parallel(n_jobs=asked.jobs)(delayed(covered)(name, asked.seeds) for name in names)
    print(f"{'system':22s} {'held of ' + str(asked.seeds):12s} {'half width / 1.96 rms error':30s} edge")
    for row in rows:
        ratios = " ".join(
            f"{wide / max(true, 1e-12):8.2f}"
            for wide, true in zip(row["half_width"], row["scatter"], strict=True)
        )
        print(f"{row['name']:22s} {row['held']!s:12s} {ratios:30s} {row['edge']:4d}   {row['seconds']:.0f} s")
    held, all_of = sum(sum(row["held"]) for row in rows), sum(row["seeds"] * len(row["held"]) for row in rows)
    leading = sum(row["held"][0] for row in rows) / sum(row["seeds"] for row in rows)
    worst = min(min(row["held"]) for row in rows)
    print(f"pooled {held / all_of:.4f}, largest exponents alone {leading:.4f}, fewest of a system {worst}")
    summary = {"pooled": held / all_of, "leading": leading, "fewest": worst}
    expected = {"expected pooled": LEVELS, "expected fewest": LEAST}
    record("coverage", [summary | expected], rows, seeds=range(asked.seeds))


if __name__ == "__main__":
    main()
