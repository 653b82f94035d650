"""Pieces of a box of inputs that a search has not decided yet, in one batch of arrays."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .function import Slopes
from .relaxation import NodeBoxes, Region
from .slopes import Sides
from .tree import Journal


class Cuts(NamedTuple):
    """Where pieces are cut in two: z <= at and z >= at, an entry each.

    Args:
        node: whose argument is cut; -1 for an input.
        argument: of the node.
        entry: of the argument, or which input.
        at: where.
    """

    node: np.ndarray
    argument: np.ndarray
    entry: np.ndarray
    at: np.ndarray

    def taken(self, index: np.ndarray) -> "Cuts":
        """Some of them."""
        return Cuts(*(one[index] for one in self))


@dataclass(eq=False)
class Pieces:
    """What is known of each piece, a row each.

    Args:
        low: least inputs.
        high: largest ones.
        open: clauses that are not refuted, shape (pieces, clauses).
        bounds: no largest condition of a clause is below these, shape (pieces, clauses).
        boxes: of the arguments of all nodes.
        number: in the journal.
        slopes: that a bound of the piece was found with, for every node; None before there is one.
    """

    low: np.ndarray
    high: np.ndarray
    open: np.ndarray
    bounds: np.ndarray
    boxes: NodeBoxes
    number: np.ndarray
    slopes: list[Sides | None] | None = None

    def __len__(self) -> int:
        return len(self.low)

    def taken(self, index: np.ndarray) -> "Pieces":
        """Some of them."""
        boxes = [tuple((low[index], high[index]) for low, high in node) for node in self.boxes]
        slopes = None if self.slopes is None else [_rows(one, index) for one in self.slopes]
        return Pieces(
            self.low[index], self.high[index], self.open[index], self.bounds[index], boxes,
            self.number[index], slopes,
        )  # fmt: skip

    def first(self, count: int) -> tuple["Pieces", "Pieces"]:
        """So many pieces with the least bounds, and the others."""
        worst = np.where(self.open, self.bounds, np.inf).min(axis=-1)
        order = np.argsort(worst, kind="stable")
        return self.taken(order[:count]), self.taken(np.sort(order[count:]))

    def joined(self, other: "Pieces") -> "Pieces":
        """Both batches in one."""
        if not len(self):
            return other
        if not len(other):
            return self
        boxes = [
            tuple((_both(a[0], b[0]), _both(a[1], b[1])) for a, b in zip(one, two, strict=True))
            for one, two in zip(self.boxes, other.boxes, strict=True)
        ]
        slopes = None
        if self.slopes is not None and other.slopes is not None:
            slopes = [_joined(one, two) for one, two in zip(self.slopes, other.slopes, strict=True)]
        return Pieces(
            _both(self.low, other.low), _both(self.high, other.high), _both(self.open, other.open),
            _both(self.bounds, other.bounds), boxes, _both(self.number, other.number), slopes,
        )  # fmt: skip

    def halved(self, cuts: Cuts, journal: Journal) -> "Pieces":
        """The halves of every piece: first those below the cuts, then those above."""
        count = len(self)
        rows = np.arange(count)
        twice = self.taken(np.concatenate([rows, rows]))
        of_input = np.flatnonzero(cuts.node < 0)
        twice.high[of_input, cuts.entry[of_input]] = cuts.at[of_input]
        twice.low[count + of_input, cuts.entry[of_input]] = cuts.at[of_input]
        for row in np.flatnonzero(cuts.node >= 0):
            low, high = twice.boxes[cuts.node[row]][cuts.argument[row]]
            high[row, cuts.entry[row]] = cuts.at[row]
            low[count + row, cuts.entry[row]] = cuts.at[row]
        twice.number = journal.cut(self.number, cuts.entry, cuts.at, node=cuts.node, argument=cuts.argument)
        return twice


def whole(region: Region, clauses: int) -> Pieces:
    """The whole box as one piece, with so many clauses open."""
    return Pieces(
        region.low[None].copy(), region.high[None].copy(), np.ones((1, clauses), bool),
        np.full((1, clauses), -np.inf), region.root, np.zeros(1, int),
    )  # fmt: skip


def _rows(sides: Sides | None, index: np.ndarray) -> Sides | None:
    if sides is None:
        return None
    return tuple(one[index] for one in sides[0]), tuple(one[index] for one in sides[1])


def _joined(one: Sides | None, two: Sides | None) -> Sides | None:
    if one is None or two is None:
        return None
    above, below = (_each(a, b) for a, b in zip(one, two, strict=True))
    return above, below


def _each(one: Slopes, two: Slopes) -> Slopes:
    return tuple(_both(a, b) for a, b in zip(one, two, strict=True))


def _both(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.concatenate([one, two])
