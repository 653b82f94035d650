"""The algebra of forms: sums, products, multiples and moves of polynomials in symbols."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from itertools import product
from math import inf, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .coefficient import Coefficient, added, coefficient, multiplied
from .curve import Origin, curve_of, product_of, sum_of, through
from .extremes import enclose, scaled_by
from .facts import Facts
from .interval import Interval, add, exactly
from .polynomial import Form, Monomial, Symbol, Zeros, symbol_form

MOST_SYMBOLS = 6
"""A product that would join more symbols closes its factors first."""


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


def shifted(form: Form, constant: Any) -> Form:
    """A form plus an exact array, or a scalar."""
    form = _spread_to(form, jnp.broadcast_shapes(form.shape, jnp.shape(constant)))
    new, old = coefficient(constant), form.terms.get(frozenset())
    terms = dict(form.terms) | {frozenset(): new if old is None else added(old, new)}

    def moved(p: Interval) -> Interval:
        return add(p, exactly(jnp.asarray(constant, p.low.dtype)))

    curve = through(curve_of(form), moved, lambda p: exactly(jnp.ones_like(p.low)))
    facts = _facts_of_shift(form, constant)
    return Form(terms, form.symbols, form.shape, form.directions, curve=curve, facts=facts)


def _facts_of_shift(form: Form, constant: Any) -> Facts:
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
            tuple(Interval(*map(along, branch)) for branch in symbol.branches),
        )
        symbols[symbol.key] = moved
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
