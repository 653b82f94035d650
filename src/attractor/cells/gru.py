"""Gated recurrent units, in the two layouts that the literature and the frameworks mix up.

They differ in where the reset gate acts, and no stability formula of one holds for the other; that is why
they are two classes. In both, z is the *keep* gate.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .building import FAMILIES
from .contract import Cell, Hidden, Input
from .initial import Timescales, timescale_bias, uniform_weight

_CALM = 0.3
"""Gates that hardly feel the state at first: a start from which long memories train reliably."""


class GRU(Cell):
    """The reset gate acts before the matrix product (Cho et al. 2014, arXiv 1406.1078).

    z = sigmoid(W_z u + U_z h + b_z), f = sigmoid(W_f u + U_f h + b_f),
    r = tanh(W_r u + U_r (f * h) + b_r), h' = z * h + (1 - z) * r.

    Args:
        input_size: length of u.
        hidden_size: length of h.
        timescales: shortest and longest memory of the units at the start, in steps.
        key: draws the weights.
    """

    input_weight: Float[Array, "3*hidden inputs"]
    gate_weight: Float[Array, "2*hidden hidden"]
    candidate_weight: Float[Array, "hidden hidden"]
    bias: Float[Array, " 3*hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self, input_size: int, hidden_size: int, *, timescales: Timescales = (2.0, 20.0), key: PRNGKeyArray
    ) -> None:
        input_key, gate_key, candidate_key = jax.random.split(key, 3)
        self.input_weight = uniform_weight(input_key, 3 * hidden_size, input_size, hidden_size)
        self.gate_weight = _CALM * uniform_weight(gate_key, 2 * hidden_size, hidden_size)
        self.candidate_weight = uniform_weight(candidate_key, hidden_size, hidden_size)
        self.bias = jnp.concatenate([timescale_bias(hidden_size, timescales), jnp.zeros(2 * hidden_size)])
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input: Input, state: Hidden, *, key: PRNGKeyArray | None = None) -> Hidden:
        """One step."""
        driven = self.input_weight @ input + self.bias
        gates = jax.nn.sigmoid(driven[: 2 * self.hidden_size] + self.gate_weight @ state)
        keep, reset = jnp.split(gates, 2)
        candidate = jnp.tanh(driven[2 * self.hidden_size :] + self.candidate_weight @ (reset * state))
        return keep * state + (1 - keep) * candidate


class ResetAfterGRU(Cell):
    """The reset gate acts after the matrix product: the layout of cuDNN, torch and `equinox.nn.GRUCell`.

    r = sigmoid(W_r u + U_r h + b_r), z = sigmoid(W_z u + U_z h + b_z),
    n = tanh(W_n u + b_n + r * (U_n h + c_n)), h' = z * h + (1 - z) * n.

    Args:
        input_size: length of u.
        hidden_size: length of h.
        timescales: shortest and longest memory of the units at the start, in steps.
        key: draws the weights.
    """

    input_weight: Float[Array, "3*hidden inputs"]
    state_weight: Float[Array, "3*hidden hidden"]
    bias: Float[Array, " 3*hidden"]
    candidate_bias: Hidden
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self, input_size: int, hidden_size: int, *, timescales: Timescales = (2.0, 20.0), key: PRNGKeyArray
    ) -> None:
        input_key, state_key = jax.random.split(key)
        self.input_weight = uniform_weight(input_key, 3 * hidden_size, input_size, hidden_size)
        calm = jnp.asarray(np.repeat([_CALM, _CALM, 1.0], hidden_size)[:, None], float)
        self.state_weight = calm * uniform_weight(state_key, 3 * hidden_size, hidden_size)
        zeros = jnp.zeros(hidden_size)
        self.bias = jnp.concatenate([zeros, timescale_bias(hidden_size, timescales), zeros])
        self.candidate_bias = zeros
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input: Input, state: Hidden, *, key: PRNGKeyArray | None = None) -> Hidden:
        """One step."""
        driven = jnp.split(self.input_weight @ input + self.bias, 3)
        recurrent = jnp.split(self.state_weight @ state, 3)
        reset, keep = (jax.nn.sigmoid(driven[gate] + recurrent[gate]) for gate in (0, 1))
        candidate = jnp.tanh(driven[2] + reset * (recurrent[2] + self.candidate_bias))
        return keep * state + (1 - keep) * candidate


FAMILIES.register("gru", GRU)
FAMILIES.register("gru-reset-after", ResetAfterGRU)
