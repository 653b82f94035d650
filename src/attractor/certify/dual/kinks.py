"""Choices that are continuous: the larger of two, numbers between limits, what a comparison switches on."""

import numpy as np
from jax.extend.core import JaxprEqn

from .expressions import (
    Expression,
    Limit,
    Lowering,
    Value,
    difference,
    mapped,
    scaled,
    spread,
    sum_of,
)
from .fusion import same
from .linear_maps import Selection, is_in_order
from .network import Affine
from .origins import noted


def clipped(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value, side: float) -> Expression:
    """The larger (side 1) or smaller (side -1) of two; one node for both limits of what has two.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        one: an operand.
        other: the other one.
        side: 1 or -1.
    """
    one, other = spread(equation, one, other)
    if not isinstance(one, Expression):
        one, other = other, one
    number = None if isinstance(other, Expression) else _single(other)
    if number is None or not isinstance(one, Expression):
        return _limited(lowering, equation, one, other, side)
    if number == -side * np.inf:
        return one
    before = _limit_of(lowering, one)
    if before is not None and before.side == -side and side * (before.number - number) >= 0:
        ends = sorted((before.number, number))
        return lowering.node("clip", [Expression(one.shape, before.of.affine)], equation, *ends)
    found = _limited(lowering, equation, one, other, side)
    lowering.limits[len(lowering.nodes)] = Limit(one, number, side)
    return found


def _single(known: np.ndarray) -> float | None:
    numbers = np.unique(known)
    return float(numbers[0]) if len(numbers) == 1 else None


def _limited(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value, side: float) -> Expression:
    if side > 0 and isinstance(one, Expression) and not isinstance(other, Expression) and not other.any():
        gap = one
    else:
        gap = difference(one, other) if side > 0 else difference(other, one)
    above = lowering.node("relu", [gap], equation)
    if side > 0:
        return sum_of(above, other)
    found = difference(other, above)
    if isinstance(one, Expression) and not isinstance(other, Expression) and not other.any():
        return noted(lowering, found, "below", one, np.ones(one.shape))
    return found


def _limit_of(lowering: Lowering, one: Expression) -> Limit | None:
    """How an expression is all of the larger (smaller) of another one and a number."""
    affine = one.affine
    if affine.roundings or len(affine.terms) != 1:
        return None
    source, part = next(iter(affine.terms.items()))
    limit = lowering.limits.get(source)
    if limit is None or not isinstance(part, Selection) or not is_in_order(part):
        return None
    whole = bool((part.factors == limit.side).all()) and bool((affine.bias == limit.number).all())
    return limit if whole else None


def rectified(
    lowering: Lowering, equation: JaxprEqn, which: Expression, gain: Expression
) -> Expression | None:
    """(g > 0) k g = k max(g, 0), for a choice whose cases meet where it changes; None for others.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        which: a truth value, or its opposite.
        gain: what it is multiplied with.
    """
    affine = which.affine
    if affine.roundings or len(affine.terms) != 1:
        return None
    source, part = next(iter(affine.terms.items()))
    node = lowering.nodes[source - 1] if source else None
    if node is None or node.function not in ("positive", "not_negative"):
        return None
    if not isinstance(part, Selection) or not is_in_order(part):
        return None
    gap = node.arguments[0]
    factors = _multiple(gain.affine, gap)
    if factors is None:
        return None
    above = lowering.node("relu", [Expression(gain.shape, gap)], equation)
    own = scaled(
        Expression(gain.shape, _times(factors, gain.affine, above.affine)), _like(part.factors, gain)
    )
    return sum_of(own, scaled(gain, _like(affine.bias, gain))) if affine.bias.any() else own


def _like(factors: np.ndarray, one: Expression) -> np.ndarray:
    return factors.reshape(one.shape)


def _multiple(one: Affine, gap: Affine) -> np.ndarray | None:
    """The factors k of one = k gap, entry by entry, where that is certain."""
    ones = np.ones(len(gap.bias))
    if same(one, gap):
        return ones
    if same(one, mapped(Selection(np.arange(len(ones)), -ones, len(ones)), gap)):
        return -ones
    if not gap.plain or one.bias.any() or one.reach_bias.any() or one.terms.keys() != gap.terms.keys():
        return None
    ((source, part),) = gap.terms.items()
    own = one.terms[source]
    if set(one.reach_terms) != {source} or not isinstance(own, Selection) or not isinstance(part, Selection):
        return None
    return own.factors * part.factors if np.array_equal(own.columns, part.columns) else None


def _times(factors: np.ndarray, gain: Affine, above: Affine) -> Affine:
    """Factors times max(g, 0), as uncertain as they are: it is no larger than |g|."""
    size = len(factors)
    found = mapped(Selection(np.arange(size), factors, size), above)
    if gain.roundings == 0:
        return found
    (source,), (size,) = found.terms, gain.reach_terms.values()
    reach = size.apply(np.ones(size.shape[1]))
    sizes = {source: Selection(np.arange(len(reach)), reach, len(reach))}
    return Affine(found.terms, found.bias, sizes, found.reach_bias, gain.roundings)
