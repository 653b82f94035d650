r"""What is known of each nonlinear function: its values, its range on a box, and its conjugate there.

The Lagrangian dual of a network and its linear relaxations ask the same thing of a function h on a box,

    top(s) = max_z h(z) - s z,      bottom(s) = min_z h(z) - s z,

for any slope s: then s z + bottom(s) <= h(z) <= s z + top(s) on the box. The extremes lie at the ends of the
box, at points where h turns, and where h'(z) = s, which is in closed form for all functions here. A
stationary point that is computed is wrong by rounding; since top is a maximum of linear functions of s, it is
exact for s* = h'(z*), and top(s) <= top(s*) + |s - s*| max|z|. That remainder is added, so that an extreme is
on the safe side but for the rounding of h and of the product, which the walk accounts for.

Functions of two arguments (x y, sigmoid(x) y) have a slope for each, and planes in place of lines.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special

# Units that a transcendental function may be wrong by, relative to its result.
TRANSCENDENTAL = 16

_UNIT = 2.0**-52
_TINY = 1e-290

Box: TypeAlias = tuple[np.ndarray, np.ndarray]
Boxes: TypeAlias = tuple[Box, ...]
Slopes: TypeAlias = tuple[np.ndarray, ...]
Point: TypeAlias = tuple[np.ndarray, ...]


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

    # Whether every rounding error of h itself is accounted for by none at all: it only adds and multiplies.
    units = 1

    @abstractmethod
    def value(self, *arguments: np.ndarray) -> np.ndarray:
        """h, entry by entry; parameters of the function come behind its arguments."""

    @abstractmethod
    def range(self, boxes: Boxes, *parameters: float) -> Box:
        """Least and largest value on a box, outward."""

    @abstractmethod
    def slopes(self, boxes: Boxes, *parameters: float) -> tuple[Slopes, Slopes]:
        """Slopes of a good upper and of a good lower line (plane) on a box; any slope is valid."""

    @abstractmethod
    def points(self, slopes: Slopes, boxes: Boxes, *parameters: float) -> list[tuple[Point, np.ndarray | None]]:
        """Points in the box among which the extremes of h(z) - s z are, with the error of their slope."""

    @abstractmethod
    def gradient(self, *arguments: np.ndarray) -> Point:
        """Slopes at a point, one side of a kink; parameters of the function come behind its arguments."""

    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes, *parameters: float) -> Extreme:
        """top (sign 1) or bottom (sign -1) for slopes of any shape that the box broadcasts to."""
        best: np.ndarray | None = None
        where: Point = ()
        for point, missed in self.points(slopes, boxes, *parameters):
            gain = self.value(*point, *parameters)
            for slope, one in zip(slopes, point, strict=True):
                gain = gain - slope * one
            if missed is not None:
                gain = gain + sign * missed
            if best is None:
                best, where = gain, point
                continue
            better = gain > best if sign > 0 else gain < best
            best = np.where(better, gain, best)
            where = tuple(np.where(better, new, old) for new, old in zip(point, where, strict=True))
        if best is None:
            raise LookupError("a function without candidates for its extremes")
        return Extreme(best, where)


def _wide(box: Box) -> np.ndarray:
    return np.maximum(np.abs(box[0]), np.abs(box[1]))


def _outward(low: np.ndarray, high: np.ndarray, units: int) -> Box:
    share = 2 * units * _UNIT
    return low - (share * np.abs(low) + _TINY), high + (share * np.abs(high) + _TINY)


def _secant(low: np.ndarray, high: np.ndarray, at_low: np.ndarray, at_high: np.ndarray) -> np.ndarray:
    width = high - low
    return np.where(width > 0, (at_high - at_low) / np.where(width > 0, width, 1.0), 0.0)


class Rectifier(Function):
    """max(z, 0)."""

    def value(self, z: np.ndarray) -> np.ndarray:
        """See the class."""
        return np.maximum(z, 0.0)

    def gradient(self, z: np.ndarray) -> Point:
        """Zero at the kink."""
        return ((z > 0).astype(float),)

    def range(self, boxes: Boxes) -> Box:
        """Exact."""
        return np.maximum(boxes[0][0], 0.0), np.maximum(boxes[0][1], 0.0)

    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The secant above; below, zero or one, whichever leaves the smaller area (CROWN)."""
        low, high = boxes[0]
        up, down = np.maximum(high, 0.0), np.minimum(low, 0.0)
        upper = up / np.maximum(up - down, _TINY)
        return (upper,), (np.where(up > -down, 1.0, 0.0),)

    def points(self, slopes: Slopes, boxes: Boxes) -> list[tuple[Point, None]]:
        """The ends, and zero where it is between them."""
        low, high = boxes[0]
        return [((low,), None), ((high,), None), ((np.clip(0.0, low, high),), None)]


class Clip(Function):
    """z between two numbers."""

    def value(self, z: np.ndarray, least: float, most: float) -> np.ndarray:
        """See the class."""
        return np.clip(z, least, most)

    def gradient(self, z: np.ndarray, least: float, most: float) -> Point:
        """Zero at the kinks."""
        return (((z > least) & (z < most)).astype(float),)

    def range(self, boxes: Boxes, least: float, most: float) -> Box:
        """Exact."""
        return np.clip(boxes[0][0], least, most), np.clip(boxes[0][1], least, most)

    def slopes(self, boxes: Boxes, least: float, most: float) -> tuple[Slopes, Slopes]:
        """Lines from the far end of the box to the kink on the other side."""
        low, high = boxes[0]
        bottom, top = np.clip(low, least, most), np.clip(high, least, most)
        upper = _secant(low, np.clip(most, low, high), bottom, top)
        lower = _secant(np.clip(least, low, high), high, bottom, top)
        return (upper,), (lower,)

    def points(self, slopes: Slopes, boxes: Boxes, least: float, most: float) -> list[tuple[Point, None]]:
        """The ends and both kinks."""
        low, high = boxes[0]
        ends = (low, high, np.clip(least, low, high), np.clip(most, low, high))
        return [((end,), None) for end in ends]


class Jump(Function):
    """1 where z > 0 (or z >= 0), else 0."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed

    def value(self, z: np.ndarray) -> np.ndarray:
        """See the class."""
        return (z >= 0.0 if self.closed else z > 0.0).astype(float)

    def gradient(self, z: np.ndarray) -> Point:
        """None."""
        return (np.zeros_like(z),)

    def range(self, boxes: Boxes) -> Box:
        """Decided where zero is outside."""
        return self.value(boxes[0][0]), self.value(boxes[0][1])

    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """From the jump to the far end, on the side where that is near."""
        low, high = boxes[0]
        crossed = (low <= 0) & (high >= 0)
        upper = np.where(crossed, np.minimum(1 / np.maximum(-low, _TINY), 1e6), 0.0)
        lower = np.where(crossed, np.minimum(1 / np.maximum(high, _TINY), 1e6), 0.0)
        return (np.where(high > -low, 0.0, upper),), (np.where(high > -low, lower, 0.0),)

    def points(self, slopes: Slopes, boxes: Boxes) -> list[tuple[Point, None]]:
        """The ends; the jump itself has both values, see `extreme`."""
        low, high = boxes[0]
        return [((low,), None), ((high,), None)]

    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """At an end, or at the jump with its larger (smaller) value."""
        found = super().extreme(sign, slopes, boxes)
        low, high = boxes[0]
        inside = (low <= 0) & (high >= 0)
        at_jump = np.where(inside, 1.0 if sign > 0 else 0.0, -np.inf * sign)
        better = at_jump > found.value if sign > 0 else at_jump < found.value
        return Extreme(
            np.where(better, at_jump, found.value), (np.where(better, 0.0, found.point[0]),)
        )


class IsZero(Function):
    """1 where z = 0, else 0."""

    def value(self, z: np.ndarray) -> np.ndarray:
        """See the class."""
        return (z == 0.0).astype(float)

    def gradient(self, z: np.ndarray) -> Point:
        """None."""
        return (np.zeros_like(z),)

    def range(self, boxes: Boxes) -> Box:
        """Decided where zero is outside, or where the box is zero."""
        low, high = boxes[0]
        inside = (low <= 0) & (high >= 0)
        return ((low == 0) & (high == 0)).astype(float), inside.astype(float)

    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """None."""
        nothing = np.zeros_like(boxes[0][0])
        return (nothing,), (nothing,)

    def points(self, slopes: Slopes, boxes: Boxes) -> list[tuple[Point, None]]:
        """Not used, see `extreme`."""
        return [((end,), None) for end in boxes[0]]

    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """By the range: h - s z is at most max h + max(-s z)."""
        least, most = self.range(boxes)
        low, high = boxes[0]
        ends = -slopes[0] * low, -slopes[0] * high
        if sign > 0:
            return Extreme(most + np.maximum(*ends), (np.where(ends[0] > ends[1], low, high),))
        return Extreme(least + np.minimum(*ends), (np.where(ends[0] < ends[1], low, high),))


class Smooth(Function):
    """A differentiable function of one number, in closed form.

    Args:
        function: h.
        derivative: h'.
        stationary: from slopes to all points with h'(z) = s, whatever is given where there is none.
        shape: how h bends: "s" (convex below zero, concave above), "convex", "concave" or "" (else).
        monotone: whether it rises everywhere.
        turns: points at which h may have its extremes besides the ends, as of an even power.
        defined: least argument at which it is defined.
    """

    units = TRANSCENDENTAL

    def __init__(
        self,
        function: Callable[..., np.ndarray],
        derivative: Callable[..., np.ndarray],
        stationary: Callable[..., list[np.ndarray]],
        *,
        shape: str = "",
        between: tuple[float, float] = (-np.inf, np.inf),
    ) -> None:
        self.function, self.derivative, self.stationary = function, derivative, stationary
        self.shape, self.between = shape, between

    def value(self, z: np.ndarray, *parameters: float) -> np.ndarray:
        """See the class."""
        with np.errstate(all="ignore"):
            return self.function(z, *parameters)

    def gradient(self, z: np.ndarray, *parameters: float) -> Point:
        """The derivative."""
        with np.errstate(all="ignore"):
            return (self.derivative(z, *parameters),)

    def range(self, boxes: Boxes, *parameters: float) -> Box:
        """From the extremes of h - 0 z, outward and inside what h can reach at all."""
        nothing = (np.zeros(()),)
        low = self.extreme(-1, nothing, boxes, *parameters).value
        high = self.extreme(1, nothing, boxes, *parameters).value
        wide = 2 * TRANSCENDENTAL * _UNIT
        low, high = low - (wide * np.abs(low) + _TINY), high + (wide * np.abs(high) + _TINY)
        return np.maximum(low, self.between[0]), np.minimum(high, self.between[1])

    def points(
        self, slopes: Slopes, boxes: Boxes, *parameters: float
    ) -> list[tuple[Point, np.ndarray | None]]:
        """The ends, and every stationary point inside."""
        low, high = boxes[0]
        slope, wide = slopes[0], _wide(boxes[0])
        found: list[tuple[Point, np.ndarray | None]] = [((low,), None), ((high,), None)]
        with np.errstate(all="ignore"):
            for point in self.stationary(slope, *parameters):
                inside = np.where(np.isfinite(point), np.clip(point, low, high), low)
                own = self.derivative(inside, *parameters)
                missed = (np.abs(own - slope) + 2 * self.units * _UNIT * np.abs(own)) * wide
                interior = (inside > low) & (inside < high)
                found.append(((inside,), np.where(interior, missed, 0.0)))
        return found

    def slopes(self, boxes: Boxes, *parameters: float) -> tuple[Slopes, Slopes]:
        """Secants where h bends away from the line, tangents at the middle where it bends towards it."""
        low, high = boxes[0]
        with np.errstate(all="ignore"):
            across = _secant(low, high, self.value(low, *parameters), self.value(high, *parameters))
            across = np.where(np.isfinite(across), across, 0.0)
            middle = self.derivative((low + high) / 2, *parameters)
            middle = np.where(np.isfinite(middle), middle, across)
            if self.shape == "convex":
                return (across,), (middle,)
            if self.shape == "concave":
                return (middle,), (across,)
            if self.shape == "s":
                return self._upper_of_s(low, high, across, middle), self._lower_of_s(low, high, across, middle)
        return (across,), (across,)

    def _upper_of_s(
        self, low: np.ndarray, high: np.ndarray, across: np.ndarray, middle: np.ndarray
    ) -> Slopes:
        """The tangent from the lower end, where that touches the concave part of the box."""
        touched = self._tangent(np.minimum(low, 0.0), np.maximum(high, 0.0))
        mixed = np.where(self.derivative(high) >= across, across, touched)
        return (np.where(low >= 0, middle, np.where(high <= 0, across, mixed)),)

    def _lower_of_s(
        self, low: np.ndarray, high: np.ndarray, across: np.ndarray, middle: np.ndarray
    ) -> Slopes:
        touched = self._tangent(np.maximum(high, 0.0), np.minimum(low, 0.0))
        mixed = np.where(self.derivative(low) >= across, across, touched)
        return (np.where(high <= 0, middle, np.where(low >= 0, across, mixed)),)

    def _tangent(self, anchor: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The slope at the point between zero and an end whose tangent goes through the anchor's point."""
        near, far = np.zeros_like(end), end
        level = self.value(anchor)
        for _ in range(12):
            point = (near + far) / 2
            steep = self.derivative(point) > _secant_through(point, anchor, self.value(point), level)
            near, far = np.where(steep, point, near), np.where(steep, far, point)
        return self.derivative((near + far) / 2)


def _secant_through(
    point: np.ndarray, anchor: np.ndarray, value: np.ndarray, level: np.ndarray
) -> np.ndarray:
    away = point - anchor
    return (value - level) / np.where(away == 0, 1.0, away)


def _tanh_points(slope: np.ndarray) -> list[np.ndarray]:
    """1 - tanh^2 z = s: z = +-artanh sqrt(1 - s)."""
    root = np.sqrt(1 - slope)
    far = np.log1p(root) - 0.5 * np.log(slope)
    return [far, -far]


def _logistic_points(slope: np.ndarray) -> list[np.ndarray]:
    """p (1 - p) = s with p = (1 +- sqrt(1 - 4 s)) / 2."""
    far = 2 * np.log1p(np.sqrt(1 - 4 * slope)) - np.log(4 * slope)
    return [far, -far]


def _erf_points(slope: np.ndarray) -> list[np.ndarray]:
    far = np.sqrt(-np.log(slope * np.sqrt(np.pi) / 2))
    return [far, -far]


def _sine_points(slope: np.ndarray) -> list[np.ndarray]:
    """cos z = s, on the turns within a hundred; a box that reaches further is as wide as it gets."""
    first = np.arccos(np.clip(slope, -1.0, 1.0))
    return [side * first + 2 * np.pi * turn for turn in range(-16, 17) for side in (1, -1)]


def _logistic_slope(z: np.ndarray) -> np.ndarray:
    return special.expit(z) * special.expit(-z)


def _reciprocal(z: np.ndarray) -> np.ndarray:
    return 1.0 / z


class Reciprocal(Smooth):
    """1 / z on a box that does not hold zero; without bounds on one that does."""

    def range(self, boxes: Boxes, *parameters: float) -> Box:
        """Between the ends."""
        low, high = boxes[0]
        undefined = (low <= 0) & (high >= 0)
        with np.errstate(all="ignore"):
            ends = 1 / low, 1 / high
        least, most = _outward(np.minimum(*ends), np.maximum(*ends), 2)
        return np.where(undefined, -np.inf, least), np.where(undefined, np.inf, most)

    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes, *parameters: float) -> Extreme:
        """Without bound on a box that holds zero."""
        low, high = boxes[0]
        found = super().extreme(sign, slopes, boxes, *parameters)
        undefined = (low <= 0) & (high >= 0)
        return Extreme(np.where(undefined, sign * np.inf, found.value), found.point)

    def slopes(self, boxes: Boxes, *parameters: float) -> tuple[Slopes, Slopes]:
        """Convex above zero, concave below."""
        low, high = boxes[0]
        with np.errstate(all="ignore"):
            across = -1 / (low * high)
            middle = -4 / (low + high) ** 2
        across, middle = (np.where(np.isfinite(one), one, 0.0) for one in (across, middle))
        positive = low > 0
        return (np.where(positive, across, middle),), (np.where(positive, middle, across),)


class Sine(Smooth):
    """sin z; a box beyond 100 has the range of all sines."""

    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes, *parameters: float) -> Extreme:
        """In closed form near zero, else from the range of both parts."""
        low, high = boxes[0]
        found = super().extreme(sign, slopes, boxes)
        ends = -slopes[0] * low, -slopes[0] * high
        loose = sign + (np.maximum(*ends) if sign > 0 else np.minimum(*ends))
        return Extreme(np.where(_wide(boxes[0]) > 90, loose, found.value), found.point)


class PositiveOnly(Smooth):
    """A function of positive numbers: without bounds on a box that holds others."""

    def range(self, boxes: Boxes, *parameters: float) -> Box:
        """Between the ends."""
        low, high = super().range(boxes, *parameters)
        undefined = boxes[0][0] < 0
        return np.where(undefined, -np.inf, low), np.where(undefined, np.inf, high)

    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes, *parameters: float) -> Extreme:
        """Without bound where it is not defined."""
        found = super().extreme(sign, slopes, boxes, *parameters)
        return Extreme(np.where(boxes[0][0] < 0, sign * np.inf, found.value), found.point)


class Power(Smooth):
    """z^k for a whole k >= 2."""

    def slopes(self, boxes: Boxes, *parameters: float) -> tuple[Slopes, Slopes]:
        """Even powers are convex; odd ones bend the other way below zero."""
        low, high = boxes[0]
        exponent = parameters[0]
        across = _secant(low, high, low**exponent, high**exponent)
        middle = exponent * ((low + high) / 2) ** (exponent - 1)
        if exponent % 2 == 0:
            return (across,), (middle,)
        above = np.where(high <= 0, middle, across)
        below = np.where(low >= 0, middle, across)
        return (above,), (below,)


def _power_points(slope: np.ndarray, exponent: float) -> list[np.ndarray]:
    share = slope / exponent
    if exponent % 2 == 0:
        return [np.sign(share) * np.abs(share) ** (1 / (exponent - 1)), np.zeros_like(share)]
    far = np.maximum(share, 0.0) ** (1 / (exponent - 1))
    return [far, -far]


class Product(Function):
    """x y, whose hull on a box is that of McCormick: its extremes less a plane are at corners."""

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """See the class."""
        with np.errstate(all="ignore"):
            return x * y

    def gradient(self, x: np.ndarray, y: np.ndarray) -> Point:
        """Each factor for the other."""
        return y, x

    def range(self, boxes: Boxes) -> Box:
        """At corners."""
        corners = [self.value(*point) for point, _ in self.points((), boxes)]
        return _outward(np.minimum.reduce(corners), np.maximum.reduce(corners), 1)

    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The mean of both planes of McCormick on each side: the tangent plane at the middle."""
        middle = tuple((low + high) / 2 for low, high in boxes)
        return (middle[1], middle[0]), (middle[1], middle[0])

    def points(self, slopes: Slopes, boxes: Boxes) -> list[tuple[Point, None]]:
        """The corners."""
        return [((x, y), None) for x in boxes[0] for y in boxes[1]]


class GatedProduct(Function):
    """sigmoid(x) y: linear in y, so that its extremes less a plane are where y is at an end."""

    units = TRANSCENDENTAL

    def value(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """See the class."""
        return special.expit(x) * y

    def gradient(self, x: np.ndarray, y: np.ndarray) -> Point:
        """Of the gate times y, and the gate."""
        return _logistic_slope(x) * y, special.expit(x)

    def range(self, boxes: Boxes) -> Box:
        """At corners: it is monotone in both."""
        corners = [self.value(x, y) for x in boxes[0] for y in boxes[1]]
        return _outward(np.minimum.reduce(corners), np.maximum.reduce(corners), TRANSCENDENTAL)

    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """The gate's secant at the middle of y, and the gate in the middle."""
        (low, high), other = boxes
        ends = special.expit(low), special.expit(high)
        gate, steep = (ends[0] + ends[1]) / 2, _secant(low, high, *ends)
        plane = steep * (other[0] + other[1]) / 2, gate
        return plane, plane

    def points(self, slopes: Slopes, boxes: Boxes) -> list[tuple[Point, np.ndarray | None]]:
        """Corners, and for y at each end where the slope of the gate is s_x / y."""
        low, high = boxes[0]
        found: list[tuple[Point, np.ndarray | None]] = [((x, y), None) for x in boxes[0] for y in boxes[1]]
        with np.errstate(all="ignore"):
            for y in boxes[1]:
                for point in _logistic_points(slopes[0] / np.where(y == 0, np.nan, y)):
                    inside = np.where(np.isfinite(point), np.clip(point, low, high), low)
                    own = _logistic_slope(inside) * y
                    missed = (np.abs(own - slopes[0]) + 2 * self.units * _UNIT * np.abs(own)) * _wide(boxes[0])
                    interior = (inside > low) & (inside < high)
                    found.append(((inside, y), np.where(interior, missed, 0.0)))
        return found



# Every nonlinear function that bounds know.
FUNCTIONS: dict[str, Function] = {
    "relu": Rectifier(),
    "clip": Clip(),
    "positive": Jump(closed=False),
    "not_negative": Jump(closed=True),
    "is_zero": IsZero(),
    "tanh": Smooth(np.tanh, lambda z: 1 - np.tanh(z) ** 2, _tanh_points, shape="s", between=(-1, 1)),
    "logistic": Smooth(special.expit, _logistic_slope, _logistic_points, shape="s", between=(0, 1)),
    "erf": Smooth(
        special.erf,
        lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2)),
        _erf_points,
        shape="s",
        between=(-1, 1),
    ),
    "exp": Smooth(
        np.exp, np.exp, lambda slope: [np.log(slope)], shape="convex", between=(0, np.inf)
    ),
    "log": PositiveOnly(np.log, _reciprocal, lambda slope: [1 / slope], shape="concave"),
    "sqrt": PositiveOnly(
        np.sqrt,
        lambda z: 0.5 / np.sqrt(z),
        lambda slope: [0.25 / slope**2],
        shape="concave",
        between=(0, np.inf),
    ),
    "reciprocal": Reciprocal(
        _reciprocal,
        lambda z: -1 / z**2,
        lambda slope: [np.sqrt(-1 / slope), -np.sqrt(-1 / slope)],
    ),
    "square": Smooth(
        np.square,
        lambda z: 2 * z,
        lambda slope: [slope / 2, np.zeros_like(slope)],
        shape="convex",
        between=(0, np.inf),
    ),
    "power": Power(
        lambda z, exponent: z**exponent,
        lambda z, exponent: exponent * z ** (exponent - 1),
        _power_points,
    ),
    "sin": Sine(np.sin, np.cos, _sine_points, between=(-1, 1)),
    "product": Product(),
    "gated": GatedProduct(),
}
