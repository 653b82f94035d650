"""The output of a network at one point, as fractions: what rounding would leave open there is decided.

That is possible where every affine map is known exactly and every function gives a fraction for fractions:
choices, jumps, products and powers do, tanh does not. The numbers of the network are taken as they stand.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import ceil, floor, trunc
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from .linear_maps import sparse_of
from .network import Affine, Network, Node

# Products of one evaluation, and bits of one of its numbers; beyond either a search is better off without.
_MOST_PRODUCTS, _MOST_BITS = 20_000, 20_000

# Terms of a sum, and what sums of magnitudes may miss themselves.
_MOST_TERMS, _WIDER = 256, Fraction(1 + 1e-9)

Exact: TypeAlias = list[Fraction]
# A function of the parameters of a node and of its arguments.
_Rule: TypeAlias = Callable[[tuple[float, ...], tuple[Fraction, ...]], Fraction]

_ZERO, _ONE = Fraction(0), Fraction(1)


def exact_outputs(network: Network, point: Float[np.ndarray, " inputs"]) -> tuple[Fraction, ...] | None:
    """The outputs of a network at a point, without any rounding.

    Args:
        network: to be evaluated.
        point: its input.

    Returns:
        The outputs; None where a map was rounded when it was made, a function has no exact value, a number
        is not finite, or the work is more than is worth it.
    """
    affines = [one for node in network.nodes for one in node.arguments] + [network.output]
    if not np.isfinite(point).all() or not all(_is_exact(one) for one in affines):
        return None
    if not all(node.function in _RULES for node in network.nodes) or _products(affines) > _MOST_PRODUCTS:
        return None
    known: list[Exact] = [[Fraction(float(one)) for one in point]]
    for node in network.nodes:
        if not _is_short(node, made := _arguments(node, known)):
            return None
        try:
            known.append([_RULES[node.function](node.parameters, one) for one in made])
        except ArithmeticError:  # it is not defined there
            return None
    return tuple(_applied(network.output, known))


def _is_exact(one: Affine) -> bool:
    return one.roundings == 0 and one.finite


def _products(affines: Sequence[Affine]) -> int:
    return sum(len(one.bias) + sum(sparse_of(part).nnz for part in one.terms.values()) for one in affines)


def _arguments(node: Node, known: Sequence[Exact]) -> list[tuple[Fraction, ...]]:
    """Of every entry of a node."""
    return list(zip(*(_applied(one, known) for one in node.arguments), strict=True))


def _applied(one: Affine, known: Sequence[Exact]) -> Exact:
    total = [Fraction(float(bias)) for bias in one.bias]
    for source, part in one.terms.items():
        matrix = sparse_of(part).tocoo()
        rows, columns = matrix.coords
        for row, column, factor in zip(rows, columns, matrix.data, strict=True):
            total[int(row)] += Fraction(float(factor)) * known[source][int(column)]
    return total


def _is_short(node: Node, arguments: Sequence[tuple[Fraction, ...]]) -> bool:
    """Whether the results of a node are short enough to go on with."""
    growth = node.parameters[0] if node.function == "power" else 2
    bits = max((_bits(one) for entry in arguments for one in entry), default=0)
    return growth >= 0 and float(growth).is_integer() and bits * growth <= _MOST_BITS


def _bits(one: Fraction) -> int:
    return one.numerator.bit_length() + one.denominator.bit_length()


def _clipped(parameters: tuple[float, ...], entry: tuple[Fraction, ...]) -> Fraction:
    least, most = parameters  # an end without bound is no fraction, and compares as it should
    if entry[0] < least:
        return Fraction(least)
    return Fraction(most) if entry[0] > most else entry[0]


def _within(parameters: tuple[float, ...], one: Fraction) -> Fraction:
    if not parameters[0] <= one <= parameters[1]:
        raise ArithmeticError(f"{float(one):g} lies outside of what a whole number can be")
    return one


def _sign(one: Fraction) -> Fraction:
    return Fraction((one > 0) - (one < 0))


_RULES: Mapping[str, _Rule] = {
    "relu": lambda _, entry: max(entry[0], _ZERO),
    "clip": _clipped,
    "square": lambda _, entry: entry[0] * entry[0],
    "product": lambda _, entry: entry[0] * entry[1],
    "positive": lambda _, entry: _ONE if entry[0] > 0 else _ZERO,
    "not_negative": lambda _, entry: _ONE if entry[0] >= 0 else _ZERO,
    "is_zero": lambda _, entry: _ONE if entry[0] == 0 else _ZERO,
    "power": lambda parameters, entry: entry[0] ** int(parameters[0]),
    "within": lambda parameters, entry: _within(parameters, entry[0]),
    "floor": lambda _, entry: Fraction(floor(entry[0])),
    "ceil": lambda _, entry: Fraction(ceil(entry[0])),
    "trunc": lambda _, entry: Fraction(trunc(entry[0])),
    "round": lambda _, entry: Fraction(round(entry[0])),  # halves to even
    "round_away": lambda _, entry: Fraction(trunc(entry[0] + _sign(entry[0]) / 2)),
    "sign": lambda _, entry: _sign(entry[0]),
}


def least_sum(
    one: Affine, entry: int, lows: Sequence[np.ndarray], highs: Sequence[np.ndarray]
) -> Fraction | None:
    """No value of an entry of an affine function is smaller on a box of what it reads; without rounding.

    What folding may have cost is relative to the values, and nothing where these are zero.

    Args:
        one: the affine function.
        entry: of it.
        lows: least of all values that it may read, by their number.
        highs: largest ones.

    Returns:
        The sum of the least terms; None where some value has no bound, or there are too many.
    """
    unit = Fraction(one.roundings, 1 << 52) * _WIDER
    total = Fraction(float(one.bias[entry])) - unit * Fraction(float(one.reach_bias[entry]))
    for source in one.terms.keys() | one.reach_terms.keys():
        weights, sizes = (
            parts[source].chosen(np.array([entry]))[0] if source in parts else np.zeros(len(lows[source]))
            for parts in (one.terms, one.reach_terms)
        )
        columns = np.flatnonzero((weights != 0) | ((sizes != 0) & bool(one.roundings)))
        ends = lows[source][columns], highs[source][columns]
        if len(columns) > _MOST_TERMS or not np.isfinite(ends).all():
            return None
        for column, low, high in zip(columns, *ends, strict=True):
            weight, error = Fraction(float(weights[column])), unit * Fraction(float(sizes[column]))
            factors = (weight - error, weight + error)
            total += min(factor * Fraction(float(end)) for factor in factors for end in (low, high))
    return total


def below(exact: Fraction) -> float:
    """The largest number of float64 that is not above a fraction.

    Args:
        exact: the fraction.
    """
    try:
        found = float(exact)
    except OverflowError:
        return float(np.finfo(float).max) if exact > 0 else -np.inf
    return found if Fraction(found) <= exact else float(np.nextafter(found, -np.inf))
