"""Echo state network: a fixed random reservoir of which only the read-out is trained (Jaeger 2001)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError

from .building import FAMILIES
from .contract import Cell, Hidden, Input, weight_dtype

EchoStateState = tuple[Hidden, Input]
"""(reservoir x, last input u)."""


class EchoState(Cell):
    """x' = (1 - a) x + a tanh(W_x x + W_u u + b), with W_x, W_u and b random and never trained.

    W_x is sparse and scaled to a spectral *norm* below one, so the reservoir forgets its start by
    construction: |dx'| <= ((1 - a) + a |W_x|) |dx|. There is no feedback of the output. A read-out sees
    (x, u), the two regressors of arXiv 2111.13557.

    Args:
        input_size: length of u.
        hidden_size: length of x.
        norm: spectral norm of W_x.
        leak: a, in (0, 1]: 1 forgets fastest.
        density: share of nonzero entries in each row of W_x; there is at least one.
        key: draws the reservoir.

    Raises:
        ConfigError: `norm`, `leak` or `density` outside its range.
    """

    fixed: ClassVar[bool] = True
    reservoir: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden inputs"]
    bias: Hidden
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    leak: float = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        norm: float = 0.95,
        leak: float = 0.5,
        density: float = 0.1,
        key: PRNGKeyArray,
    ) -> None:
        for name, value in {"norm": norm, "leak": leak, "density": density}.items():
            if not 0 < value <= 1:
                raise ConfigError(f"{name}={value}: expected a value in (0, 1]")
        weight_key, mask_key, input_key, bias_key = jax.random.split(key, 4)
        shape = (hidden_size, hidden_size)
        dense = jax.random.uniform(weight_key, shape, minval=-1.0, maxval=1.0)
        links = max(1, round(density * hidden_size))  # as many for every unit: none is deaf to the others
        mask = jax.random.uniform(mask_key, shape).argsort(axis=1) < links
        sparse = jnp.where(mask, dense, 0.0)
        self.reservoir = norm * sparse / jnp.linalg.norm(sparse, 2)
        self.input_weight = jax.random.uniform(input_key, (hidden_size, input_size), minval=-1.0, maxval=1.0)
        self.bias = jax.random.uniform(bias_key, (hidden_size,), minval=-0.5, maxval=0.5)
        self.input_size, self.hidden_size, self.leak = input_size, hidden_size, leak

    def __call__(
        self, input: Input, state: EchoStateState, *, key: PRNGKeyArray | None = None
    ) -> EchoStateState:
        """One step; gradients do not reach the reservoir."""
        old, _ = state
        reservoir, input_weight, bias = jax.lax.stop_gradient((self.reservoir, self.input_weight, self.bias))
        new = jnp.tanh(reservoir @ old + input_weight @ input + bias)
        return (1 - self.leak) * old + self.leak * new, input

    def initial_state(self) -> EchoStateState:
        """Zeros."""
        dtype = weight_dtype(self)
        return jnp.zeros(self.hidden_size, dtype), jnp.zeros(self.input_size, dtype)

    def exposed(self, state: EchoStateState) -> Float[Array, " hidden+inputs"]:
        """Reservoir and last input."""
        return jnp.concatenate(state)


FAMILIES.register("esn", EchoState)
