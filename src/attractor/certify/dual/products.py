"""Functions of two numbers: products, with and without gates."""

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
from .smooth import SMOOTH, Smooth, logistic_slope


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
        """At corners; exact where a factor is zero or one, as slopes of kinks are."""
        lows, highs = [], []
        for (x, y), _ in self.points((), boxes):
            corner, plain = x * y, _is_plain(x) | _is_plain(y)
            low, high = outward(corner, corner, 1)
            lows.append(np.where(plain, corner, low))
            highs.append(np.where(plain, corner, high))
        return np.minimum.reduce(lows), np.maximum.reduce(highs)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The mean of both planes of McCormick on each side: the tangent plane at the middle."""
        middle = tuple((low + high) / 2 for low, high in boxes)
        return (middle[1], middle[0]), (middle[1], middle[0])

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The corners."""
        return [((x, y), None) for x in boxes[0] for y in boxes[1]]


def _is_plain(factors: np.ndarray) -> np.ndarray:
    """Where a product with a number is exact, whatever the other one."""
    return (factors == 0.0) | (np.abs(factors) == 1.0)


class GatedProduct(Function):
    """h(x) y for a monotone h, as sigmoid(x) y: linear in y, so its extremes less a plane are at ends of y.

    Args:
        gate: h.
    """

    units = TRANSCENDENTAL

    def __init__(self, gate: Smooth) -> None:
        self.gate = gate

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        x, y = point
        return self.gate.function(x) * y

    @quiet
    def gradient(self, point: Point) -> Point:
        """Of the gate times y, and the gate."""
        x, y = point
        return self.gate.derivative(x) * y, self.gate.function(x)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """At corners: for a fixed other argument it is monotone in each."""
        corners = [self.value((x, y)) for x in boxes[0] for y in boxes[1]]
        return outward(np.minimum.reduce(corners), np.maximum.reduce(corners), TRANSCENDENTAL)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The gate's secant at the middle of y, and the gate in the middle."""
        (low, high), other = boxes
        ends = self.gate.function(low), self.gate.function(high)
        gate, steep = (ends[0] + ends[1]) / 2, secant(low, high, *ends)
        plane = steep * (other[0] + other[1]) / 2, gate
        return plane, plane

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """Corners, and for y at each end where the slope of the gate is s_x / y."""
        found: Candidates = [((x, y), None) for x in boxes[0] for y in boxes[1]]
        for y in boxes[1]:
            found += [((x, y), missed) for x, missed in edge(self.gate, y, slopes[0], boxes[0])]
        return found


@quiet
def edge(
    factor: Smooth, other: np.ndarray, slope: np.ndarray, box: Box
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where h(z) c - s z may be extreme inside a box, with what the computed points may miss.

    Args:
        factor: h.
        other: c.
        slope: s.
        box: of z.
    """
    low, high = box
    found = []
    for point in factor.stationary(slope / np.where(other == 0, np.nan, other)):
        inside = np.where(np.isfinite(point), np.clip(point, low, high), low)
        own = factor.derivative(inside) * other
        missed = 2 * (np.abs(own - slope) + 2 * factor.units * UNIT * np.abs(own)) * largest_size(box)
        found.append((inside, np.where((inside > low) & (inside < high), missed, 0.0)))
    return found


class GatedTanh(Function):
    """sigmoid(x) tanh(y), as in an LSTM."""

    units = 2 * TRANSCENDENTAL

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        x, y = point
        return special.expit(x) * np.tanh(y)

    @quiet
    def gradient(self, point: Point) -> Point:
        """Each slope times the other factor."""
        x, y = point
        return logistic_slope(x) * np.tanh(y), special.expit(x) * SMOOTH["tanh"].derivative(y)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """At corners: it is monotone in both."""
        corners = [self.value((x, y)) for x in boxes[0] for y in boxes[1]]
        least, most = outward(np.minimum.reduce(corners), np.maximum.reduce(corners), self.units)
        return np.maximum(least, -1.0), np.minimum(most, 1.0)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """For each side the plane that is nearer at the middle: through the ends, or the tangent there."""
        (low, high), (least, most) = boxes
        gates, values = special.expit(boxes[0]), np.tanh(boxes[1])
        through = (
            secant(low, high, *gates) * (values[0] + values[1]) / 2,
            secant(least, most, *values) * (gates[0] + gates[1]) / 2,
        )
        middle = (low + high) / 2, (least + most) / 2
        planes = through, self.gradient(middle)
        return self._nearer(1, planes, boxes, middle), self._nearer(-1, planes, boxes, middle)

    def _nearer(self, sign: int, planes: tuple[Slopes, ...], boxes: Boxes, middle: Point) -> Slopes:
        best, chosen = np.full_like(middle[0], np.inf), planes[0]
        for plane in planes:
            away = sign * self.extreme(sign, plane, boxes).value
            away = away + sign * (plane[0] * middle[0] + plane[1] * middle[1])
            chosen = tuple(np.where(away < best, own, old) for own, old in zip(plane, chosen, strict=True))
            best = np.fmin(best, away)
        return chosen

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """Corners, points on the four edges, and one inside for each sign."""
        found: Candidates = [((x, y), None) for x in boxes[0] for y in boxes[1]]
        for y in boxes[1]:
            edges = edge(SMOOTH["logistic"], np.tanh(y), slopes[0], boxes[0])
            found += [((x, y), missed) for x, missed in edges]
        for x in boxes[0]:
            edges = edge(SMOOTH["tanh"], special.expit(x), slopes[1], boxes[1])
            found += [((x, y), missed) for y, missed in edges]
        return found + [self._inside(turn, slopes, boxes) for turn in (1.0, -1.0)]

    @quiet
    def _inside(self, turn: float, slopes: Slopes, boxes: Boxes) -> tuple[Point, np.ndarray]:
        """The largest value over the whole plane (turn -1: the least one, for tanh is odd)."""
        x, y = _summit(turn * slopes[0], slopes[1])
        point = x, turn * y
        exists = np.isfinite(x) & np.isfinite(y)
        inside = tuple(
            np.where(exists, np.clip(one, *box), box[0]) for one, box in zip(point, boxes, strict=True)
        )
        missed = np.zeros_like(inside[0])
        for own, slope, one, box in zip(self.gradient(inside), slopes, inside, boxes, strict=True):
            exists = exists & (one > box[0]) & (one < box[1])
            off = np.abs(own - slope) + 2 * self.units * UNIT * np.abs(own)
            missed = missed + 2 * off * largest_size(box)
        return inside, np.where(exists, missed, 0.0)


def _summit(first: np.ndarray, second: np.ndarray) -> Point:
    """Where sigmoid(x) tanh(y) - a x - b y has its only local maximum; no number where it has none.

    With s = sigmoid(x), the best y has s (1 - tanh^2 y) = b, and then the slope along x is
    K - a, K = s (1 - s) sqrt(1 - b / s). K rises from s = b to one peak and falls to zero at s = 1, and a
    maximum is where it falls through a. 2 log K is concave in x there, so Newton's steps from the right go
    down to that point and never past it.
    """
    first, second = (np.where(one > 0, one, np.nan) for one in (first, second))
    root = np.sqrt((2 + 3 * second) ** 2 - 16 * second)
    peak = special.logit((2 + 3 * second + root) / 8)
    x = np.maximum(-np.log(first), peak)
    for _ in range(12):
        gate, rest = special.expit(x), special.expit(-x)
        level = np.log(gate) + np.log(gate - second) + 2 * np.log(rest)
        slope = rest * (1 + gate / (gate - second)) - 2 * gate
        x = np.maximum(np.where(slope < 0, x - (level - 2 * np.log(first)) / slope, x), peak)
    return x, np.arctanh(np.sqrt(1 - second / special.expit(x)))
