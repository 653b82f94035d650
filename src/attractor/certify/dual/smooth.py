"""Differentiable functions of one number, with the points at which their slope is a given one."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy import special

from .function import (
    TINY,
    TRANSCENDENTAL,
    UNIT,
    Box,
    Boxes,
    Candidates,
    Extreme,
    Function,
    Point,
    Slopes,
    largest_size,
    outward,
    quiet,
    secant,
)

Entrywise: TypeAlias = Callable[[np.ndarray], np.ndarray]


class Smooth(Function):
    """A differentiable function of one number, in closed form.

    Args:
        function: h.
        derivative: h'.
        stationary: from slopes to all points with h'(z) = s; what is no number where there is none.
        shape: how h bends: "s" (convex below zero, concave above), "convex", "concave" or "" (else).
        between: what h can reach at all.
    """

    units = TRANSCENDENTAL

    def __init__(
        self,
        function: Entrywise,
        derivative: Entrywise,
        stationary: Callable[[np.ndarray], list[np.ndarray]],
        *,
        shape: str = "",
        between: tuple[float, float] = (-np.inf, np.inf),
    ) -> None:
        self.function, self.derivative, self.stationary = function, derivative, stationary
        self.shape, self.between = shape, between

    def value(self, point: Point) -> np.ndarray:
        """See the class."""
        (z,) = point
        with np.errstate(all="ignore"):
            return self.function(z)

    @quiet
    def gradient(self, point: Point) -> Point:
        """The derivative."""
        (z,) = point
        with np.errstate(all="ignore"):
            return (self.derivative(z),)

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """From the extremes of h - 0 z, outward and inside what h can reach at all."""
        nothing = (np.zeros_like(boxes[0][0]),)
        low = self.extreme(-1, nothing, boxes).value
        high = self.extreme(1, nothing, boxes).value
        wide = 2 * TRANSCENDENTAL * UNIT
        low, high = low - (wide * np.abs(low) + TINY), high + (wide * np.abs(high) + TINY)
        return np.maximum(low, self.between[0]), np.minimum(high, self.between[1])

    def points(self, slopes: Slopes, boxes: Boxes) -> Candidates:
        """The ends, and every stationary point inside."""
        low, high = boxes[0]
        slope, wide = slopes[0], 2 * largest_size(boxes[0])
        found: Candidates = [((low,), None), ((high,), None)]
        with np.errstate(all="ignore"):
            for point in self.stationary(slope):
                inside = np.where(np.isfinite(point), np.clip(point, low, high), low)
                own = self.derivative(inside)
                missed = (np.abs(own - slope) + 2 * self.units * UNIT * np.abs(own)) * wide
                interior = (inside > low) & (inside < high)
                found.append(((inside,), np.where(interior, missed, 0.0)))
        return found

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """Secants where h bends away from the line, tangents at the middle where it bends towards it."""
        low, high = boxes[0]
        with np.errstate(all="ignore"):
            across = secant(low, high, self.function(low), self.function(high))
            across = np.where(np.isfinite(across), across, 0.0)
            middle = self.derivative((low + high) / 2)
            middle = np.where(np.isfinite(middle), middle, across)
            if self.shape == "convex":
                return (across,), (middle,)
            if self.shape == "concave":
                return (middle,), (across,)
            if self.shape == "s":
                return self._upper_of_s(low, high, across, middle), self._lower_of_s(
                    low, high, across, middle
                )
        return (across,), (across,)

    def _upper_of_s(
        self, low: np.ndarray, high: np.ndarray, across: np.ndarray, middle: np.ndarray
    ) -> Slopes:
        """The slope in the middle of the concave hull: of the tangent from the lower end, or beyond it."""
        touched = self._tangent(np.minimum(low, 0.0), np.maximum(high, 0.0))
        touched = np.where(low + high > 0, np.minimum(touched, middle), touched)
        mixed = np.where(self.derivative(high) >= across, across, touched)
        return (np.where(low >= 0, middle, np.where(high <= 0, across, mixed)),)

    def _lower_of_s(
        self, low: np.ndarray, high: np.ndarray, across: np.ndarray, middle: np.ndarray
    ) -> Slopes:
        touched = self._tangent(np.maximum(high, 0.0), np.minimum(low, 0.0))
        touched = np.where(low + high < 0, np.minimum(touched, middle), touched)
        mixed = np.where(self.derivative(low) >= across, across, touched)
        return (np.where(high <= 0, middle, np.where(low >= 0, across, mixed)),)

    def _tangent(self, anchor: np.ndarray, end: np.ndarray) -> np.ndarray:
        """The slope at the point between zero and an end whose tangent goes through the anchor's point."""
        near, far = np.zeros_like(end), end
        level = self.function(anchor)
        for _ in range(12):
            point = (near + far) / 2
            steep = self.derivative(point) > _secant_through(point, anchor, self.function(point), level)
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
    """Where p (1 - p) = s with p = (1 +- sqrt(1 - 4 s)) / 2."""
    far = 2 * np.log1p(np.sqrt(1 - 4 * slope)) - np.log(4 * slope)
    return [far, -far]


def _erf_points(slope: np.ndarray) -> list[np.ndarray]:
    far = np.sqrt(-np.log(slope * np.sqrt(np.pi) / 2))
    return [far, -far]


def _sine_points(slope: np.ndarray) -> list[np.ndarray]:
    """Where cos z = s, on the turns within a hundred; a box that reaches further is as wide as it gets."""
    first = np.arccos(slope)
    return [side * first + 2 * np.pi * turn for turn in range(-16, 17) for side in (1, -1)]


def logistic_slope(z: np.ndarray) -> np.ndarray:
    """Of the logistic sigmoid."""
    return special.expit(z) * special.expit(-z)


def _reciprocal(z: np.ndarray) -> np.ndarray:
    return 1.0 / z


class Reciprocal(Smooth):
    """1 / z on a box that does not hold zero; without bounds on one that does."""

    partial = True

    @quiet
    def defined(self, boxes: Boxes) -> np.ndarray:
        """Away from zero."""
        low, high = boxes[0]
        return np.asarray((low > 0) | (high < 0))

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """Between the ends."""
        low, high = boxes[0]
        undefined = (low <= 0) & (high >= 0)
        with np.errstate(all="ignore"):
            ends = 1 / low, 1 / high
        least, most = outward(np.minimum(*ends), np.maximum(*ends), 2)
        return np.where(undefined, -np.inf, least), np.where(undefined, np.inf, most)

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """Without bound on a box that holds zero."""
        low, high = boxes[0]
        found = super().extreme(sign, slopes, boxes)
        undefined = (low <= 0) & (high >= 0)
        return Extreme(np.where(undefined, sign * np.inf, found.value), found.point)

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
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

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """In closed form near zero, else from the range of both parts."""
        low, high = boxes[0]
        found = super().extreme(sign, slopes, boxes)
        ends = -slopes[0] * low, -slopes[0] * high
        loose = sign + (np.maximum(*ends) if sign > 0 else np.minimum(*ends))
        return Extreme(np.where(largest_size(boxes[0]) > 90, loose, found.value), found.point)


class PositiveOnly(Smooth):
    """A function of positive numbers: without bounds on a box that holds others."""

    partial = True

    @quiet
    def defined(self, boxes: Boxes) -> np.ndarray:
        """Above zero, and at zero where its value there is a number."""
        low = boxes[0][0]
        return np.asarray((low > 0) | ((low == 0) & bool(np.isfinite(self.function(np.zeros(()))))))

    @quiet
    def range(self, boxes: Boxes) -> Box:
        """Between the ends."""
        low, high = super().range(boxes)
        undefined = boxes[0][0] < 0
        return np.where(undefined, -np.inf, low), np.where(undefined, np.inf, high)

    @quiet
    def extreme(self, sign: int, slopes: Slopes, boxes: Boxes) -> Extreme:
        """Without bound where it is not defined."""
        found = super().extreme(sign, slopes, boxes)
        return Extreme(np.where(boxes[0][0] < 0, sign * np.inf, found.value), found.point)


class Power(Smooth):
    """z^k for a whole k >= 2."""

    def __init__(self, exponent: float) -> None:
        super().__init__(
            lambda z: z**exponent,
            lambda z: exponent * z ** (exponent - 1),
            lambda slope: _power_points(slope, exponent),
        )
        self.exponent = exponent

    @quiet
    def slopes(self, boxes: Boxes) -> tuple[Slopes, Slopes]:
        """Even powers are convex; odd ones bend the other way below zero."""
        low, high = boxes[0]
        exponent = self.exponent
        across = secant(low, high, low**exponent, high**exponent)
        middle = exponent * ((low + high) / 2) ** (exponent - 1)
        if exponent % 2 == 0:
            return (across,), (middle,)
        above = np.where(high <= 0, middle, across)
        below = np.where(low >= 0, middle, across)
        return (above,), (below,)


def _power_points(slope: np.ndarray, exponent: float) -> list[np.ndarray]:
    share = slope / exponent
    if exponent % 2 == 0:
        return [np.sign(share) * np.abs(share) ** (1 / (exponent - 1))]
    far = np.where(share >= 0, share, np.nan) ** (1 / (exponent - 1))
    return [far, -far]


def _root_points(slope: np.ndarray) -> list[np.ndarray]:
    """Where 1 / (3 cbrt(z)^2) = s."""
    far = (3 * np.where(slope > 0, slope, np.nan)) ** -1.5
    return [far, -far]


# Functions without parameters.
SMOOTH: dict[str, Smooth] = {
    "tanh": Smooth(np.tanh, lambda z: 1 - np.tanh(z) ** 2, _tanh_points, shape="s", between=(-1.0, 1.0)),
    "logistic": Smooth(special.expit, logistic_slope, _logistic_points, shape="s", between=(0.0, 1.0)),
    "erf": Smooth(
        special.erf,
        lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2)),
        _erf_points,
        shape="s",
        between=(-1.0, 1.0),
    ),
    "exp": Smooth(np.exp, np.exp, lambda slope: [np.log(slope)], shape="convex", between=(0.0, np.inf)),
    "exp2": Smooth(
        np.exp2,
        lambda z: np.log(2) * np.exp2(z),
        lambda slope: [np.log2(slope / np.log(2))],
        shape="convex",
        between=(0.0, np.inf),
    ),
    "softplus": Smooth(
        lambda z: np.logaddexp(z, 0.0),
        special.expit,
        lambda slope: [special.logit(slope)],
        shape="convex",
        between=(0.0, np.inf),
    ),
    "cbrt": Smooth(np.cbrt, lambda z: 1 / (3 * np.cbrt(z) ** 2), _root_points),
    "log": PositiveOnly(np.log, _reciprocal, lambda slope: [1 / slope], shape="concave"),
    "sqrt": PositiveOnly(
        np.sqrt,
        lambda z: 0.5 / np.sqrt(z),
        lambda slope: [0.25 / np.where(slope > 0, slope, np.nan) ** 2],
        shape="concave",
        between=(0.0, np.inf),
    ),
    "reciprocal": Reciprocal(
        _reciprocal,
        lambda z: -1 / z**2,
        lambda slope: [np.sqrt(-1 / slope), -np.sqrt(-1 / slope)],
    ),
    "square": Smooth(
        np.square,
        lambda z: 2 * z,
        lambda slope: [slope / 2],
        shape="convex",
        between=(0.0, np.inf),
    ),
    "sin": Sine(np.sin, np.cos, _sine_points, between=(-1.0, 1.0)),
}
