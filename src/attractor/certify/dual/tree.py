"""A record of a branch and bound proof: how a box was cut, and what was optimised for its pieces.

A record claims nothing. Whoever reads it bounds every piece anew: with slopes of its own choice where none
are recorded, since any slopes give a valid bound, and with the recorded ones where a search optimised them.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Walk:
    """Slopes of one backward walk that were optimised for a piece.

    Args:
        piece: number of the piece; the bound holds for all pieces that it was cut into as well.
        target: number of the node whose argument is bounded, or the count of nodes for the output.
        argument: which argument of the node; 0 for the output.
        entries: of the argument, or of the output.
        sign: 1 for an upper bound of the entries, -1 for a lower one.
        slopes: for every node before the target, for each of its arguments: slopes of shape
            (entries, size of the node), each for the side on which the walk from that entry meets the node.
        weights: where means of the conditions of clauses were bounded and not entries of the output: their
            weights, shape (entries, conditions), none below zero; `entries` are numbers of clauses then.
    """

    piece: int
    target: int
    argument: int
    entries: Int[np.ndarray, " entries"]
    sign: int
    slopes: tuple[tuple[Float[np.ndarray, "entries _"], ...], ...]
    weights: Float[np.ndarray, "entries conditions"] | None = None


@dataclass(frozen=True, eq=False)
class Tree:
    """Pieces of a box. A piece is a leaf, or is cut in two: z <= at, and z >= at, for one number z.

    Args:
        parent: of every piece, a smaller number than its own; -1 for the first, which is the whole box.
        node: whose argument was cut to make the piece; -1 where an input was cut.
        argument: which argument of the node; 0 for an input.
        entry: of the argument, or which input.
        at: where the cut is.
        above: whether the piece is z >= at, and not z <= at.
        walks: slopes that were optimised.
    """

    parent: Int[np.ndarray, " pieces"]
    node: Int[np.ndarray, " pieces"]
    argument: Int[np.ndarray, " pieces"]
    entry: Int[np.ndarray, " pieces"]
    at: Float[np.ndarray, " pieces"]
    above: Bool[np.ndarray, " pieces"]
    walks: tuple[Walk, ...] = ()

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(eq=False)
class Journal:
    """What a search writes down while it cuts and bounds; piece 0 is the whole box.

    Args:
        rows: of the tree, as arrays of many pieces each.
        walks: so far.
        count: pieces so far.
    """

    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    count: int = 1

    def cut(
        self,
        pieces: Int[np.ndarray, " cut"],
        entry: Int[np.ndarray, " cut"],
        at: Float[np.ndarray, " cut"],
        *,
        node: Int[np.ndarray, " cut"] | None = None,
        argument: Int[np.ndarray, " cut"] | None = None,
    ) -> Int[np.ndarray, " halves"]:
        """Write down that pieces were cut in two.

        Args:
            pieces: their numbers.
            entry: the input that each was cut along, or the entry of the argument of a node.
            at: where.
            node: whose argument was cut, -1 for an input; None if only inputs were cut.
            argument: of the node; None for the first.

        Returns:
            Numbers of the new pieces: first the sides below the cuts, then those above.
        """
        count = len(pieces)
        whole = [
            pieces,
            np.full(count, -1) if node is None else node,
            np.zeros(count, int) if argument is None else argument,
            entry,
            at,
        ]
        for above in (False, True):
            self.rows.append((*(np.array(one) for one in whole), np.full(count, above)))
        self.count += 2 * count
        return np.arange(self.count - 2 * count, self.count)

    def walked(self, walk: Walk) -> None:
        """Write down slopes that were optimised for a piece."""
        self.walks.append(walk)

    @property
    def tree(self) -> Tree:
        """All of it."""
        root = tuple(np.array([first]) for first in (-1, -1, 0, 0, 0.0, False))
        columns = [np.concatenate(parts) for parts in zip(root, *self.rows, strict=True)]
        return Tree(*columns, walks=tuple(self.walks))
