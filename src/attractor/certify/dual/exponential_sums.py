"""Quotients and logarithms of sums of exponentials: the softmax, and what is written with it.

As a sum, a reciprocal and a product their bounds are exponentials of widths. But

    log(exp(a) + exp(b)) = b + softplus(a - b),
    exp(a_i) / sum_j exp(a_j) = sigmoid(a_i - log sum_{j != i} exp(a_j)),

and all of these functions rise by no more than their arguments. A number that is taken from all a_j, as
programs do to keep exponentials small, changes no difference of two, and is left out of them.
"""

from typing import NamedTuple

import numpy as np
from jax.extend.core import JaxprEqn

from .expressions import Expression, Lowering, difference, scaled, sum_of, taken
from .fusion import same
from .linear_maps import Selection, sparse_of
from .network import Affine, Node
from .origins import noted, origin_of

# More numbers than these are not compared one by one.
_MOST = 1 << 14


class _Sums(NamedTuple):
    """Sums of exponentials, one a row.

    Args:
        exponents: f, all of them.
        members: which of them each sum is of, shape (sums, members).
    """

    exponents: Affine
    members: np.ndarray


class _Logarithm(NamedTuple):
    """The logarithm of a sum of exponentials, as one of its exponents and what it is more than that.

    Args:
        lead: the numbers of the exponents.
        more: what is added; None for nothing.
    """

    lead: np.ndarray
    more: Expression | None


def softmax(lowering: Lowering, equation: JaxprEqn, one: Expression, other: Expression) -> Expression | None:
    """exp(f_i) / sum_j exp(f_j), with i among the j; None for another quotient.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        one: the exponential.
        other: the sum.
    """
    sums = _sums_of(lowering, other.affine)
    own = _exponential(lowering, one.affine)
    if sums is None or own is None or not same(own.arguments[0], sums.exponents):
        return None
    odds = _against_others(lowering, equation, sums)
    if odds is None:
        return None
    return lowering.node("logistic", [Expression(one.shape, odds.affine)], equation)


def _against_others(lowering: Lowering, equation: JaxprEqn, sums: _Sums) -> Expression | None:
    """f_i less the logarithm of the i-th sum without its own exponential; None where it has none."""
    rows = np.arange(len(sums.members))
    mine = sums.members == rows[:, None]
    if not (mine.sum(axis=1) == 1).all() or sums.members.size > _MOST or sums.members.shape[1] < 2:
        return None
    others = _Sums(sums.exponents, sums.members[~mine].reshape(len(rows), -1))
    exponents = _without_shift(lowering, sums)
    rest = _whole(_logarithm(lowering, equation, others, exponents), exponents)
    return difference(taken(exponents, rows), rest)


def logarithm_of_sum(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression | None:
    """Log sum_j exp(f_j); None for the logarithm of something else.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        one: the sum.
    """
    sums = _sums_of(lowering, one.affine)
    if sums is None or sums.members.size > _MOST:
        return None
    found = _logarithm(lowering, equation, sums, _without_shift(lowering, sums))
    whole = Expression(one.shape, _whole(found, sums.exponents).affine)
    exponents = Expression((len(sums.exponents.bias),), sums.exponents)
    return noted(lowering, whole, "logarithm", exponents, sums.members)


def log_softmax(
    lowering: Lowering, equation: JaxprEqn, one: Expression, other: Expression, index: np.ndarray
) -> Expression | None:
    """f_i - log sum_j exp(f_j), with i among the j; None for another difference.

    Args:
        lowering: the network in the making.
        equation: that asks for it.
        one: the exponents f.
        other: the logarithms.
        index: which of them is taken from each exponent.
    """
    origin = origin_of(lowering, other.affine, "logarithm")
    if origin is None or not same(one.affine, origin.of):
        return None
    members = origin.factors.reshape(len(other.affine.bias), -1)[index.ravel()]
    found = _against_others(lowering, equation, _Sums(origin.of, members))
    if found is None:
        return None
    soft = lowering.node("softplus", [scaled(Expression(one.shape, found.affine), -1.0)], equation)
    return scaled(soft, -1.0)


def _exponential(lowering: Lowering, one: Affine) -> Node | None:
    """The node whose entries, in order, an affine function is, if these are exponentials."""
    if not one.plain:
        return None
    ((source, part),) = one.terms.items()
    node = lowering.nodes[source - 1] if source else None
    if node is None or node.function != "exp" or not isinstance(part, Selection):
        return None
    whole = len(part.columns) == part.size and bool((part.columns == np.arange(part.size)).all())
    return node if whole and bool((part.factors == 1).all()) else None


def _sums_of(lowering: Lowering, one: Affine) -> _Sums | None:
    """How an affine function is sums of equally many exponentials, and nothing else."""
    if one.roundings or len(one.terms) != 1 or one.bias.any():
        return None
    ((source, part),) = one.terms.items()
    node = lowering.nodes[source - 1] if source else None
    if node is None or node.function != "exp":
        return None
    matrix = sparse_of(part).tocsr()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    counts = np.diff(matrix.indptr)
    if len(counts) == 0 or counts[0] == 0 or not (counts == counts[0]).all() or not (matrix.data == 1).all():
        return None
    return _Sums(node.arguments[0], matrix.indices.reshape(len(counts), -1).astype(int))


def _without_shift(lowering: Lowering, sums: _Sums) -> Affine:
    """The exponents before the same number was taken from all of a sum."""
    origin = origin_of(lowering, sums.exponents, "shifted")
    if origin is None:
        return sums.exponents
    taken_away = origin.factors[sums.members]
    return origin.of if bool((taken_away == taken_away[:, :1]).all()) else sums.exponents


def _logarithm(lowering: Lowering, equation: JaxprEqn, sums: _Sums, exponents: Affine) -> _Logarithm:
    """Two by two."""
    parts = [_Logarithm(column, None) for column in sums.members.T]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        rest = parts[len(parts) // 2 * 2 :]
        parts = [_of_two(lowering, equation, exponents, *pair) for pair in pairs] + rest
    return parts[0]


def _of_two(
    lowering: Lowering, equation: JaxprEqn, exponents: Affine, one: _Logarithm, other: _Logarithm
) -> _Logarithm:
    gap = difference(_whole(one, exponents), _whole(other, exponents))
    more = lowering.node("softplus", [gap], equation)
    return _Logarithm(other.lead, more if other.more is None else sum_of(other.more, more))


def _whole(one: _Logarithm, exponents: Affine) -> Expression:
    lead = taken(exponents, one.lead)
    return lead if one.more is None else sum_of(lead, one.more)
