"""Functions made of straight pieces, whose extremes are at kinks and ends, and what is one point."""

import numpy as np

from .function import TINY, Box, Boxes, Candidates, Extreme, Function, Point, Slopes, quiet, secant


class Rectifier(Function):
    """max(z, 0)."""

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        (z,) = point
        return np.maximum(z, 0.0)

    def cut(self, box: Box) -> np.ndarray:
        """At the kink."""
        return np.zeros_like(box[0])

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


class Within(Function):
    """z itself between two numbers; not defined elsewhere, where whole numbers of a computer begin anew.

    Args:
        least: the least number that there is.
        most: the largest one.
    """

    partial = True

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    @quiet
    def defined(self, boxes: Boxes) -> np.ndarray:
        """Between both."""
        return np.asarray((boxes[0][0] >= self.least) & (boxes[0][1] <= self.most))

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        (z,) = point
        return np.where((z >= self.least) & (z <= self.most), z, np.nan)

    def gradient(self, point: Point) -> Point:
        """One."""
        return (np.ones_like(point[0]),)

    def range(self, boxes: Boxes) -> Box:
        """Exact."""
        return boxes[0]

    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """One."""
        one = np.ones_like(boxes[0][0])
        return (one,), (one,)

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """Not used, see `extreme`."""
        return [((end,), None) for end in boxes[0]]

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """Of (1 - s) z, at an end."""
        low, high = boxes[0]
        ends = [
            np.where(np.isnan(end), sign * np.inf, end)
            for end in ((1.0 - slopes[0]) * low, (1.0 - slopes[0]) * high)
        ]
        first = ends[0] > ends[1] if sign > 0 else ends[0] < ends[1]
        return Extreme(np.where(first, *ends), (np.where(first, low, high),))


class IsZero(Function):
    """1 where z = 0, else 0."""

    jumps = True

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
