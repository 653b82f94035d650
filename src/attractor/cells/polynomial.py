"""Polynomial NARX of degree two: a regression on past samples and their products, as a cell."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError

from .building import FAMILIES
from .contract import Input
from .nnarx import Regressor


class PolynomialNARX(Regressor):
    r"""$y = W \phi(z)$, kept within bounds; x' = (x without its oldest block, (y, u)).

    z holds the last n outputs and inputs, newest first: $(y_{-1}, ..., y_{-n}, u, u_{-1}, ..., u_{-n+1})$,
    and $\phi$ is $(1, z)$ and all products of two entries of z. The state x is that of `NNARX`: blocks
    (y, u), oldest first, shape (n, outputs + inputs). A regression gives W (`attractor.control.baselines`),
    and gradients leave it alone.

    Args:
        input_size: length of u.
        hidden_size: n, past samples of every signal.
        output_size: length of y.
        key: draws small weights; a regression replaces them.

    Raises:
        ConfigError: n below one.
    """

    fixed: ClassVar[bool] = True
    weights: Float[Array, "regressors outputs"]
    low: Float[Array, " outputs"]
    high: Float[Array, " outputs"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def __init__(self, input_size: int, hidden_size: int, *, output_size: int = 1, key: PRNGKeyArray) -> None:
        if hidden_size < 1:
            raise ConfigError(f"hidden_size={hidden_size}: the regressor needs at least one past sample")
        lags = hidden_size * (input_size + output_size)
        regressors = 1 + lags + lags * (lags + 1) // 2
        self.weights = 0.1 / regressors * jax.random.normal(key, (regressors, output_size))
        self.low, self.high = -3.0 * jnp.ones(output_size), 3.0 * jnp.ones(output_size)
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.order = hidden_size

    def __call__(
        self, input: Input, state: Float[Array, "order signals"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "order signals"]:
        """One step in free run: the regressor is filled with the model's own outputs."""
        weights, low, high = jax.lax.stop_gradient((self.weights, self.low, self.high))
        newest = state[::-1]
        known, applied = newest[:, : self.output_size].ravel(), newest[:-1, self.output_size :].ravel()
        lagged = jnp.concatenate([known, input, applied])
        # Not by z[left] * z[right]: a derivative of picking entries adds to entries, which few tools write.
        curves = (lagged @ self._curves(weights, len(lagged))).reshape(len(lagged), -1)
        output = jnp.clip(weights[0] + lagged @ (weights[1 : len(lagged) + 1] + curves), low, high)
        return jnp.concatenate([state[1:], jnp.concatenate([output, input])[None]])

    def _curves(self, weights: Array, lags: int) -> Float[Array, "lags both"]:
        """P with z_i z_j P[i, j], summed over i and j, for all products; each pair counts once."""
        pairs = np.zeros((lags, lags), int)
        pairs[np.triu_indices(lags)] = np.arange(1, lags * (lags + 1) // 2 + 1)
        known = jnp.concatenate([jnp.zeros_like(weights[:1]), weights[lags + 1 :]])
        return known[pairs].reshape(lags, -1)


FAMILIES.register("polynomial-narx", PolynomialNARX)
