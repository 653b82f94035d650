"""Forms: elementwise polynomials in bounded quantities, the values that a bound carries through a step.

Between two matrix products a recurrent cell is elementwise arithmetic on a few quantities: gates, candidates,
old states. A `Symbol` is such a quantity p (or f(p) for a scalar function f), known by an interval, by the
interval of its slope f'(p), and by an interval matrix for the derivative of p with respect to the directions
that are followed (states and inputs). A `Form` is a polynomial in symbols in which none occurs squared:

    x' = z x + (1 - z) r    is    {z, x}: 1, {r}: 1, {z, r}: -1.

Such a polynomial takes its extremes at corners of the box of its symbols, and so do its derivatives and every
weighted sum of their absolute values, which is convex in each symbol: keep gate and forget share one z, and
the bound knows it. Plain interval arithmetic would forget that and lose a factor of two and more.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import count, product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .arithmetic import Interval, add, exactly, multiply, widened
from .coefficient import ONE, Coefficient, added, coefficient, multiplied

Monomial = frozenset[Hashable]

MOST_SYMBOLS = 6
"""A product that would join more symbols closes its factors first."""

MOST_CORNERS = 256
"""Corners of symbols and slopes that the bound of a row looks at."""

_fresh = count()


@dataclass(frozen=True, eq=False)
class Symbol:
    """A bounded quantity of the shape of the form it stands in.

    Args:
        key: identity; slices of one symbol by the same cut are one symbol again.
        value: its range.
        slope: the range of f'(p) for f(p); None for p itself.
        jacobian: derivative of p, shape (*shape, directions).
    """

    key: Hashable
    value: Interval
    slope: Interval | None
    jacobian: Interval

    @property
    def derivative(self) -> Interval:
        """Derivative of the quantity itself, slope included."""
        if self.slope is None:
            return self.jacobian
        return multiply(Interval(self.slope.low[..., None], self.slope.high[..., None]), self.jacobian)


@dataclass(frozen=True, eq=False)
class Form:
    """A polynomial in symbols, elementwise over one shape.

    Args:
        terms: the coefficient of every product of symbols; the empty product is the constant.
        symbols: what the keys in `terms` mean.
        shape: of the array that the form stands for.
        directions: number of directions in which derivatives are followed.
        zeros: what its zeros have to do with those of the form that it was made from, if that is known.
    """

    terms: Mapping[Monomial, Coefficient]
    symbols: Mapping[Hashable, Symbol]
    shape: tuple[int, ...]
    directions: int
    zeros: "Zeros | None" = None


class Zeros(NamedTuple):
    """How the zeros of a form follow from those of another one of its shape.

    Args:
        source: where it is zero, the form that holds this is zero.
        both: whether the converse holds as well: nowhere else is the form zero. sin p is zero with p, and at
            other places; 2 p only with p.
    """

    source: Form
    both: bool


@dataclass(frozen=True, eq=False)
class Enclosure:
    """What is known of an array once its form is closed: range and range of the derivative."""

    value: Interval
    jacobian: Interval


def symbol_form(value: Interval, jacobian: Interval, slope: Interval | None = None) -> Form:
    """A form that is one new symbol."""
    symbol = Symbol(next(_fresh), value, slope, jacobian)
    return Form({frozenset({symbol.key}): ONE}, {symbol.key: symbol}, value.low.shape, jacobian.low.shape[-1])


def scaled(form: Form, factor: Coefficient) -> Form:
    """A form times a coefficient, an array or a scalar.

    It is zero with the form, and only with it if the coefficient is a number known not to be zero.
    """
    form = _spread_to(form, jnp.broadcast_shapes(form.shape, jnp.shape(factor.value)))
    terms = {key: multiplied(c, factor) for key, c in form.terms.items()}
    return Form(terms, form.symbols, form.shape, form.directions, Zeros(form, factor.never_zero))


def shifted(form: Form, constant: Any) -> Form:
    """A form plus an exact array, or a scalar."""
    form = _spread_to(form, jnp.broadcast_shapes(form.shape, jnp.shape(constant)))
    new, old = coefficient(constant), form.terms.get(frozenset())
    terms = dict(form.terms) | {frozenset(): new if old is None else added(old, new)}
    return Form(terms, form.symbols, form.shape, form.directions)


def plus(one: Form, other: Form) -> Form:
    """The sum of two forms; equal products of symbols join, so that what cancels cancels."""
    one, other = _alike(one, other)
    terms = dict(one.terms)
    for key, more in other.terms.items():
        terms[key] = added(terms[key], more) if key in terms else more
    return Form(terms, {**one.symbols, **other.symbols}, one.shape, one.directions)


def times(one: Form, other: Form) -> Form:
    """The product of two forms; factors that share a symbol, or have too many, are closed first."""
    one, other = _alike(one, other)
    shared = not one.symbols.keys().isdisjoint(other.symbols.keys())
    if shared or len(one.symbols) + len(other.symbols) > MOST_SYMBOLS:
        one, other = (
            part if len(part.symbols) == 1 and not shared else closed(part) for part in (one, other)
        )
    terms: dict[Monomial, Coefficient] = {}
    for (left, first), (right, second) in product(one.terms.items(), other.terms.items()):
        key, both = left | right, multiplied(first, second)
        terms[key] = added(terms[key], both) if key in terms else both
    return Form(terms, {**one.symbols, **other.symbols}, one.shape, one.directions)


def closed(form: Form) -> Form:
    """The form as one new symbol: what it was made of is forgotten, its ranges stay."""
    enclosure = enclose(form)
    return symbol_form(enclosure.value, enclosure.jacobian)


def mapped(form: Form, operation: Callable[[Array], Array], name: Hashable) -> Form:
    """A form under an operation that only moves elements (slice, reshape, broadcast).

    Args:
        form: what is moved.
        operation: the same for values and every direction; it creates no element.
        name: equal names must mean equal operations, for a symbol moved twice in the same way stays one.
    """

    def moved_array(array: Any) -> Any:
        return array if isinstance(array, float) else operation(jnp.broadcast_to(array, form.shape))

    along = jax.vmap(operation, in_axes=-1, out_axes=-1)
    symbols = {}
    for symbol in form.symbols.values():
        slope = None if symbol.slope is None else Interval(*map(operation, symbol.slope))
        moved = Symbol(
            (symbol.key, name),
            Interval(*map(operation, symbol.value)),
            slope,
            Interval(*map(along, symbol.jacobian)),
        )
        symbols[symbol.key] = moved
    terms = {
        frozenset(symbols[key].key for key in monomial): Coefficient(*map(moved_array, found))
        for monomial, found in form.terms.items()
    }
    shape = jax.eval_shape(operation, jax.ShapeDtypeStruct(form.shape, jnp.float32)).shape
    return Form(terms, {symbol.key: symbol for symbol in symbols.values()}, shape, form.directions)


def unshared() -> Hashable:
    """A name for `mapped` that nothing else has."""
    return next(_fresh)


def enclose(form: Form) -> Enclosure:
    """Range and derivative of a form: the sum over its independent parts, each at its corners."""
    parts = [_enclose_part(part) for part in _independent_parts(form)]
    values, jacobians = [part.value for part in parts], [part.jacobian for part in parts]
    constant = form.terms.get(frozenset())
    if constant is not None or not parts:
        ends = (Coefficient(0.0) if constant is None else constant).interval
        values.append(Interval(*(jnp.broadcast_to(end, form.shape).astype(_dtype(form)) for end in ends)))
    if not jacobians:
        jacobians.append(exactly(jnp.zeros((*form.shape, form.directions), _dtype(form))))
    return Enclosure(reduce(add, values), reduce(add, jacobians))


def row_corners(form: Form) -> Array:
    """Absolute derivatives at all corners, shape (corners, *shape, directions).

    For weights w the largest over corners of `corners @ w` bounds sum_j |d form_i / d x_j| w_j, because that
    sum is convex in every symbol and in every slope.
    """
    names = sorted(form.symbols, key=repr)
    bent = [name for name in names if any(len(key) > 1 and name in key for key in form.terms)]
    sloped = [name for name in names if form.symbols[name].slope is not None]
    if not names or 2 ** (len(bent) + len(sloped)) > MOST_CORNERS:
        return enclose(form).jacobian.magnitude[None]
    ends = _corners(
        [form.symbols[name].value for name in bent] + [form.symbols[name].slope for name in sloped]
    )
    values = dict(zip(bent, ends, strict=False))
    slopes = dict(zip(sloped, ends[len(bent) :], strict=True))
    factors = {name: _evaluate(_gradient(form, name), values, form) for name in names}
    return _rows(form, factors, slopes)


def _rows(form: Form, factors: Mapping[Hashable, Interval], slopes: Mapping[Hashable, Array]) -> Array:
    """Absolute derivatives for factors and slopes with a leading axis of corners, rounding included."""
    middle = jnp.zeros((*form.shape, form.directions), _dtype(form))
    radius, size = middle, middle
    for name, factor in factors.items():
        slope = slopes.get(name, jnp.ones((), middle.dtype))
        # `factor` is an interval only by its rounding error; its middle and radius are treated as such.
        weight = ((factor.low + factor.high) / 2 * slope)[..., None]
        error = ((factor.high - factor.low) / 2 * jnp.abs(slope))[..., None]
        jacobian = form.symbols[name].jacobian
        middle = middle + weight * ((jacobian.low + jacobian.high) / 2)
        radius = radius + jnp.abs(weight) * ((jacobian.high - jacobian.low) / 2) + error * jacobian.magnitude
        size = size + (jnp.abs(weight) + error) * jacobian.magnitude
    total = Interval(jnp.zeros_like(middle), jnp.abs(middle) + radius)
    bound = widened(total, 6 + 4 * len(factors), size).high
    return jnp.where(jnp.isnan(bound), jnp.inf, bound)


def _corners(intervals: list[Any]) -> list[Array]:
    """The ends of every interval at all corners of their box: a leading axis of 2^k corners each."""
    count = len(intervals)
    ends = []
    for place, interval in enumerate(intervals):
        bits = (jnp.arange(2**count) >> place) & 1
        upper = bits.astype(bool).reshape(-1, *(1,) * interval.low.ndim)
        ends.append(jnp.where(upper, interval.high, interval.low))
    return ends


def _enclose_part(form: Form) -> Enclosure:
    names = sorted(form.symbols, key=repr)
    derivatives = {name: form.symbols[name].derivative for name in names}
    if all(len(monomial) == 1 for monomial in form.terms):  # a single symbol: nothing to enumerate
        (name,) = names
        factor = form.terms[frozenset({name})]
        value, jacobian = form.symbols[name].value, derivatives[name]
        return Enclosure(_scaled_by(factor, value, 0), _scaled_by(factor, jacobian, 1))
    gradients = {name: _gradient(form, name) for name in names}
    values = dict(zip(names, _corners([form.symbols[name].value for name in names]), strict=True))
    value = _evaluate(form.terms, values, form)
    tangent = _tangent(gradients, derivatives, values, form)
    return Enclosure(
        Interval(value.low.min(axis=0), value.high.max(axis=0)),
        Interval(tangent.low.min(axis=0), tangent.high.max(axis=0)),
    )


def _scaled_by(factor: Coefficient, interval: Interval, trailing: int) -> Interval:
    """An interval times a coefficient; plus and minus one lose nothing."""
    if factor.exact and isinstance(factor.value, float) and abs(factor.value) == 1.0:
        return interval if factor.value > 0 else Interval(-interval.high, -interval.low)
    shape = interval.low.shape[: interval.low.ndim - trailing]
    ends = (jnp.broadcast_to(end, shape).astype(interval.low.dtype) for end in factor.interval)
    return multiply(Interval(*(end.reshape(*shape, *(1,) * trailing) for end in ends)), interval)


def _tangent(
    gradients: Mapping[Hashable, Mapping[Monomial, Coefficient]],
    derivatives: Mapping[Hashable, Interval],
    values: Mapping[Hashable, Array],
    form: Form,
) -> Interval:
    parts = []
    for name, gradient in gradients.items():
        factor = _evaluate(gradient, values, form)
        wide = Interval(factor.low[..., None], factor.high[..., None])
        parts.append(multiply(wide, derivatives[name]))
    return reduce(add, parts)


def _evaluate(
    terms: Mapping[Monomial, Coefficient], values: Mapping[Hashable, Array], form: Form
) -> Interval:
    """A polynomial at corners (a leading axis), as an interval that holds its rounding error."""
    total = size = error = jnp.zeros((1, *form.shape), _dtype(form))
    steps = 1
    for monomial, factor in terms.items():
        ends = [values[name] for name in sorted(monomial, key=repr)]
        one = reduce(lambda left, right: left * right, ends) if ends else jnp.ones_like(total)
        part = one * factor.value
        total, size = total + part, size + jnp.abs(part)
        error = error if factor.exact else error + jnp.abs(one) * factor.error
        steps += len(monomial) + 1
    wide = widened(exactly(total), steps, size)
    return Interval(wide.low - 2 * error, wide.high + 2 * error)


def _gradient(form: Form, name: Hashable) -> dict[Monomial, Coefficient]:
    """The partial derivative of the polynomial: again a polynomial, without that symbol."""
    return {monomial - {name}: factor for monomial, factor in form.terms.items() if name in monomial}


def _independent_parts(form: Form) -> list[Form]:
    """The form split into sums that share no symbol: each has its extremes on its own."""
    groups: list[set[Hashable]] = []
    for monomial in form.terms:
        if not monomial:
            continue
        touched = [group for group in groups if group & monomial]
        groups = [group for group in groups if not group & monomial]
        groups.append(set(monomial).union(*touched))
    parts = []
    for group in groups:
        terms = {monomial: array for monomial, array in form.terms.items() if monomial and monomial <= group}
        parts.append(Form(terms, {name: form.symbols[name] for name in group}, form.shape, form.directions))
    return parts


def _alike(one: Form, other: Form) -> tuple[Form, Form]:
    shape = jnp.broadcast_shapes(one.shape, other.shape)
    return _spread_to(one, shape), _spread_to(other, shape)


def _spread_to(form: Form, shape: tuple[int, ...]) -> Form:
    if form.shape == shape:
        return form
    return mapped(form, lambda array: jnp.broadcast_to(array, shape), ("broadcast", shape))


def _dtype(form: Form) -> Any:
    return jnp.result_type(*(symbol.value.low for symbol in form.symbols.values()))
