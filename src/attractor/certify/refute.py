"""Search for two trajectories under the same inputs that do not meet."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor.program import flat_map

from .bounds import Box
from .certificate import Witness

PAIRS = 64
"""Starts that are followed under every input."""
STEPS = 1000
"""Steps of a first run."""
REPLAY = 20_000
"""Steps of the replay that decides."""
PERIODS = (1, 1, 1, 2, 3, 5)
"""Lengths of the periodic inputs that are tried, constant ones most."""
_APART = 1e-3
"""A difference, relative to the size of the states, that no slow convergence leaves after the replay."""
_STEADY = 1 - 1e-7
"""Over the second half of the replay the difference must not fall further: a slow contraction still falls."""


def find_witness(cell: Any, box: Box, seed: int = 0) -> Witness | None:
    """Two trajectories that stay apart, or None if the search found none.

    Starts are drawn from the box, inputs are constant (extreme, zero and random), and periodic with levels
    drawn from the extremes. What is still apart after 1000 steps is replayed for 20 000; only a difference
    that no longer falls is a witness. Call inside `jax.enable_x64(True)` with a cell in float64.

    Args:
        cell: any cell.
        box: states to start from and inputs to apply.
        seed: starts and inputs follow from it.
    """
    generator = np.random.default_rng(seed)
    low, high = np.asarray(box.low), np.asarray(box.high)
    starts = generator.uniform(low[: box.states], high[: box.states], (PAIRS, box.states))
    starts[::4] = np.where(
        starts[::4] > (low + high)[: box.states] / 2, high[: box.states], low[: box.states]
    )
    for signals in _inputs(low[box.states :], high[box.states :], generator):
        found = _apart(cell, jnp.asarray(starts), jnp.asarray(signals))
        witness = _best(cell, starts, signals, *map(np.asarray, found))
        if witness is not None:
            return witness
    return None


def _inputs(low: np.ndarray, high: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Batches of periodic inputs of one length, each (signals, period, inputs)."""
    batches = []
    middle, half = (low + high) / 2, (high - low) / 2
    for round_, period in enumerate(PERIODS):
        shares = generator.uniform(-1, 1, (8, period, len(low)))
        if round_ == 0:
            shares[0], shares[1], shares[2] = 0.0, -1.0, 1.0
        elif period > 1:
            shares = np.sign(shares)
        batches.append(middle + half * shares)
    return batches


def _best(
    cell: Any, starts: np.ndarray, signals: np.ndarray, distances: np.ndarray, places: np.ndarray
) -> Witness | None:
    """Replay the pair that is furthest apart."""
    signal = int(np.argmax(np.where(np.isfinite(distances), distances, -1.0)))
    if not distances[signal] > _APART:
        return None
    first, second = starts[places[signal, 0]], starts[places[signal, 1]]
    middle, end, size = map(
        float, _replay(cell, jnp.asarray(first), jnp.asarray(second), jnp.asarray(signals[signal]))
    )
    if not (np.isfinite(end) and end > _APART * max(size, 1e-3) and end >= _STEADY * middle):
        return None
    return Witness(first, second, signals[signal], end, REPLAY)


@eqx.filter_jit
def _apart(cell: Any, starts: Array, signals: Array) -> tuple[Array, Array]:
    """For every signal the largest distance between any two final states, and whose they are."""

    def one(signal: Array) -> tuple[Array, Array]:
        finals = jax.vmap(lambda start: _run(cell, start, signal, STEPS)[0])(starts)
        distances = jnp.max(jnp.abs(finals[:, None] - finals[None]), axis=-1)
        place = jnp.argmax(distances)
        return distances.ravel()[place], jnp.stack(jnp.unravel_index(place, distances.shape))

    return jax.vmap(one)(signals)


@eqx.filter_jit
def _replay(cell: Any, first: Array, second: Array, signal: Array) -> tuple[Array, Array, Array]:
    """Largest distance over a period in the middle and at the end, and the size of the states there."""

    def over_a_period(one: Array, other: Array) -> tuple[Array, Array]:
        both = [_trace(cell, state, signal, len(signal)) for state in (one, other)]
        return jnp.max(jnp.abs(both[0] - both[1])), jnp.max(jnp.abs(both[0]))

    half = REPLAY // 2
    halfway = [_run(cell, state, signal, half) for state in (first, second)]
    ends = [_run(cell, state, jnp.roll(signal, -half, axis=0), half)[0] for state, _ in halfway]
    middle, _ = over_a_period(*(state for state, _ in halfway))
    end, size = over_a_period(*ends)
    return middle, end, size


def _run(cell: Any, start: Array, signal: Array, steps: int) -> tuple[Array, None]:
    """The state after some steps of a periodic input."""
    step, period = flat_map(cell).step, len(signal)

    def body(state: Array, index: Array) -> tuple[Array, None]:
        return step(state, signal[index % period]), None

    return jax.lax.scan(body, start, jnp.arange(steps))


def _trace(cell: Any, start: Array, signal: Array, steps: int) -> Array:
    step = flat_map(cell).step

    def body(state: Array, index: Array) -> tuple[Array, Array]:
        new = step(state, signal[index % len(signal)])
        return new, new

    return jax.lax.scan(body, start, jnp.arange(steps))[1]
