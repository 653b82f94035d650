"""Weights for branch and bound: the best ones for the Jacobians at many points of a box."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..domains import Box
from ..search.branch_and_bound import absolute_jacobian
from .weighted_norms import best_weights

SAMPLES = 512


def sample_jacobians(cell: Any, box: Box, seed: int = 0) -> Float[np.ndarray, "samples states states"]:
    """|J| at points of the box, half of them at its corners."""
    return np.asarray(_sample(cell, box, jax.random.key(seed)))


@eqx.filter_jit
def _sample(cell: Any, box: Box, key: Array) -> Array:
    shares = jax.random.uniform(key, (SAMPLES, len(box.low)), box.low.dtype)
    shares = jnp.where(jnp.arange(SAMPLES)[:, None] % 2 == 0, shares, jnp.round(shares))
    points = box.low + shares * (box.high - box.low)
    jacobians = jax.vmap(lambda point: absolute_jacobian(cell, point))(points)
    return jnp.nan_to_num(jacobians[:, :, : box.states], posinf=0.0)  # a choice of weights, not a proof


def sampled_weights(
    jacobians: Float[np.ndarray, "samples states states"], start: Float[np.ndarray, " states"]
) -> tuple[float, np.ndarray]:
    """The best weights for all these Jacobians at once, and the rate they give on them.

    No weights can do better on the samples than their nonlinear Perron value, so a rate of 1 or more means
    that no weighted maximum norm proves the box.
    """
    rate, weights = _weigh(jnp.asarray(jacobians), jnp.asarray(start))
    return float(rate), np.asarray(weights)


@eqx.filter_jit
def _weigh(jacobians: Array, start: Array) -> tuple[Array, Array]:
    return best_weights(lambda weights: jnp.max(jacobians @ weights, axis=0), start)
