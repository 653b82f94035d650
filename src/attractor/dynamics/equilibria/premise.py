"""The premise of the sum of indices: trajectories from far outside come back.

The indices of all fixed points of a map sum to 1 where the map sends a ball into itself. Cells with
saturating units do; a Henon map, a logistic map or a linear map with growth does not, and the sum of its
indices says nothing about points that a search may have missed.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.program import FlatMap, compiled, double_precision

from ..trajectory import analysed

_STARTS, _STEPS = 64, 200
_FAR = (10.0, 100.0)
"""Distances of starts, in sizes of the states that are known."""


def comes_back(
    cell: Any, input: Float[np.ndarray, " inputs"], known: Float[np.ndarray, "points states"]
) -> bool:
    """Whether trajectories from random states far outside all end nearer than they began.

    It is evidence, not a proof: a state that runs away refutes the premise, none that does supports it.

    Args:
        cell: any cell.
        input: the constant input.
        known: flat states, such as fixed points; far means far from all of them.
    """
    size = max(1.0, float(np.linalg.norm(known, axis=1).max(initial=0.0)))
    drawn = np.random.default_rng(0).normal(size=(_STARTS, known.shape[1]))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    starts = np.concatenate([distance * size * drawn for distance in _FAR])
    with double_precision():
        ends = np.asarray(
            _ends(analysed(cell).still("fixed points"), jnp.asarray(starts), jnp.asarray(input))
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.all(np.linalg.norm(ends, axis=1) < np.linalg.norm(starts, axis=1)))


@compiled
def _ends(flat: FlatMap, starts: Array, input: Array) -> Array:
    step = jax.vmap(lambda state: flat.step(state, input))
    return jax.lax.fori_loop(0, _STEPS, lambda _, states: step(states), starts)
