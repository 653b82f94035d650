"""Functions of two numbers: products, with and without a gate."""

import numpy as np
from scipy import special

from .function import (
    TRANSCENDENTAL,
    UNIT,
    Box,
    Boxes,
    Candidates,
    Function,
    Point,
    Slopes,
    largest_size,
    outward,
    quiet,
    secant,
)
from .smooth import logistic_points, logistic_slope


class Product(Function):
    """x y, whose hull on a box is that of McCormick: its extremes less a plane are at corners."""

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        x, y = point
        with np.errstate(all="ignore"):
            return x * y

    @quiet
    def gradient(self, point: Point) -> Point:
        """Each factor for the other."""
        x, y = point
        return y, x

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """At corners."""
        corners = [self.value(point) for point, _ in self.points((), boxes)]
        return outward(np.minimum.reduce(corners), np.maximum.reduce(corners), 1)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The mean of both planes of McCormick on each side: the tangent plane at the middle."""
        middle = tuple((low + high) / 2 for low, high in boxes)
        return (middle[1], middle[0]), (middle[1], middle[0])

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The corners."""
        return [((x, y), None) for x in boxes[0] for y in boxes[1]]


class GatedProduct(Function):
    """sigmoid(x) y: linear in y, so that its extremes less a plane are where y is at an end."""

    units = TRANSCENDENTAL

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        x, y = point
        return special.expit(x) * y

    @quiet
    def gradient(self, point: Point) -> Point:
        """Of the gate times y, and the gate."""
        x, y = point
        return logistic_slope(x) * y, special.expit(x)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """At corners: it is monotone in both."""
        corners = [self.value((x, y)) for x in boxes[0] for y in boxes[1]]
        return outward(np.minimum.reduce(corners), np.maximum.reduce(corners), TRANSCENDENTAL)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The gate's secant at the middle of y, and the gate in the middle."""
        (low, high), other = boxes
        ends = special.expit(low), special.expit(high)
        gate, steep = (ends[0] + ends[1]) / 2, secant(low, high, *ends)
        plane = steep * (other[0] + other[1]) / 2, gate
        return plane, plane

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """Corners, and for y at each end where the slope of the gate is s_x / y."""
        low, high = boxes[0]
        found: Candidates = [((x, y), None) for x in boxes[0] for y in boxes[1]]
        with np.errstate(all="ignore"):
            for y in boxes[1]:
                for point in logistic_points(slopes[0] / np.where(y == 0, np.nan, y)):
                    inside = np.where(np.isfinite(point), np.clip(point, low, high), low)
                    own = logistic_slope(inside) * y
                    missed = (np.abs(own - slopes[0]) + 2 * self.units * UNIT * np.abs(own)) * largest_size(
                        boxes[0]
                    )
                    interior = (inside > low) & (inside < high)
                    found.append(((inside, y), np.where(interior, missed, 0.0)))
        return found
