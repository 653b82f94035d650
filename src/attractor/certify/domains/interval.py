"""Outward arithmetic: a computed interval holds every value that exact arithmetic would give.

Every result in float64 is widened by a bound of its rounding error, computed from the magnitudes that went
into it: `UNIT` a rounded operation, `TRANSCENDENTAL` units a call of tanh, exp and the like (a test measures
how wrong XLA's are), and `TINY` for what underflows. What is not defined on an interval is NaN, which every
later step keeps and no comparison accepts; what has no bound is infinite. In float32 nothing is widened: such
bounds steer a training, they certify nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

UNIT = 2.0**-52
"""Bound of the relative error of one rounded operation in float64, twice the exact one."""

TRANSCENDENTAL = 16
"""Units that a transcendental function may be wrong by, relative to its result."""

TINY = 1e-290
"""Absolute allowance for results that underflow: processors may flush what is below 2.3e-308 to zero."""


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
    return outward(Interval(one.low + other.low, one.high + other.high), 1)


def multiply(one: Interval, other: Interval) -> Interval:
    """Elementwise product."""
    corners = [_product(left, right) for left in (one.low, one.high) for right in (other.low, other.high)]
    low, high = corners[0], corners[0]
    for corner in corners[1:]:
        low, high = jnp.minimum(low, corner), jnp.maximum(high, corner)
    return widened(Interval(low, high), 1, jnp.maximum(jnp.abs(low), jnp.abs(high)))


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
    terms = 1
    for axis in dimensions[0]:
        terms *= matrix.shape[axis]
    magnitude = jax.lax.dot_general(jnp.abs(matrix), interval.magnitude, numbers)
    return widened(result, 2 * terms + 6, jnp.where(lost, 0.0, magnitude))


def _product(left: Array, right: Array) -> Array:
    """A product in which zero times infinity is zero: no dependence on a thing, however steep, is none."""
    result = left * right
    shut_off = ((left == 0) & jnp.isinf(right)) | (jnp.isinf(left) & (right == 0))
    return jnp.where(shut_off, 0.0, result)
