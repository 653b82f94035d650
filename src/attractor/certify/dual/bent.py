r"""Functions that bend both ways: z g(c z), whose slope turns at known points, and exponential units.

Where h' is monotone, h'(z) = s has one solution at most, which bisection finds; the points where h' turns cut
the line into such pieces. On a piece that bends down, h(z) - s' z is largest where h'(z*) = s', and so

    max_z h(z) - s z <= h(z*) - s z* + |s - h'(z*)| max_z |z - z*|

there; a piece without a solution has its extremes at its ends. What bisection misses is in the last term.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import special

from .function import TRANSCENDENTAL, UNIT, Boxes, Candidates, Slopes, quiet, secant
from .smooth import Entrywise, Smooth

# Beyond this many widths of a gate its slope is that of its limit, to the last digit.
_FAR = 40.0
_STEPS = 44


class Gate(NamedTuple):
    """g of z g(z).

    Args:
        value: g.
        slope: g'.
        turns: where the slope of z g(z) turns, in rising order; it falls before the first of them.
    """

    value: Entrywise
    slope: Entrywise
    turns: tuple[float, ...]


class Bent(Smooth):
    """A function that bends both ways, or has a kink: its good slopes are found by trying two."""

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """For each side the nearer in the middle of the box: the slope from end to end, or that of there."""
        low, high = boxes[0]
        middle = (low + high) / 2
        across = secant(low, high, self.function(low), self.function(high))
        across, tangent = (np.where(np.isfinite(one), one, 0.0) for one in (across, self.derivative(middle)))
        found = []
        for sign in (1, -1):
            away = [
                sign * (self.extreme(sign, (slope,), boxes).value + slope * middle)
                for slope in (across, tangent)
            ]
            found.append((np.where(away[1] < away[0], tangent, across),))
        return found[0], found[1]


class SelfGated(Bent):
    """z g(c z) for a sigmoid g.

    Args:
        gate: g.
        rate: c > 0.
    """

    def __init__(self, gate: Gate, rate: float) -> None:
        super().__init__(self._of, self._slope, lambda _: [])
        self.gate, self.rate = gate, rate

    def _of(self, z: np.ndarray) -> np.ndarray:
        return z * self.gate.value(self.rate * z)

    def _slope(self, z: np.ndarray) -> np.ndarray:
        # Far out the slope of the gate is zero, and so is its product with any number.
        scaled = np.clip(self.rate * z, -_FAR, _FAR)
        return self.gate.value(scaled) + scaled * self.gate.slope(scaled)

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The ends, the points where the slope turns, and one point of every piece between them."""
        low, high = boxes[0]
        turns = [turn / self.rate for turn in self.gate.turns]
        ends = [np.clip(end, low, high) for end in (-np.inf, *turns, np.inf)]
        found: Candidates = [((end,), None) for end in ends]
        direction = -1.0
        for near, far in pairwise(ends):
            found.append(self._between(near, far, direction, slopes[0]))
            direction = -direction
        return found

    @quiet
    def _between(
        self, low: np.ndarray, high: np.ndarray, direction: float, slope: np.ndarray
    ) -> tuple[tuple[np.ndarray], np.ndarray]:
        """Where the slope is a given one on a piece where it rises (direction 1) or falls."""
        wide, limit = high - low, _FAR / self.rate
        near, far = (np.clip(end, low, high) + 0.0 * slope for end in (-limit, limit))
        before, after = (direction * (self._slope(end) - slope) for end in (near, far))
        error = 4 * TRANSCENDENTAL * UNIT * (1 + np.abs(slope))
        there = (before <= error) & (after >= -error)
        for _ in range(_STEPS):
            middle = (near + far) / 2
            early = direction * (self._slope(middle) - slope) < 0
            near, far = np.where(early, middle, near), np.where(early, far, middle)
        point = (near + far) / 2
        missed = (np.abs(self._slope(point) - slope) + error) * wide
        return (point,), np.where(there & (wide > 0), missed, 0.0)


class ExponentialUnit(Bent):
    """The larger of z and zero, and a (exp(c z) - 1) below zero.

    Args:
        depth: a > 0.
        rate: c > 0.
    """

    def __init__(self, depth: float, rate: float) -> None:
        super().__init__(self._of, self._slope, lambda _: [], between=(-depth, np.inf))
        self.depth, self.rate = depth, rate

    def _of(self, z: np.ndarray) -> np.ndarray:
        return np.where(z > 0, z, self.depth * np.expm1(self.rate * np.minimum(z, 0.0)))

    def _slope(self, z: np.ndarray) -> np.ndarray:
        return np.where(z > 0, 1.0, self._slope_below(np.minimum(z, 0.0)))

    def _slope_below(self, z: np.ndarray) -> np.ndarray:
        return self.depth * self.rate * np.exp(self.rate * z)

    @quiet
    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The ends, the kink, and the one point below it that has a given slope."""
        low, high = boxes[0]
        kink, slope = np.clip(0.0, low, high), slopes[0]
        found = np.log(slope / (self.depth * self.rate)) / self.rate
        point = np.where(np.isfinite(found), np.clip(found, low, kink), low)
        own = self._slope_below(point)
        missed = (np.abs(own - slope) + 4 * TRANSCENDENTAL * UNIT * own) * (kink - low)
        inside = (point > low) & (point < kink)
        return [((low,), None), ((high,), None), ((kink,), None), ((point,), np.where(inside, missed, 0.0))]


def _normal_slope(z: np.ndarray) -> np.ndarray:
    return np.exp(-(z**2)) / np.sqrt(np.pi)


def _logistic_slope(z: np.ndarray) -> np.ndarray:
    return special.expit(z) * special.expit(-z)


# The slope of z sigmoid(z) turns where z tanh(z / 2) = 2, and that of z (1 + erf z) / 2 where z^2 = 1.
LOGISTIC = Gate(special.expit, _logistic_slope, (-2.399357280520469, 2.399357280520469))
NORMAL = Gate(lambda z: special.erfc(-z) / 2, _normal_slope, (-1.0, 1.0))
