"""The algebra of forms: their extremes, and sums, products, multiples and moves of them.

A form takes its extremes at corners of the box of its symbols, and its derivative at corners of their slopes
besides.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import product
from math import inf, prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .interval import Interval, add, exactly, multiply, widened
from .polynomial import (
    Coefficient,
    Enclosure,
    Exact,
    Facts,
    Form,
    Monomial,
    Origin,
    Symbol,
    Zeros,
    added,
    coefficient,
    curve_of,
    dtype_of,
    multiplied,
    pieces,
    product_of,
    sum_of,
    symbol_form,
    through,
)

# Corners of symbols and slopes that the bound of a row looks at.
MOST_CORNERS = 256

# Pieces of the range of a form that several symbols come from.
_MOST_PIECES = 32

# Numbers that all pieces of a bound may hold together.
_MOST_NUMBERS = 2**20


def enclose(form: Form) -> Enclosure:
    """Range and derivative of a form: the sum over its independent parts, each at its corners."""
    parts = [_enclose_part(part) for part in _independent_parts(form)]
    values, jacobians = [part.value for part in parts], [part.jacobian for part in parts]
    constant = form.terms.get(frozenset())
    if constant is not None or not parts:
        ends = (Coefficient(0.0) if constant is None else constant).interval
        values.append(ends.each(lambda end: jnp.broadcast_to(end, form.shape).astype(dtype_of(form))))
    if not jacobians:
        jacobians.append(exactly(jnp.zeros((*form.shape, form.directions), dtype_of(form))))
    return Enclosure(reduce(add, values), reduce(add, jacobians))


def row_corners(form: Form) -> Array:
    """Absolute derivatives at all corners, shape (corners, *shape, directions).

    For weights w the largest over corners of `corners @ w` bounds sum_j |d form_i / d x_j| w_j, because that
    sum is convex in every symbol, in every slope, and in the shares of the branches of a derivative.
    """
    names = sorted(form.symbols, key=repr)
    bent = [name for name in names if any(len(key) > 1 and name in key for key in form.terms)]
    sloped = [name for name in names if form.symbols[name].slope is not None]
    branched = [name for name in names if form.symbols[name].branches]
    ways = [2] * (len(bent) + len(sloped)) + [len(form.symbols[name].branches) for name in branched]
    if not names or prod(ways) > MOST_CORNERS:
        return enclose(form).jacobian.magnitude[None]
    known = _by_pieces(form, MOST_CORNERS // prod(ways), prod(ways))
    options = [known.values[name] for name in bent] + [known.slopes[name] for name in sloped]
    ends = _corners(options, ways)
    values = dict(zip(bent, ends, strict=False))
    slopes = dict(zip(sloped, ends[len(bent) :], strict=False))
    taken = zip(branched, _turns(ways)[len(bent) + len(sloped) :], strict=True)
    jacobians = {name: _taken(form.symbols[name], turn, known.pieces) for name, turn in taken}
    factors = {name: _evaluate(_gradient(form, name), values, form) for name in names}
    return _rows(form, factors, slopes, jacobians)


def _rows(
    form: Form,
    factors: Mapping[Hashable, Interval],
    slopes: Mapping[Hashable, Array],
    jacobians: Mapping[Hashable, Interval],
) -> Array:
    """Absolute derivatives for factors and slopes with a leading axis of corners, rounding included."""
    middle = jnp.zeros((*form.shape, form.directions), dtype_of(form))
    radius, size = middle, middle
    for name, factor in factors.items():
        slope = slopes.get(name, jnp.ones((), middle.dtype))
        # `factor` is an interval only by its rounding error; its middle and radius are treated as such.
        weight = ((factor.low + factor.high) / 2 * slope)[..., None]
        error = ((factor.high - factor.low) / 2 * jnp.abs(slope))[..., None]
        jacobian = jacobians.get(name, form.symbols[name].jacobian)
        middle = middle + weight * ((jacobian.low + jacobian.high) / 2)
        radius = radius + jnp.abs(weight) * ((jacobian.high - jacobian.low) / 2) + error * jacobian.magnitude
        size = size + (jnp.abs(weight) + error) * jacobian.magnitude
    total = Interval(jnp.zeros_like(middle), jnp.abs(middle) + radius)
    bound = widened(total, 6 + 4 * len(factors), size).high
    return jnp.where(jnp.isnan(bound), jnp.inf, bound)


def _turns(ways: Sequence[int]) -> list[np.ndarray]:
    """For every quantity, which of its ways it goes at each of all combinations."""
    return list(np.indices(tuple(ways)).reshape(len(ways), prod(ways)))


def _corners(intervals: Sequence[Interval], ways: Sequence[int]) -> list[Array]:
    """The ends of every interval at all combinations of ways: (combinations x pieces, *shape)."""
    ends = []
    for interval, turn in zip(intervals, _turns(ways), strict=False):
        upper = turn.astype(bool).reshape(-1, *(1,) * interval.low.ndim)
        taken = jnp.where(upper, interval.high, interval.low)
        ends.append(taken.reshape(-1, *taken.shape[2:]))
    return ends


def _taken(symbol: Symbol, turn: np.ndarray, count: int) -> Interval:
    """The branch of a derivative that is taken at every combination, the same on every piece."""
    ends = (jnp.stack(end)[np.repeat(turn, count)] for end in zip(*symbol.branches, strict=True))
    return Interval(*ends)


class _Known(NamedTuple):
    """Values and slopes of the symbols of a form on pieces: (pieces, *shape) each."""

    values: Mapping[Hashable, Interval]
    slopes: Mapping[Hashable, Interval]
    pieces: int


def _by_pieces(form: Form, most: int, combinations: int) -> _Known:
    """What is known of symbols on pieces of the range of the form that most of them come from, if two do."""
    base, children = _common_base(form)
    numbers = prod(form.shape) * max(form.directions, 1) * combinations
    count = min(most, _MOST_PIECES, max(_MOST_NUMBERS // max(numbers, 1), 1)) if children else 1

    def lifted(interval: Interval) -> Interval:
        return interval.each(lambda end: jnp.broadcast_to(end, (count, *end.shape)))

    values = {name: lifted(symbol.value) for name, symbol in form.symbols.items()}
    slopes = {name: lifted(symbol.slope) for name, symbol in form.symbols.items() if symbol.slope is not None}
    if count > 1:
        whole = enclose(base)
        continuous = jnp.isfinite(whole.jacobian.low) & jnp.isfinite(whole.jacobian.high)
        part = pieces(whole.value, count, continuous.all(axis=-1))
        for name in children:
            symbol = form.symbols[name]
            value, slope = (part, None) if symbol.origin is None else symbol.origin.narrowed(part)
            values[name] = _nearer(value, values[name])
            if slope is not None and name in slopes:
                slopes[name] = _nearer(slope, slopes[name])
    return _Known(values, slopes, count)


def _common_base(form: Form) -> tuple[Form, list[Hashable]]:
    """The form that at least two symbols come from, and those symbols; its own symbol is one of them."""
    bases = {id(symbol.origin.base): symbol.origin.base for symbol in form.symbols.values() if symbol.origin}
    if not bases:
        return form, []
    children: dict[int, list[Hashable]] = {
        key: [name for name, symbol in form.symbols.items() if symbol.origin and symbol.origin.base is base]
        + _own(base, form)
        for key, base in bases.items()
    }
    largest = max(children, key=lambda key: len(children[key]))
    return (bases[largest], children[largest]) if len(children[largest]) > 1 else (form, [])


def _own(base: Form, form: Form) -> list[Hashable]:
    """The symbol that a form is, if it is a single one and nothing else, and stands in another form."""
    if len(base.terms) != 1:
        return []
    (monomial, factor), *_ = base.terms.items()
    alone = len(monomial) == 1 and factor.exact and isinstance(factor.value, float) and factor.value == 1.0
    return [name for name in monomial if alone and name in form.symbols and base.shape == form.shape]


def _nearer(one: Interval, whole: Interval) -> Interval:
    """What two bounds of a quantity leave of it; where the first is not a number, the second."""
    low = jnp.where(jnp.isnan(one.low), whole.low, jnp.maximum(one.low, whole.low))
    high = jnp.where(jnp.isnan(one.high), whole.high, jnp.minimum(one.high, whole.high))
    return Interval(low, high)


def _enclose_part(form: Form) -> Enclosure:
    names = sorted(form.symbols, key=repr)
    if all(len(monomial) == 1 for monomial in form.terms):  # a single symbol: nothing to enumerate
        (name,) = names
        factor, symbol = form.terms[frozenset({name})], form.symbols[name]
        return Enclosure(scaled_by(factor, symbol.value, 0), scaled_by(factor, symbol.derivative, 1))
    ways = [2] * len(names)
    known = _by_pieces(form, _MOST_PIECES, 2 ** len(names))
    combinations = 2 ** len(names)
    values = dict(zip(names, _corners([known.values[name] for name in names], ways), strict=True))
    found = _evaluate(form.terms, values, form)
    value = Interval(found.low.min(axis=0), found.high.max(axis=0))
    if not form.directions:  # no derivative is asked for, so none is compiled
        return Enclosure(value, exactly(jnp.zeros((*form.shape, 0), dtype_of(form))))
    derivatives = {name: _derivative(form.symbols[name], known, name, combinations) for name in names}
    gradients = {name: _gradient(form, name) for name in names}
    tangent = _tangent(gradients, derivatives, values, form)
    return Enclosure(value, Interval(tangent.low.min(axis=0), tangent.high.max(axis=0)))


def _derivative(symbol: Symbol, known: _Known, name: Hashable, combinations: int) -> Interval:
    """The derivative of a symbol at every corner of every piece."""
    if known.pieces == 1 or name not in known.slopes:
        return symbol.derivative
    slope = known.slopes[name]
    found = multiply(slope.each(lambda end: end[..., None]), symbol.jacobian)
    return found.each(lambda end: jnp.tile(end, (combinations, *(1,) * (end.ndim - 1))))


def scaled_by(factor: Coefficient, interval: Interval, trailing: int) -> Interval:
    """An interval times a coefficient; plus and minus one lose nothing."""
    if factor.exact and isinstance(factor.value, float) and abs(factor.value) == 1.0:
        return interval if factor.value > 0 else -interval
    shape = interval.low.shape[: interval.low.ndim - trailing]

    def spread(end: Array) -> Array:
        return jnp.broadcast_to(end, shape).astype(interval.low.dtype).reshape((*shape, *(1,) * trailing))

    return multiply(factor.interval.each(spread), interval)


def _tangent(
    gradients: Mapping[Hashable, Mapping[Monomial, Coefficient]],
    derivatives: Mapping[Hashable, Interval],
    values: Mapping[Hashable, Array],
    form: Form,
) -> Interval:
    factors = {name: _evaluate(gradient, values, form) for name, gradient in gradients.items()}
    parts = (
        multiply(factor.each(lambda end: end[..., None]), derivatives[name])
        for name, factor in factors.items()
    )
    return reduce(add, parts)


def _evaluate(
    terms: Mapping[Monomial, Coefficient], values: Mapping[Hashable, Array], form: Form
) -> Interval:
    """A polynomial at corners (a leading axis), as an interval that holds its rounding error."""
    total = size = error = jnp.zeros((1, *form.shape), dtype_of(form))
    steps = 1
    for monomial, factor in terms.items():
        ends = [values[name] for name in sorted(monomial, key=repr)]
        one = reduce(lambda left, right: left * right, ends) if ends else jnp.ones_like(total)
        part = one * factor.value
        total, size = total + part, size + jnp.abs(part)
        error = error if factor.exact else error + jnp.abs(one) * factor.error
        steps += len(monomial) + 1
    rounded = widened(exactly(total), steps, size)
    return Interval(rounded.low - 2 * error, rounded.high + 2 * error)


def _gradient(form: Form, name: Hashable) -> dict[Monomial, Coefficient]:
    """The partial derivative of the polynomial: again a polynomial, without that symbol."""
    return {monomial - {name}: factor for monomial, factor in form.terms.items() if name in monomial}


def _independent_parts(form: Form) -> list[Form]:
    """The form split into sums that share no symbol: each has its extremes on its own."""
    groups: list[set[Hashable]] = []
    for monomial in filter(None, form.terms):
        touched = [group for group in groups if group & monomial]
        groups = [group for group in groups if not group & monomial]
        groups.append(set(monomial).union(*touched))
    parts = []
    for group in groups:
        terms = {monomial: array for monomial, array in form.terms.items() if monomial and monomial <= group}
        parts.append(Form(terms, {name: form.symbols[name] for name in group}, form.shape, form.directions))
    return parts


# A product that would join more symbols closes its factors first.
MOST_SYMBOLS = 6


def scaled(form: Form, factor: Coefficient) -> Form:
    """A form times a coefficient, an array or a scalar.

    It is zero with the form, and only with it if the coefficient is a number known not to be zero.
    """
    form = _spread_to(form, jnp.broadcast_shapes(form.shape, jnp.shape(factor.value)))
    terms = {key: multiplied(c, factor) for key, c in form.terms.items()}

    def times_factor(p: Interval) -> Interval:
        return scaled_by(factor, p, 0)

    curve = through(curve_of(form), times_factor, lambda p: times_factor(exactly(jnp.ones_like(p.low))))
    zeros, facts = Zeros(form, factor.never_zero), _facts_of_multiple(form, factor)
    return Form(terms, form.symbols, form.shape, form.directions, zeros, curve, facts)


def _facts_of_multiple(form: Form, factor: Coefficient) -> Facts:
    """A multiple of a uniform form is uniform; a positive multiple of a square of a norm is one."""
    facts, number = form.facts, factor.value
    if not isinstance(number, float):
        return Facts()
    norm = facts.norm
    if norm is not None and number != 1.0:
        usable = norm.power == 1 and 0 < number < inf
        norm = norm._replace(factor=number * norm.factor, rest=number * norm.rest) if usable else None
    return Facts(uniform=facts.uniform, norm=norm)


def shifted(form: Form, constant: Exact) -> Form:
    """A form plus an exact array, or a scalar."""
    form = _spread_to(form, jnp.broadcast_shapes(form.shape, jnp.shape(constant)))
    new, old = coefficient(constant), form.terms.get(frozenset())
    terms = dict(form.terms) | {frozenset(): new if old is None else added(old, new)}

    def moved(p: Interval) -> Interval:
        return add(p, exactly(jnp.asarray(constant, p.low.dtype)))

    curve = through(curve_of(form), moved, lambda p: exactly(jnp.ones_like(p.low)))
    facts = _facts_of_shift(form, constant)
    return Form(terms, form.symbols, form.shape, form.directions, curve=curve, facts=facts)


def _facts_of_shift(form: Form, constant: Exact) -> Facts:
    """What a number that is the same for all entries leaves: their differences, and norms plus a rest."""
    if not isinstance(constant, float | int | np.ndarray | np.generic) or np.ndim(constant):
        return Facts()
    norm, number = form.facts.norm, float(constant)
    usable = norm is not None and norm.power == 1 and 0 <= number < inf
    return Facts(
        uniform=form.facts.uniform,
        shift_of=form.facts.shift_of or form,
        norm=norm._replace(rest=norm.rest + number) if usable and norm is not None else None,
    )


def plus(one: Form, other: Form) -> Form:
    """The sum of two forms; equal products of symbols join, so that what cancels cancels."""
    one, other = _alike(one, other)
    terms = dict(one.terms)
    for key, more in other.terms.items():
        terms[key] = added(terms[key], more) if key in terms else more
    curve = sum_of(curve_of(one), curve_of(other))
    facts = _facts_of_sum(one, other)
    return Form(terms, {**one.symbols, **other.symbols}, one.shape, one.directions, curve=curve, facts=facts)


def _facts_of_sum(one: Form, other: Form) -> Facts:
    """A sum with a uniform form is a shift of the other one."""
    moved = one if other.facts.uniform else other if one.facts.uniform else None
    shift = None if moved is None else moved.facts.shift_of or moved
    return Facts(uniform=one.facts.uniform and other.facts.uniform, shift_of=shift)


def times(one: Form, other: Form) -> Form:
    """The product of two forms; factors that share a symbol, or have too many, are closed first.

    So are functions of one argument that has several symbols: what they share is then that argument.
    """
    one, other = _alike(one, other)
    curve = product_of(curve_of(one), curve_of(other))
    if curve is not None:
        one, other = (part if len(part.symbols) == 1 else closed(part) for part in (one, other))
    shared = not one.symbols.keys().isdisjoint(other.symbols.keys())
    if shared or len(one.symbols) + len(other.symbols) > MOST_SYMBOLS:
        one, other = (
            part if len(part.symbols) == 1 and not shared else closed(part) for part in (one, other)
        )
    terms: dict[Monomial, Coefficient] = {}
    for (left, first), (right, second) in product(one.terms.items(), other.terms.items()):
        key, both = left | right, multiplied(first, second)
        terms[key] = added(terms[key], both) if key in terms else both
    return Form(terms, {**one.symbols, **other.symbols}, one.shape, one.directions, curve=curve)


def closed(form: Form) -> Form:
    """The form as one new symbol: what it was made of is forgotten, its ranges stay."""
    enclosure = enclose(form)
    curve = curve_of(form)
    origin = Origin(curve.base, lambda p: (curve.ranges(p).value, None))
    return replace(symbol_form(enclosure.value, enclosure.jacobian, origin=origin), curve=form.curve)


def mapped(form: Form, operation: Callable[[Array], Array], name: Hashable) -> Form:
    """A form under an operation that only moves elements (slice, reshape, broadcast).

    Args:
        form: what is moved.
        operation: the same for values and every direction; it creates no element.
        name: equal names must mean equal operations, for a symbol moved twice in the same way stays one.
    """

    def moved_array(array: Array | float) -> Array | float:
        return array if isinstance(array, float) else operation(jnp.broadcast_to(array, form.shape))

    along = jax.vmap(operation, in_axes=-1, out_axes=-1)
    symbols = {}
    for symbol in form.symbols.values():
        symbols[symbol.key] = Symbol(
            (symbol.key, name),
            symbol.value.each(operation),
            symbol.slope and symbol.slope.each(operation),
            symbol.jacobian.each(along),
            tuple(branch.each(along) for branch in symbol.branches),
        )
    terms = {
        frozenset(symbols[key].key for key in monomial): Coefficient(*map(moved_array, found))
        for monomial, found in form.terms.items()
    }
    shape = next(iter(symbols.values())).value.low.shape
    facts = form.facts.spread if form.facts.uniform or prod(form.shape) == 1 else Facts()
    return Form(
        terms, {symbol.key: symbol for symbol in symbols.values()}, shape, form.directions, facts=facts
    )


def _alike(one: Form, other: Form) -> tuple[Form, Form]:
    shape = jnp.broadcast_shapes(one.shape, other.shape)
    return _spread_to(one, shape), _spread_to(other, shape)


def _spread_to(form: Form, shape: tuple[int, ...]) -> Form:
    if form.shape == shape:
        return form
    return mapped(form, lambda array: jnp.broadcast_to(array, shape), ("broadcast", shape))
