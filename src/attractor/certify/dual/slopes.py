r"""The Lagrangian dual: the slopes of every line are chosen for each objective, by gradients.

The bound of the backward walk is a convex function of the multipliers mu_j = a_j s_j, and every choice of
slopes s is valid, so that a descent may stop at any moment. Its gradient comes from one sweep forwards with
the maximisers held (envelope theorem): with z* where h meets its line and x* where the input is worst,

    w_0 = x*,    w_j = h(z*_j) + s_j (L_j w + b_j - z*_j),    d bound / d s_j = a_j (L_j w + b_j - z*_j),

which is the primal residual of the constraint z_j = L_j w + b_j (Dvijotham et al. 2018, arXiv 1803.06567). A
step costs one walk and one sweep, for all pieces and objectives at once. The descent is Adam with steps in
units of what h' does on the box. What it finds is only slopes: the bound that is told is that of a walk with
them, outward.

Conditions g_k <= 0 that are to hold together are excluded where a mean of them with weights is above zero,
and the weights are multipliers as well: d bound / d weight_k = -g_k at the end of the sweep.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from .function import Boxes, Slopes
from .network import Affine, Node
from .relaxation import Line, Lines, NodeBoxes, Region, Walked, lines_of, walk, wanted_of

_MOMENTS = (0.9, 0.99)
_RATE = 0.15
_DECAY = 0.02

# The slopes of the upper and of the lower side of every node that an objective depends on.
Sides: TypeAlias = tuple[Slopes, Slopes]
Done: TypeAlias = Callable[[np.ndarray], bool]


class Objectives(NamedTuple):
    """What is bounded from above.

    Args:
        wanted: coefficients, as `walk` takes them.
        constant: shape (objectives,) or (pieces, objectives).
    """

    wanted: Mapping[int, np.ndarray]
    constant: np.ndarray


@dataclass(frozen=True, eq=False)
class Means:
    """Means of conditions with a minus, whose weights are free.

    Args:
        conditions: g.
        members: which conditions belong to each mean, shape (means, conditions).
        weights: to start from, shape (pieces, means, conditions), each row with the sum one.
    """

    conditions: Affine
    members: np.ndarray
    weights: np.ndarray

    def objectives(self, region: Region) -> Objectives:
        """The means as they are, outward."""
        return Objectives(*wanted_of(region, self.conditions, -self.weights))


class Descent(NamedTuple):
    """What a descent found.

    Args:
        walked: bounds with the best slopes.
        lines: which were walked, for every objective of every piece.
        weights: of the means, if they were free.
    """

    walked: Walked
    lines: list[Lines | None]
    weights: np.ndarray | None


@np.errstate(all="ignore")
def descended(  # noqa: PLR0913 (what a walk takes, and how long to go on)
    region: Region,
    low: np.ndarray,
    high: np.ndarray,
    sought: Objectives | Means,
    boxes: NodeBoxes,
    lines: Sequence[Lines | None],
    *,
    steps: int,
    done: Done = lambda _: False,
) -> Descent:
    """Bounds of objectives on pieces, each with slopes of its own.

    Args:
        region: the network and its box.
        low: least inputs of each piece, shape (pieces, inputs).
        high: largest ones.
        sought: the objectives.
        boxes: of the arguments of the nodes, shape (pieces, size) each.
        lines: to start from; None for nodes that no objective depends on.
        steps: of the descent, at most.
        done: whether bounds of shape (pieces, objectives) are good enough to stop.
    """
    fixed = sought.objectives(region) if isinstance(sought, Means) else sought
    dual = _dual(region, low, high, fixed, lines, boxes)
    if not dual.finite:
        weights = sought.weights if isinstance(sought, Means) else None
        return Descent(walk(region, low, high, *fixed, lines), _of_each(lines, dual), weights)
    free = _Free(sought) if isinstance(sought, Means) else None
    best = _best_slopes(dual, fixed.constant, free, steps, done)
    found: list[Lines | None] = [
        None if one is None else lines_of(region, index, _for_each(boxes[index]), one)
        for index, one in enumerate(best)
    ]
    told = fixed if free is None else free.best().objectives(region)
    return Descent(walk(region, low, high, *told, found), found, None if free is None else free.kept)


# Told which entries of which argument of which node a descent was for, and the descent.
Record: TypeAlias = Callable[[int, int, np.ndarray, Descent], None]


@dataclass(frozen=True, eq=False)
class _Dual:
    """Objectives on pieces, and the slopes that a descent starts from."""

    nodes: Sequence[Node]
    low: np.ndarray
    high: np.ndarray
    wanted: Mapping[int, np.ndarray]
    boxes: list[Boxes]
    start: list[Sides | None]
    objectives: int

    @property
    def finite(self) -> bool:
        """Whether all boxes and slopes to start from are."""
        return all(
            bool(np.isfinite(part).all())
            for boxes, sides in zip(self.boxes, self.start, strict=True)
            if sides is not None
            for part in (*(end for box in boxes for end in box), *sides[0], *sides[1])
        )


class _Step(NamedTuple):
    """What the walk leaves of a node for the sweep."""

    coefficients: np.ndarray
    positive: np.ndarray
    slopes: Slopes
    value: np.ndarray
    point: Slopes


def _dual(
    region: Region,
    low: np.ndarray,
    high: np.ndarray,
    fixed: Objectives,
    lines: Sequence[Lines | None],
    boxes: NodeBoxes,
) -> _Dual:
    objectives = fixed.constant.shape[-1]
    shape = (len(low), objectives)
    needed = _needed(region.network.nodes[: len(lines)], fixed.wanted)
    start: list[Sides | None] = [
        None
        if one is None or not needed[index]
        else (_spread(one.upper.slopes, shape), _spread(one.lower.slopes, shape))
        for index, one in enumerate(lines)
    ]
    return _Dual(
        region.network.nodes[: len(lines)],
        low[:, None],
        high[:, None],
        fixed.wanted,
        [_for_each(one) for one in boxes[: len(lines)]],
        start,
        objectives,
    )


def _of_each(lines: Sequence[Lines | None], dual: "_Dual") -> list[Lines | None]:
    """Lines that all objectives share, written down for each of them."""
    shape = (len(dual.low), dual.objectives)
    return [
        None
        if one is None
        else Lines(*(Line(_spread(side.slopes, shape), side.intercept[:, None], ()) for side in one))
        for one in lines
    ]


def _needed(nodes: Sequence[Node], wanted: Mapping[int, np.ndarray]) -> list[bool]:
    """Which nodes the objectives depend on."""
    reached = set(wanted)
    for index in range(len(nodes) - 1, -1, -1):
        if index + 1 in reached:
            reached |= {source for one in nodes[index].arguments for source in one.terms}
    return [index + 1 in reached for index in range(len(nodes))]


def _spread(slopes: Slopes, shape: tuple[int, int]) -> Slopes:
    """Slopes for every objective of every piece."""
    return tuple(
        np.broadcast_to(one if one.ndim == 3 else one[:, None], (*shape, one.shape[-1])).copy()
        for one in slopes
    )


def _for_each(boxes: Boxes) -> Boxes:
    return tuple((low[:, None], high[:, None]) for low, high in boxes)


class _Free:
    """Weights of means during a descent: shares e^l of their logarithms l, by Adam."""

    def __init__(self, means: Means) -> None:
        self.means, self.now, self.kept = means, means.weights.copy(), means.weights.copy()
        self.logs = np.where(means.members, np.log(np.maximum(self.now, 1e-6)), -np.inf)
        self.first, self.second = np.zeros_like(self.now), np.zeros_like(self.now)

    def keep(self, better: np.ndarray) -> None:
        np.copyto(self.kept, self.now, where=better[..., None])

    def move(self, values: np.ndarray, rate: float, step: int) -> None:
        """One step down, from the values of the conditions at the end of the sweep."""
        gradient = self.now * ((self.now * values).sum(axis=-1, keepdims=True) - values)
        one = np.where(self.means.members, gradient, 0.0)
        self.logs = self.logs - 2 * rate * _adam(one, self.first, self.second, step)
        shares = np.exp(self.logs - self.logs.max(axis=-1, keepdims=True))
        self.now = shares / shares.sum(axis=-1, keepdims=True)

    def best(self) -> Means:
        return Means(self.means.conditions, self.means.members, self.kept)


def _adam(gradient: np.ndarray, first: np.ndarray, second: np.ndarray, step: int) -> np.ndarray:
    """The direction of Adam; its two means are changed in place."""
    first *= _MOMENTS[0]
    first += (1 - _MOMENTS[0]) * gradient
    second *= _MOMENTS[1]
    second += (1 - _MOMENTS[1]) * gradient * gradient
    return (first / (1 - _MOMENTS[0] ** step)) / (np.sqrt(second / (1 - _MOMENTS[1] ** step)) + 1e-300)


def _best_slopes(
    dual: _Dual, constant: np.ndarray, free: _Free | None, steps: int, done: Done
) -> list[Sides | None]:
    """Adam on all slopes; the best of every objective and piece is kept."""
    slopes, best = dual.start, _copied(dual.start)
    least = np.full((len(dual.low), dual.objectives), np.inf)
    moments = [None if one is None else _Moments(*_zeros(one)) for one in slopes]
    scales = [
        None if one is None else _scales(node, boxes)
        for node, boxes, one in zip(dual.nodes, dual.boxes, slopes, strict=True)
    ]
    for step in range(steps + 1):
        bound, gradients, values = _evaluated(dual, slopes, free)
        bound = bound if free is not None else bound + constant
        better = bound < least
        least = np.where(better, bound, least)
        _kept(best, slopes, better)
        if free is not None:
            free.keep(better)
        if step == steps or done(least):
            break
        rate = _RATE * _DECAY ** (step / max(steps, 1))
        for index, gradient in enumerate(gradients):
            moved, scale, own = moments[index], scales[index], slopes[index]
            if gradient is not None and moved is not None and scale is not None and own is not None:
                _moved(own, gradient, moved, scale, rate, step + 1)
        if free is not None and values is not None:
            free.move(values, rate, step + 1)
    return best


class _Moments(NamedTuple):
    first: Sides
    second: Sides


def _zeros(sides: Sides) -> tuple[Sides, Sides]:
    first, second = (tuple(tuple(np.zeros_like(one) for one in side) for side in sides) for _ in range(2))
    return (first[0], first[1]), (second[0], second[1])


def _copied(sides: Sequence[Sides | None]) -> list[Sides | None]:
    return [
        None if one is None else (tuple(a.copy() for a in one[0]), tuple(a.copy() for a in one[1]))
        for one in sides
    ]


def _kept(best: Sequence[Sides | None], slopes: Sequence[Sides | None], better: np.ndarray) -> None:
    if not better.any():
        return
    mask = better[..., None]
    for old, new in zip(best, slopes, strict=True):
        if old is None or new is None:
            continue
        for old_side, new_side in zip(old, new, strict=True):
            for to, one in zip(old_side, new_side, strict=True):
                np.copyto(to, one, where=mask)


def _scales(node: Node, boxes: Boxes) -> Slopes:
    """How far slopes may reasonably go, for each argument: what h' does between the ends of the box."""
    middle = tuple((low + high) / 2 for low, high in boxes)
    # A little outside: a box that was cut at a kink has both slopes of it (what lies behind is a multiplier).
    far = [1e-9 * (np.abs(low) + np.abs(high) + 1e-3) for low, high in boxes]
    ends = (
        tuple(low - more for (low, _), more in zip(boxes, far, strict=True)),
        tuple(high + more for (_, high), more in zip(boxes, far, strict=True)),
    )
    found = [node.rule.gradient(point) for point in (*ends, middle)]
    return tuple(
        np.where(np.isfinite(span := np.maximum.reduce(one) - np.minimum.reduce(one)), span, 0.0)
        for one in zip(*found, strict=True)
    )


def _moved(
    slopes: Sides, gradient: "_Gradient", moments: _Moments, scales: Slopes, rate: float, step: int
) -> None:
    """One step of Adam, in place, for the side of each entry that the objective uses."""
    for side, used in enumerate((gradient.positive, ~gradient.positive)):
        for slope, full, first, second, scale in zip(
            slopes[side], gradient.slopes, moments.first[side], moments.second[side], scales, strict=True
        ):
            slope -= rate * scale * _adam(np.where(used, full, 0.0), first, second, step)


class _Gradient(NamedTuple):
    positive: np.ndarray
    slopes: Slopes


def _evaluated(
    dual: _Dual, slopes: Sequence[Sides | None], free: _Free | None
) -> tuple[np.ndarray, list[_Gradient | None], np.ndarray | None]:
    """The bound without its rounding, its gradient, and the conditions at the end of the sweep."""
    pieces = len(dual.low)
    total = np.zeros((pieces, dual.objectives))
    if free is None:
        left = {source: np.broadcast_to(one, (pieces, *one.shape[1:])) for source, one in dual.wanted.items()}
    else:
        left = {source: part.transposed(-free.now) for source, part in free.means.conditions.terms.items()}
        total -= free.now @ free.means.conditions.bias
    steps: list[_Step | None] = [None] * len(dual.nodes)
    for index in range(len(dual.nodes) - 1, -1, -1):
        own, sides = left.pop(index + 1, None), slopes[index]
        if own is None or sides is None:
            continue
        steps[index] = step = _stepped(dual.nodes[index], dual.boxes[index], own, sides)
        total += np.einsum("pos,pos->po", own, step.value)
        for argument, slope in zip(dual.nodes[index].arguments, step.slopes, strict=True):
            passed = own * slope
            total += passed @ argument.bias
            for source, part in argument.terms.items():
                more = part.transposed(passed)
                left[source] = left[source] + more if source in left else more
    worst = np.broadcast_to((dual.low + dual.high) / 2, (*total.shape, dual.low.shape[-1]))
    if 0 in left:
        worst = np.where(left[0] > 0, dual.high, dual.low)
        total += np.einsum("poi,poi->po", left[0], worst)
    gradients, reached = _swept(dual, steps, worst)
    values = None if free is None else _at(free.means.conditions, reached)
    return total, gradients, values


def _stepped(node: Node, boxes: Boxes, own: np.ndarray, sides: Sides) -> _Step:
    """The line that an objective takes of each entry: the upper one for positive coefficients."""
    positive = own > 0
    slopes = tuple(np.where(positive, above, below) for above, below in zip(*sides, strict=True))
    top, bottom = (node.rule.extreme(sign, slopes, boxes) for sign in (1, -1))
    point = tuple(np.where(positive, one, other) for one, other in zip(top.point, bottom.point, strict=True))
    return _Step(own, positive, slopes, np.where(positive, top.value, bottom.value), point)


def _swept(
    dual: _Dual, steps: Sequence[_Step | None], worst: np.ndarray
) -> tuple[list[_Gradient | None], list[np.ndarray | None]]:
    """The gradient, by a sweep forwards from the worst input, and what the sweep reached."""
    reached: list[np.ndarray | None] = [worst, *(None for _ in dual.nodes)]
    found: list[_Gradient | None] = [None] * len(dual.nodes)
    for index, step in enumerate(steps):
        if step is None:
            continue
        value, gradients = step.value, []
        for argument, slope, point in zip(dual.nodes[index].arguments, step.slopes, step.point, strict=True):
            inner = _at(argument, reached)
            value = value + slope * inner
            gradients.append(step.coefficients * (inner - point))
        reached[index + 1] = value
        found[index] = _Gradient(step.positive, tuple(gradients))
    return found, reached


def _at(argument: Affine, reached: Sequence[np.ndarray | None]) -> np.ndarray:
    return argument.of(reached)


def taken_lines(lines: Lines, index: np.ndarray) -> Lines:
    """Lines of some pieces."""
    return Lines(
        *(Line(tuple(one[index] for one in side.slopes), side.intercept[index], ()) for side in lines)
    )


def slopes_of(lines: Sequence[Lines | None], chosen: np.ndarray, pieces: int) -> list[Sides | None]:
    """The slopes of one objective of each piece.

    Args:
        lines: of a descent.
        chosen: the objective, for each piece.
        pieces: how many there are.
    """
    rows = np.arange(pieces)
    return [
        None
        if one is None
        else (
            tuple(slope[rows, chosen] for slope in one.upper.slopes),
            tuple(slope[rows, chosen] for slope in one.lower.slopes),
        )
        for one in lines
    ]


def started(lines: Sequence[Lines | None], slopes: Sequence[Sides | None] | None) -> list[Lines | None]:
    """Good lines, with slopes of an earlier descent to start another one from.

    Args:
        lines: good ones on the boxes.
        slopes: of the earlier descent; None for none.
    """
    if slopes is None:
        return list(lines)
    return [
        one
        if one is None or own is None
        else Lines(one.upper._replace(slopes=own[0]), one.lower._replace(slopes=own[1]))
        for one, own in zip(lines, slopes, strict=True)
    ]


def of_piece(
    nodes: Sequence[Node], walked: Walked, lines: Sequence[Lines | None], piece: int, part: slice
) -> tuple[tuple[np.ndarray, ...], ...]:
    """The slopes that some objectives of a piece met each node with; zero for nodes that none met.

    Args:
        nodes: of the network, as many as there are lines.
        walked: with them.
        lines: of a descent.
        piece: its row.
        part: the objectives.
    """
    found = []
    for node, one, own in zip(nodes, lines, walked.nodes, strict=True):
        if one is None or own is None:
            found.append(tuple(np.zeros((part.stop - part.start, node.size)) for _ in node.arguments))
            continue
        met = own[min(piece, len(own) - 1), part] > 0
        found.append(
            tuple(
                np.where(met, above[piece, part], below[piece, part])
                for above, below in zip(one.upper.slopes, one.lower.slopes, strict=True)
            )
        )
    return tuple(found)
