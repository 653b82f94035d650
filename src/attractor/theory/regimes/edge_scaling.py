"""Any cell in a regime: one factor on all matrices that multiply its state, found from what is measured."""

import time
from enum import Enum
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from scipy.optimize import brentq

from attractor.cells import initial_state, input_shape, name_of
from attractor.claims import Solution
from attractor.dynamics.lyapunov import LyapunovSettings, lyapunov_exponents
from attractor.errors import UnsupportedError
from attractor.program import trace
from attractor.program.walk import bound, forward

from .at_rest import SETTLING, spectrum_at_rest

_LEAST, _MOST, _RATIO = 1 / 64, 1024.0, 2.0
_TOLERANCE = 1e-4
"""Of the growth at the edge, in logarithms a step."""

_AT_REST = 1e-6


class EdgeStatus(Enum):
    """How the search for the edge ended; the value is the text that users see."""

    FOUND = "found: with its state matrices times this factor the cell neither forgets nor grows"

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


def state_matrices(cell: Any) -> tuple[bool, ...]:
    """For every leaf of a cell, whether it is in a matrix that multiplies something of the state.

    Read off the program of a step: the operand of a product that does not depend on the state, while the
    other does. A matrix that multiplies state and input together counts, too.

    Args:
        cell: any cell, or flow.

    Raises:
        UnsupportedError: no such matrix.
    """
    leaves, structure = jax.tree.flatten(cell)
    numbers = [place for place, leaf in enumerate(leaves) if eqx.is_inexact_array(leaf)]

    def step(weights: Any, input: Any, state: Any) -> Any:
        whole = list(leaves)
        for place, weight in zip(numbers, weights, strict=True):
            whole[place] = weight
        made = jax.tree.unflatten(structure, whole)
        return made(input, state) if callable(made) else made.vector_field(input, state)

    program = trace(
        step, [leaves[place] for place in numbers], jnp.zeros(input_shape(cell)), initial_state(cell)
    )
    found = {numbers[place] for place in _multiplying(program.jaxpr, len(numbers))}
    found = {place for place in found if jnp.ndim(leaves[place]) >= 2}
    if not found:
        message = f"{name_of(cell)} has no matrix that multiplies its state, so no coupling to scale"
        raise UnsupportedError(message)
    return tuple(place in found for place in range(len(leaves)))


def _multiplying(jaxpr: Any, weights: int) -> set[int]:
    """Places of arguments among the first `weights` that multiply something of the state."""
    state = set(range(weights + 1, len(jaxpr.invars)))
    found: set[int] = set()

    def rule(equation: JaxprEqn, operands: list[set[int]]) -> list[set[int]]:
        if equation.primitive.name == "dot_general":
            for one, other in (operands, operands[::-1]):
                if other & state and not one & state:
                    found.update(place for place in one if place < weights)
        return [set[int]().union(*operands)] * len(equation.outvars)

    nothing = [set[int]() for _ in jaxpr.constvars]
    own = [{place} for place in range(len(jaxpr.invars))]
    forward(jaxpr, bound(jaxpr, nothing, own), rule, literal=lambda _: set())
    return found


def scaled(cell: Any, matrices: tuple[bool, ...], factor: float) -> Any:
    """The cell with these leaves times a factor."""
    leaves, structure = jax.tree.flatten(cell)
    new = [
        leaf * jnp.asarray(factor, leaf.dtype) if is_one else leaf
        for leaf, is_one in zip(leaves, matrices, strict=True)
    ]
    return jax.tree.unflatten(structure, new)


def edge_of(cell: Any, matrices: tuple[bool, ...]) -> Solution[float]:
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
        message = (
            f"{name_of(cell)} jumps over its edge: with its state matrices times {found:.6g} a change "
            f"grows by {growth(found):.3g} a step in logarithms. Start from smaller biases, so that it has "
            "one resting state"
        )
        raise UnsupportedError(message)
    counts, seconds = {"evaluations": len(measured)}, time.perf_counter() - begun
    return Solution(found, EdgeStatus.FOUND, abs(growth(found)), counts, seconds)


def _bracket(growth: Any, name: str) -> tuple[float, float]:
    low = _LEAST
    if growth(low) >= 0:
        message = (
            f"{name} cannot be brought to its edge by its couplings: it keeps what it has with its state "
            f"matrices times {low:g} already (growth {growth(low):.3g} a step in logarithms). It needs more "
            "leak or damping"
        )
        raise UnsupportedError(message)
    while low < _MOST:
        if growth(_RATIO * low) >= 0:
            return low, _RATIO * low
        low *= _RATIO
    message = f"{name} forgets even with its state matrices times {low:g}: there is no edge to start from"
    raise UnsupportedError(message)


def growth_at_rest(cell: Any) -> float:
    """Growth of a small change, in logarithms a step (for a flow a unit of time); see `edge_of`."""
    spectrum, residual = spectrum_at_rest(cell)
    if residual > _AT_REST and callable(cell):
        settings = LyapunovSettings(count=1, burn_in=SETTLING)
        return float(lyapunov_exponents(cell, 3 * SETTLING, settings=settings).per_step[0])
    leading = spectrum.values[0, 0]
    return float(leading.real) if spectrum.continuous else float(np.log(max(abs(leading), 1e-300)))
