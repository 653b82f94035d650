r"""The curve of fixed points in the space of states and a parameter, and Newton's method back to it.

A point is $y = (x / \sqrt{N}, (p - p_0) / (p_1 - p_0))$ with N states, so that lengths along the curve do not
depend on the number of states or on the unit of the parameter. Where the N equations F(y) = 0 leave a curve,
the tangent t is the null vector of their Jacobian, and one more equation, $t^T (y - \hat y) = 0$, makes the
problem regular also at a fold (Keller 1977, *Numerical solution of bifurcation and nonlinear eigenvalue
problems*).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from attractor.program import compiled

from ..trajectory import analysed
from .descent import drift
from .modes import descending

_CORRECTIONS = 8
_TOLERANCE = 1e-12
"""On |F|, relative to max(1, |x|)."""
_EASY = 3


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """A point of the curve with its linearisation.

    Args:
        place: y, scaled state and scaled parameter.
        values: F.
        jacobian: of F in y, shape (states, states + 1).
        easy: whether Newton's method found it in few steps.
    """

    place: Float[np.ndarray, " unknowns"]
    values: Float[np.ndarray, " states"]
    jacobian: Float[np.ndarray, "states unknowns"]
    easy: bool = True

    def tangent(self, border: Float[np.ndarray, " unknowns"]) -> Float[np.ndarray, " unknowns"]:
        """The unit tangent that points as the border does."""
        last = np.zeros(len(border))
        last[-1] = 1.0
        found = _solved(np.vstack([self.jacobian, border]), last)
        return found / np.linalg.norm(found)

    @cached_property
    def eigenvalues(self) -> Complex[np.ndarray, " states"]:
        """Of the step's Jacobian, those of largest modulus first."""
        states = len(self.values)
        in_state = self.jacobian[:, :-1] / np.sqrt(states)
        found = np.linalg.eigvals(in_state + np.eye(states)).astype(complex)
        return found[descending(found)]

    def first_tangent(self) -> Float[np.ndarray, " unknowns"]:
        """The unit tangent along which the parameter moves towards its last value."""
        found = np.linalg.svd(self.jacobian)[2][-1]
        return found if found[-1] >= 0 else -found


@dataclass(frozen=True, eq=False)
class Curve:
    """Fixed points of the cells that `build` makes, at one constant input.

    Args:
        build: `build(parameter) -> cell`.
        row: the constant input.
        interval: first and last value of the parameter.
    """

    build: Any
    row: Float[np.ndarray, " inputs"]
    interval: tuple[float, float]

    def scaled(self, state: np.ndarray, parameter: float) -> np.ndarray:
        """The place y of a state and a parameter."""
        first, last = self.interval
        return np.append(state / np.sqrt(len(state)), (parameter - first) / (last - first))

    def state(self, place: np.ndarray) -> np.ndarray:
        """The flat state at y."""
        return place[:-1] * np.sqrt(len(place) - 1)

    def parameter(self, place: np.ndarray) -> float:
        """The parameter at y."""
        first, last = self.interval
        return float(first + place[-1] * (last - first))

    def at(self, place: np.ndarray) -> CurvePoint:
        """F and its Jacobian at y."""
        state, parameter = self.state(place), self.parameter(place)
        given = (jnp.asarray(part, jnp.float64) for part in (state, self.row, parameter))
        parts = _extended(self.build, *given)
        values, in_state, in_parameter = map(np.asarray, parts)
        span = self.interval[1] - self.interval[0]
        return CurvePoint(
            place, values, np.column_stack([in_state * np.sqrt(len(state)), in_parameter * span])
        )

    def corrected(self, guess: np.ndarray, border: np.ndarray) -> CurvePoint | None:
        """The point of the curve in the plane through the guess across the border; None if not found."""
        point = self.at(guess)
        for count in range(_CORRECTIONS):
            if not np.isfinite(point.jacobian).all() or not np.isfinite(point.values).all():
                return None
            size = max(1.0, float(np.linalg.norm(self.state(point.place))))
            if np.linalg.norm(point.values) <= _TOLERANCE * size:
                return CurvePoint(point.place, point.values, point.jacobian, count <= _EASY)
            rest = np.append(point.values, border @ (point.place - guess))
            point = self.at(point.place - _solved(np.vstack([point.jacobian, border]), rest))
        return None


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The solution; the shortest one where another branch crosses and the matrix is singular."""
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(matrix, right)[0]


@compiled
def _extended(build: Any, state: Array, row: Array, parameter: Array) -> tuple[Array, Array, Array]:
    """F, its Jacobian in the state and its derivative in the parameter."""

    def field(state: Array, parameter: Array) -> Array:
        return drift(analysed(build(parameter)).still("continuation"))(state, row)

    return field(state, parameter), *jax.jacfwd(field, (0, 1))(state, parameter)
