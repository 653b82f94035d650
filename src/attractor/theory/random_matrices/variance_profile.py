"""The null model of a step that cannot be cut at its products: the energies of its Jacobian."""

from typing import Any

import jax
import numpy as np

from .local_maps import Block, LocalMaps, Port, Units
from .responses import without_diagonal


def variance_profile(jacobian: np.ndarray, state: Any) -> LocalMaps:
    """The Jacobian as a sum of what every unit does to itself and of random matrices between units.

    Where all arrays of the state are vectors of one length, entry i of each belongs to unit i: the (S, S)
    blocks of one unit stay, and each of the S x S matrices between units is replaced by a random one with
    the same row and column energies. In any other state every entry is a unit.

    Args:
        jacobian: of the flat state.
        state: the pytree behind it.
    """
    leaves = jax.tree.leaves(state)
    shapes = {np.shape(leaf) for leaf in leaves}
    states = len(leaves) if len(shapes) == 1 and len(next(iter(shapes))) == 1 else 1
    count = len(jacobian) // states
    grid = jacobian.reshape(states, count, states, count)
    own = np.moveaxis(np.diagonal(grid, axis1=1, axis2=3), -1, 0).copy()
    pairs = [(row, column) for row in range(states) for column in range(states)]
    blocks = [
        Block(Port(0, index), Port(0, index), without_diagonal(grid[row, :, column]))
        for index, (row, column) in enumerate(pairs)
    ]
    rows, columns = (
        np.eye(states)[:, [row for row, _ in pairs]],
        np.eye(states)[[column for _, column in pairs]],
    )
    units = Units(
        own,
        np.broadcast_to(rows, (count, *rows.shape)),
        np.broadcast_to(columns, (count, *columns.shape)),
        np.zeros((count, len(pairs), len(pairs))),
    )
    return LocalMaps((units,), tuple(block for block in blocks if block.matrix.any()))
