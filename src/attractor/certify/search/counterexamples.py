"""Search for two trajectories under the same inputs that do not meet: they stay apart, or escape."""

import time
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import CellLike
from attractor.program import flat_map
from attractor.shown import Shown, counted

from ..domains import Box

# Starts that are followed under every input.
PAIRS = 64
# Steps of a first run.
STEPS = 1000
# Steps of the replay that decides.
REPLAY = 20_000
# Lengths of the periodic inputs that are tried, constant ones most.
PERIODS = (1, 1, 1, 2, 3, 5)
# A difference, relative to the size of the states, that no slow convergence leaves after the replay.
_APART = 1e-3
# Over the second half of the replay the difference must not fall further: a slow contraction still falls.
_STEADY = 1 - 1e-7
# A run ends before a state of this size: what grows for ever is told from what is only large.
_ESCAPED = 1e100
# A difference of two escaping runs has grown at least so much, which no transient of a proof does.
_GROWN = 1e6
# Steps of a run that only shows how long one takes.
_PROBE = 8


@dataclass(frozen=True, eq=False)
class Witness(Shown, next_call=".first, .second, .inputs"):
    """Two trajectories under the same inputs that do not meet; replayed in float64.

    Args:
        first: one start, shape (states,).
        second: the other one.
        inputs: one row of inputs that is repeated for ever, or a whole period, shape (period, inputs).
        distance: largest difference of the states over the last period.
        steps: how long the trajectories were followed, until one left every bound if one does.
    """

    first: Float[np.ndarray, " states"]
    second: Float[np.ndarray, " states"]
    inputs: Float[np.ndarray, "period inputs"]
    distance: float
    steps: int

    def __str__(self) -> str:
        """What was found."""
        return (
            f"two trajectories under the same inputs, {self.distance:.4g} apart after "
            f"{counted(self.steps, 'step')}; they start at {_ends(self.first)} and {_ends(self.second)}; "
            f"{self._signal}"
        )

    @property
    def _signal(self) -> str:
        """The inputs in words."""
        period, inputs = self.inputs.shape
        if not inputs:
            return "there are no inputs"
        return "the inputs stand still" if period == 1 else f"the inputs repeat every {period} steps"


def _ends(state: Float[np.ndarray, " states"]) -> str:
    """A state of one number, or the range of those of several."""
    if len(state) == 1:
        return f"{state[0]:.4g}"
    return f"values from {state.min():.4g} to {state.max():.4g}"


def find_witness(cell: CellLike, box: Box, seed: int = 0, deadline: float = float("inf")) -> Witness | None:
    """Two trajectories that stay apart, or None if the search found none.

    Starts are drawn from the box, inputs are constant (extreme, zero and random), and periodic with levels
    drawn from the extremes. What is still apart after 1000 steps is replayed for 20 000; only a difference
    that no longer falls is a witness, and so is one that grows until a state leaves every bound. Call inside
    `jax.enable_x64(True)` with a cell in float64.

    Args:
        cell: any cell.
        box: states to start from and inputs to apply.
        seed: starts and inputs follow from it.
        deadline: `time.monotonic()` by which to end; a run that would last longer is not begun.
    """
    generator = np.random.default_rng(seed)
    low, high = np.asarray(box.low), np.asarray(box.high)
    starts = generator.uniform(low[: box.states], high[: box.states], (PAIRS, box.states))
    starts[::4] = np.where(
        starts[::4] > (low + high)[: box.states] / 2, high[: box.states], low[: box.states]
    )
    for signals in _inputs(low[box.states :], high[box.states :], generator):
        probed = _seconds_of_probe(cell, starts, signals)
        if time.monotonic() + probed * STEPS / _PROBE > deadline:
            return None
        found = _apart(cell, *map(jax.device_put, (starts, signals, np.asarray(STEPS))))
        left = deadline - time.monotonic() - probed * REPLAY / _PROBE * 2 / (PAIRS * len(signals))
        witness = _best(cell, starts, signals, *map(np.asarray, found)) if left > 0 else None
        if witness is not None:
            return witness
    return None


def _seconds_of_probe(cell: CellLike, starts: np.ndarray, signals: np.ndarray) -> float:
    """How long a few steps of all runs take, compilation aside."""
    seconds = 0.0
    for _ in range(2):  # the first one compiles
        began = time.monotonic()
        jax.block_until_ready(_apart(cell, *map(jax.device_put, (starts, signals, np.asarray(_PROBE)))))
        seconds = time.monotonic() - began
    return seconds


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
    cell: CellLike, starts: np.ndarray, signals: np.ndarray, distances: np.ndarray, pairs: np.ndarray
) -> Witness | None:
    """Replay the pair that is furthest apart."""
    signal = int(np.argmax(np.where(np.isfinite(distances), distances, -1.0)))
    if not distances[signal] > _APART:
        return None
    pair = starts[pairs[signal]]
    middle, end, size, taken = map(float, _replay(cell, jnp.asarray(pair), jnp.asarray(signals[signal])))
    lasting = end >= _STEADY * middle
    escaped = taken < REPLAY
    if escaped:
        lasting = end > _GROWN * np.abs(pair[0] - pair[1]).max()
    if not (np.isfinite(end) and end > _APART * max(size, 1e-3) and lasting):
        return None
    return Witness(pair[0], pair[1], signals[signal], end, int(taken))


@eqx.filter_jit
def _apart(cell: CellLike, starts: Array, signals: Array, steps: Array) -> tuple[Array, Array]:
    """For every signal the largest distance between any two final states, and whose they are.

    One program for all numbers of steps, so that a short run says what a long one takes.
    """

    def one(signal: Array) -> tuple[Array, Array]:
        finals = jax.vmap(lambda start: _run(cell, start[None], signal, 0, steps)[0][0])(starts)
        distances = jnp.max(jnp.abs(finals[:, None] - finals[None]), axis=-1)
        furthest = jnp.argmax(distances)
        return distances.ravel()[furthest], jnp.stack(jnp.unravel_index(furthest, distances.shape))

    return jax.vmap(one)(signals)


@eqx.filter_jit
def _replay(cell: CellLike, pair: Array, signal: Array) -> tuple[Array, Array, Array, Array]:
    """Largest distances over a period in the middle and at the end, the size there, and the steps taken."""
    half, period = REPLAY // 2, len(signal)
    halfway, first = _run(cell, pair, signal, 0, half - period)
    middle, _, halfway, more = _over_a_period(cell, halfway, signal, half - period)
    late, second = _run(cell, halfway, signal, half, half - period)
    end, size, _, last = _over_a_period(cell, late, signal, REPLAY - period)
    return middle, end, size, first + more + second + last


def _over_a_period(
    cell: CellLike, pair: Array, signal: Array, begin: int
) -> tuple[Array, Array, Array, Array]:
    """Largest distance and size over a period, the states after it, and the steps that were taken."""

    def advance(index: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        distance, size, states, taken = carry
        states, more = _run(cell, states, signal, begin + index, 1)
        distance = jnp.maximum(distance, jnp.max(jnp.abs(states[0] - states[1])))
        return distance, jnp.maximum(size, jnp.max(jnp.abs(states))), states, taken + more

    nothing = jnp.zeros((), pair.dtype)
    return jax.lax.fori_loop(0, len(signal), advance, (nothing, nothing, pair, jnp.zeros((), int)))


def _run(
    cell: CellLike, starts: Array, signal: Array, begin: Array | int, steps: Array | int
) -> tuple[Array, Array]:
    """The states after some steps of a periodic input, or before one of them escapes, and the steps taken.

    Runs that start together end together, so that their difference is one at the same time.
    """
    step, period = jax.vmap(flat_map(cell).step, in_axes=(0, None)), len(signal)

    def body(index: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        states, taken, going = carry
        new = step(states, signal[(begin + index) % period])
        going = going & (jnp.abs(new) < _ESCAPED).all()
        return jnp.where(going, new, states), taken + going, going

    start = (starts, jnp.zeros((), int), jnp.ones((), bool))
    return jax.lax.fori_loop(0, steps, body, start)[:2]
