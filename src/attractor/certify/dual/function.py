r"""What is known of each nonlinear function: its values, its range on a box, and its conjugate there.

The Lagrangian dual of a network and its linear relaxations ask the same thing of a function h on a box,

    top(s) = max_z h(z) - s z,      bottom(s) = min_z h(z) - s z,

for any slope s: then s z + bottom(s) <= h(z) <= s z + top(s) on the box. The extremes lie at the ends of the
box, at points where h turns, and where h'(z) = s, which is in closed form for all functions here. A
stationary point that is computed is wrong by rounding; since top is a maximum of linear functions of s, it is
exact for s* = h'(z*), and top(s) <= h(z*) - s z* + |s - s*| max|z - z*|. That remainder is added, so that an
extreme is on the safe side but for the rounding of h and of the product, which the walk accounts for.

Functions of two arguments (x y, sigmoid(x) y) have a slope for each, and planes in place of lines.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple, TypeAlias

import numpy as np

# Units that a transcendental function may be wrong by, relative to its result.
TRANSCENDENTAL = 16

# What is not defined is infinite or no number, and is treated as unknown where it is used.
quiet = np.errstate(all="ignore")

UNIT = 2.0**-52
TINY = 1e-290

Box: TypeAlias = tuple[np.ndarray, np.ndarray]
Boxes: TypeAlias = tuple[Box, ...]
Slopes: TypeAlias = tuple[np.ndarray, ...]
Point: TypeAlias = tuple[np.ndarray, ...]
# Points where an extreme may be, each with how far its own slope may be from the one that was asked for,
# times the size of the box; None for points that need not be stationary.
Candidates: TypeAlias = list[tuple[Point, np.ndarray | None]]


class Extreme(NamedTuple):
    """The largest (least) value of h(z) - s z on a box, and where it is.

    Args:
        value: outward by what a computed stationary point may miss.
        point: an array for each argument of h.
    """

    value: np.ndarray
    point: Point


class Function(ABC):
    """A function of one or two numbers."""

    # Units that h itself may be wrong by, relative to its result.
    units = 1
    # Whether there are numbers that h is not defined at.
    partial = False
    # Whether h jumps, so that its slopes do not tell how it changes.
    jumps = False

    def defined(self, boxes: Boxes) -> np.ndarray:
        """Whether h is defined on all of each box."""
        return np.ones(boxes[0][0].shape, bool)

    def cut(self, box: Box) -> np.ndarray:
        """Where to cut a box of an argument in two; what is not inside of it is no cut."""
        return (box[0] + box[1]) / 2

    @abstractmethod
    def value(self, point: Point) -> np.ndarray:
        """Of h, entry by entry.

        Args:
            point: an array for each argument.
        """

    @abstractmethod
    def range(self, boxes: Boxes) -> Box:
        """Least and largest value on a box, outward."""

    @abstractmethod
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """Slopes of a good upper and of a good lower line (plane) on a box; any slope is valid."""

    @abstractmethod
    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """Points in the box among which the extremes of h(z) - s z are, with the error of their slope."""

    @abstractmethod
    def gradient(self, point: Point) -> Point:
        """Slopes at a point, of one side at a kink."""

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """The top (sign 1) or bottom (sign -1) for slopes of any shape that the box broadcasts to."""
        best: np.ndarray | None = None
        where: Point = ()
        for point, missed in self.points(slopes, boxes):
            gain = self.value(point)
            for slope, one in zip(slopes, point, strict=True):
                gain = gain - slope * one
            if missed is not None:
                gain = gain + sign * missed
            # An end without bound leaves inf - inf, which is no number: then nothing is known, never less.
            gain = np.where(np.isnan(gain), sign * np.inf, gain)
            if best is None:
                best, where = gain, point
                continue
            better = gain > best if sign > 0 else gain < best
            best = np.where(better, gain, best)
            where = tuple(np.where(better, new, old) for new, old in zip(point, where, strict=True))
        if best is None:
            raise LookupError("a function without candidates for its extremes")
        return Extreme(best, where)


def largest_size(box: Box) -> np.ndarray:
    """The largest absolute value of every entry of a box."""
    return np.maximum(np.abs(box[0]), np.abs(box[1]))


def outward(low: np.ndarray, high: np.ndarray, units: int) -> Box:
    """A box after so many relative roundings of each end."""
    share = 2 * units * UNIT
    return low - (share * np.abs(low) + TINY), high + (share * np.abs(high) + TINY)


def secant(low: np.ndarray, high: np.ndarray, at_low: np.ndarray, at_high: np.ndarray) -> np.ndarray:
    """The slope from end to end; zero where both are one."""
    width = high - low
    return np.where(width > 0, (at_high - at_low) / np.where(width > 0, width, 1.0), 0.0)
