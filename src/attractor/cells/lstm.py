"""Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .building import FAMILIES
from .contract import Cell, Hidden, Input, weight_dtype
from .initial import Timescales, timescale_bias, uniform_weight

LSTMState = tuple[Hidden, Hidden]
"""(h, c), in the order of Equinox and torch."""


class LSTM(Cell):
    """i, f, o = sigmoid(W u + U h + b), g = tanh(W_g u + U_g h + b_g), c' = f * c + i * g, h' = o * tanh(c').

    The rows of the weights follow torch: i, f, g, o. The state is (h, c); a read-out sees h.

    Args:
        input_size: length of u.
        hidden_size: length of h and of c.
        timescales: shortest and longest memory of the units at the start, in steps.
        key: draws the weights.
    """

    input_weight: Float[Array, "4*hidden inputs"]
    state_weight: Float[Array, "4*hidden hidden"]
    bias: Float[Array, " 4*hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self, input_size: int, hidden_size: int, *, timescales: Timescales = (2.0, 20.0), key: PRNGKeyArray
    ) -> None:
        input_key, state_key = jax.random.split(key)
        self.input_weight = uniform_weight(input_key, 4 * hidden_size, input_size, hidden_size)
        self.state_weight = uniform_weight(state_key, 4 * hidden_size, hidden_size)
        zeros = jnp.zeros(hidden_size)
        self.bias = jnp.concatenate([zeros, timescale_bias(hidden_size, timescales), zeros, zeros])
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input: Input, state: LSTMState, *, key: PRNGKeyArray | None = None) -> LSTMState:
        """One step."""
        hidden, memory = state
        driven = self.input_weight @ input + self.bias + self.state_weight @ hidden
        write, keep, candidate, show = jnp.split(driven, 4)
        memory = jax.nn.sigmoid(keep) * memory + jax.nn.sigmoid(write) * jnp.tanh(candidate)
        return jax.nn.sigmoid(show) * jnp.tanh(memory), memory

    def initial_state(self) -> LSTMState:
        """Zeros for h and c."""
        zeros = jnp.zeros(self.hidden_size, weight_dtype(self))
        return zeros, zeros

    def exposed(self, state: LSTMState) -> Hidden:
        """The hidden vector h."""
        return state[0]


FAMILIES.register("lstm", LSTM)
