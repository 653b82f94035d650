"""Where to cut a piece: at what makes up most of the gap of its bound.

The bound of an objective misses what it is by the gaps between lines and functions, each times the size of
its coefficient. A cut along an input narrows every gap that the width of that input makes up; a cut of an
inner value removes (at a kink or a jump) or narrows one gap, whatever the number of inputs.
"""

import numpy as np
from jaxtyping import Bool

from .network import Node
from .pieces import Cuts, Pieces
from .relaxation import Walked
from .tightening import Tightened, gap_of


@np.errstate(all="ignore")
def input_cuts(now: Pieces, known: Tightened, walked: Walked, chosen: np.ndarray) -> Cuts:
    """Halve every piece along an input.

    Args:
        now: the pieces.
        known: of them, with shares.
        walked: from conditions or means of them.
        chosen: for each piece the objective that is to be mended.
    """
    width = now.high - now.low
    score = 0.05 * np.abs(_of_piece(walked.inputs, chosen)) * width
    for coefficients, shares in zip(walked.nodes, known.shares or (), strict=False):
        if coefficients is not None:
            own = np.abs(_of_piece(coefficients, chosen))[:, None]
            for one in shares:
                score = score + np.nan_to_num((own @ one)[:, 0]) * width
    entry = np.argmax(np.where(halvable(now), np.nan_to_num(score) + 1e-300, -1.0), axis=-1)
    rows = np.arange(len(now))
    at = _middle(now)[rows, entry]
    return Cuts(np.full(len(now), -1), np.zeros(len(now), int), entry, at)


def halvable(now: Pieces) -> Bool[np.ndarray, "pieces inputs"]:
    """Which inputs of pieces have a number of float64 between their ends to be cut at.

    Args:
        now: the pieces.
    """
    return (now.low < (middle := _middle(now))) & (middle < now.high)


def _middle(now: Pieces) -> np.ndarray:
    return (now.low + now.high) / 2


@np.errstate(all="ignore")
def inner_cuts(
    nodes: tuple[Node, ...], now: Pieces, known: Tightened, walked: Walked, chosen: np.ndarray
) -> Cuts:
    """Cut an inner value of every piece, or an input where no inner value is left.

    Args:
        nodes: of the network.
        now: the pieces.
        known: of them.
        walked: from conditions or means of them.
        chosen: for each piece the objective that is to be mended.
    """
    rows = np.arange(len(now))
    found, best = input_cuts(now, known, walked, chosen), np.zeros(len(now))
    for index, (node, coefficients) in enumerate(zip(nodes, walked.nodes, strict=False)):
        if coefficients is None:
            continue
        score = np.abs(_of_piece(coefficients, chosen)) * gap_of(known.lines[index], known.boxes[index])
        for number, (low, high) in enumerate(known.boxes[index]):
            at = node.rule.cut((low, high))
            inside = (low < at) & (at < high) & np.isfinite(score)
            entry = np.argmax(np.where(inside, score, -1.0), axis=-1)
            own = np.where(inside[rows, entry], score[rows, entry], -1.0)
            better = own > best
            best = np.where(better, own, best)
            new = Cuts(np.full_like(entry, index), np.full_like(entry, number), entry, at[rows, entry])
            found = Cuts(*(np.where(better, a, b) for a, b in zip(new, found, strict=True)))
    return found


def _of_piece(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The numbers of the chosen objective of each piece."""
    each = np.broadcast_to(values, (len(chosen), *values.shape[1:]))
    return each[np.arange(len(chosen)), chosen]
