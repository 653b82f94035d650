"""The tanh cell of Elman 1990, *Finding structure in time*."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .building import FAMILIES
from .contract import Cell, Hidden, Input
from .initial import uniform_weight


class Elman(Cell):
    """h' = tanh(W u + U h + b), the cell of `torch.nn.RNN`.

    Args:
        input_size: length of u.
        hidden_size: length of h.
        key: draws the weights.
    """

    input_weight: Float[Array, "hidden inputs"]
    state_weight: Float[Array, "hidden hidden"]
    bias: Hidden
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size: int, hidden_size: int, *, key: PRNGKeyArray) -> None:
        input_key, state_key = jax.random.split(key)
        self.input_weight = uniform_weight(input_key, hidden_size, input_size, hidden_size)
        self.state_weight = uniform_weight(state_key, hidden_size, hidden_size)
        self.bias = jnp.zeros(hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input: Input, state: Hidden, *, key: PRNGKeyArray | None = None) -> Hidden:
        """One step."""
        return jnp.tanh(self.input_weight @ input + self.state_weight @ state + self.bias)


FAMILIES.register("tanh", Elman)
