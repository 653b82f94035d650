"""A cell at rest, measured: its modes without input, its exponents under noise, and the edge of stability.

Any cell is brought to the edge by one factor on all matrices that multiply its state.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn
from jaxtyping import Array, Complex, PRNGKeyArray
from scipy.optimize import brentq

from attractor.cells import (
    CellLike,
    FlowLike,
    State,
    discretise,
    initial_state,
    input_shape,
    input_size,
    name_of,
)
from attractor.claims import Solution
from attractor.dynamics import LyapunovSettings, lyapunov_exponents
from attractor.dynamics.jacobians import JacobianSpectrum, jacobian_spectrum, time_scale
from attractor.dynamics.roots import state_of_rest
from attractor.dynamics.trajectory import analysed, time_step
from attractor.errors import DivergedError, UnsupportedError
from attractor.program import FlatMap, compiled, double_precision, flat_map, trace
from attractor.program.walk import bound, forward
from attractor.shown import Shown

from .couplings import flow_of

# Steps without input after which a state counts as at rest, if it moves no more.
SETTLING = 400

_AT_REST = 1e-6
_FLOW_STEP = 0.1
_NEWTON_STEPS = 8
# Standard deviation of the random state from which exponents are measured: zero itself would not show chaos.
_SPREAD = 0.1
_LEAST, _MOST, _RATIO = 1 / 64, 1024.0, 2.0
# Of the growth at the edge, in logarithms per step.
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Measured(Shown):
    """What a cell does.

    Times are in steps; for a gated flow and its fixed-step map in the time unit of the flow.

    Args:
        eigenvalues: of the Jacobian at rest without input, the slowest first; rates for a gated flow.
        continuous: whether they are rates.
        rest_residual: largest change of an entry of the state in a step from there; where it is not small,
            the eigenvalues are those of a passing state.
        autonomous_exponent: the largest Lyapunov exponent without input, from a random state.
        driven_exponent: the same under white normal input of variance 1.
        standard_errors: of both exponents.
    """

    eigenvalues: Complex[np.ndarray, " states"]
    continuous: bool
    rest_residual: float
    autonomous_exponent: float
    driven_exponent: float
    standard_errors: tuple[float, float]

    @property
    def leading(self) -> complex:
        """The leading eigenvalue: the largest by absolute value, for a flow by real part."""
        return complex(self.eigenvalues[0])

    @property
    def time_scales(self) -> np.ndarray:
        """Of all modes; infinite where a mode stays, negative where it grows."""
        return time_scale(self.eigenvalues, continuous=self.continuous)

    @property
    def slowest_time(self) -> float:
        """Of the leading mode."""
        return float(self.time_scales[0])

    @property
    def at_rest(self) -> bool:
        """Whether a resting state was found."""
        return self.rest_residual < _AT_REST


def measure(cell: CellLike, steps: int, key: PRNGKeyArray) -> Measured:
    """Eigenvalues at rest and the largest exponents of a cell.

    Args:
        cell: any cell, or a gated flow.
        steps: that count for the exponents; as many again before them do not, while the state settles.
        key: draws the input and the start.
    """
    moving = cell if callable(cell) else discretise(cell, _FLOW_STEP)
    spectrum, residual = spectrum_at_rest(cell)
    (still, still_error), (driven, driven_error) = _exponents(moving, steps, key)
    values, continuous = spectrum.values[0], spectrum.continuous
    return Measured(values, continuous, residual, still, driven, (still_error, driven_error))


def spectrum_at_rest(cell: CellLike) -> tuple[JacobianSpectrum, float]:
    """Eigenvalues of a cell where it comes to rest, and how much its state still changes there.

    For a gated flow and its fixed-step map they are rates of the flow.
    """
    moving: CellLike = cell if callable(cell) else discretise(cell, _FLOW_STEP)
    with double_precision():
        flat = analysed(moving).still("the resting state")
        vector, residual = _at_rest(flat, jnp.zeros(flat.input_size))
        state = flat.restore(vector)
    linearised: CellLike | FlowLike = flow_of(cell) or cell
    return jacobian_spectrum(linearised, state), float(residual)


@compiled
def _at_rest(flat: FlatMap, silence: Array) -> tuple[Array, Array]:
    """Many steps, then Newton's method: near the edge a state would take for ever to settle."""

    def step(state: Array) -> Array:
        return flat.step(state, silence)

    settled = jax.lax.fori_loop(0, SETTLING, lambda _, state: step(state), flat.start)
    return state_of_rest(step, settled, 0.0, _NEWTON_STEPS)


def _exponents(cell: CellLike, steps: int, key: PRNGKeyArray) -> list[tuple[float, float]]:
    """The largest exponent and its standard error without input, and with it, in one run of two rows."""
    noise_key, start_key = jax.random.split(key)
    driven = np.asarray(jax.random.normal(noise_key, (2 * steps, input_size(cell))))
    flat = flat_map(cell, dtype=jnp.float32)
    drawn = jax.random.normal(start_key, (flat.real_size,), jnp.float32)
    moved = flat.start[: flat.real_size] + _SPREAD * drawn
    start = flat.layout.with_real(initial_state(flat.cell), moved)
    settings = LyapunovSettings(count=1, burn_in=steps)
    found = lyapunov_exponents(cell, np.stack([0 * driven, driven]), start, settings=settings)
    for run, step in enumerate(found.broken):
        if step >= 0:
            raise DivergedError(
                f"{('without', 'with')[run]} input the state is not finite at step {step}", found
            )
    unit = time_step(cell) or 1.0
    runs = [found.alone(run) for run in (0, 1)]
    return [(float(one.per_step[0]) / unit, float(one.standard_error[0]) / unit) for one in runs]


class EdgeStatus(StrEnum):
    """How the search for the edge ended; the value is the text that users see."""

    FOUND = "found: with its state matrices times this factor the cell neither forgets nor grows"


def state_matrices(cell: CellLike) -> tuple[bool, ...]:
    """For every leaf of a cell, whether it is in a matrix that multiplies something of the state.

    Read off the program of a step: the operand of a product that does not depend on the state, while the
    other does. A matrix that multiplies state and input together counts, too.

    Args:
        cell: any cell, or flow.

    Raises:
        UnsupportedError: no such matrix.
    """
    leaves, structure = jax.tree.flatten(cell)
    numbers = [index for index, leaf in enumerate(leaves) if eqx.is_inexact_array(leaf)]

    def step(weights: list[Array], input: Array, state: State) -> State:
        whole = list(leaves)
        for index, weight in zip(numbers, weights, strict=True):
            whole[index] = weight
        made = jax.tree.unflatten(structure, whole)
        return made(input, state) if callable(made) else made.vector_field(input, state)

    program = trace(
        step, [leaves[index] for index in numbers], jnp.zeros(input_shape(cell)), initial_state(cell)
    )
    found = {numbers[index] for index in _multiplying(program.jaxpr, len(numbers))}
    found = {index for index in found if jnp.ndim(leaves[index]) >= 2}
    if not found:
        raise UnsupportedError(
            f"{name_of(cell)} has no matrix that multiplies its state, so no coupling to scale"
        )
    return tuple(index in found for index in range(len(leaves)))


def _multiplying(jaxpr: Jaxpr, weights: int) -> set[int]:
    """Indices of arguments among the first `weights` that multiply something of the state."""
    state = set(range(weights + 1, len(jaxpr.invars)))
    found: set[int] = set()

    def rule(equation: JaxprEqn, operands: list[set[int]]) -> list[set[int]]:
        if equation.primitive.name == "dot_general":
            for one, other in (operands, operands[::-1]):
                if other & state and not one & state:
                    found.update(index for index in one if index < weights)
        return [set[int]().union(*operands)] * len(equation.outvars)

    nothing = [set[int]() for _ in jaxpr.constvars]
    own = [{index} for index in range(len(jaxpr.invars))]
    forward(jaxpr, bound(jaxpr, nothing, own), rule, literal=lambda _: set())
    return found


def scaled(cell: CellLike, matrices: tuple[bool, ...], factor: float) -> CellLike:
    """The cell with these leaves times a factor."""
    leaves, structure = jax.tree.flatten(cell)
    pairs = zip(leaves, matrices, strict=True)
    new = [leaf * jnp.asarray(factor, leaf.dtype) if own else leaf for leaf, own in pairs]
    return jax.tree.unflatten(structure, new)


def edge_of(cell: CellLike, matrices: tuple[bool, ...]) -> Solution[float]:
    """The least factor on the matrices at which the cell neither forgets nor grows.

    The residual is the growth that is measured there: the logarithm of the modulus of the leading eigenvalue
    at rest (of a flow its real part), or the largest exponent where the cell does not come to rest.

    Args:
        cell: any cell, or flow.
        matrices: which leaves are scaled, see `state_matrices`.

    Raises:
        UnsupportedError: the cell does not forget without them, or forgets with ever so large ones.
    """
    begun, measured = time.perf_counter(), dict[float, float]()

    def growth(factor: float) -> float:
        if factor not in measured:
            measured[factor] = growth_at_rest(scaled(cell, matrices, factor))
        return measured[factor]

    low, high = _bracket(growth, name_of(cell))
    found: float = brentq(growth, low, high, xtol=1e-6 * high, rtol=1e-6)  # type: ignore[assignment]
    if abs(growth(found)) > _TOLERANCE:
        raise UnsupportedError(
            f"{name_of(cell)} jumps over its edge: with its state matrices times {found:.6g} a change "
            f"grows by {growth(found):.3g} per step in logarithms. Start from smaller biases, so that it has "
            "one resting state"
        )
    counts, seconds = {"evaluations": len(measured)}, time.perf_counter() - begun
    return Solution(found, EdgeStatus.FOUND, abs(growth(found)), counts, seconds)


def _bracket(growth: Callable[[float], float], name: str) -> tuple[float, float]:
    low = _LEAST
    if growth(low) >= 0:
        raise UnsupportedError(
            f"{name} cannot be brought to its edge by its couplings: it keeps what it has with its state "
            f"matrices times {low:g} already (growth {growth(low):.3g} per step in logarithms). It needs "
            "more leak or damping"
        )
    while low < _MOST:
        if growth(_RATIO * low) >= 0:
            return low, _RATIO * low
        low *= _RATIO
    raise UnsupportedError(
        f"{name} forgets even with its state matrices times {low:g}: there is no edge to start from"
    )


def growth_at_rest(cell: CellLike) -> float:
    """Growth of a small change, in logarithms per step (for a flow a unit of time); see `edge_of`."""
    spectrum, residual = spectrum_at_rest(cell)
    if residual > _AT_REST and callable(cell):
        settings = LyapunovSettings(count=1, burn_in=SETTLING)
        return float(lyapunov_exponents(cell, 3 * SETTLING, settings=settings).per_step[0])
    leading = spectrum.values[0, 0]
    return float(leading.real) if spectrum.continuous else float(np.log(max(abs(leading), 1e-300)))
