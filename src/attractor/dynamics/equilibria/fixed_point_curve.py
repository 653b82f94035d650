r"""The curve of fixed points in the space of states and a parameter, and its bifurcations.

A point is $y = (x / \sqrt{N}, (p - p_0) / (p_1 - p_0))$ with N states, so that lengths along the curve do
not depend on the number of states or on the unit of the parameter. Where the N equations F(y) = 0 leave a
curve, the tangent t is the null vector of their Jacobian, and one more equation, $t^T (y - \hat y) = 0$,
makes the problem regular also at a fold (Keller 1977, *Numerical solution of bifurcation and nonlinear
eigenvalue problems*).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from attractor.cells import CellLike
from attractor.dynamics.roots import Linearised, bracketed_root, newton, solved
from attractor.program import compiled
from attractor.report.drawn import Drawn
from attractor.shown import Shown, counted

from ..trajectory import analysed
from .descent import drift
from .points import PointKind, descending, kind_of, unstable_directions

_CORRECTIONS = 7
# On |F|, relative to max(1, |x|).
_TOLERANCE = 1e-12
_EASY = 3
# Length along the curve to which a bifurcation is located.
_EXACT = 1e-12
# An eigenvalue with a smaller imaginary part, seen at a bifurcation, is real.
_REAL = 1e-6


class BifurcationKind(StrEnum):
    """What happens where an eigenvalue crosses the unit circle; the value is the text that users see."""

    FOLD = "fold: the branch turns back, and two fixed points meet and vanish"
    CROSSING = "crossing at +1: another branch meets this one (pitchfork or transcritical)"
    PERIOD_DOUBLING = "crossing at -1: an orbit of period two is born"
    ROTATION = "a complex pair crosses: an invariant circle is born (Neimark-Sacker, or Hopf of a flow)"


class BranchStatus(StrEnum):
    """Why a branch ends; the value is the text that users see."""

    REACHED_LAST = "reached the last value of the parameter"
    RETURNED = "turned at a fold and came back past the first value of the parameter"
    STEP_TOO_SMALL = "no point found for the smallest step: the branch may end, or turn too sharply"
    TOO_MANY_POINTS = "the number of points allowed is used up; follow on from the last one"


@dataclass(frozen=True, eq=False)
class Bifurcation(Shown):
    """A point of a branch where stability changes.

    Args:
        kind: what happens there.
        parameter: where.
        state: the flat state there.
        eigenvalue: the one on the unit circle, of a pair that with positive imaginary part.
        unstable: how many directions grow at the points before and after.
        after: the index of the last point of the branch before it.
    """

    kind: BifurcationKind
    parameter: float
    state: Float[np.ndarray, " states"]
    eigenvalue: complex
    unstable: tuple[int, int]
    after: int

    def __str__(self) -> str:
        """Where, and what happens there."""
        return f"at {self.parameter:.6g}: {self.kind}"


@dataclass(frozen=True, eq=False)
class Branch(
    Drawn, picture="attractor.dynamics.dynamics_pictures:draw_branch", next_call=".plot(), .bifurcations"
):
    """Fixed points along a curve, in the order in which they were followed.

    Args:
        parameters: the value of the parameter at each; it turns at folds.
        states: flat states.
        residuals: |step(x) - x|.
        eigenvalues: of the step's Jacobian, those of largest modulus first.
        bifurcations: where stability changes or the branch turns, in order.
        status: why it ends.
        seconds: wall time, compilation included.
    """

    parameters: Float[np.ndarray, " points"]
    states: Float[np.ndarray, "points states"]
    residuals: Float[np.ndarray, " points"]
    eigenvalues: Complex[np.ndarray, "points states"]
    bifurcations: tuple[Bifurcation, ...]
    status: BranchStatus
    seconds: float

    def __len__(self) -> int:
        """How many points."""
        return len(self.parameters)

    @property
    def unstable(self) -> Int[np.ndarray, " points"]:
        """How many directions surely grow at each point."""
        return unstable_directions(self.eigenvalues)

    @property
    def kinds(self) -> list[PointKind]:
        """Attracting, saddle, repelling, or marginal within rounding."""
        return [kind_of(values) for values in self.eigenvalues]

    def __str__(self) -> str:
        """How far it goes, why it ends, and a line for every bifurcation."""
        if not len(self):
            return f"no point; {self.status}"
        low, high = self.parameters.min(), self.parameters.max()
        lines = [f"{counted(len(self), 'point')}, parameter from {low:.6g} to {high:.6g}; {self.status}"]
        return "\n".join([*lines, *(f"{one.parameter:.6g}: {one.kind}" for one in self.bifurcations)])


@dataclass(frozen=True, eq=False)
class CurvePoint:
    """A point of the curve with its linearisation.

    Args:
        position: y, scaled state and scaled parameter.
        values: F.
        jacobian: of F in y, shape (states, states + 1).
        easy: whether Newton's method found it in few steps.
    """

    position: Float[np.ndarray, " unknowns"]
    values: Float[np.ndarray, " states"]
    jacobian: Float[np.ndarray, "states unknowns"]
    easy: bool = True

    def tangent(self, border: Float[np.ndarray, " unknowns"]) -> Float[np.ndarray, " unknowns"]:
        """The unit tangent that points as the border does."""
        last = np.zeros(len(border))
        last[-1] = 1.0
        found = solved(np.vstack([self.jacobian, border]), last)
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

    build: Callable[..., CellLike]
    row: Float[np.ndarray, " inputs"]
    interval: tuple[float, float]

    def scaled(self, state: np.ndarray, parameter: float) -> np.ndarray:
        """The point y of a state and a parameter."""
        first, last = self.interval
        return np.append(state / np.sqrt(len(state)), (parameter - first) / (last - first))

    def state(self, position: np.ndarray) -> np.ndarray:
        """The flat state at y."""
        return position[:-1] * np.sqrt(len(position) - 1)

    def parameter(self, position: np.ndarray) -> float:
        """The parameter at y."""
        first, last = self.interval
        return float(first + position[-1] * (last - first))

    def at(self, position: np.ndarray) -> CurvePoint:
        """F and its Jacobian at y."""
        state, parameter = self.state(position), self.parameter(position)
        moved = (jnp.asarray(part, jnp.float64) for part in (state, self.row, parameter))
        parts = _extended(self.build, *moved)
        values, in_state, in_parameter = map(np.asarray, parts)
        span = self.interval[1] - self.interval[0]
        return CurvePoint(
            position, values, np.column_stack([in_state * np.sqrt(len(state)), in_parameter * span])
        )

    def corrected(self, guess: np.ndarray, border: np.ndarray) -> CurvePoint | None:
        """The point of the curve in the plane through the guess across the border; None if not found."""
        points: list[CurvePoint] = []

        def linearised(position: np.ndarray) -> Linearised:
            point = self.at(position)
            points.append(point)
            finite = np.isfinite(point.jacobian).all() and np.isfinite(point.values).all()
            size = max(1.0, float(np.linalg.norm(self.state(position))))
            residual = float(np.linalg.norm(point.values)) / size if finite else np.inf
            errors = np.append(point.values, border @ (position - guess))
            return Linearised(errors, lambda: np.vstack([point.jacobian, border]), residual)

        found = newton(linearised, guess, _TOLERANCE, most=_CORRECTIONS, lost=np.inf)
        return replace(points[-1], easy=found.steps <= _EASY) if found.residual < _TOLERANCE else None


@compiled
def _extended(
    build: Callable[..., CellLike], state: Array, row: Array, parameter: Array
) -> tuple[Array, Array, Array]:
    """F, its Jacobian in the state and its derivative in the parameter."""

    def field(state: Array, parameter: Array) -> Array:
        return drift(analysed(build(parameter)).still("continuation"))(state, row)

    return field(state, parameter), *jax.jacfwd(field, (0, 1))(state, parameter)


def between(
    curve: Curve, here: CurvePoint, there: CurvePoint, tangents: tuple[np.ndarray, np.ndarray], after: int
) -> list[Bifurcation]:
    """The bifurcations on the way from one point of the curve to the next.

    A fold changes the number of unstable directions by one. Where the branch turns and that number is the
    same on both sides, it is the arm of a pitchfork that passes its middle. What remains of a change is
    another event.
    """
    before, later = (int(unstable_directions(point.eigenvalues)) for point in (here, there))
    way = _Way(curve, here, tangents[0], float(tangents[0] @ (there.position - here.position)))
    found: list[tuple[CurvePoint, BifurcationKind]] = []
    if tangents[0][-1] * tangents[1][-1] < 0:
        turn = way.zero(lambda point: point.tangent(tangents[0])[-1])
        kind = BifurcationKind.CROSSING if before == later else BifurcationKind.FOLD
        found.append((turn, kind))
    if abs(later - before) > len(found):
        rank = max(before, later) - 1
        crossing = way.zero(lambda point: float(np.abs(point.eigenvalues[rank])) - 1.0)
        found.append((crossing, _crossing_kind(crossing)))
    found.sort(key=lambda event: float(tangents[0] @ event[0].position))
    return [_event(curve, point, kind, (before, later), after) for point, kind in found]


class _Way:
    """Points of the curve at lengths along the tangent from one of them."""

    def __init__(self, curve: Curve, start: CurvePoint, tangent: np.ndarray, length: float) -> None:
        self._curve, self._start, self._tangent, self._length = curve, start, tangent, length

    def zero(self, test: Callable[[CurvePoint], float]) -> CurvePoint:
        """The point where the test changes its sign; the nearer end where rounding hides the change."""
        low, high = (test(self._at(length)) for length in (0.0, self._length))
        if low * high > 0:
            return self._at(0.0 if abs(low) < abs(high) else self._length)
        return self._at(bracketed_root(lambda s: test(self._at(s)), (0.0, self._length), _EXACT))

    def _at(self, length: float) -> CurvePoint:
        guess = self._start.position + length * self._tangent
        found = self._curve.corrected(guess, self._tangent)
        return self._curve.at(guess) if found is None else found


def _crossing_kind(point: CurvePoint) -> BifurcationKind:
    value = _critical(point)
    if abs(value.imag) > _REAL:
        return BifurcationKind.ROTATION
    return BifurcationKind.CROSSING if value.real > 0 else BifurcationKind.PERIOD_DOUBLING


def _critical(point: CurvePoint) -> complex:
    """The eigenvalue nearest to the unit circle."""
    return complex(point.eigenvalues[np.argmin(np.abs(np.abs(point.eigenvalues) - 1))])


def _event(
    curve: Curve, point: CurvePoint, kind: BifurcationKind, counts: tuple[int, int], after: int
) -> Bifurcation:
    return Bifurcation(
        kind, curve.parameter(point.position), curve.state(point.position), _critical(point), counts, after
    )
