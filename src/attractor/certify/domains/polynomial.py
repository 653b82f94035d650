"""Forms: elementwise polynomials in bounded quantities, the values that a bound carries through a step.

Between two matrix products a recurrent cell is elementwise arithmetic on a few quantities: gates, candidates,
old states. A `Symbol` is such a quantity p (or f(p) for a scalar function f), known by an interval, by the
interval of its slope f'(p), and by an interval matrix for the derivative of p with respect to the directions
that are followed (states and inputs). A `Form` is a polynomial in symbols in which none occurs squared:

    x' = z x + (1 - z) r    is    {z, x}: 1, {r}: 1, {z, r}: -1.

Such a polynomial takes its extremes at corners of the box of its symbols, and so do its derivatives and every
weighted sum of their absolute values, which is convex in each symbol: keep gate and forget share one z, and
the bound knows it. Plain interval arithmetic would forget that and lose a factor of two and more.

Coefficients are numbers or arrays that know how far rounding may have moved them. One that is a Python number
is known while tracing: one and minus one cost nothing and lose nothing.

A form may also be a function of one number (x / (1 + |x|), x sigmoid(x)), of which a product of f(p) and g(p)
forgets that both have the same argument: x / (1 + |x|) looks as steep as 1 + |x| where it is at most 1. A
`Curve` remembers how to bound a form over any interval of the form that it was made from, so that the product
can be bounded on many short pieces of that interval, one by one. And it may be more than its polynomial says:
a quotient of a vector and its own norm is bounded by one, a softmax lies between zero and one. `Facts` are
kept with a form, and a product or quotient that completes one of these functions is bounded as what it is.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from math import frexp, isfinite
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .interval import UNIT, Interval, add, exactly, hull, multiply

# What is known exactly: a plain array or number. Weights that are traced count as known.
Exact: TypeAlias = Array | np.ndarray | np.number | float | int

_WHOLE = 2.0**53


class Coefficient(NamedTuple):
    """A factor in front of a product of symbols.

    Args:
        value: the factor as it was computed.
        error: bound of its distance from the exact one; the number 0.0 if there is none.
    """

    value: Array | float
    error: Array | float = 0.0

    @property
    def exact(self) -> bool:
        """Whether it is known while tracing to have no error."""
        return isinstance(self.error, float) and self.error == 0.0

    @property
    def never_zero(self) -> bool:
        """Whether it is known while tracing to be finite and not zero."""
        return self.exact and isinstance(self.value, float) and isfinite(self.value) and self.value != 0

    @property
    def interval(self) -> Interval:
        """The factor as an interval."""
        value = jnp.asarray(self.value)
        return exactly(value) if self.exact else Interval(value - self.error, value + self.error)


ONE = Coefficient(1.0)


def coefficient(value: Exact, relative: float = 0.0) -> Coefficient:
    """The coefficient of an array or number that is wrong by at most a share `relative` of itself."""
    if not isinstance(value, float | int | np.ndarray | np.generic) or np.ndim(value) > 0:
        array = jnp.asarray(value)
        return Coefficient(array, relative * jnp.abs(array) if relative and _double(array) else 0.0)
    number = float(value)
    return Coefficient(number, relative * abs(number))


def added(one: Coefficient, other: Coefficient) -> Coefficient:
    """The sum; a rounded sum is wrong by at most half a unit of itself, so what cancels is exact."""
    value = one.value + other.value
    return Coefficient(value, _total(one.error, other.error, _rounding(value, one, other)))


def multiplied(one: Coefficient, other: Coefficient) -> Coefficient:
    """The product; times an exact one or minus one nothing is rounded."""
    if one.exact and _is_unit(one.value):
        return _signed(other, one.value)
    if other.exact and _is_unit(other.value):
        return _signed(one, other.value)
    value = one.value * other.value
    errors = [_rounding(value, one, other)]
    if not one.exact:
        errors.append(one.error * abs(other.value))
    if not other.exact:
        errors.append(other.error * (abs(one.value) + one.error))
    return Coefficient(value, _total(*errors))


def reciprocal(value: Exact) -> Coefficient:
    """One over an exact array or number; not a number for zero, for 0 / 0 is none."""
    array = np.asarray(value, float) if isinstance(value, np.ndarray | np.generic | float | int) else value
    if isinstance(array, np.ndarray) and array.ndim == 0 and array != 0:
        number = float(array)
        power_of_two = abs(frexp(number)[0]) == 0.5
        return coefficient(1.0 / number, 0.0 if power_of_two else 2 * UNIT)
    divisor = jnp.asarray(array)
    return coefficient(1.0 / jnp.where(divisor == 0, jnp.nan, divisor), 2 * UNIT)


def finite_coefficient(value: Exact) -> Coefficient:
    """The coefficient of an exact array or number; not a number where it is infinite, for 0 inf is none."""
    if isinstance(value, float | int | np.ndarray | np.generic) and np.isfinite(value).all():
        return coefficient(value)
    array = jnp.asarray(value)
    return coefficient(jnp.where(jnp.isfinite(array), array, jnp.nan))


def _signed(one: Coefficient, sign: Array | float) -> Coefficient:
    return one if sign == 1 else Coefficient(-one.value, one.error)


def _is_unit(value: Array | float) -> bool:
    return isinstance(value, float) and abs(value) == 1.0


def _rounding(value: Array | float, one: Coefficient, other: Coefficient) -> Array | float:
    """Bound of the rounding error of one sum or product."""
    if isinstance(value, float | int):
        numbers = (one.value, other.value, value)
        whole = all(isinstance(n, float) and n.is_integer() and abs(n) < _WHOLE for n in numbers)
        return 0.0 if whole else UNIT * abs(value)
    return UNIT * jnp.abs(value) if _double(value) else 0.0


def _total(*errors: Array | float) -> Array | float:
    total = 0.0
    for error in errors:
        total = error if _nothing(total) else total if _nothing(error) else total + error
    return total if _nothing(total) else 2 * total  # twice, for the rounding of the error itself


def _nothing(error: Array | float) -> bool:
    return isinstance(error, float) and error == 0.0


def _double(array: Array) -> bool:
    return array.dtype == jnp.float64


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

    base: "Form"
    ranges: Callable[[Interval], Ranges]


Narrowed = Callable[[Interval], tuple[Interval, Interval | None]]


class Origin(NamedTuple):
    """Where a symbol f(g(p)) comes from.

    Args:
        base: the form p.
        narrowed: from an interval of p to the values of f(g(p)) and the slopes of f there; None for no f.
    """

    base: "Form"
    narrowed: Narrowed


def curve_of(form: "Form") -> Curve:
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
    return Interval(ends[:-1], ends[1:]).where(cut, whole)


class Norm(NamedTuple):
    """A number (factor |p|^2 + rest)^power of all entries of a form p.

    Args:
        of: p, a form.
        factor: positive.
        rest: not negative.
        power: 1, 0.5 or -0.5.
    """

    of: "Form"
    factor: float
    rest: float
    power: float


class Facts(NamedTuple):
    """What is known of a form besides.

    Args:
        uniform: all entries are the same number, as of a number that was broadcast.
        shift_of: the form that it is up to a uniform number, if there is one.
        square_of: the form whose square it is, elementwise.
        exponential_of: the form whose exponential it is.
        total_of: the form the sum of all entries of which it is, in every entry.
        norm: of which form it is a norm, in every entry.
    """

    uniform: bool = False
    shift_of: "Form | None" = None
    square_of: "Form | None" = None
    exponential_of: "Form | None" = None
    total_of: "Form | None" = None
    norm: Norm | None = None

    @property
    def spread(self) -> "Facts":
        """What stays true of a single number when it is broadcast or reshaped."""
        return Facts(uniform=True, total_of=self.total_of, norm=self.norm)


# No fact at all.
NOTHING = Facts()


Monomial = frozenset[Hashable]

_fresh = count()


@dataclass(frozen=True, eq=False)
class Symbol:
    """A bounded quantity of the shape of the form it stands in.

    Args:
        key: identity; slices of one symbol by the same cut are one symbol again.
        value: its range.
        slope: the range of f'(p) for f(p); None for p itself.
        jacobian: derivative of p, shape (*shape, directions).
        branches: if there are any, the derivative is a mean of some in these, and `jacobian` holds them all:
            the larger of two numbers moves as one of them does, or as both do in turn.
        origin: which form it is a function of, if that is known: on a piece of its range all symbols that
            come from it are known better.
    """

    key: Hashable
    value: Interval
    slope: Interval | None
    jacobian: Interval
    branches: tuple[Interval, ...] = ()
    origin: Origin | None = None

    @property
    def derivative(self) -> Interval:
        """Derivative of the quantity itself, slope included."""
        if self.slope is None:
            return self.jacobian
        return multiply(self.slope.each(lambda end: end[..., None]), self.jacobian)


@dataclass(frozen=True, eq=False)
class Form:
    """A polynomial in symbols, elementwise over one shape.

    Args:
        terms: the coefficient of every product of symbols; the empty product is the constant.
        symbols: what the keys in `terms` mean.
        shape: of the array that the form stands for.
        directions: number of directions in which derivatives are followed.
        zeros: what its zeros have to do with those of the form that it was made from, if that is known.
        curve: how it follows from another form as a function of one number, if that is known.
        facts: what else it is.
    """

    terms: Mapping[Monomial, Coefficient]
    symbols: Mapping[Hashable, Symbol]
    shape: tuple[int, ...]
    directions: int
    zeros: "Zeros | None" = None
    curve: Curve | None = None
    facts: Facts = NOTHING


class Zeros(NamedTuple):
    """How the zeros of a form follow from those of another one of its shape.

    Args:
        source: where it is zero, the form that holds this is zero.
        both: whether the converse holds as well: nowhere else is the form zero. sin p is zero with p, and at
            other points; 2 p only with p.
    """

    source: Form
    both: bool


@dataclass(frozen=True, eq=False)
class Enclosure:
    """What is known of an array once its form is closed: range and range of the derivative."""

    value: Interval
    jacobian: Interval


def symbol_form(
    value: Interval, jacobian: Interval, slope: Interval | None = None, origin: Origin | None = None
) -> Form:
    """A form that is one new symbol."""
    symbol = Symbol(next(_fresh), value, slope, jacobian, origin=origin)
    return Form({frozenset({symbol.key}): ONE}, {symbol.key: symbol}, value.low.shape, jacobian.low.shape[-1])


def branched_form(value: Interval, branches: Sequence[Interval]) -> Form:
    """A form that is one new symbol, whose derivative is a mean of some in the branches."""
    symbol = Symbol(next(_fresh), value, None, reduce(hull, branches), tuple(branches))
    directions = symbol.jacobian.low.shape[-1]
    return Form({frozenset({symbol.key}): ONE}, {symbol.key: symbol}, value.low.shape, directions)


def unshared() -> Hashable:
    """A name for `mapped` that nothing else has."""
    return next(_fresh)


def dtype_of(form: Form) -> np.dtype:
    """The floating type of a form."""
    return jnp.result_type(*(symbol.value.low for symbol in form.symbols.values()))


# What a rule is called with.
Operand: TypeAlias = Form | Exact
