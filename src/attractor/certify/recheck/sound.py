"""Bounds that rounding cannot break: affine functions of ranges, lines on both sides of a node, sums of them.

All numbers of a walk are those of float64, taken as they are: what is wrong about them is measured where
it arises. If mu is the product as it was rounded, then a s - mu is at most a unit of it, times the
largest |z| on the piece; if a coefficient of an earlier value v is the sum as it was rounded, the true sum
differs by at most so many units of the sum of magnitudes, times the largest |v| on the piece. These amounts
are added up beside the bound, and added to it in the end. Nothing is assumed of how numbers are summed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np

from ..dual.function import Box, Boxes, Slopes
from ..dual.linear_maps import Dense, LinearMap
from ..dual.network import Affine, Node

# Half the distance from 1 to the next number: what one operation may miss, relative to its result.
_ROUND = 2.0**-53
# A unit in which tables of functions and folded maps state what they may miss.
_UNIT = 2.0**-52
# More than what all underflows of a walk add up to.
_SMALL = 1e-290
# Smaller multipliers are replaced by zero, so that no product of one with a weight underflows.
_IDLE = 1e-140
# Terms of a sum in fractions.
_MOST = 256
# What the sums of errors themselves are wrong by, and more.
_WIDER = 1 + 1e-9

# Ends of every value of a network, the input first, shape (pieces, size).
Ranges: TypeAlias = Sequence[Box]


class Line(NamedTuple):
    """Both sides of a node on its boxes, shape (pieces, 1 or objectives, size).

    Args:
        above: slopes of the upper side.
        below: slopes of the lower one.
        top: no h(z) - s z is larger.
        bottom: none is smaller.
        sizes: sums of magnitudes of each argument.
        errors: what a multiplier may cost at each argument, relative to it.
    """

    above: Slopes
    below: Slopes
    top: np.ndarray
    bottom: np.ndarray
    sizes: tuple[np.ndarray, ...]
    errors: tuple[np.ndarray, ...]


@dataclass(eq=False)
class Sums:
    """Bounds in the making, and beside them all that may be wrong about them.

    Args:
        value: as it was computed.
        doubt: how much larger it may be.
    """

    value: np.ndarray
    doubt: np.ndarray

    def add(self, value: np.ndarray, doubt: np.ndarray) -> None:
        """Add a number that may be wrong by some amount."""
        self.value = self.value + value
        self.doubt = self.doubt + doubt + _ROUND * np.abs(self.value)

    def add_products(self, products: np.ndarray) -> None:
        """Add the sum of products along the last axis."""
        error = (products.shape[-1] + 4) * _ROUND * np.abs(products).sum(axis=-1)
        self.add(products.sum(axis=-1), error)

    def doubted(self, doubt: np.ndarray) -> None:
        """Say that it may be larger by some amount."""
        self.doubt = self.doubt + doubt

    @property
    def upper(self) -> np.ndarray:
        """No true value is larger; infinite where nothing is known."""
        total = self.value + (self.doubt * _WIDER + _SMALL)
        total = np.nextafter(total + 4 * _ROUND * np.abs(total), np.inf)
        return np.where(np.isfinite(total), total, np.inf)


def mean_of(one: Affine, weights: np.ndarray) -> Affine:
    """Sums of entries of an affine function with weights, and what folding them may cost.

    Args:
        one: the affine function.
        weights: shape (sums, entries), none below zero.
    """
    terms = {source: Dense(part.transposed(weights)) for source, part in one.terms.items()}
    sizes = {source: Dense(part.transposed(weights)) for source, part in one.reach_terms.items()}
    roundings = one.roundings + 2 * weights.shape[1] + 8
    return Affine(terms, weights @ one.bias, sizes, weights @ one.reach_bias, roundings)


def walked(
    nodes: Sequence[Node], ranges: Ranges, lines: Sequence[Line], one: Affine, entries: np.ndarray, sign: int
) -> np.ndarray:
    """Upper bounds of entries of an affine function of values, times a sign, by one backward walk.

    Args:
        nodes: of the network.
        ranges: of all values that it reads, and of those behind them.
        lines: of all nodes that come before it.
        one: the affine function.
        entries: which of its entries.
        sign: 1, or -1 for lower bounds, negative.

    Returns:
        Shape (pieces, entries).
    """
    values = sizes_of(ranges)
    nothing = np.zeros((len(values[0]), len(entries)))
    sums = Sums(nothing, nothing)
    rows = {source: sign * part.chosen(entries)[None] for source, part in one.terms.items()}
    sums.add(np.array(sign * one.bias[entries]), _reach(one, values)[1][:, entries])
    for index in range(len(lines) - 1, -1, -1):
        own = rows.pop(index + 1, None)
        if own is not None:
            _pass_back(nodes[index], lines[index], own, rows, values, sums)
    own = rows.get(0, np.zeros((1, 1, 1)))
    low, high = (end[:, None] for end in ranges[0])
    sums.add_products(own * np.where(own > 0, high, low))
    return sums.upper


def _pass_back(
    node: Node,
    line: Line,
    own: np.ndarray,
    rows: dict[int, np.ndarray],
    values: Sequence[np.ndarray],
    sums: Sums,
) -> None:
    """Replace a node by the sides of its lines that its coefficients ask for."""
    up, down = own > 0, own < 0
    sums.add_products(own * np.where(up, line.top, np.where(down, line.bottom, 0.0)))
    for index, one in enumerate(node.arguments):
        slope = np.where(up, line.above[index], line.below[index])
        passed = own * slope
        idle = (np.abs(passed) < _IDLE) & (own != 0) & (slope != 0)
        if idle.any():
            passed = np.where(idle, 0.0, passed)
            sums.doubted(_IDLE * _dot(idle.astype(float), line.sizes[index]))
        sums.add(passed @ one.bias, _dot(np.abs(passed), line.errors[index]))
        for source, part in one.terms.items():
            more = part.transposed(passed)
            if source in rows:
                more = rows[source] + more
                sums.doubted(2 * _ROUND * _dot(np.abs(more), values[source]))
            rows[source] = more


def _dot(sizes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums over entries of a piece; what is zero takes no part, whatever the other number is."""
    if np.isfinite(values).all():
        return (sizes @ values[:, :, None])[..., 0]
    return np.where(sizes == 0, 0.0, sizes * values[:, None]).sum(axis=-1)


def line_of(node: Node, slopes: tuple[Slopes, Slopes], boxes: Boxes, ranges: Ranges) -> Line:
    """Both sides of a node, outward by what its table and the subtraction may be wrong by.

    Args:
        node: h.
        slopes: of the upper and of the lower side, shape (pieces, 1 or objectives, size); any are valid.
        boxes: of its arguments.
        ranges: of all values up to its result.
    """
    flat = tuple((low[:, None], high[:, None]) for low, high in boxes)
    sides = [tuple(np.where(np.isfinite(slope), slope, 0.0) for slope in side) for side in slopes]
    values, ends = sizes_of(ranges), []
    for sign, side in zip((1, -1), sides, strict=True):
        found = node.rule.extreme(sign, side, flat).value
        size = np.abs(found) + values[-1][:, None]
        for slope, (low, high) in zip(side, flat, strict=True):
            size = size + np.abs(slope) * np.maximum(np.abs(low), np.abs(high))
        value = found + sign * ((2 * node.rule.units + 8) * _UNIT * size + _SMALL)
        ends.append(np.where(np.isfinite(value), value, sign * np.inf))
    reach = [_reach(one, values) for one in node.arguments]
    errors = tuple(
        (_terms(one) + node.size + 8) * _ROUND * size + unknown
        for one, (size, unknown) in zip(node.arguments, reach, strict=True)
    )
    return Line(sides[0], sides[1], ends[0], ends[1], tuple(size for size, _ in reach), errors)


def range_of(node: Node, boxes: Boxes) -> Box:
    """What a node gives on boxes of its arguments; infinite where nothing is known."""
    return _ends(*node.rule.range(boxes))


def interval_of(one: Affine, ranges: Ranges) -> Box:
    """The range of an affine function of ranges; an entry that is another one up to its sign is exact.

    Args:
        one: the affine function.
        ranges: of what it reads.
    """
    size, unknown = _reach(one, sizes_of(ranges))
    middle, reach = np.broadcast_to(one.bias, size.shape), np.zeros(size.shape)
    for source, part in one.terms.items():
        low, high = ranges[source]
        at = (low + high) / 2
        middle = middle + part.apply(at)
        reach = reach + part.magnitude.apply(np.maximum(high - at, at - low))
    error = (2 * _terms(one) + 16) * _ROUND * size + unknown * _WIDER + _SMALL
    low, high = _ends(middle - reach - error, middle + reach + error)
    for rows, source, columns, signs in one.singles:
        ends = ranges[source][0][:, columns], ranges[source][1][:, columns]
        low[:, rows] = _exact_sum(np.where(signs > 0, ends[0], -ends[1]), one.bias[rows], -np.inf)
        high[:, rows] = _exact_sum(np.where(signs > 0, ends[1], -ends[0]), one.bias[rows], np.inf)
    return low, high


def is_below_zero(one: Affine, row: int, entry: int, ranges: Ranges) -> bool:
    """Whether an entry of an affine function may be below zero on a piece, in fractions.

    The entry is sum_i (w_i + d_i) v_i + b + d with |d_i| and |d| at most so many units of the magnitudes, and
    every term is at least w v - |d| |v|, which is concave in v, so that it is least at an end of its range.

    Args:
        one: the affine function.
        row: of the piece.
        entry: of the function.
        ranges: of what it reads.
    """
    units = Fraction(one.roundings) * Fraction(_UNIT) * Fraction(_WIDER)
    least = Fraction(float(one.bias[entry])) - units * Fraction(float(one.reach_bias[entry]))
    at = np.array([entry])
    for source in {*one.terms, *one.reach_terms}:
        low, high = (end[row] for end in ranges[source])
        weights = one.terms[source].chosen(at)[0] if source in one.terms else np.zeros(len(low))
        sizes = one.reach_terms[source].chosen(at)[0] if source in one.reach_terms else np.zeros(len(low))
        read = np.flatnonzero((weights != 0) | (sizes != 0))
        if len(read) > _MOST or not (np.isfinite(low[read]).all() and np.isfinite(high[read]).all()):
            return True
        for column in read.tolist():
            weight, doubt = Fraction(float(weights[column])), units * Fraction(float(sizes[column]))
            ends = [Fraction(float(end[column])) for end in (low, high)]
            least += min(weight * end - doubt * abs(end) for end in ends)
    return least < 0


def _exact_sum(one: np.ndarray, other: np.ndarray, towards: float) -> np.ndarray:
    """A sum, moved towards an infinity unless nothing was lost in it."""
    total = one + other
    back = total - one
    exact = (one - (total - back)) + (other - back) == 0
    total = np.where(exact, total, np.nextafter(total, towards))
    return np.where(np.isfinite(total), total, towards)


def sizes_of(ranges: Ranges) -> list[np.ndarray]:
    """The largest absolute value of every entry."""
    return [np.maximum(np.abs(low), np.abs(high)) for low, high in ranges]


def _ends(low: np.ndarray, high: np.ndarray) -> Box:
    """An interval without what is no number."""
    return np.where(np.isfinite(low), low, -np.inf), np.where(np.isfinite(high), high, np.inf)


def _terms(one: Affine) -> int:
    return sum(part.terms + 1 for part in one.terms.values())


def _reach(one: Affine, values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of magnitudes of an affine function, and how far it is unknown since it was folded."""
    parts = {source: part.magnitude for source, part in one.terms.items()}
    size = _magnitude(np.abs(one.bias), parts, values)
    if not one.roundings:
        return size, np.zeros_like(size)
    return size, one.roundings * _UNIT * _magnitude(one.reach_bias, one.reach_terms, values)


def _magnitude(bias: np.ndarray, terms: Mapping[int, LinearMap], values: Sequence[np.ndarray]) -> np.ndarray:
    total = np.broadcast_to(bias, (len(values[0]), len(bias)))
    for source, part in terms.items():
        total = total + part.apply(values[source])
    return np.where(np.isnan(total), np.inf, total * _WIDER + _SMALL)
