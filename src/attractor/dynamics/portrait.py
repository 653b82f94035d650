"""The plane in which a network moves most, with its path, the drift of the step, and points in it."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import CellLike
from attractor.program import FlatMap, compiled, double_precision

from .trajectory import analysed

# Width beyond the path on either side of the drawn part of the plane.
_ROOM = 0.25

_RESOLUTION = 17


@dataclass(frozen=True, eq=False)
class Portrait:
    """What happens in the plane of the two leading principal components of a path.

    Args:
        centre: mean of the path.
        axes: the two directions, orthonormal rows.
        shares: share of the variance of each principal component, the largest first.
        path: the path in the plane.
        grid: points of the plane where the drift is known.
        drift: one step minus the point it starts from, in the plane, at the constant input.
    """

    centre: Float[np.ndarray, " states"]
    axes: Float[np.ndarray, "2 states"]
    shares: Float[np.ndarray, " components"]
    path: Float[np.ndarray, "time 2"]
    grid: Float[np.ndarray, "points 2"]
    drift: Float[np.ndarray, "points 2"]

    def project(self, states: Float[np.ndarray, "points states"]) -> Float[np.ndarray, "points 2"]:
        """Where flat states fall in the plane."""
        return (states - self.centre) @ self.axes.T


def portrait(
    cell: CellLike,
    path: Float[np.ndarray, "time states"],
    input: Float[np.ndarray, " inputs"],
    beside: Float[np.ndarray, "points states"],
) -> Portrait:
    """The principal plane of a path, and the drift of one step in it.

    The drift is that of the states in the plane itself, through the mean of the path: states of the path lie
    off it by what the other components hold.

    Args:
        cell: any cell.
        path: flat states.
        input: the constant input of the drift.
        beside: flat states that the drawn part of the plane must show as well, such as fixed points.
    """
    centre = path.mean(axis=0)
    _, sizes, directions = np.linalg.svd(path - centre, full_matrices=False)
    axes = np.zeros((2, path.shape[1]))
    axes[: min(2, len(directions))] = directions[:2]
    shares = sizes**2 / max(float(np.sum(sizes**2)), np.finfo(float).tiny)
    shown = np.concatenate([path, beside]) - centre
    grid = _grid(shown @ axes.T)
    with double_precision():
        moved = np.asarray(
            _steps(analysed(cell).still("portrait"), jnp.asarray(centre + grid @ axes), jnp.asarray(input))
        )
    drift = (moved - centre) @ axes.T - grid
    return Portrait(centre, axes, shares, (path - centre) @ axes.T, grid, drift)


def _grid(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "grid 2"]:
    low, high = points.min(axis=0), points.max(axis=0)
    room = _ROOM * np.maximum(high - low, 1e-6)
    sides = [np.linspace(a, b, _RESOLUTION) for a, b in zip(low - room, high + room, strict=True)]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


@compiled
def _steps(flat: FlatMap, states: Array, input: Array) -> Array:
    return jax.vmap(lambda state: flat.step(state, input))(states)
