"""Boxes of all inner values of a network on pieces of its box, and what of them costs tightness.

The box of every argument is the better of three: intervals, a backward walk with good slopes, and, where it
is asked for, walks with slopes of their own for every entry (a descent each). Better boxes of inner values
are worth more than better slopes of the last objective, since everything behind them gains.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .function import Box
from .network import Affine, Node
from .relaxation import Lines, NodeBoxes, Region, intervals, lines_of, reach, walk
from .slopes import Done, Objectives, Record, descended, taken_lines

_UNIT = 2.0**-52

# Numbers that one walk may hold at a node, and inputs up to which their shares in inner values are kept.
_MOST = 4_000_000
_FEW = 24

_quiet = np.errstate(all="ignore")


class Tightened(NamedTuple):
    """What is known of the inner values of pieces.

    Args:
        boxes: of the arguments of all nodes.
        lines: good ones on these boxes.
        shares: for every node and argument, how much of the gap between its lines the width of each input
            makes up, shape (pieces, size, inputs); None for networks of many inputs.
    """

    boxes: NodeBoxes
    lines: list[Lines | None]
    shares: list[tuple[np.ndarray, ...]] | None

    def taken(self, index: np.ndarray) -> "Tightened":
        """Of some pieces."""
        boxes = [tuple((low[index], high[index]) for low, high in node) for node in self.boxes]
        lines = [None if one is None else taken_lines(one, index) for one in self.lines]
        shares = None if self.shares is None else [tuple(x[index] for x in one) for one in self.shares]
        return Tightened(boxes, lines, shares)


class Effort(NamedTuple):
    """How boxes of inner values are sought.

    Args:
        walks: False for intervals and known boxes alone.
        steps: of descents on the slopes of every entry; 0 for good slopes as they are.
        record: where to note the slopes that were found, for a certificate.
        done: whether to stop, walks and descents; what is known by then is returned.
    """

    walks: bool = True
    steps: int = 0
    record: Record = lambda *_: None
    done: Done = lambda _: False


@_quiet
def tightened(
    region: Region,
    low: np.ndarray,
    high: np.ndarray,
    known: NodeBoxes | None = None,
    effort: Effort = Effort(),  # noqa: B008 (a tuple)
) -> Tightened:
    """Boxes of all arguments, each the better of intervals and of walks back from it, and lines on them.

    Args:
        region: the network and its box.
        low: least inputs of each piece, shape (pieces, inputs).
        high: largest ones.
        known: boxes that hold as well.
        effort: how they are sought.
    """
    boxes = intervals(region, low, high, known)
    lines: list[Lines | None] = []
    shares: list[tuple[np.ndarray, ...]] | None = [] if region.network.inputs <= _FEW else None
    for index, node in enumerate(region.network.nodes):
        found = [
            _Argument(region, low, high, index, number, one, lines).bounded(boxes, effort)
            for number, one in enumerate(node.arguments)
        ]
        boxes[index] = tuple(box for box, _ in found)
        lines.append(lines_of(region, index, boxes[index]))
        if shares is not None:
            gaps = gap_of(lines[index], boxes[index])
            shares.append(
                tuple((gaps / np.maximum(box[1] - box[0], 1e-300))[..., None] * slope for box, slope in found)
            )
    return Tightened(boxes, lines, shares)


def gap_of(lines: Lines | None, boxes: Sequence[Box]) -> np.ndarray:
    """The distance between both lines of a node in the middle of its box, shape (pieces, size)."""
    if lines is None:
        raise LookupError("a node without lines")
    total = lines.upper.intercept - lines.lower.intercept
    for (low, high), above, below in zip(boxes, lines.upper.slopes, lines.lower.slopes, strict=True):
        total = total + (above - below) * (low + high) / 2
    return np.where(np.isfinite(total), np.maximum(total, 0.0), 0.0)


class _Argument(NamedTuple):
    """An argument of a node whose box is sought."""

    region: Region
    low: np.ndarray
    high: np.ndarray
    node: int
    number: int
    affine: Affine
    lines: list[Lines | None]

    def bounded(self, boxes: NodeBoxes, effort: Effort) -> tuple[Box, np.ndarray]:
        """Its box, and the sizes of the coefficients of the input in it."""
        box, inputs = boxes[self.node][self.number], self.region.network.inputs
        few = inputs <= _FEW
        shape = (len(self.low), len(self.affine.bias), inputs if few else 0)
        if not set(self.affine.terms) - {0}:
            return box, self._of_input(shape) if few else np.zeros(shape)
        slope = np.zeros(shape)
        opened = opened_entries(self.region.network.nodes[self.node], box)
        least, largest = box
        for chosen in self._groups(np.flatnonzero(opened.any(axis=0))):
            if effort.walks and not effort.done(np.zeros((0, 0))):
                least, largest = self._better((least, largest), boxes, chosen, slope, effort)
        # Of each piece what is open in it, so that its bounds do not depend on what else is in the batch.
        return (np.where(opened, least, box[0]), np.where(opened, largest, box[1])), slope

    def _of_input(self, shape: tuple[int, int, int]) -> np.ndarray:
        part = self.affine.terms.get(0)
        return (
            np.zeros(shape)
            if part is None
            else np.broadcast_to(np.abs(part.chosen(np.arange(shape[1]))), shape)
        )

    def _groups(self, entries: np.ndarray) -> list[np.ndarray]:
        nodes = self.region.network.nodes[: self.node]
        widest = max(max((before.size for before in nodes), default=1), self.region.network.inputs)
        size = max(int(_MOST / max(2 * len(self.low) * widest, 1)), 1)
        return [entries[start : start + size] for start in range(0, len(entries), size)]

    def _better(
        self, box: Box, boxes: NodeBoxes, chosen: np.ndarray, slope: np.ndarray, effort: Effort
    ) -> Box:
        """The box with better ends for some entries, upper and lower ends in one walk."""
        sought, count = self._objectives(chosen), len(chosen)
        walked = walk(self.region, self.low, self.high, *sought, self.lines)
        most = walked.upper
        if slope.shape[-1]:
            sizes = np.abs(walked.inputs)
            slope[:, chosen] = (sizes[:, :count] + sizes[:, count:]) / 2
        if effort.steps:
            descent = descended(
                self.region, self.low, self.high, sought, boxes, self.lines,
                steps=effort.steps, done=effort.done,
            )  # fmt: skip
            most = np.minimum(most, descent.walked.upper)
            effort.record(self.node, self.number, chosen, descent)
        least, largest = box[0].copy(), box[1].copy()
        largest[:, chosen] = np.minimum(largest[:, chosen], most[:, :count])
        least[:, chosen] = np.maximum(least[:, chosen], -most[:, count:])
        return least, largest

    def _objectives(self, chosen: np.ndarray) -> Objectives:
        """The entries, and the entries with a minus."""
        wanted = {}
        for source, part in self.affine.terms.items():
            rows = part.chosen(chosen)
            wanted[source] = np.concatenate([rows, -rows])[None]
        bias = self.affine.bias[chosen]
        sums = reach(self.affine, self.region.magnitudes.values)[chosen]
        error = 2 * _UNIT * (self.affine.terms_per_entry + 8) * np.concatenate([sums, sums])
        return Objectives(wanted, np.concatenate([bias, -bias]) + error)


def opened_entries(node: Node, box: Box) -> np.ndarray:
    """Entries of which a better box would better the relaxation, for every piece."""
    low, high = box
    if node.function == "relu":
        return np.asarray((low < 0) & (high > 0))
    return np.asarray(high > low)
