"""Neural state space: a linear model with a tanh network beside it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .building import FAMILIES
from .contract import Cell, Hidden, Input
from .initial import Timescales, uniform_weight


class NeuralStateSpace(Cell):
    """x' = A x + B u + W_2 tanh(W_1 (x, u) + b).

    The linear part carries what is linear exactly, so the network only has to learn the rest: the model of
    choice for plants that are nearly linear (Suykens, Vandewalle and De Moor 1995; Schoukens 2021,
    arXiv 2103.14409). Nothing bounds its state.

    Args:
        input_size: length of u.
        hidden_size: length of x.
        width: units of the tanh network.
        timescales: shortest and longest memory of the linear part at the start, in steps.
        key: draws the weights.
    """

    transition: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden inputs"]
    inner_weight: Float[Array, "width hidden+inputs"]
    inner_bias: Float[Array, " width"]
    outer_weight: Float[Array, "hidden width"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        width: int = 16,
        timescales: Timescales = (2.0, 20.0),
        key: PRNGKeyArray,
    ) -> None:
        linear_key, input_key, inner_key, outer_key = jax.random.split(key, 4)
        decay = 1 - 1 / jnp.geomspace(*timescales, hidden_size)
        self.transition = jnp.diag(decay) + 0.1 * uniform_weight(linear_key, hidden_size, hidden_size)
        self.input_weight = 0.3 * uniform_weight(input_key, hidden_size, input_size, 1)
        self.inner_weight = uniform_weight(inner_key, width, hidden_size + input_size)
        self.inner_bias = jnp.zeros(width)
        self.outer_weight = 0.1 * uniform_weight(outer_key, hidden_size, width)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input: Input, state: Hidden, *, key: PRNGKeyArray | None = None) -> Hidden:
        """One step."""
        inner = jnp.tanh(self.inner_weight @ jnp.concatenate([state, input]) + self.inner_bias)
        return self.transition @ state + self.input_weight @ input + self.outer_weight @ inner


FAMILIES.register("state-space", NeuralStateSpace)
