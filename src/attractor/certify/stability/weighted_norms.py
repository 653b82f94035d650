"""The best weights of a weighted maximum norm: a nonlinear Perron problem."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

RowSums = Callable[[Float[Array, " states"]], Float[Array, " states"]]

_FLOOR = 1e-9
_ITERATIONS = 200


def best_weights(
    row_sums: RowSums, start: Float[Array, " states"], iterations: int = _ITERATIONS
) -> tuple[Float[Array, ""], Float[Array, " states"]]:
    """The smallest rate max_i r_i(w) / w_i that was met, and its weights.

    r is monotone and homogeneous (row sums of a bound, largest over its corners), so w -> r(w) is a nonlinear
    Perron map (Lemmens and Nussbaum 2012). Half of the old weights is kept at every step, so that chains like
    the regressor of a NNARX, whose map is periodic, converge too. Any weights give a valid rate.

    Args:
        row_sums: r, from weights (states,) to row sums (states,).
        start: weights to start from, positive.
        iterations: steps of the power method.

    Returns:
        The rate and the weights, whose largest is 1.
    """

    def step(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        weights, best, best_found = carry
        sums = row_sums(weights)
        rate = jnp.max(sums / weights)
        better = rate < best
        best, best_found = jnp.where(better, rate, best), jnp.where(better, weights, best_found)
        largest = jnp.maximum(jnp.max(sums), jnp.finfo(sums.dtype).tiny)
        mixed = 0.5 * weights + 0.5 * jnp.where(jnp.isfinite(sums), sums / largest, 1.0)
        return (jnp.maximum(mixed / jnp.max(mixed), _FLOOR), best, best_found), None

    infinite = jnp.asarray(jnp.inf, start.dtype)
    (_, rate, weights), _ = jax.lax.scan(step, (start, infinite, start), None, length=iterations)
    return rate, weights
