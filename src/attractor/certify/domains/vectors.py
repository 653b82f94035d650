"""Functions of whole vectors: the norm, a vector divided by its norm, the softmax.

Each is differentiable on the box wherever it is defined (the norm has subgradients at zero), so that its
difference between two points is a mean of its Jacobian M along the line between them, times their difference.
An interval matrix that holds M on the box of p therefore bounds both: J = M J_p.
"""

from math import prod

import jax.numpy as jnp
from jaxtyping import Array

from .algebra import enclose
from .interval import SCALAR, TINY, TRANSCENDENTAL, Interval, add, exactly, multiply, outward
from .polynomial import Enclosure, Form, Norm, symbol_form

# Entries of a vector whose Jacobian is written out; longer ones are bounded piece by piece.
_MOST = 64


def norm_form(norm: Norm) -> Form:
    r"""$N = \sqrt{c |p|^2 + e}$, a number, with $\partial N / \partial p_j = c p_j / N$.

    No slope is steeper than $\sqrt c$, for $\sqrt c |p_j| \le N$; with N bounded from below, also
    $|c p_j| / \min N$. At p = 0 without e the subgradients are those of length at most $\sqrt c$.
    """
    inside, square = _flat(norm.of), _square(norm)
    value = SCALAR["sqrt"].value(square)
    steepest = jnp.sqrt(norm.factor) * jnp.ones_like(inside.value.low)
    nearest = jnp.where(value.low > TINY, value.low, jnp.inf)
    bounded = jnp.where(value.low > TINY, norm.factor * inside.value.magnitude / nearest, jnp.inf)
    most = outward(exactly(jnp.minimum(steepest, bounded)), 8).high
    low = jnp.where(inside.value.low >= 0, 0.0, -most)
    high = jnp.where(inside.value.high <= 0, 0.0, most)
    return symbol_form(value, _applied(Interval(low, high), inside.jacobian))


def normalised_form(norm: Norm) -> Form:
    r"""$y = p / \sqrt{c |p|^2 + e}$, with $\partial y_i / \partial p_j = (\delta_{ij} - t_{ij}) / N$.

    Here $t_{ij} = c p_i p_j / N^2$, of which $0 \le t_{ii} \le 1$ and $|t_{ij}| \le 1/2$ (from
    $2 |p_i p_j| \le p_i^2 + p_j^2 \le N^2 / c$), and $|y_i| \le 1 / \sqrt c$.
    """
    inside, square = _flat(norm.of), _square(norm)
    shrink = SCALAR["rsqrt"].value(square)
    within = outward(exactly(1 / jnp.sqrt(norm.factor) * jnp.ones_like(inside.value.low)), 8).high
    plain = multiply(inside.value, shrink.each(lambda end: end[None]))
    value = Interval(jnp.maximum(plain.low, -within), jnp.minimum(plain.high, within))
    size = len(value.low)
    scaled = multiply(value, exactly(jnp.full_like(value.low, norm.factor)))
    share = _outer(scaled, value)
    same = jnp.eye(size, dtype=bool)
    least, most = jnp.where(same, 0.0, -0.5), jnp.where(same, 1.0, 0.5)
    share = share.each(lambda end: jnp.clip(end, least, most))
    one = same.astype(value.low.dtype)
    matrix = multiply(add(exactly(one), -share), shrink)
    return _shaped(norm.of, value, _product(matrix, inside.jacobian))


def softmax_form(argument: Form) -> Form:
    r"""$y_i = 1 / \sum_j e^{p_j - p_i}$, with $\partial y_i / \partial p_j = y_i (\delta_{ij} - y_j)$.

    Only differences of p enter, so that y rises with $p_i$ and falls with every other entry: its extremes are
    at corners of the box. $y_i (1 - y_i) \le 1/4$, and so is $y_i y_j$, because $y_i + y_j \le 1$.
    """
    inside = _flat(argument)
    low, high = inside.value
    same = jnp.eye(len(low), dtype=bool)

    def total(own: Array, others: Array) -> Array:
        return jnp.sum(jnp.where(same, 1.0, jnp.exp(others[None] - own[:, None])), axis=1)

    # The error of exp grows with its argument, and a sum has as many roundings as terms.
    units = 2 * (TRANSCENDENTAL + len(low))
    reach = 1 + jnp.max(high) - jnp.min(low)
    ends = Interval(1 / total(low, high), 1 / total(high, low))
    error = 2.0**-51 * units * reach
    value = Interval(
        jnp.clip(ends.low * (1 - error), 0.0, 1.0), jnp.clip(ends.high * (1 + error) + TINY, 0.0, 1.0)
    )
    both = _outer(value, value)
    apart = Interval(jnp.maximum(-both.high, -0.25), jnp.minimum(-both.low, 0.0))
    rest = add(exactly(jnp.ones_like(low)), -value)
    own = multiply(value, Interval(jnp.maximum(rest.low, 0.0), rest.high))
    own = Interval(jnp.maximum(own.low, 0.0), jnp.minimum(own.high, 0.25))
    matrix = own.each(lambda end: end[:, None]).where(same, apart)
    return _shaped(argument, value, _product(matrix, inside.jacobian))


def is_short(form: Form) -> bool:
    """Whether the Jacobian of a function of all entries is worth writing out."""
    return prod(form.shape) <= _MOST


def _flat(form: Form) -> Enclosure:
    """Values and derivatives of all entries of a form, as one vector."""
    found, shape = enclose(form), (prod(form.shape), form.directions)
    return Enclosure(found.value.each(jnp.ravel), found.jacobian.each(lambda end: end.reshape(shape)))


def _shaped(like: Form, value: Interval, jacobian: Interval) -> Form:
    along = jacobian.each(lambda end: end.reshape((*like.shape, end.shape[-1])))
    return symbol_form(value.each(lambda end: end.reshape(like.shape)), along)


def _square(norm: Norm) -> Interval:
    """The range of c |p|^2 + e, never negative."""
    squares = SCALAR["square"].value(_flat(norm.of).value)
    count = squares.low.shape[0]
    total = outward(Interval(squares.low.sum(), squares.high.sum()), count + 2)
    found = outward(Interval(norm.factor * total.low + norm.rest, norm.factor * total.high + norm.rest), 4)
    return Interval(jnp.maximum(found.low, 0.0), found.high)


def _outer(column: Interval, row: Interval) -> Interval:
    """All products of an entry of one vector with an entry of another."""
    return multiply(column.each(lambda end: end[:, None]), row.each(lambda end: end[None]))


def _product(matrix: Interval, jacobian: Interval) -> Interval:
    """The product of an interval matrix (rows, entries) with (entries, directions)."""
    parts = multiply(matrix.each(lambda end: end[:, :, None]), jacobian.each(lambda end: end[None]))
    low, high = parts.low.sum(axis=1), parts.high.sum(axis=1)
    units = parts.low.shape[1] + 2
    error = 2.0**-51 * units * parts.magnitude.sum(axis=1)
    return Interval(low - error - TINY, high + error + TINY)


def _applied(row: Interval, jacobian: Interval) -> Interval:
    """The product of an interval row (entries,) with (entries, directions)."""
    return _product(row.each(lambda end: end[None]), jacobian).each(lambda end: end[0])
