r"""The one backward walk: linear relaxations and the Lagrangian dual of a network.

For an objective sum_j a_j v_j the walk goes from the last node to the input. At node j the coefficients a_j
of v_j = h_j(z_j) are known, and any slopes s give a valid line on each side of h_j, so that with
$a^+ = \max(a, 0)$, $a^- = \min(a, 0)$

    a h(z) <= mu z + a^+ top(s^+) + a^- bottom(s^-),    mu = a^+ s^+ + a^- s^-,

and $mu$ is handed on to what z_j is made of. What is left at the input is maximised over its set. With the
slopes of a triangle this is CROWN (Zhang et al. 2018, arXiv 1811.00866); $mu$ are the multipliers of the
constraints z_j = L_j v + b_j in the reduced Lagrangian dual (Dvijotham et al. 2018, arXiv 1803.06567), and
every choice of them is a valid bound, since the intercepts are the exact conjugates on the box of z_j. A box
of an inner z that is cut in two is all that a split does.

Rounding: coefficients that are computed differ from exact ones by at most so many units of the sum of the
magnitudes that went into them. Since |v_j| is bounded on the region by V_j, and what z_j is made of by R_j,
all of it is at most `units * (|a_j| V_j + |mu_j| R_j)`, summed over nodes. That is linear in |a_j|, and so it
is put into the intercepts: a bound that the walk returns holds in exact arithmetic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from .function import Box, Boxes, Extreme, Point, Slopes
from .network import Affine, Network, Node

_UNIT = 2.0**-52

# Bounds that do not exist are infinite, and what is computed from them may be no number: it bounds nothing.
_quiet = np.errstate(all="ignore")

# For every node the boxes of its arguments, a row a piece.
NodeBoxes: TypeAlias = list[Boxes]


class Line(NamedTuple):
    """One side of the relaxation of a node.

    Args:
        slopes: for each argument.
        intercept: outward by all rounding of this node.
        point: where the function meets the line.
    """

    slopes: Slopes
    intercept: np.ndarray
    point: Point


class Lines(NamedTuple):
    """Both sides of the relaxation of a node."""

    upper: Line
    lower: Line


class Walked(NamedTuple):
    """What the walk found.

    Args:
        upper: no value of the objective on the piece is larger, shape (pieces, objectives).
        inputs: coefficients of the input, shape (pieces, objectives, inputs).
        nodes: coefficients of the results of the nodes, shape (pieces or 1, objectives, size); None where an
            objective does not depend on one.
    """

    upper: np.ndarray
    inputs: np.ndarray
    nodes: list[np.ndarray | None]


@dataclass(frozen=True, eq=False)
class Region:
    """A network on a box of inputs, and what bounds every number that can arise in it.

    Args:
        network: the normal form.
        low: least inputs, shape (inputs,).
        high: largest ones.
    """

    network: Network
    low: Float[np.ndarray, " inputs"]
    high: Float[np.ndarray, " inputs"]

    @cached_property
    def magnitudes(self) -> "Magnitudes":
        """Bounds of all values and of all sums, on the whole region."""
        return _magnitudes(self)

    @cached_property
    def root(self) -> NodeBoxes:
        """Boxes of all arguments by interval arithmetic on the whole region."""
        return intervals(self, self.low[None], self.high[None])


class Magnitudes(NamedTuple):
    """V and R of the walk.

    Args:
        values: largest |v_j|, the input first.
        sums: for every node and argument, largest |L| V + |b|.
        output: of the output.
    """

    values: list[np.ndarray]
    sums: list[tuple[np.ndarray, ...]]
    output: np.ndarray


@_quiet
def _magnitudes(region: Region) -> Magnitudes:
    values = [np.maximum(np.abs(region.low), np.abs(region.high))]
    sums = []
    lows, highs = [region.low], [region.high]
    for node in region.network.nodes:
        sums.append(tuple(reach(one, values) for one in node.arguments))
        boxes = tuple(
            _interval(one, lows, highs, size) for one, size in zip(node.arguments, sums[-1], strict=True)
        )
        low, high = node.rule.range(boxes)
        lows.append(low)
        highs.append(high)
        values.append(np.maximum(np.abs(low), np.abs(high)))
    return Magnitudes(values, sums, reach(region.network.output, values))


def reach(one: Affine, values: Sequence[np.ndarray]) -> np.ndarray:
    """What the sums of an affine function of values of these sizes may reach, shape (size,)."""
    with np.errstate(invalid="ignore"):
        total = one.reach_bias
        for source, part in one.reach_terms.items():
            total = total + part.apply(values[source])
    return np.where(np.isnan(total), np.inf, total * (1 + 1e-9))


def _interval(one: Affine, lows: Sequence[np.ndarray], highs: Sequence[np.ndarray], reach: np.ndarray) -> Box:
    """Range of an affine function of boxes, outward; exact for single entries, which need no rounding."""
    middle, radius = one.bias, np.zeros_like(one.bias)
    for source, part in one.terms.items():
        low, high = lows[source], highs[source]
        middle = middle + part.apply((low + high) / 2)
        radius = radius + part.magnitude.apply((high - low) / 2)
    error = 2 * _UNIT * (one.terms_per_entry + 4) * reach
    shape = (*lows[0].shape[:-1], len(one.bias))  # also of what reads nothing
    low, high = (
        np.broadcast_to(end, shape).copy() for end in (middle - radius - error, middle + radius + error)
    )
    for rows, source, columns, signs in one.singles:
        ends = lows[source][..., columns], highs[source][..., columns]
        low[..., rows] = _added(np.where(signs > 0, ends[0], -ends[1]), one.bias[rows], -np.inf)
        high[..., rows] = _added(np.where(signs > 0, ends[1], -ends[0]), one.bias[rows], np.inf)
    return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)


def _added(one: np.ndarray, other: np.ndarray, towards: float) -> np.ndarray:
    """A sum, rounded towards an infinity unless it is exact (Knuth's error of a sum)."""
    total = one + other
    back = total - one
    missed = (one - (total - back)) + (other - back)
    wrong = missed > 0 if towards > 0 else missed < 0
    return np.where(wrong | np.isnan(missed), np.nextafter(total, towards), total)


@_quiet
def intervals(region: Region, low: np.ndarray, high: np.ndarray, known: NodeBoxes | None = None) -> NodeBoxes:
    """Boxes of the arguments of all nodes on pieces of the region, one a row.

    Args:
        region: the network and its box.
        low: least inputs of each piece, shape (pieces, inputs).
        high: largest ones.
        known: boxes that hold as well, as of the piece that these are parts of.
    """
    lows, highs = [low], [high]
    found: NodeBoxes = []
    for index, node in enumerate(region.network.nodes):
        sums = region.magnitudes.sums[index]
        boxes = tuple(
            _interval(one, lows, highs, size) for one, size in zip(node.arguments, sums, strict=True)
        )
        boxes = boxes if known is None else _both(boxes, known[index])
        found.append(boxes)
        ends = node.rule.range(boxes)
        lows.append(ends[0])
        highs.append(ends[1])
    return found


def _both(boxes: Boxes, others: Boxes) -> Boxes:
    return tuple(
        (np.maximum(low, other_low), np.minimum(high, other_high))
        for (low, high), (other_low, other_high) in zip(boxes, others, strict=True)
    )


@_quiet
def output_box(region: Region, low: np.ndarray, high: np.ndarray, boxes: NodeBoxes) -> Box:
    """Range of the output on pieces, by intervals from boxes of all arguments.

    Args:
        region: the network and its box.
        low: least inputs of each piece, shape (pieces, inputs).
        high: largest ones.
        boxes: of the arguments of all nodes on each piece.
    """
    ends = [node.rule.range(box) for node, box in zip(region.network.nodes, boxes, strict=True)]
    lows, highs = [low, *(one[0] for one in ends)], [high, *(one[1] for one in ends)]
    shape = (len(low), len(region.network.output.bias))
    least, most = _interval(region.network.output, lows, highs, region.magnitudes.output)
    return np.broadcast_to(least, shape), np.broadcast_to(most, shape)


@_quiet
def lines_of(region: Region, index: int, boxes: Boxes, slopes: tuple[Slopes, Slopes] | None = None) -> Lines:
    """Both sides of the relaxation of a node on boxes of its arguments.

    Args:
        region: the network and its box.
        index: of the node.
        boxes: of its arguments, shape (pieces, size) each; (pieces, 1, size) with slopes for each objective.
        slopes: of the upper and of the lower side; None for good ones.
    """
    node = region.network.nodes[index]
    chosen = node.rule.slopes(boxes) if slopes is None else slopes
    sides = []
    for sign, own in zip((1, -1), chosen, strict=True):
        found = node.rule.extreme(sign, own, boxes)
        sides.append(_outward(region, index, sign, own, found))
    return Lines(*sides)


def _outward(region: Region, index: int, sign: int, slopes: Slopes, found: Extreme) -> Line:
    """The line with the rounding that its node causes in a walk."""
    node, magnitudes = region.network.nodes[index], region.magnitudes
    size = magnitudes.values[index + 1]
    with np.errstate(invalid="ignore"):
        for slope, reach in zip(slopes, magnitudes.sums[index], strict=True):
            size = size + np.abs(slope) * reach
        intercept = found.value + sign * _units(region.network, node) * size
    return Line(slopes, np.where(np.isnan(intercept), sign * np.inf, intercept), found.point)


def _units(network: Network, node: Node) -> float:
    """Relative rounding of all that a walk does at a node: coefficients, sums, extremes."""
    terms = sum(one.terms_per_entry for one in node.arguments) + node.size + len(network.nodes)
    return 2 * _UNIT * (terms + 2 * node.rule.units + 16)


@_quiet
def walk(
    region: Region,
    low: np.ndarray,
    high: np.ndarray,
    wanted: Mapping[int, np.ndarray],
    constant: np.ndarray,
    lines: Sequence[Lines | None],
) -> Walked:
    """Upper bounds of objectives sum_j a_j v_j + constant on pieces.

    Args:
        region: the network and its box.
        low: least inputs of each piece, shape (pieces, inputs).
        high: largest ones.
        wanted: coefficients a_j by value (0 is the input), shape (pieces or 1, objectives, size).
        constant: shape (objectives,), outward.
        lines: for every node; None for those that no objective depends on.
    """
    coefficients = dict(wanted)
    nodes: list[np.ndarray | None] = [None] * len(lines)
    total = np.zeros((len(low), 1)) + constant
    with np.errstate(invalid="ignore", over="ignore"):
        for index in range(len(lines) - 1, -1, -1):
            own, here = coefficients.pop(index + 1, None), lines[index]
            if own is None or here is None:
                continue
            nodes[index] = own
            total = total + _through(region.network.nodes[index], here, own, coefficients)
        inputs = coefficients.get(0)
        if inputs is None:
            inputs = np.zeros((len(low), total.shape[1], region.network.inputs))
        inputs = np.broadcast_to(inputs, (len(low), *inputs.shape[1:]))
        middle, radius = (low + high) / 2, (high - low) / 2
        wide = (
            radius
            + _UNIT
            * (region.network.inputs + len(region.network.nodes) + 8)
            * 2
            * region.magnitudes.values[0]
        )
        total = total + _dot(inputs, middle) + _dot(np.abs(inputs), wide)
    return Walked(np.where(np.isnan(total), np.inf, total), inputs, nodes)


def _through(node: Node, lines: Lines, own: np.ndarray, coefficients: dict[int, np.ndarray]) -> np.ndarray:
    """Replace a node by its relaxation: coefficients of what it reads, and the constant that is left."""
    positive = np.maximum(own, 0.0)
    negative = own - positive
    upper, lower = lines
    total = _dot(positive, upper.intercept) + _dot(negative, lower.intercept)
    for argument, above, below in zip(node.arguments, upper.slopes, lower.slopes, strict=True):
        passed = positive * _each(above) + negative * _each(below)
        total = total + passed @ argument.bias
        for source, part in argument.terms.items():
            more = part.transposed(passed)
            coefficients[source] = coefficients[source] + more if source in coefficients else more
    return total


def _each(values: np.ndarray) -> np.ndarray:
    """Numbers of a piece, for all of its objectives."""
    return values if values.ndim == 3 else values[:, None]


def _dot(coefficients: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums over entries; a coefficient of zero takes no part, whatever the other number is."""
    if values.ndim == 3:
        if np.isfinite(values).all():
            return (coefficients * values).sum(axis=-1)
        return np.where(coefficients == 0, 0.0, coefficients * values).sum(axis=-1)
    if np.isfinite(values).all():
        return (coefficients @ values[..., None])[..., 0]
    return np.where(coefficients == 0, 0.0, coefficients * values[:, None]).sum(axis=-1)


@_quiet
def wanted_of(region: Region, one: Affine, rows: np.ndarray) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """The start of a walk for sum_k rows_k y_k of an affine function y, with its constant, outward.

    Args:
        region: the network and its box.
        one: y.
        rows: shape (objectives, entries of y), or (pieces, objectives, entries of y).
    """
    each = rows if rows.ndim == 3 else rows[None]
    wanted = {source: part.transposed(each) for source, part in one.terms.items()}
    sums = np.abs(rows) @ reach(one, region.magnitudes.values)
    return wanted, rows @ one.bias + 2 * _UNIT * (one.terms_per_entry + rows.shape[-1] + 8) * sums
