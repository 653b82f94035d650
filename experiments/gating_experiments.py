"""Simulations of random gated networks: memory, its reset, dimension, and what theory says beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import GatedFlow, GatedForm, GatedState, discretise
from attractor.dynamics import LyapunovSettings, lyapunov_exponents, participation_ratio
from attractor.program import double_precision
from attractor.scan import unroll

STEP = 0.1
_OPEN = 50.0
"""A bias that opens a gate altogether."""


@dataclass(frozen=True)
class Size:
    """How large and how long.

    Args:
        units: N.
        seeds: networks.
        burn_in: time before anything is measured.
        duration: time that is measured.
    """

    units: int
    seeds: Sequence[int]
    burn_in: float
    duration: float

    @property
    def steps(self) -> tuple[int, int]:
        """Steps of the burn-in and of the measurement."""
        return round(self.burn_in / STEP), round(self.duration / STEP)


INTEGRATOR = Size(400, range(5), 200.0, 200.0)
DIMENSION = Size(128, range(3), 100.0, 200.0)
EXPONENT = Size(1000, range(3), 200.0, 300.0)
DRIVEN = Size(600, range(5), 100.0, 200.0)


def network(form: GatedForm, units: int, seed: int, inputs: int = 1) -> GatedFlow:
    """A random network in float64; call it inside `jax.enable_x64(True)`."""
    return GatedFlow(inputs, units, form=form, key=jax.random.key(seed))


def started(flow: GatedFlow, seed: int, size: float = 1.0) -> GatedState:
    """A state whose activities are normal numbers of this size, gates at zero."""
    rest = flow.initial_state()
    drawn = size * jax.random.normal(jax.random.key(1000 + seed), rest.activity.shape)
    return rest._replace(activity=drawn)


@dataclass(frozen=True, eq=False)
class Memory:
    """What of a state is left later, for one gain of the update gate.

    Args:
        lags: time since the state was noted.
        overlap: cosine between the activities then and now.
        reset: the overlap after the gate was forced open for a while, for every seed.
        trace: what pulses along one direction have left in it, against a run without pulses, first seed.
    """

    lags: Float[np.ndarray, " lags"]
    overlap: Float[np.ndarray, "seeds lags"]
    reset: Float[np.ndarray, " seeds"]
    trace: Float[np.ndarray, " lags"]

    @property
    def at_end(self) -> float:
        """Mean overlap at the longest lag."""
        return float(self.overlap[:, -1].mean())


def memory(update_gain: float, size: Size = INTEGRATOR, gain: float = 2.0, opened: float = 20.0) -> Memory:
    """How long a network without an output gate holds its state, and how fast an open gate wipes it out.

    After the burn-in the state is noted. The network then runs on alone; it runs with its update gate forced
    open for the time `opened`; and it runs with three pulses of input along one random direction.

    Args:
        update_gain: alpha_z.
        size: of the simulation.
        gain: g_h.
        opened: time for which the gate is forced open.
    """
    form = GatedForm(gain, update_gain, open_reset=True, input_mode="additive")
    found = [_remembered(network(form, size.units, seed), seed, size, opened) for seed in size.seeds]
    overlap, reset, trace = zip(*found, strict=True)
    lags = STEP * np.arange(1, size.steps[1] + 1)
    return Memory(lags, np.stack(overlap), np.array(reset), trace[0])


def _remembered(
    flow: GatedFlow, seed: int, size: Size, opened: float
) -> tuple[np.ndarray, float, np.ndarray]:
    with double_precision():
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), flow)
        direction = jax.random.normal(jax.random.key(2000 + seed), (size.units,), jnp.float64)
        wide = eqx.tree_at(lambda flow: flow.input_weight, wide, direction[:, None])
        noted, after, pulsed = _three_runs(wide, started(wide, seed), size.steps)
        forced = _forced(wide, noted, round(opened / STEP))
    overlap = _cosines(np.asarray(after), np.asarray(noted.activity))
    reset = _cosines(np.asarray(forced)[None], np.asarray(noted.activity))[0]
    unit = np.asarray(direction) / np.linalg.norm(np.asarray(direction))
    return overlap, float(reset), (np.asarray(pulsed) - np.asarray(after)) @ unit


def _activity(state: GatedState) -> Array:
    return state.activity


@eqx.filter_jit
def _three_runs(
    flow: GatedFlow, start: GatedState, steps: tuple[int, int]
) -> tuple[GatedState, Array, Array]:
    cell = discretise(flow, STEP, "heun")
    nothing = jnp.zeros((steps[1], 1))
    noted = unroll(cell, jnp.zeros((steps[0], 1)), start).last
    after = unroll(cell, nothing, noted, read=_activity).states
    pulsed = unroll(cell, jnp.asarray(pulses(steps[1]))[:, None], noted, read=_activity).states
    return noted, after, pulsed


@eqx.filter_jit
def _forced(flow: GatedFlow, state: GatedState, steps: int) -> Array:
    gate: Any = flow.update_gate
    still = eqx.tree_at(lambda flow: flow.update_gate.bias, flow, jnp.full_like(gate.bias, _OPEN))
    still = eqx.tree_at(lambda flow: flow.update_gate.gain, still, jnp.zeros_like(gate.gain))
    return unroll(discretise(still, STEP, "heun"), jnp.zeros((steps, 1)), state).last.activity


def pulses(steps: int, width: float = 2.0) -> Float[np.ndarray, " steps"]:
    """Three pulses of height one, at a tenth, three tenths and a half of the time."""
    times = np.arange(steps)
    shape = np.zeros(steps)
    for begin in (steps // 10, 3 * steps // 10, steps // 2):
        shape += (times >= begin) & (times < begin + width / STEP)
    return shape


def _cosines(states: np.ndarray, state: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(states, axis=1) * np.linalg.norm(state)
    return states @ state / np.maximum(lengths, np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Dimension:
    """Size of the attractor over a parameter of the output gate.

    Args:
        values: of the parameter.
        kaplan_yorke: dimension as a share of N, shape (values, seeds).
        participation: of the activities, as a share of N.
        exponent: the largest, per unit of time.
    """

    values: Float[np.ndarray, " values"]
    kaplan_yorke: Float[np.ndarray, "values seeds"]
    participation: Float[np.ndarray, "values seeds"]
    exponent: Float[np.ndarray, "values seeds"]


def dimension(reset_gains: Sequence[float], size: Size = DIMENSION, gain: float = 3.0) -> Dimension:
    """Dimension of chaos over the gain of the output gate, its update gate open.

    Args:
        reset_gains: alpha_r.
        size: of the simulation.
        gain: g_h.
    """
    found = np.array([
        [_dimension(GatedForm(gain, reset_gain=value, open_update=True), seed, size) for seed in size.seeds]
        for value in reset_gains
    ])
    return Dimension(np.asarray(reset_gains, float), *np.moveaxis(found, 2, 0))


def _dimension(form: GatedForm, seed: int, size: Size) -> tuple[float, float, float]:
    with double_precision():
        flow = network(form, size.units, seed, inputs=0)
        cell, start = discretise(flow, STEP, "heun"), started(flow, seed)
        burn_in, steps = size.steps
        states = _activities(cell, start, burn_in + steps)
        # half as many exponents as units are enough: chaos of these networks has a smaller dimension
        settings = LyapunovSettings(size.units // 2, burn_in, alignment=burn_in)
        found = lyapunov_exponents(cell, burn_in + steps, start, settings=settings)
    largest = found.per_step[0] / STEP
    whole = found.kaplan_yorke.value
    share = np.nan if whole is None else whole / size.units
    return share, participation_ratio(np.asarray(states)[burn_in:]) / size.units, largest


@eqx.filter_jit
def _activities(cell: Any, start: GatedState, steps: int) -> Array:
    return unroll(cell, jnp.zeros((steps, 0)), start, read=_activity).states


def simulated_exponent(
    form: GatedForm, size: Size = EXPONENT, sigma: float = 0.0, large: float = 1.0
) -> np.ndarray:
    """Largest exponent per unit of time and mean square activity of every seed, shape (seeds, 2).

    Args:
        form: the parameters.
        size: of the simulation.
        sigma: standard deviation over units of an input that is constant in time.
        large: standard deviation of the activities at the start.
    """
    return np.array([_exponent(form, seed, size, (sigma, large)) for seed in size.seeds])


def _exponent(form: GatedForm, seed: int, size: Size, numbers: tuple[float, float]) -> tuple[float, float]:
    sigma, large = numbers
    burn_in, steps = size.steps
    with double_precision():
        flow = network(form, size.units, seed)
        cell, rows = discretise(flow, STEP, "heun"), np.full((burn_in + steps, 1), sigma)
        settings = LyapunovSettings(1, burn_in, alignment=burn_in)
        found = lyapunov_exponents(cell, rows, started(flow, seed, large), settings=settings)
        activity = _square(cell, jnp.asarray(rows), started(flow, seed, large), burn_in)
    return float(found.per_step[0] / STEP), float(activity)


@eqx.filter_jit
def _square(cell: Any, rows: Array, start: GatedState, burn_in: int) -> Array:
    """Mean square of the activities after the burn-in."""

    def body(state: GatedState, row: Array) -> tuple[GatedState, Array]:
        new = cell(row, state)
        return new, jnp.mean(new.activity**2)

    return jnp.mean(jax.lax.scan(body, start, rows)[1][burn_in:])
