"""Intervals and what they do under arithmetic and elementary functions, rounded outward.

A computed interval holds every value that exact arithmetic would give. Every result in float64 is widened by
a bound of its rounding error, computed from the magnitudes that went into it: `UNIT` for a rounded operation,
`TRANSCENDENTAL` units for a call of tanh, exp and the like (a test measures how wrong XLA's are), and `TINY`
for what underflows. What is not defined on an interval is NaN, which every later step keeps and no comparison
accepts; what has no bound is infinite. In float32 nothing is widened: such bounds steer a training, they
certify nothing.
"""

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from attractor.program import PRIMITIVES
from attractor.shown import at_prompt, in_notebook

# Bound of the relative error of one rounded operation in float64, twice the exact one.
UNIT = 2.0**-52

# Units that a transcendental function may be wrong by, relative to its result.
TRANSCENDENTAL = 16

# Absolute allowance for results that underflow: processors may flush what is below 2.3e-308 to zero.
TINY = 1e-290


class Interval(NamedTuple):
    """All arrays between two arrays, elementwise."""

    low: Array
    high: Array

    @property
    def magnitude(self) -> Array:
        """The largest absolute value of every element."""
        return jnp.maximum(jnp.abs(self.low), jnp.abs(self.high))

    @property
    def width(self) -> Array:
        """Length of every element."""
        return self.high - self.low

    def each(self, operation: Callable[..., Array]) -> "Interval":
        """Both ends under an operation that keeps their order: it moves entries, or it rises."""
        return Interval(operation(self.low), operation(self.high))

    def where(self, condition: Array, other: "Interval") -> "Interval":
        """This interval where a condition holds, elsewhere the other one."""
        return Interval(*(jnp.where(condition, *ends) for ends in zip(self, other, strict=True)))

    def __neg__(self) -> "Interval":
        """All arrays whose negative lies in it."""
        return Interval(-self.high, -self.low)

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


IntervalMap = Callable[[Interval], Interval]


def exactly(value: Array) -> Interval:
    """The interval of one array."""
    return Interval(value, value)


def widened(interval: Interval, operations: int, magnitude: Array) -> Interval:
    """The interval after `operations` rounded operations on terms of a total `magnitude`."""
    if interval.low.dtype != jnp.float64:
        return interval
    error = 2 * operations * UNIT * magnitude + TINY  # twice, for the rounding of the error itself
    return Interval(interval.low - error, interval.high + error)


def outward(interval: Interval, units: int) -> Interval:
    """The interval after rounding that each end saw on its own, in units of that end."""
    if interval.low.dtype != jnp.float64:
        return interval
    low, high = interval
    share = 2 * units * UNIT
    return Interval(low - (share * jnp.abs(low) + TINY), high + (share * jnp.abs(high) + TINY))


def add(one: Interval, other: Interval) -> Interval:
    """Elementwise sum; a rounded sum is wrong by at most half a unit of itself."""
    if (nothing := _empty(one, other)) is not None:
        return nothing
    return outward(Interval(one.low + other.low, one.high + other.high), 1)


def multiply(one: Interval, other: Interval) -> Interval:
    """Elementwise product."""
    if (nothing := _empty(one, other)) is not None:
        return nothing
    corners = [_product(left, right) for left in one for right in other]
    undefined = reduce(jnp.logical_or, map(jnp.isnan, (*one, *other)))
    found = Interval(reduce(jnp.minimum, corners), reduce(jnp.maximum, corners))
    found = found.each(lambda end: jnp.where(undefined, jnp.nan, end))
    return widened(found, 1, found.magnitude)


def _empty(one: Interval, other: Interval) -> Interval | None:
    """What arithmetic gives without elements, such as derivatives along no direction: nothing to compile."""
    shape = jnp.broadcast_shapes(one.low.shape, other.low.shape)
    return exactly(jnp.zeros(shape, jnp.result_type(one.low, other.low))) if 0 in shape else None


def hull(one: Interval, other: Interval) -> Interval:
    """The smallest interval that holds both."""
    return Interval(jnp.minimum(one.low, other.low), jnp.maximum(one.high, other.high))


def intersection(one: Interval, other: Interval) -> Interval:
    """What both hold, for two enclosures of the same thing."""
    return Interval(jnp.maximum(one.low, other.low), jnp.minimum(one.high, other.high))


def contract(
    matrix: Array, interval: Interval, dimensions: tuple[tuple[int, ...], tuple[int, ...]]
) -> Interval:
    """The product of an exact array with an interval, summed over the axes `dimensions` of both.

    The middle goes through the array, the radius through its absolute values (Rump 1999, *Fast and parallel
    interval arithmetic*); both sums of n terms are wrong by at most n units of the sum of magnitudes.
    """
    numbers = (dimensions, ((), ()))
    matrix = matrix.astype(interval.low.dtype)
    middle, radius = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    center = jax.lax.dot_general(matrix, middle, numbers)
    spread = jax.lax.dot_general(jnp.abs(matrix), radius, numbers)
    lost = ~(jnp.isfinite(center) & jnp.isfinite(spread))  # from unbounded elements
    undefined = jnp.where((jnp.isnan(interval.low) | jnp.isnan(interval.high)).any(), jnp.nan, 0.0)
    unbounded = undefined.astype(center.dtype) + jnp.inf
    result = Interval(
        jnp.where(lost, -unbounded, center - spread), jnp.where(lost, unbounded, center + spread)
    )
    if center.dtype != jnp.float64:
        return result
    terms = prod(matrix.shape[axis] for axis in dimensions[0])
    magnitude = jax.lax.dot_general(jnp.abs(matrix), interval.magnitude, numbers)
    return widened(result, 2 * terms + 6, jnp.where(lost, 0.0, magnitude))


def _product(left: Array, right: Array) -> Array:
    """A product of numbers in which zero times infinity is zero, for no other product of two is undefined.

    No dependence on a thing, however steep, is none.
    """
    result = left * right
    return jnp.where(jnp.isnan(result), 0.0, result)


class ScalarFunction(NamedTuple):
    """A function of one number, known by what it does to intervals.

    Args:
        value: its range over an interval.
        slope: the range of its derivative; where it has a kink, of all slopes between the two sides.
    """

    value: IntervalMap
    slope: IntervalMap


def _rounded(low: Array, high: Array, floor: float = -jnp.inf, ceiling: float = jnp.inf) -> Interval:
    """Outward by the error of a transcendental function, inside what the function can reach at all."""
    return _inside(outward(Interval(low, high), TRANSCENDENTAL), floor, ceiling)


def _inside(interval: Interval, floor: float, ceiling: float) -> Interval:
    return Interval(jnp.maximum(interval.low, floor), jnp.minimum(interval.high, ceiling))


def _absolutely(low: Array, high: Array, size: float, floor: float, ceiling: float) -> Interval:
    """Outward by the error of a formula whose terms are of a given size."""
    return _inside(widened(Interval(low, high), TRANSCENDENTAL, jnp.full_like(low, size)), floor, ceiling)


def _defined(inside: Array, found: Interval, elsewhere: float = jnp.nan) -> Interval:
    """An interval where its function is defined; elsewhere one without ends, or none at all."""
    return Interval(jnp.where(inside, found.low, -elsewhere), jnp.where(inside, found.high, elsewhere))


def _increasing(name: str, function: Callable[[Array], Array]) -> IntervalMap:
    """An increasing function, whose range the table of primitives knows."""
    floor, ceiling = map(float, PRIMITIVES[name].range)
    return lambda p: _rounded(function(p.low), function(p.high), floor, ceiling)


def _sigmoid(
    name: str, function: Callable[[Array], Array], slope: Callable[[Array], Array]
) -> ScalarFunction:
    """An increasing function that is steepest at zero; the table of primitives knows how steep."""
    _, steepest = PRIMITIVES[name].slope or (0.0, jnp.inf)
    return ScalarFunction(_increasing(name, function), _bell(slope, float(steepest)))


def _bell(slope: Callable[[Array], Array], top: float) -> IntervalMap:
    """Slopes that are largest at zero and fall on both sides."""

    def ranges(p: Interval) -> Interval:
        nearest = jnp.clip(jnp.zeros_like(p.low), p.low, p.high)
        least = jnp.minimum(slope(p.low), slope(p.high))
        return _absolutely(least, slope(nearest), top, 0.0, top)

    return ranges


def _power(exponent: int) -> ScalarFunction:
    if exponent < 1:
        return _reciprocal_power(-exponent)

    def raise_to(power: int) -> IntervalMap:
        def ranges(p: Interval) -> Interval:
            low, high = p.low**power, p.high**power
            if power % 2 == 0:
                nearest = jnp.clip(jnp.zeros_like(p.low), p.low, p.high)
                low, high = nearest**power, jnp.maximum(low, high)
            units = TRANSCENDENTAL + power  # a power is a chain of products
            return _inside(outward(Interval(low, high), units), 0.0 if power % 2 == 0 else -jnp.inf, jnp.inf)

        return ranges

    def slope(p: Interval) -> Interval:
        below = raise_to(exponent - 1)(p)
        return outward(Interval(exponent * below.low, exponent * below.high), 1)

    return ScalarFunction(raise_to(exponent), slope if exponent > 1 else _constant(1.0))


def _reciprocal_power(exponent: int) -> ScalarFunction:
    """p^-k by the interval of p^k, undefined where that holds zero."""
    if exponent == 0:
        return ScalarFunction(_constant(1.0), _constant(0.0))

    def value(p: Interval, power: int = exponent) -> Interval:
        return _inverse(_power(power).value(p))

    def slope(p: Interval) -> Interval:
        steep = value(p, exponent + 1)
        return outward(Interval(-exponent * steep.high, -exponent * steep.low), 1)

    return ScalarFunction(value, slope)


def _inverse(p: Interval) -> Interval:
    holds_zero = (p.low <= 0) & (p.high >= 0)
    safe = p.each(lambda end: jnp.where(holds_zero, 1.0, end))
    return _defined(~holds_zero, _rounded(1 / safe.high, 1 / safe.low))


def _constant(value: float) -> IntervalMap:
    return lambda p: Interval(jnp.full_like(p.low, value), jnp.full_like(p.low, value))


def _positive_only(
    function: Callable[[Array], Array], *, increasing: bool = True, elsewhere: float = jnp.nan
) -> IntervalMap:
    """A monotone function of positive numbers: not defined on an interval that holds others.

    A slope is without bound there (`elsewhere` infinite), for a root has a value at zero and no slope.
    """

    def ranges(p: Interval) -> Interval:
        inside = p.low > TINY
        low, high = jnp.where(inside, p.low, 1.0), jnp.where(inside, p.high, 1.0)
        ends = (function(low), function(high)) if increasing else (function(high), function(low))
        return _defined(inside, _rounded(*ends), elsewhere)

    return ranges


def _shifted(function: IntervalMap) -> IntervalMap:
    """f(1 + p)."""
    return lambda p: function(
        Interval(1 + p.low - UNIT * (1 + jnp.abs(p.low)), 1 + p.high + UNIT * (1 + jnp.abs(p.high)))
    )


def _sine(phase: float) -> ScalarFunction:
    def wave(shift: float) -> IntervalMap:
        def ranges(p: Interval) -> Interval:
            low, high = p.low + shift, p.high + shift
            turns = 2 * jnp.pi
            # An extremum this close counts as inside; far out the argument itself is known less well.
            slack = 1e-9 + 1e-14 * jnp.maximum(jnp.abs(low), jnp.abs(high))
            peak, dip = (
                jnp.floor((high + slack - at) / turns) >= jnp.ceil((low - slack - at) / turns)
                for at in (jnp.pi / 2, -jnp.pi / 2)
            )
            ends = jnp.sin(low), jnp.sin(high)
            size = 1.0 + jnp.maximum(jnp.abs(low), jnp.abs(high))  # the argument is rounded as well
            found = widened(Interval(jnp.minimum(*ends), jnp.maximum(*ends)), TRANSCENDENTAL, size)
            return Interval(
                jnp.where(dip, -1.0, jnp.maximum(found.low, -1.0)),
                jnp.where(peak, 1.0, jnp.minimum(found.high, 1.0)),
            )

        return ranges

    return ScalarFunction(wave(phase), wave(phase + jnp.pi / 2))


def _absolute(p: Interval) -> Interval:
    nearest = jnp.clip(jnp.zeros_like(p.low), p.low, p.high)
    return Interval(jnp.abs(nearest), p.magnitude)


def _jump(p: Interval) -> Interval:
    """The slope of a step function: none away from zero, unbounded across it."""
    jumps = (p.low <= 0) & (p.high >= 0)
    return Interval(jnp.zeros_like(p.low), jnp.where(jumps, jnp.inf, 0.0))


def _bell_of_erf(p: Array) -> Array:
    return 2 / jnp.sqrt(jnp.pi) * jnp.exp(-(p**2))


def _decreasing_erf(p: Interval) -> Interval:
    """Of 1 - erf: next to zero the far tail is only known to be small."""
    return _absolutely(jax.lax.erfc(p.high), jax.lax.erfc(p.low), 2.0, 0.0, 2.0)


def _root(p: Interval) -> Interval:
    roots = p.each(lambda end: jnp.sqrt(jnp.maximum(end, 0.0)))
    return _defined(p.low >= 0, _rounded(*roots, 0.0))


_exponential = _increasing("exp", lambda p: jnp.exp(p))
_erf = _sigmoid("erf", lambda p: jax.lax.erf(p), _bell_of_erf)

# Every scalar function that bounds know, by the name of its primitive.
SCALAR: dict[str, ScalarFunction] = {
    "tanh": _sigmoid("tanh", lambda p: jnp.tanh(p), lambda p: 1 - jnp.tanh(p) ** 2),
    "logistic": _sigmoid(
        "logistic", lambda p: jax.nn.sigmoid(p), lambda p: jax.nn.sigmoid(p) * jax.nn.sigmoid(-p)
    ),
    "erf": _erf,
    "erfc": ScalarFunction(_decreasing_erf, lambda p: -_erf.slope(p)),
    "exp": ScalarFunction(_exponential, _exponential),
    "expm1": ScalarFunction(_increasing("expm1", lambda p: jnp.expm1(p)), _exponential),
    "log": ScalarFunction(
        _positive_only(lambda p: jnp.log(p)),
        _positive_only(lambda p: 1 / p, increasing=False, elsewhere=jnp.inf),
    ),
    "log1p": ScalarFunction(
        _shifted(_positive_only(lambda p: jnp.log(p))),
        _shifted(_positive_only(lambda p: 1 / p, increasing=False, elsewhere=jnp.inf)),
    ),
    "sqrt": ScalarFunction(
        _root, _positive_only(lambda p: 0.5 / jnp.sqrt(p), increasing=False, elsewhere=jnp.inf)
    ),
    "rsqrt": ScalarFunction(
        _positive_only(lambda p: 1 / jnp.sqrt(p), increasing=False),
        _positive_only(lambda p: -0.5 / (p * jnp.sqrt(p)), elsewhere=jnp.inf),
    ),
    "sin": _sine(0.0),
    "cos": _sine(float(jnp.pi / 2)),
    "abs": ScalarFunction(_absolute, lambda p: p.each(jnp.sign)),
    "sign": ScalarFunction(lambda p: p.each(jnp.sign), _jump),
    "floor": ScalarFunction(
        lambda p: p.each(jnp.floor),
        lambda p: Interval(
            jnp.zeros_like(p.low), jnp.where(jnp.floor(p.low) < jnp.floor(p.high), jnp.inf, 0.0)
        ),
    ),
    "square": _power(2),
    "reciprocal": _reciprocal_power(1),
}


def integer_power(exponent: int) -> ScalarFunction:
    """p^k for a whole number k."""
    return _power(exponent)


def real_power(exponent: Array) -> ScalarFunction:
    """p^k for an array of real exponents, where p is positive: exp(k log p)."""

    def raised(power: Array, factor: Array | float, elsewhere: float) -> IntervalMap:
        def ranges(p: Interval) -> Interval:
            inside = p.low > TINY
            ends = [factor * jnp.where(inside, end, 1.0) ** power for end in p]
            low, high = jnp.minimum(*ends), jnp.maximum(*ends)
            # Relative error: of exp by its argument k log p, whose size is at most 745 |k|, and of k itself.
            found = widened(
                Interval(low, high),
                TRANSCENDENTAL,
                jnp.maximum(jnp.abs(low), jnp.abs(high)) * (1 + 100 * (1 + jnp.abs(power))),
            )
            return _defined(inside, found, elsewhere)

        return ranges

    return ScalarFunction(raised(exponent, 1.0, jnp.nan), raised(exponent - 1, exponent, jnp.inf))


def above(threshold: Array) -> ScalarFunction:
    """max(p, c), the rectifier for c = 0."""
    return ScalarFunction(
        lambda p: p.each(lambda end: jnp.maximum(end, threshold)),
        lambda p: Interval(jnp.where(p.low >= threshold, 1.0, 0.0), jnp.where(p.high <= threshold, 0.0, 1.0)),
    )


def below(threshold: Array) -> ScalarFunction:
    """min(p, c)."""
    return ScalarFunction(
        lambda p: p.each(lambda end: jnp.minimum(end, threshold)),
        lambda p: Interval(jnp.where(p.high <= threshold, 1.0, 0.0), jnp.where(p.low >= threshold, 0.0, 1.0)),
    )
