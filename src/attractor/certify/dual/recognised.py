"""Functions of one number that programs write as sums and products of others: each a node of its own.

What is recognised is what is computed, never a name: z times a sigmoid of a multiple of the same z, and the
larger of two numbers plus log(1 + exp(-|their difference|)).
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jax.extend.core import JaxprEqn

from .expressions import Expression, Lowering, Value, difference, mapped, scaled, sum_of
from .fusion import same
from .linear_maps import Selection, is_in_order, sparse_of
from .network import Affine, Node
from .origins import noted, origin_of, root_of, roots_of

# The rate of a gate, as `recheck.well_formed` accepts it.
_RATES = (1e-6, 1e6)


def self_gated(
    lowering: Lowering, equation: JaxprEqn, one: Expression, other: Expression
) -> Expression | None:
    """K z (f g(c z) + o) for the logistic sigmoid or the error function g; None for another product.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        one: k z.
        other: f g(c z) + o.
    """
    found = _entry_by_entry(lowering, other.affine)
    if found is None or found[0].function not in ("logistic", "erf"):
        return None
    node, factors = found
    common = _common_root(lowering, one.affine, node.arguments[0])
    if common is None:
        return None
    base, share, rates, rounded = common
    rate = float(rates[0]) if len(rates) else 0.0
    if not (rates == rate).all() or not _RATES[0] <= abs(rate) <= _RATES[1]:
        return None
    z, gate, offset = Expression(one.shape, base), factors, other.affine.bias
    if node.function == "erf":
        # z erf(c z) = 2 z (1 + erf(c z)) / 2 - z, and erf is odd.
        gate = gate if rate > 0 else -gate
        offset = offset - gate
        if not _exact_difference(offset, other.affine.bias, gate):
            return None
        own = _times(lowering.node("gelu", [z], equation, abs(rate)), 2 * gate)
    elif rate > 0:
        own = _times(lowering.node("silu", [z], equation, rate), gate)
    else:
        return None
    own = _with_remainder(own, np.abs(gate) / abs(rate)) if rounded else own
    return _times(sum_of(own, _times(z, offset)) if offset.any() else own, share)


class _Common(NamedTuple):
    """What two affine functions are multiples of.

    Args:
        base: that.
        share: the factors of the one.
        rates: those of the other.
        rounded: whether the rates were, once.
    """

    base: Affine
    share: np.ndarray
    rates: np.ndarray
    rounded: bool = False


def _common_root(lowering: Lowering, one: Affine, other: Affine) -> _Common | None:
    """What both are multiples of, the other one perhaps a quotient."""
    quotient = origin_of(lowering, other, "quotient")
    for base, factors in roots_of(lowering, one):
        for own, others in roots_of(lowering, other if quotient is None else quotient.of):
            if same(base, own):
                rates = others if quotient is None else others / quotient.factors
                return _Common(base, factors, rates, quotient is not None)
    return None


def _with_remainder(one: Expression, sizes: np.ndarray) -> Expression:
    """What is f z g(c z) for a rate c that is wrong by half a unit: it misses less than f / c units.

    With t = c z the difference is at most 2^-53 t^2 g'(t) / c, and t^2 g'(t) is below 0.44 for the logistic
    sigmoid and for the error function.

    Args:
        one: f z g(c z).
        sizes: |f| / c, one an entry.
    """
    affine = one.affine
    whole = Affine(
        affine.terms, affine.bias, affine.reach_terms, affine.reach_bias + sizes, affine.roundings + 1
    )
    return Expression(one.shape, whole)


def _times(one: Expression, factors: np.ndarray) -> Expression:
    """Every entry times its factor."""
    return scaled(one, factors.reshape(one.shape))


def _exact_difference(found: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a difference of numbers lost nothing."""
    return bool(((found + other == one) & (one - found == other)).all() and np.isfinite(found).all())


def _entry_by_entry(lowering: Lowering, one: Affine) -> tuple[Node, np.ndarray] | None:
    """The node whose entries an affine function is, in order, and their factors; any constant."""
    if one.roundings or len(one.terms) != 1:
        return None
    ((source, part),) = one.terms.items()
    if not source or not isinstance(part, Selection) or not is_in_order(part):
        return None
    return lowering.nodes[source - 1], part.factors


def softened(lowering: Lowering, equation: JaxprEqn, one: Expression, other: Expression) -> Expression | None:
    """R + max(z, 0) + log(1 + exp(-|z|)), which is r + softplus(z); None for another sum.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        one: r + max(z, 0).
        other: the logarithm.
    """
    z = _softening_of(lowering, other.affine)
    if z is None:
        return None
    for source, part in one.affine.terms.items():
        node = lowering.nodes[source - 1] if source else None
        if node is None or node.function != "relu" or not same(node.arguments[0], z):
            continue
        if isinstance(part, Selection) and is_in_order(part) and (part.factors == 1).all():
            number = next(iter(other.affine.terms))
            lowering.nodes[number - 1] = replace(lowering.nodes[number - 1], safe=True)
            soft = lowering.node("softplus", [Expression(one.shape, z)], equation)
            return _in_place_of(source, one, soft)
    return None


def _softening_of(lowering: Lowering, one: Affine) -> Affine | None:
    """The z of log(1 + exp(-|z|))."""
    inner = one
    for function, offset in (("log", 0.0), ("exp", 1.0)):
        found = _entry_by_entry(lowering, inner)
        if found is None or found[0].function != function:
            return None
        if not (found[1] == 1).all() or not (inner.bias == offset).all():
            return None
        inner = found[0].arguments[0]
    size, factors = root_of(lowering, inner)
    absolute = origin_of(lowering, size, "absolute")
    return absolute.of if absolute is not None and (factors == -1).all() else None


def exponential_unit(
    lowering: Lowering, equation: JaxprEqn, z: Expression, below: Expression
) -> Expression | None:
    """Z above zero, a (exp(c z) - 1) below; None for another function below.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        z: what is chosen above zero.
        below: what is chosen below; its values above zero are not looked at.
    """
    base, depths = root_of(lowering, below.affine)
    found = _entry_by_entry(lowering, base)
    if found is None or found[0].function != "exp":
        return None
    if not (found[1] == 1).all() or not (base.bias == -1).all():
        return None
    for inner, rates in roots_of(lowering, found[0].arguments[0]):
        part = origin_of(lowering, inner, "below")
        depth, rate = _single(depths), _single(rates)
        if depth is not None and rate is not None and same(inner if part is None else part.of, z.affine):
            return lowering.node("elu", [z], equation, depth, rate)
    return None


def _single(factors: np.ndarray) -> float | None:
    """The one number, if it is one and of a usual size."""
    numbers = np.unique(factors)
    usual = len(numbers) == 1 and _RATES[0] <= numbers[0] <= _RATES[1]
    return float(numbers[0]) if usual else None


def chosen_unit(
    lowering: Lowering, equation: JaxprEqn, which: Expression, no: Value, yes: Value
) -> Expression | None:
    """A choice between z and zero, or z and an exponential less one, by the sign of z; None for others.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        which: the truth value.
        no: what is chosen where it is false.
        yes: where it is true.
    """
    found = _entry_by_entry(lowering, which.affine)
    if found is None or found[0].function not in ("positive", "not_negative"):
        return None
    if not (found[1] == 1).all() or which.affine.bias.any():
        return None
    gap = found[0].arguments[0]
    if isinstance(yes, Expression):
        above = isinstance(no, Expression) and same(gap, yes.affine)
        return exponential_unit(lowering, equation, yes, no) if above and isinstance(no, Expression) else None
    if yes.any() or not isinstance(no, Expression) or not same(gap, no.affine):
        return None
    found_below = difference(no, lowering.node("relu", [Expression(no.shape, gap)], equation))
    return noted(lowering, found_below, "below", no, np.ones(no.shape))


def cut_off(
    lowering: Lowering, equation: JaxprEqn, which: Expression, no: Value, yes: Value
) -> Expression | None:
    """The ceiling below zero and the floor above, which cut off what is behind the point; None for others.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        which: the truth value.
        no: what is chosen where it is false.
        yes: where it is true.
    """
    if not isinstance(no, Expression) or not isinstance(yes, Expression):
        return None
    parts = [_alone(lowering, one.affine) for one in (which, no, yes)]
    if [node and node.function for node in parts] != ["positive", "floor", "ceil"]:
        return None
    gap, z, other = (node.arguments[0] for node in parts if node is not None)
    size = len(z.bias)
    negative = mapped(Selection(np.arange(size), -np.ones(size), size), z)
    if not same(z, other) or not same(gap, negative):
        return None
    return lowering.node("trunc", [Expression(no.shape, z)], equation)


def _alone(lowering: Lowering, one: Affine) -> Node | None:
    """The node whose entries an affine function is, in order and as they are."""
    found = _entry_by_entry(lowering, one)
    return None if found is None or one.bias.any() or not (found[1] == 1).all() else found[0]


def added_unit(
    lowering: Lowering, equation: JaxprEqn, one: Expression, other: Expression
) -> Expression | None:
    """max(z, 0) + a (exp(c min(z, 0)) - 1); None for another sum.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        one: the larger one.
        other: the rest.
    """
    found = _entry_by_entry(lowering, one.affine)
    if found is None or found[0].function != "relu" or not (found[1] == 1).all() or one.affine.bias.any():
        return None
    inner = _exponent_of(lowering, other.affine)
    if inner is None or origin_of(lowering, inner, "below") is None:
        return None
    return exponential_unit(lowering, equation, Expression(one.shape, found[0].arguments[0]), other)


def _exponent_of(lowering: Lowering, one: Affine) -> Affine | None:
    """The u of a (exp(c u) + b)."""
    found = _entry_by_entry(lowering, root_of(lowering, one)[0])
    if found is None or found[0].function != "exp":
        return None
    return root_of(lowering, found[0].arguments[0])[0]


def _in_place_of(source: int, one: Expression, new: Expression) -> Expression:
    """A sum with a larger term in place of one; what folding may have cost is known of the larger one too."""
    affine = one.affine
    ((number, part),) = new.affine.terms.items()
    kept = {name: own for name, own in affine.terms.items() if name != source}
    if not affine.roundings:
        return Expression(one.shape, Affine({**kept, number: part}, affine.bias))
    sizes = {name: own for name, own in affine.reach_terms.items() if name != source}
    sizes[number] = affine.reach_terms[source]
    whole = Affine({**kept, number: part}, affine.bias, sizes, affine.reach_bias, affine.roundings)
    return Expression(one.shape, whole)


def is_defined(lowering: Lowering, one: Affine) -> bool:
    """Whether an affine function is certainly a finite number at every finite input.

    Args:
        lowering: the network in the making.
        one: the affine function.
    """
    waiting, seen = [one], set[int]()
    while waiting:
        part = waiting.pop()
        if not part.finite:
            return False
        for source in set(part.terms) - seen - {0}:
            seen.add(source)
            node = lowering.nodes[source - 1]
            if node.rule.partial:
                return False
            waiting += node.arguments
    return True


def is_positive(lowering: Lowering, one: Affine) -> bool:
    """Whether an affine function is certainly a sum of exponentials, none of them times less than zero.

    Args:
        lowering: the network in the making.
        one: the affine function.
    """
    if one.roundings or not one.terms or (one.bias < 0).any():
        return False
    known = all(source and lowering.nodes[source - 1].function == "exp" for source in one.terms)
    return known and all((sparse_of(part).tocsr().data >= 0).all() for part in one.terms.values())
