"""Extremes of forms: they are taken at corners of the box of their symbols, and of their slopes."""

from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from math import prod
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .coefficient import Coefficient
from .curve import pieces
from .interval import Interval, add, exactly, multiply, widened
from .polynomial import Enclosure, Form, Monomial, Symbol, dtype_of

MOST_CORNERS = 256
"""Corners of symbols and slopes that the bound of a row looks at."""

_MOST_PIECES = 32
"""Pieces of the range of a form that several symbols come from."""

_MOST_NUMBERS = 2**20
"""Numbers that all pieces of a bound may hold together."""


def enclose(form: Form) -> Enclosure:
    """Range and derivative of a form: the sum over its independent parts, each at its corners."""
    parts = [_enclose_part(part) for part in _independent_parts(form)]
    values, jacobians = [part.value for part in parts], [part.jacobian for part in parts]
    constant = form.terms.get(frozenset())
    if constant is not None or not parts:
        ends = (Coefficient(0.0) if constant is None else constant).interval
        values.append(Interval(*(jnp.broadcast_to(end, form.shape).astype(dtype_of(form)) for end in ends)))
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
    values = {name: _lifted(symbol.value, count) for name, symbol in form.symbols.items()}
    slopes = {
        name: _lifted(symbol.slope, count)
        for name, symbol in form.symbols.items()
        if symbol.slope is not None
    }
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


def _common_base(form: Form) -> tuple[Any, list[Hashable]]:
    """The form that at least two symbols come from, and those symbols; its own symbol is one of them."""
    bases = {id(symbol.origin.base): symbol.origin.base for symbol in form.symbols.values() if symbol.origin}
    if not bases:
        return None, []
    children: dict[int, list[Hashable]] = {
        key: [name for name, symbol in form.symbols.items() if symbol.origin and symbol.origin.base is base]
        + _own(base, form)
        for key, base in bases.items()
    }
    largest = max(children, key=lambda key: len(children[key]))
    return (bases[largest], children[largest]) if len(children[largest]) > 1 else (None, [])


def _own(base: Form, form: Form) -> list[Hashable]:
    """The symbol that a form is, if it is a single one and nothing else, and stands in another form."""
    if len(base.terms) != 1:
        return []
    (monomial, factor), *_ = base.terms.items()
    alone = len(monomial) == 1 and factor.exact and isinstance(factor.value, float) and factor.value == 1.0
    return [name for name in monomial if alone and name in form.symbols and base.shape == form.shape]


def _lifted(interval: Interval, count: int) -> Interval:
    return Interval(*(jnp.broadcast_to(end, (count, *end.shape)) for end in interval))


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
    derivatives = {name: _derivative(form.symbols[name], known, name, combinations) for name in names}
    gradients = {name: _gradient(form, name) for name in names}
    values = dict(zip(names, _corners([known.values[name] for name in names], ways), strict=True))
    value = _evaluate(form.terms, values, form)
    tangent = _tangent(gradients, derivatives, values, form)
    return Enclosure(
        Interval(value.low.min(axis=0), value.high.max(axis=0)),
        Interval(tangent.low.min(axis=0), tangent.high.max(axis=0)),
    )


def _derivative(symbol: Symbol, known: _Known, name: Hashable, combinations: int) -> Interval:
    """The derivative of a symbol at every corner of every piece."""
    if known.pieces == 1 or name not in known.slopes:
        return symbol.derivative
    slope = known.slopes[name]
    found = multiply(Interval(slope.low[..., None], slope.high[..., None]), symbol.jacobian)
    return Interval(*(jnp.tile(end, (combinations, *(1,) * (end.ndim - 1))) for end in found))


def scaled_by(factor: Coefficient, interval: Interval, trailing: int) -> Interval:
    """An interval times a coefficient; plus and minus one lose nothing."""
    if factor.exact and isinstance(factor.value, float) and abs(factor.value) == 1.0:
        return interval if factor.value > 0 else Interval(-interval.high, -interval.low)
    shape = interval.low.shape[: interval.low.ndim - trailing]
    ends = (jnp.broadcast_to(end, shape).astype(interval.low.dtype) for end in factor.interval)
    return multiply(Interval(*(end.reshape((*shape, *(1,) * trailing)) for end in ends)), interval)


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
    total = size = error = jnp.zeros((1, *form.shape), dtype_of(form))
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
