"""Newton's method for many unknowns, and bracketed roots and minima of functions of one.

A state of rest is that of a map that JAX traces. All other equations are NumPy functions with matrices of
derivatives of their own, which optimistix, made for functions that JAX can trace, cannot take.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import brentq, minimize_scalar

Vector = Float[np.ndarray, " unknowns"]
Matrix = Float[np.ndarray, "unknowns unknowns"]

_STEPS = 25
# A residual above which Newton's method will not come back.
_LOST = 1e3


class Linearised(NamedTuple):
    """Errors of equations at a point, and how to get their matrix of derivatives.

    Args:
        errors: one for every unknown.
        matrix: makes the derivatives of the errors by the unknowns; called where a step is taken.
        residual: how large the errors are, in the unit of the tolerance.
    """

    errors: Vector
    matrix: Callable[[], Matrix]
    residual: float


class NewtonSolution(NamedTuple):
    """Where Newton's method ended.

    Args:
        unknowns: at the end.
        residual: there.
        steps: taken.
    """

    unknowns: Vector
    residual: float
    steps: int


def newton(
    equations: Callable[[Vector], Linearised],
    start: Vector,
    tolerance: float,
    *,
    most: int = _STEPS,
    lost: float = _LOST,
) -> NewtonSolution:
    """Newton's method with full steps, until the residual is below a tolerance or the start was too far off.

    Args:
        equations: errors and derivatives.
        start: the first unknowns.
        tolerance: of the residual.
        most: steps.
        lost: a residual from which it gives up.
    """
    unknowns, steps = start, 0
    while True:
        found = equations(unknowns)
        if found.residual < tolerance or not found.residual < lost or steps == most:
            return NewtonSolution(unknowns, found.residual, steps)
        unknowns, steps = unknowns - solved(found.matrix(), found.errors), steps + 1


def solved(matrix: Matrix, right: Vector) -> Vector:
    """The solution of linear equations; the shortest one where the matrix is singular."""
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(matrix, right)[0]


def state_of_rest(
    step: Callable[[Array], Array], start: Float[Array, " states"], tolerance: float, rounds: int
) -> tuple[Float[Array, " states"], Float[Array, ""]]:
    """Where a map comes to rest, by Newton's method; where that does not halve the error, by ten steps.

    Args:
        step: x(k+1) from x(k), both (states,); traced by JAX.
        start: the first state.
        tolerance: of the largest entry of |step(x) - x|.
        rounds: most of them.

    Returns:
        The state, and the largest entry of |step(x) - x| there; infinite where that is no number.
    """
    identity = jnp.eye(len(start), dtype=start.dtype)

    def size(state: Array) -> Array:
        value = jnp.abs(step(state) - state).max()
        return jnp.where(jnp.isfinite(value), value, jnp.inf)

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        state, error, round_ = carry
        # The LU of lineax 0.1.1 gives the same bits, compiles 1.3 to 1.5 times as long and runs 3.3, 1.2 and
        # 1.04 times as long for 8, 64 and 256 states.
        closer = state + jnp.linalg.solve(identity - jax.jacfwd(step)(state), step(state) - state)
        ahead = jax.lax.fori_loop(0, 10, lambda _, x: step(x), state)
        after = jnp.where(size(closer) < 0.5 * error, closer, ahead)
        return after, size(after), round_ + 1

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[1] > tolerance) & (carry[2] < rounds)

    state, error, _ = jax.lax.while_loop(unfinished, improve, (start, size(start), jnp.asarray(0)))
    return state, error


def largest(errors: Vector, scale: float) -> float:
    """The largest error as a share of a scale."""
    return float(np.abs(errors).max() / scale)


def bracketed_root(function: Callable[[float], float], ends: tuple[float, float], tolerance: float) -> float:
    """The root between two points where a function has different signs, by Brent's method.

    Args:
        function: of one number.
        ends: the two points.
        tolerance: of the root.
    """
    found: Any = brentq(function, *ends, xtol=tolerance, full_output=True, disp=False)
    return float(found[0])


def bordered(matrix: Matrix, column: Vector, row: Vector) -> Float[np.ndarray, "more more"]:
    """A matrix with one more unknown, whose derivatives are a column, and one more equation, a row."""
    size = len(matrix)
    larger = np.zeros((size + 1, size + 1))
    larger[:size, :size], larger[:size, size], larger[size, :size] = matrix, column, row
    return larger


def bounded_minimum(
    function: Callable[[float], float], ends: tuple[float, float], tolerance: float
) -> tuple[float, float]:
    """The minimum between two points, and the value there, by Brent's method.

    Args:
        function: of one number.
        ends: the two points.
        tolerance: of the point.
    """
    found: Any = minimize_scalar(function, bounds=ends, method="bounded", options={"xatol": tolerance})
    return float(found.x), float(found.fun)
