"""Newton's method for many unknowns, and bracketed roots and minima of functions of one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq, minimize_scalar

_STEPS = 25
# A residual above which Newton's method will not come back.
_LOST = 1e3


class Linearised(NamedTuple):
    """Errors of equations at a place, and how to get their matrix of derivatives.

    Args:
        errors: one for every unknown.
        matrix: makes the derivatives of the errors by the unknowns; called where a step is taken.
    """

    errors: Float[np.ndarray, " unknowns"]
    matrix: Callable[[], Float[np.ndarray, "unknowns unknowns"]]


class NewtonSolution(NamedTuple):
    """Where Newton's method ended.

    Args:
        unknowns: the place.
        residual: the largest error there, as a share of the scale.
        steps: taken.
    """

    unknowns: Float[np.ndarray, " unknowns"]
    residual: float
    steps: int


def newton(
    equations: Callable[[Float[np.ndarray, " unknowns"]], Linearised],
    start: Float[np.ndarray, " unknowns"],
    scale: float,
    tolerance: float,
) -> NewtonSolution:
    """Newton's method with full steps, until the residual is below a tolerance or the start was too far off.

    Args:
        equations: errors and derivatives.
        start: the first place.
        scale: of the errors.
        tolerance: of the residual.
    """
    unknowns, steps = start, 0
    while True:
        found = equations(unknowns)
        residual = float(np.abs(found.errors).max() / scale)
        if residual < tolerance or not residual < _LOST or steps == _STEPS:
            return NewtonSolution(unknowns, residual, steps)
        unknowns, steps = unknowns - np.linalg.solve(found.matrix(), found.errors), steps + 1


def bracketed_root(function: Callable[[float], float], ends: tuple[float, float], tolerance: float) -> float:
    """The root between two places where a function has different signs, by Brent's method.

    Args:
        function: of one number.
        ends: the two places.
        tolerance: of the root.
    """
    found: Any = brentq(function, *ends, xtol=tolerance, full_output=True, disp=False)
    return float(found[0])


def bordered(
    matrix: Float[np.ndarray, "unknowns unknowns"],
    column: Float[np.ndarray, " unknowns"],
    row: Float[np.ndarray, " unknowns"],
) -> Float[np.ndarray, "more more"]:
    """A matrix with one more unknown, whose derivatives are a column, and one more equation, a row."""
    size = len(matrix)
    larger = np.zeros((size + 1, size + 1))
    larger[:size, :size], larger[:size, size], larger[size, :size] = matrix, column, row
    return larger


def bounded_minimum(
    function: Callable[[float], float], ends: tuple[float, float], tolerance: float
) -> tuple[float, float]:
    """The place of a minimum between two others, and the value there, by Brent's method.

    Args:
        function: of one number.
        ends: the two places.
        tolerance: of the place.
    """
    found: Any = minimize_scalar(function, bounds=ends, method="bounded", options={"xatol": tolerance})
    return float(found.x), float(found.fun)
