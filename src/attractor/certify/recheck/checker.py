r"""The checker of proofs: it evaluates, and believes nothing that a search found but its cuts and slopes.

Every piece of the tree is bounded anew. Boxes of the arguments of all nodes come from intervals and from
backward walks; a walk rests on one inequality, which holds for any slopes s: with $a^+, a^-$ the parts of a,

    a h(z) <= mu z + a^+ top(s) + a^- bottom(s),    mu = a s,    top(s) = max_z h(z) - s z on the box of z.

It imports NumPy and the tables of functions and maps; no search, no relaxation, no optimiser, no JAX.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..dual.function import Box, Boxes
from ..dual.network import Affine
from ..dual.tree import Tree, Walk
from .claim import Claim
from .sound import Line, interval_of, is_below_zero, line_of, mean_of, range_of, walked
from .well_formed import RefusedError, check_claim, check_tree

# Numbers that a batch of pieces may hold in one step, and pieces in it.
_NUMBERS, _PIECES = 2_000_000, 512
# So near to zero a bound is looked at more closely.
_NEAR = 1e-6


class Recheck(NamedTuple):
    """What the checker says.

    Args:
        accepted: whether the claim is proved.
        refused: the first thing that was not accepted, and where; empty if all was.
        pieces: that were bounded.
    """

    accepted: bool
    refused: str
    pieces: int


@dataclass(eq=False)
class _Pieces:
    """Pieces to be bounded: the inputs and then the arguments of all nodes, end to end, a row each."""

    number: np.ndarray
    low: np.ndarray
    high: np.ndarray
    open: np.ndarray

    def taken(self, rows: np.ndarray | slice) -> "_Pieces":
        return _Pieces(*(one[rows].copy() for one in vars(self).values()))

    def joined(self, other: "_Pieces") -> "_Pieces":
        both = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Pieces(*(np.concatenate(pair) for pair in both))

    def __len__(self) -> int:
        return len(self.number)


def recheck(claim: Claim, tree: Tree) -> Recheck:
    """Whether a tree proves a claim.

    Args:
        claim: that no input of a box satisfies a clause.
        tree: how the box was cut, and slopes for its pieces.
    """
    checker = None
    try:
        with np.errstate(all="ignore"):
            check_claim(claim)
            check_tree(claim, tree)
            checker = _Checker(claim, tree)
            checker.run()
    except (RefusedError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        known = isinstance(problem, RefusedError)
        said = str(problem) if known else f"what cannot be evaluated: {problem}"
        return Recheck(accepted=False, refused=said, pieces=0 if checker is None else checker.done)
    return Recheck(accepted=True, refused="", pieces=checker.done)


def recheck_witness(claim: Claim, point: np.ndarray) -> Recheck:
    """Whether an input of the box satisfies a clause, by interval arithmetic from it alone.

    Args:
        claim: that is refuted.
        point: the input.
    """
    try:
        with np.errstate(all="ignore"):
            check_claim(claim)
            if not (claim.low.shape == point.shape and (claim.low <= point).all()):
                raise RefusedError("the input: it lies outside of the box")
            if not (point <= claim.high).all():
                raise RefusedError("the input: it lies outside of the box")
            at = Claim(claim.network, point.astype(float), point.astype(float), claim.members, claim.strict)
            checker = _Checker(at, _whole())
            start = checker.start()
            most = interval_of(claim.network.output, checker.intervals(start))[1][0]
            holds = np.where(claim.strict, most < 0, most <= 0) & checker._defined(start).all()
            if not (holds | ~claim.members).all(axis=-1).any():
                raise RefusedError("the input: it is not shown to satisfy all conditions of any clause")
    except (RefusedError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        return Recheck(accepted=False, refused=str(problem), pieces=0)
    return Recheck(accepted=True, refused="", pieces=1)


def _whole() -> Tree:
    nothing = np.zeros(1, int)
    return Tree(nothing - 1, nothing - 1, nothing, nothing, np.zeros(1), np.zeros(1, bool))


class _Checker:
    """The bounds of one claim on the pieces of one tree."""

    def __init__(self, claim: Claim, tree: Tree) -> None:
        self.claim, self.tree, self.network, self.done = claim, tree, claim.network, 0
        self.columns: dict[tuple[int, int], slice] = {(-1, 0): slice(0, self.network.inputs)}
        end = self.network.inputs
        for index, node in enumerate(self.network.nodes):
            for argument in range(len(node.arguments)):
                self.columns[index, argument] = slice(end, end + node.size)
                end += node.size
        self.width = end
        self.widest = max(self.network.inputs, *(node.size for node in self.network.nodes), 1)
        self.walks: dict[tuple[int, int], list[Walk]] = {}
        for walk in tree.walks:
            self.walks.setdefault((walk.piece, walk.target), []).append(walk)

    @cached_property
    def children(self) -> np.ndarray:
        """Both parts of every piece; -1 for a leaf."""
        found = np.full((len(self.tree), 2), -1)
        order = np.argsort(self.tree.parent[1:], kind="stable") + 1
        pairs = order.reshape(-1, 2)
        found[self.tree.parent[pairs[:, 0]]] = pairs
        return found

    @cached_property
    def cut_at(self) -> np.ndarray:
        """The column that was cut to make each piece."""
        cuts = zip(
            self.tree.node.tolist(), self.tree.argument.tolist(), self.tree.entry.tolist(), strict=True
        )
        return np.array([self.columns[node, argument].start + entry for node, argument, entry in cuts])

    def start(self) -> _Pieces:
        """The whole box, with nothing known of the inside of the network."""
        low, high = np.full((1, self.width), -np.inf), np.full((1, self.width), np.inf)
        low[0, self.columns[-1, 0]], high[0, self.columns[-1, 0]] = self.claim.low, self.claim.high
        return _Pieces(np.zeros(1, int), low, high, np.ones((1, len(self.claim.members)), bool))

    def run(self) -> None:
        """Bound pieces, depth first in batches, until each leaf refutes every clause; refuse otherwise."""
        most = max(min(_PIECES, _NUMBERS // (20 * self.widest)), 1)
        waiting = [self.start()]
        while waiting:
            now = waiting.pop()
            while waiting and len(now) + len(waiting[-1]) <= most:
                now = now.joined(waiting.pop())
            if len(now) > most:
                waiting.append(now.taken(slice(most, None)))
                now = now.taken(slice(most))
            before = now.open.copy()
            lower = self.bounded(now)
            self.done += len(now)
            fails = np.where(self.claim.strict, lower >= 0, lower > 0)
            now.open &= ~(fails[:, None] & self.claim.members).any(axis=-1)
            now.open = np.where(self._defined(now), now.open, before)
            empty = (now.low > now.high).any(axis=-1)
            left = now.taken(np.flatnonzero(now.open.any(axis=-1) & ~empty))
            self._refuse_leaves(left)
            if len(left):
                waiting.append(self._cut(left))

    def _defined(self, now: _Pieces) -> np.ndarray:
        """Whether every function is defined on the pieces: what is no number refutes nothing."""
        boxes = [self.boxes(now, index) for index in range(len(self.network.nodes))]
        return self.network.defined(boxes)[:, None]

    def _refuse_leaves(self, left: _Pieces) -> None:
        for row in np.flatnonzero(self.children[left.number, 0] < 0)[:1]:
            clause = int(np.argmax(left.open[row]))
            raise RefusedError(f"piece {left.number[row]}: no condition of clause {clause} is refuted there")

    def _cut(self, whole: _Pieces) -> _Pieces:
        twice = whole.taken(np.concatenate([np.arange(len(whole))] * 2))
        twice.number = self.children[whole.number].T.ravel()
        rows, column = np.arange(len(twice)), self.cut_at[twice.number]
        at, above = self.tree.at[twice.number], self.tree.above[twice.number]
        twice.low[rows, column] = np.maximum(twice.low[rows, column], np.where(above, at, -np.inf))
        twice.high[rows, column] = np.minimum(twice.high[rows, column], np.where(above, np.inf, at))
        return twice

    def boxes(self, now: _Pieces, index: int) -> Boxes:
        """Of the arguments of a node."""
        columns = [self.columns[index, k] for k in range(len(self.network.nodes[index].arguments))]
        return tuple((now.low[:, one], now.high[:, one]) for one in columns)

    def intervals(self, now: _Pieces) -> list[Box]:
        """Ranges of all values on pieces, whose boxes become those that intervals give."""
        ends = self.columns[-1, 0]
        ranges = [(now.low[:, ends], now.high[:, ends])]
        for index, node in enumerate(self.network.nodes):
            for argument, one in enumerate(node.arguments):
                self._narrow(now, index, argument, slice(None), *interval_of(one, ranges))
            ranges.append(range_of(node, self.boxes(now, index)))
        return ranges

    def _narrow(
        self,
        now: _Pieces,
        index: int,
        argument: int,
        entries: slice | np.ndarray,
        low: np.ndarray,
        high: np.ndarray,
    ) -> None:
        for ends, found, nearer in ((now.low, low, np.maximum), (now.high, high, np.minimum)):
            box = ends[:, self.columns[index, argument]]
            box[:, entries] = nearer(box[:, entries], found)

    def bounded(self, now: _Pieces) -> np.ndarray:
        """Lower bounds of all conditions on pieces; means of conditions close clauses at once."""
        ranges = self.intervals(now)
        lines: list[Line] = []
        for index, node in enumerate(self.network.nodes):
            if index and any(set(one.terms) - {0} for one in node.arguments):
                for argument, one in enumerate(node.arguments):
                    self._walk_box(now, ranges, lines, argument, one)
            for row, walk in self._recorded(now, index):
                found = self._rewalked(now, ranges, row, walk, node.arguments[walk.argument])
                low, high = (-np.inf, found) if walk.sign > 0 else (-found, np.inf)
                one = now.taken(slice(row, row + 1))
                self._narrow(one, index, walk.argument, walk.entries, np.array(low), np.array(high))
                now.low[row], now.high[row] = one.low[0], one.high[0]
            ranges[index + 1] = range_of(node, self.boxes(now, index))
            upper, lower = node.rule.slopes(self.boxes(now, index))
            slopes = tuple(one[:, None] for one in upper), tuple(one[:, None] for one in lower)
            lines.append(line_of(node, slopes, self.boxes(now, index), ranges[: index + 2]))
        output = self.network.output
        every = np.arange(len(output.bias))
        lower = np.maximum(
            -walked(self.network.nodes, ranges, lines, output, every, -1), interval_of(output, ranges)[0]
        )
        self._summed(lower, ranges)
        for row, walk in self._recorded(now, len(lines)):
            if walk.weights is not None:
                most = self._rewalked(now, ranges, row, walk, mean_of(output, walk.weights))[0]
                now.open[row, walk.entries[most < 0]] = False
            elif walk.sign < 0:
                found = -self._rewalked(now, ranges, row, walk, output)[0]
                lower[row, walk.entries] = np.maximum(lower[row, walk.entries], found)
        return lower

    def _summed(self, lower: np.ndarray, ranges: Sequence[Box]) -> None:
        """Strict conditions that only rounding leaves open are decided by fractions."""
        output = self.network.output
        near = (lower < 0) & (lower > -_NEAR * (1 + np.abs(lower).max(initial=0.0, where=np.isfinite(lower))))
        for row, entry in np.argwhere(near & self.claim.strict).tolist():
            if not is_below_zero(output, row, entry, ranges):
                lower[row, entry] = 0.0

    def _recorded(self, now: _Pieces, target: int) -> list[tuple[int, Walk]]:
        return [
            (row, walk)
            for row, number in enumerate(now.number.tolist())
            for walk in self.walks.get((number, target), ())
        ]

    def _rewalked(
        self,
        now: _Pieces,
        ranges: Sequence[Box],
        row: int,
        walk: Walk,
        one: Affine,
    ) -> np.ndarray:
        """The bounds that recorded slopes give on one piece."""
        piece = now.taken(slice(row, row + 1))
        own = [(low[row : row + 1], high[row : row + 1]) for low, high in ranges]
        lines = []
        for index, slopes in enumerate(walk.slopes):
            given = tuple(slope[None] for slope in slopes)
            node, boxes = self.network.nodes[index], self.boxes(piece, index)
            lines.append(line_of(node, (given, given), boxes, own[: index + 2]))
        entries = walk.entries if walk.weights is None else np.arange(len(walk.entries))
        return walked(self.network.nodes, own, lines, one, entries, walk.sign)

    def _walk_box(
        self,
        now: _Pieces,
        ranges: Sequence[Box],
        lines: Sequence[Line],
        argument: int,
        one: Affine,
    ) -> None:
        """Better boxes for those entries of an argument whose box matters."""
        index = len(lines)
        low, high = self.boxes(now, index)[argument]
        kinked = self.network.nodes[index].function == "relu"
        matters = (low < 0) & (high > 0) if kinked else high > low
        entries = np.flatnonzero(matters.any(axis=0))
        # Of each piece what matters in it, so that its bounds do not depend on what else is in the batch.
        size = max(_NUMBERS // (len(now) * self.widest), 1)
        for chosen in (entries[start : start + size] for start in range(0, len(entries), size)):
            least, most = (
                sign * walked(self.network.nodes, ranges, lines, one, chosen, sign) for sign in (-1, 1)
            )
            least, most = (np.where(matters[:, chosen], *ends) for ends in ((least, -np.inf), (most, np.inf)))
            self._narrow(now, index, argument, chosen, least, most)
