"""Functions made of straight pieces and jumps, whose extremes are at kinks and ends."""

import numpy as np

from .function import TINY, Box, Boxes, Candidates, Extreme, Function, Point, Slopes, quiet, secant


class Rectifier(Function):
    """max(z, 0)."""

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        (z,) = point
        return np.maximum(z, 0.0)

    @quiet
    def gradient(self, point: Point) -> Point:
        """Zero at the kink."""
        (z,) = point
        return ((z > 0).astype(float),)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """Exact."""
        return np.maximum(boxes[0][0], 0.0), np.maximum(boxes[0][1], 0.0)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The secant above; below, zero or one, whichever leaves the smaller area (CROWN)."""
        low, high = boxes[0]
        up, down = np.maximum(high, 0.0), np.minimum(low, 0.0)
        upper = up / np.maximum(up - down, TINY)
        return (upper,), (np.where(up > -down, 1.0, 0.0),)

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The ends, and zero where it is between them."""
        low, high = boxes[0]
        return [((low,), None), ((high,), None), ((np.clip(0.0, low, high),), None)]


class Clip(Function):
    """z between two numbers."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        return self._clipped(point[0])

    def _clipped(self, z: np.ndarray) -> np.ndarray:
        return np.clip(z, self.least, self.most)

    @quiet
    def gradient(self, point: Point) -> Point:
        """Zero at the kinks."""
        (z,) = point
        return (((z > self.least) & (z < self.most)).astype(float),)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """Exact."""
        return self._clipped(boxes[0][0]), self._clipped(boxes[0][1])

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """Lines from the far end of the box to the kink on the other side."""
        low, high = boxes[0]
        bottom, top = self._clipped(low), self._clipped(high)
        upper = secant(low, np.clip(self.most, low, high), bottom, top)
        lower = secant(np.clip(self.least, low, high), high, bottom, top)
        return (upper,), (lower,)

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The ends and both kinks."""
        low, high = boxes[0]
        ends = (low, high, np.clip(self.least, low, high), np.clip(self.most, low, high))
        return [((end,), None) for end in ends]


class Jump(Function):
    """1 where z > 0 (or z >= 0), else 0."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        (z,) = point
        return (z >= 0.0 if self.closed else z > 0.0).astype(float)

    @quiet
    def gradient(self, point: Point) -> Point:
        """None."""
        (z,) = point
        return (np.zeros_like(z),)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """Decided where zero is outside."""
        return self.value((boxes[0][0],)), self.value((boxes[0][1],))

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """From the jump to the far end, on the side where that is near."""
        low, high = boxes[0]
        crossed = (low <= 0) & (high >= 0)
        upper = np.where(crossed, np.minimum(1 / np.maximum(-low, TINY), 1e6), 0.0)
        lower = np.where(crossed, np.minimum(1 / np.maximum(high, TINY), 1e6), 0.0)
        return (np.where(high > -low, 0.0, upper),), (np.where(high > -low, lower, 0.0),)

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The ends; the jump itself has both values, see `extreme`."""
        low, high = boxes[0]
        return [((low,), None), ((high,), None)]

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """At an end, or at the jump with its larger (smaller) value."""
        found = super().extreme(sign, slopes, boxes)
        low, high = boxes[0]
        inside = (low <= 0) & (high >= 0)
        at_jump = np.where(inside, 1.0 if sign > 0 else 0.0, -np.inf * sign)
        better = at_jump > found.value if sign > 0 else at_jump < found.value
        return Extreme(np.where(better, at_jump, found.value), (np.where(better, 0.0, found.point[0]),))


class IsZero(Function):
    """1 where z = 0, else 0."""

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        (z,) = point
        return (z == 0.0).astype(float)

    @quiet
    def gradient(self, point: Point) -> Point:
        """None."""
        (z,) = point
        return (np.zeros_like(z),)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """Decided where zero is outside, or where the box is zero."""
        low, high = boxes[0]
        inside = (low <= 0) & (high >= 0)
        return ((low == 0) & (high == 0)).astype(float), inside.astype(float)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """None."""
        nothing = np.zeros_like(boxes[0][0])
        return (nothing,), (nothing,)

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """Not used, see `extreme`."""
        return [((end,), None) for end in boxes[0]]

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """By the range: h - s z is at most max h + max(-s z)."""
        least, most = self.range(boxes)
        low, high = boxes[0]
        ends = -slopes[0] * low, -slopes[0] * high
        if sign > 0:
            return Extreme(most + np.maximum(*ends), (np.where(ends[0] > ends[1], low, high),))
        return Extreme(least + np.minimum(*ends), (np.where(ends[0] < ends[1], low, high),))
