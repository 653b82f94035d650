"""Forms that are functions of one number: x / (1 + |x|), x sigmoid(x), and what else meets its own argument.

A product of f(p) and g(p) forgets that both have the same argument: x / (1 + |x|) looks as steep as 1 + |x|
where it is at most 1. A `Curve` remembers how to bound a form over any interval of the form that it was made
from, so that the product can be bounded on many short pieces of that interval, one by one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from .interval import Interval, add, exactly, multiply


class Ranges(NamedTuple):
    """What a function of one number does on an interval.

    Args:
        value: its range.
        slope: the range of its slope, kinks included; unbounded across a jump.
    """

    value: Interval
    slope: Interval


class Curve(NamedTuple):
    """A form as a function of another one of its shape, elementwise.

    Args:
        base: the form that it is a function of.
        ranges: from an interval of the base, of its shape behind any leading axes, to values and slopes.
    """

    base: Any
    ranges: Callable[[Interval], Ranges]


Narrowed = Callable[[Interval], tuple[Interval, Interval | None]]


class Origin(NamedTuple):
    """Where a symbol f(g(p)) comes from.

    Args:
        base: the form p.
        narrowed: from an interval of p to the values of f(g(p)) and the slopes of f there; None for no f.
    """

    base: Any
    narrowed: Narrowed


def curve_of(form: Any) -> Curve:
    """The curve of a form; a form that was made from no other is the identity of itself."""
    return form.curve or Curve(form, lambda p: Ranges(p, exactly(jnp.ones_like(p.low))))


def through(
    curve: Curve, value: Callable[[Interval], Interval], slope: Callable[[Interval], Interval]
) -> Curve:
    """F of a curve, by the chain rule: f'(g(p)) g'(p)."""

    def ranges(p: Interval) -> Ranges:
        inside = curve.ranges(p)
        return Ranges(value(inside.value), multiply(slope(inside.value), inside.slope))

    return Curve(curve.base, ranges)


def sum_of(one: Curve, other: Curve) -> Curve | None:
    """The sum of two curves with the same base; None for others."""
    if one.base is not other.base:
        return None

    def ranges(p: Interval) -> Ranges:
        left, right = one.ranges(p), other.ranges(p)
        return Ranges(add(left.value, right.value), add(left.slope, right.slope))

    return Curve(one.base, ranges)


def product_of(one: Curve, other: Curve) -> Curve | None:
    """The product of two curves with the same base; None for others.

    f(b) g(b) - f(a) g(a) = f(b) (g(b) - g(a)) + g(a) (f(b) - f(a)), so that its slope lies in the intervals
    of f g' + f' g, whether the slopes exist everywhere or not.
    """
    if one.base is not other.base:
        return None

    def ranges(p: Interval) -> Ranges:
        left, right = one.ranges(p), other.ranges(p)
        slope = add(multiply(left.value, right.slope), multiply(left.slope, right.value))
        return Ranges(multiply(left.value, right.value), slope)

    return Curve(one.base, ranges)


def pieces(whole: Interval, count: int, cut: Array) -> Interval:
    """An interval as closed pieces that share their ends, a leading axis of `count`, where it may be cut.

    What holds for the slopes between two points of the same piece, for every piece, holds between any two
    points in the hull of these slopes, if the quantity that is cut is continuous along the segment between
    them. For at every point of the segment its neighbours are in a piece with it, because pieces are closed;
    so all slopes at it lie in the hull, and by the mean value theorem of Dini so do those over the segment.
    If the quantity jumps, it may skip pieces and the argument fails: then every piece is the whole interval.

    Args:
        whole: what is cut.
        count: how many pieces.
        cut: whether the quantity is continuous, elementwise.
    """
    shares = jnp.linspace(0.0, 1.0, count + 1, dtype=whole.low.dtype).reshape(-1, *(1,) * whole.low.ndim)
    inner = whole.low + shares[1:-1] * (whole.high - whole.low)
    inner = jnp.minimum(jnp.maximum(inner, whole.low), whole.high)
    ends = jnp.concatenate([whole.low[None], inner, whole.high[None]])
    return Interval(jnp.where(cut, ends[:-1], whole.low), jnp.where(cut, ends[1:], whole.high))


__all__ = ["Curve", "Origin", "Ranges", "curve_of", "pieces", "product_of", "sum_of", "through"]
