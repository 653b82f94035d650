r"""Functions that rise in steps: floor, ceiling, rounding, cutting off, the sign, and comparisons with zero.

A staircase $h$ jumps at known points $p$, from $h(p^-)$ to $h(p^+)$. Its upper corners $(p, h(p^+))$ and its
lower ones $(p, h(p^-))$, with both ends of a box, are where h(z) - s z has its extremes there, whatever s:

    max_z h(z) - s z = max over ends and upper corners,      min_z h(z) - s z = min over ends and lower ones.

Stairs of one size have their corners on lines of slope one, so that only the first and the last of each such
run count. A corner whose value is a limit from outside of the box takes no part: floor is 2 on all of
[2, 2.9], and the ceiling is 3 on all of [2.1, 3].
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from .function import Box, Boxes, Candidates, Extreme, Function, Point, Slopes, largest_size, quiet

# Beyond this size halves are no numbers of float64 any more, and a step is less than a rounding.
_HUGE = 2.0**50
# Steeper lines gain nothing: they are drawn over boxes narrower than one over this.
_STEEPEST = 1e6

# Where the hull is looked at: in the middle itself there is a corner as often as not.
_SHARE = 0.5001


class Run(NamedTuple):
    """Jumps at whole numbers plus `offset`, from the `first` to the `last` of them.

    Args:
        rise: how far above its position the upper corner of a jump is.
        step: how far below that the lower one is.
        offset: 0, or 0.5 for jumps at halves.
        first: position of the first jump.
        last: of the last one.
    """

    rise: float
    step: float = 1.0
    offset: float = 0.0
    first: float = -np.inf
    last: float = np.inf


class _Corner(NamedTuple):
    """A point of the graph, or of what it comes near to, and whether the box has it."""

    at: np.ndarray
    height: np.ndarray
    there: np.ndarray


class Stairs(Function):
    """A staircase that never falls.

    Args:
        function: h.
        runs: its jumps.
    """

    units = 2
    jumps = True

    def __init__(self, function: Callable[[np.ndarray], np.ndarray], *runs: Run) -> None:
        self.function, self.runs = function, runs
        self.endless = any(np.isinf([run.first, run.last]).any() for run in runs)

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        (z,) = point
        with np.errstate(all="ignore"):
            return self.function(z)

    @quiet
    def gradient(self, point: Point) -> Point:
        """The mean slope of many stairs, which an attack can follow; zero of a single jump."""
        (z,) = point
        return (np.full_like(z, float(self.endless)),)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """Exact: the values at the ends."""
        return self.value((boxes[0][0],)), self.value((boxes[0][1],))

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """Of the edge of the hull that is above (below) the middle of the box."""
        return (self._edge(1, boxes[0]),), (self._edge(-1, boxes[0]),)

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The ends; corners have values that h has only nearby, see `extreme`."""
        return [((end,), None) for end in boxes[0]]

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """At an end or at a corner; of huge numbers by |h(z) - z| <= 1."""
        (slope,), (low, high) = slopes, boxes[0]
        best, where = np.full(np.broadcast_shapes(slope.shape, low.shape), -np.inf), low
        for corner in self._corners(sign, low, high):
            gain = sign * (corner.height - slope * corner.at)
            gain = np.where(corner.there, np.where(np.isnan(gain), np.inf, gain), -np.inf)
            where = np.where(gain > best, corner.at, where)
            best = np.maximum(gain, best)
        if self.endless:
            ends = [sign * (1.0 - slope) * end for end in (low, high)]
            loose = np.maximum(*(np.where(np.isnan(end), np.inf, end) for end in ends)) + 1.0
            best = np.where(largest_size((low, high)) > _HUGE, loose, best)
        return Extreme(sign * best, (np.clip(where, low, high),))

    @quiet
    def cut(self, box: Box) -> np.ndarray:
        """At the jump that is nearest to the middle, where one is inside."""
        low, high = box
        middle = found = (low + high) / 2
        ends = np.nextafter(low, np.inf), np.nextafter(high, -np.inf)
        for run in self.runs:
            first, last = self._jumps(run, *ends)
            jump = np.clip(np.rint(middle - run.offset) + run.offset, first, last)
            found = np.where(first <= last, jump, found)
        return found

    @staticmethod
    def _jumps(run: Run, low: np.ndarray, high: np.ndarray) -> Box:
        """The first and the last jump of a run that a box has; the wrong way round where it has none."""
        return (
            np.maximum(_next(low, run.offset), run.first),
            np.minimum(-_next(-high, run.offset), run.last),
        )

    def _edge(self, sign: int, box: Box) -> np.ndarray:
        """The slope of the hull a little above the middle, where hardly ever two edges meet."""
        low, high = box
        middle = low + _SHARE * (high - low)
        best, slope = np.full(low.shape, -np.inf), np.zeros(low.shape)
        for one, other in combinations(self._corners(sign, low, high), 2):
            width = other.at - one.at
            steep = np.clip((other.height - one.height) / width, -_STEEPEST, _STEEPEST)
            above = sign * (one.height + steep * (middle - one.at))
            spans = one.there & other.there & ((one.at - middle) * (other.at - middle) <= 0)
            better = spans & (width != 0) & (above > best)
            best, slope = np.where(better, above, best), np.where(better, steep, slope)
        return slope

    def _corners(self, sign: int, low: np.ndarray, high: np.ndarray) -> list[_Corner]:
        """Both ends of a box, and the first and last upper (sign 1) or lower corner of every run."""
        found = [_Corner(end, self.function(end), np.ones(end.shape, bool)) for end in (low, high)]
        for run in self.runs:
            up = run.rise if sign > 0 else run.rise - run.step
            first, last = self._jumps(run, low, high)
            # What h only comes near to must have room in the box on the side from which it does.
            if sign > 0:
                last = np.where((last == high) & (self.function(last) != last + up), last - 1.0, last)
            else:
                first = np.where((first == low) & (self.function(first) != first + up), first + 1.0, first)
            there = (first <= last) & np.isfinite(first) & np.isfinite(last)
            found += [_Corner(end, end + up, there) for end in (first, last)]
        return found


def _next(least: np.ndarray, offset: float) -> np.ndarray:
    """The first of all whole numbers plus 0 or 0.5 that is not below a number."""
    found = np.ceil(least - offset) + offset
    return np.where(found < least, found + 1.0, found)


def _away(z: np.ndarray) -> np.ndarray:
    """To the nearest whole number, halves away from zero."""
    cut = np.trunc(z)
    return np.where(np.abs(z - cut) >= 0.5, cut + np.sign(z), cut)


# Functions without parameters.
STAIRS: dict[str, Stairs] = {
    "floor": Stairs(np.floor, Run(0.0)),
    "ceil": Stairs(np.ceil, Run(1.0)),
    "round": Stairs(np.rint, Run(0.5, offset=0.5)),
    "round_away": Stairs(_away, Run(0.5, offset=0.5)),
    "trunc": Stairs(np.trunc, Run(1.0, last=-1.0), Run(0.0, first=1.0)),
    "sign": Stairs(np.sign, Run(1.0, 2.0, first=0.0, last=0.0)),
    "positive": Stairs(lambda z: (z > 0.0).astype(float), Run(1.0, first=0.0, last=0.0)),
    "not_negative": Stairs(lambda z: (z >= 0.0).astype(float), Run(1.0, first=0.0, last=0.0)),
}
