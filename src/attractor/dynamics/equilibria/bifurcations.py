"""Where between two points of a branch it turns, or an eigenvalue crosses the unit circle."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.optimize

from .branch import Bifurcation, BifurcationKind
from .curve import Curve, CurvePoint
from .modes import unstable_directions

_EXACT = 1e-12
"""Length along the curve to which a bifurcation is located."""
_REAL = 1e-6
"""An eigenvalue with a smaller imaginary part, seen at a bifurcation, is real."""


def between(
    curve: Curve, here: CurvePoint, there: CurvePoint, tangents: tuple[np.ndarray, np.ndarray], after: int
) -> list[Bifurcation]:
    """The bifurcations on the way from one point of the curve to the next.

    A fold changes the number of unstable directions by one. Where the branch turns and that number is the
    same on both sides, it is the arm of a pitchfork that passes its middle. What remains of a change is
    another event.
    """
    before, later = (int(unstable_directions(point.eigenvalues)) for point in (here, there))
    way = _Way(curve, here, tangents[0], float(tangents[0] @ (there.place - here.place)))
    found: list[tuple[CurvePoint, BifurcationKind]] = []
    if tangents[0][-1] * tangents[1][-1] < 0:
        turn = way.zero(lambda point: point.tangent(tangents[0])[-1])
        kind = BifurcationKind.CROSSING if before == later else BifurcationKind.FOLD
        found.append((turn, kind))
    if abs(later - before) > len(found):
        rank = max(before, later) - 1
        crossing = way.zero(lambda point: float(np.abs(point.eigenvalues[rank])) - 1.0)
        found.append((crossing, _crossing_kind(crossing)))
    found.sort(key=lambda event: float(tangents[0] @ event[0].place))
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
        length: Any = scipy.optimize.brentq(lambda s: test(self._at(s)), 0.0, self._length, xtol=_EXACT)
        return self._at(length)

    def _at(self, length: float) -> CurvePoint:
        guess = self._start.place + length * self._tangent
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
        kind, curve.parameter(point.place), curve.state(point.place), _critical(point), counts, after
    )
