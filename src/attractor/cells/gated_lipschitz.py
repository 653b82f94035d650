"""The Lipschitz cell with a gate in front of its drift."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .initial import uniform_weight
from .lipschitz import QUIET, USUAL, Lipschitz, LipschitzForm, StateNoise


class GatedLipschitz(Lipschitz):
    """h' = h + d F(h, u) + noise, F = (alpha A h + tanh(W h + U u + b)) * sigmoid(W h + V u + c).

    The gate lets every unit slow down or stop by itself; it shares W with the drift, so that it costs one
    product with the input and nothing else. The variant of the public code of *Lipschitz recurrent neural
    networks* (arXiv 2006.12070). Matrices, forms, step and noise are those of `Lipschitz`.

    Args:
        input_size: length of u.
        hidden_size: length of h.
        step: d, the step in time, positive; where it starts if it is learned.
        form: beta, gamma, alpha and how the step is learned.
        noise: s_a, s_m and how the noise enters.
        key: draws the weights.

    Raises:
        ConfigError: a step that is not positive.
    """

    gate_weight: Float[Array, "hidden inputs"]
    gate_bias: Float[Array, " hidden"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        step: float | int = 0.1,
        form: LipschitzForm = USUAL,
        noise: StateNoise = QUIET,
        key: PRNGKeyArray,
    ) -> None:
        drift_key, gate_key = jax.random.split(key)
        super().__init__(input_size, hidden_size, step=step, form=form, noise=noise, key=drift_key)
        self.gate_weight = uniform_weight(gate_key, hidden_size, input_size)
        self.gate_bias = jnp.zeros(hidden_size)

    def drift(
        self, input: Float[Array, " inputs"], state: Float[Array, " hidden"]
    ) -> Float[Array, " hidden"]:
        """F(h, u), the right-hand side of the differential equation."""
        linear, coupling = self.matrices
        coupled = coupling @ state
        gate = jax.nn.sigmoid(coupled + self.gate_weight @ input + self.gate_bias)
        return self.ungated_drift(linear, coupled, input, state) * gate
