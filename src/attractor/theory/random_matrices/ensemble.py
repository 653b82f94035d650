r"""The random matrices that stand for those of a network: their energies and correlations.

Entry (i, j) of matrix k has mean zero and variance $\rho_{k,i} \kappa_{k,j} / E_k$, with the row energies
$\rho_{k,i} = \sum_j U_{k,ij}^2$, the column energies $\kappa_{k,j} = \sum_i U_{k,ij}^2$ and their sum $E_k$:
the matrices with the least structure that give every row and column its measured energy. Two kinds of
correlations are kept where they are no chance: of the same entry of two matrices (the matrix that a Runge-
Kutta step uses twice), and of entries (i, j) and (j, i) (matrices that are nearly symmetric or
antisymmetric).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .local_maps import Block, Port
from .responses import without_diagonal

_DEVIATIONS = 5.0
"""Standard deviations of a correlation of independent matrices from which it is no chance."""


@dataclass(frozen=True, eq=False)
class RandomMatrix:
    """A matrix of which only energies are kept.

    Args:
        to: the results that it brings.
        origin: the vectors that it reads.
        rows: sqrt(rho).
        columns: sqrt(kappa / E).
    """

    to: Port
    origin: Port
    rows: Float[np.ndarray, " to"]
    columns: Float[np.ndarray, " origin"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """All random matrices of a step.

    Args:
        matrices: one for every block.
        alike: correlation of the same entry for pairs of matrices, 1 of each with itself.
        mirrored: correlation of entry (i, j) of the first with entry (j, i) of the second.
    """

    matrices: tuple[RandomMatrix, ...]
    alike: dict[tuple[int, int], float]
    mirrored: dict[tuple[int, int], float]


def ensemble(blocks: Sequence[Block]) -> Ensemble:
    """Measure energies and correlations."""
    matrices = tuple(map(_random, blocks))
    alike = {pair: value for pair, value in _alike(blocks)}
    return Ensemble(matrices, alike, dict(_mirrored(blocks)))


def _random(block: Block) -> RandomMatrix:
    squares = np.square(block.matrix)
    return RandomMatrix(
        block.to, block.origin, np.sqrt(squares.sum(axis=1)), np.sqrt(squares.sum(axis=0) / squares.sum())
    )


def _alike(blocks: Sequence[Block]) -> Iterator[tuple[tuple[int, int], float]]:
    for one, first in enumerate(blocks):
        for other, second in enumerate(blocks):
            if one == other:
                yield (one, other), 1.0
            elif (first.to.kind, first.origin.kind) == (second.to.kind, second.origin.kind):
                yield from _significant((one, other), first.matrix, second.matrix)


def _mirrored(blocks: Sequence[Block]) -> Iterator[tuple[tuple[int, int], float]]:
    for one, first in enumerate(blocks):
        for other, second in enumerate(blocks):
            if (first.to.kind, first.origin.kind) != (second.origin.kind, second.to.kind):
                continue
            matrices = first.matrix, second.matrix.T
            if first.to.kind == first.origin.kind:  # an entry on the diagonal is its own mirror image
                matrices = without_diagonal(matrices[0]), without_diagonal(matrices[1])
            yield from _significant((one, other), *matrices)


def _significant(
    pair: tuple[int, int], one: np.ndarray, other: np.ndarray
) -> Iterator[tuple[tuple[int, int], float]]:
    sizes = np.linalg.norm(one) * np.linalg.norm(other)
    value = float(np.vdot(one, other) / sizes) if sizes > 0 else 0.0
    if abs(value) > min(0.99, _DEVIATIONS / one.size**0.5):
        yield pair, value
