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

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import count
from typing import Any, NamedTuple

import jax.numpy as jnp

from .coefficient import ONE, Coefficient
from .curve import Curve, Origin
from .facts import NOTHING, Facts
from .interval import Interval, hull, multiply

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
            other places; 2 p only with p.
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


def dtype_of(form: Form) -> Any:
    """The floating type of a form."""
    return jnp.result_type(*(symbol.value.low for symbol in form.symbols.values()))
