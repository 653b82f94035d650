"""Recurrent equilibrium network: a cell that contracts whatever its weights are."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError

from .building import FAMILIES
from .contract import Cell, Hidden, Input
from .initial import Timescales, uniform_weight

_REGULAR = 1e-4
"""epsilon: keeps H positive definite, also when it is computed in float32."""

_LISTENING = 0.1
"""Size of the random part of X at the start: neurons hear the state and act on it, time scales stay."""

_NEURON_SCALE = 0.1
"""Lambda at the start: small, so that a little of X already gives neurons that reach saturation."""


class EquilibriumMatrices(NamedTuple):
    """The step of a recurrent equilibrium network in explicit form, and its metric.

    x' = A x + B w + B_u u + b_x, v = C x + D w + D_u u + b_v, w = tanh(v), with D strictly lower triangular.

    Args:
        transition: A, shape (hidden, hidden).
        neuron_weight: B, shape (hidden, neurons).
        sensing: C, shape (neurons, hidden).
        feedback: D, shape (neurons, neurons).
        metric: M of V(d) = d' M d, shape (hidden, hidden).
        multipliers: diagonal of Lambda, shape (neurons,): weights of the slope conditions in the proof.
    """

    transition: Float[Array, "hidden hidden"]
    neuron_weight: Float[Array, "hidden neurons"]
    sensing: Float[Array, "neurons hidden"]
    feedback: Float[Array, "neurons neurons"]
    metric: Float[Array, "hidden hidden"]
    multipliers: Float[Array, " neurons"]


class RecurrentEquilibrium(Cell):
    """E x' = F x + B_1 w + E (B_u u + b_x), Lambda v = C_1 x + D_1 w + Lambda (D_u u + b_v), w = tanh(v).

    Contracting by construction: under the same inputs, the difference d of two states obeys
    V(d') <= rate^2 V(d) with V(d) = d' E' P^-1 E d, for all weights (a prime on a matrix transposes it).
    With X of shape (2 hidden + neurons)^2, and H = X'X + epsilon I in blocks of (hidden, neurons, hidden):
    F = H_31, B_1 = H_32, P = H_33, C_1 = -H_21, E = (H_11 + P / rate^2 + Y - Y') / 2,
    Lambda = diag(H_22) / 2, and D_1 = -(strictly lower part of H_22), so v follows by forward substitution.
    X, Y, B_u, b_x, D_u and b_v are free: training needs no constraint. (Revay, Wang and Manchester 2021,
    arXiv 2104.05942, acyclic model; the input terms are written after the division by E and Lambda, which
    gives the same set of models.) The matrices follow from the weights alone and are made once a sequence.

    Args:
        input_size: length of u.
        hidden_size: length of x.
        neurons: length of v; `hidden_size` unless given.
        rate: largest factor from step to step of sqrt(V), in (0, 1]; at 1 it still contracts, as fast as the
            weights say.
        timescales: shortest and longest memory of the states at the start, in steps; they are shortened if
            `rate` forbids them.
        key: draws the weights.

    Raises:
        ConfigError: `rate`, `neurons` or `timescales` outside its range.
    """

    factor: Float[Array, "parts parts"]
    skew: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden inputs"]
    neuron_input_weight: Float[Array, "neurons inputs"]
    bias: Hidden
    neuron_bias: Float[Array, " neurons"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    neurons: int = eqx.field(static=True)
    rate: float = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        neurons: int | None = None,
        rate: float | int = 1.0,
        timescales: Timescales = (2.0, 20.0),
        key: PRNGKeyArray,
    ) -> None:
        neurons = hidden_size if neurons is None else neurons
        _check(neurons, rate, timescales)
        factor_key, input_key, neuron_key, bias_key = jax.random.split(key, 4)
        decay = np.minimum(1 - 1 / np.geomspace(*timescales, hidden_size), 0.99 * rate)
        self.factor = _first_factor(factor_key, decay, neurons, float(rate))
        self.skew = jnp.zeros((hidden_size, hidden_size))
        # A unit that forgets in tau steps sums up tau inputs: all units start with states of like size.
        calm = jnp.asarray((1 - decay)[:, None], float)
        self.input_weight = calm * uniform_weight(input_key, hidden_size, input_size, 1)
        self.neuron_input_weight = uniform_weight(neuron_key, neurons, input_size, 1)
        self.bias = jnp.zeros(hidden_size)
        self.neuron_bias = jax.random.uniform(bias_key, (neurons,), minval=-1.0, maxval=1.0)
        self.input_size, self.hidden_size, self.neurons = input_size, hidden_size, neurons
        self.rate = float(rate)

    def __call__(self, input: Input, state: Hidden, *, key: PRNGKeyArray | None = None) -> Hidden:
        """One step."""
        made = self.matrices()
        driven = made.sensing @ state + self.neuron_input_weight @ input + self.neuron_bias
        acting = _substitute(made.feedback, driven)
        moved = made.transition @ state + made.neuron_weight @ acting
        return moved + self.input_weight @ input + self.bias

    def matrices(self) -> EquilibriumMatrices:
        """The explicit form of the step, and the metric in which it contracts."""
        size, last = self.hidden_size, self.hidden_size + self.neurons
        gram = self.factor.T @ self.factor + _REGULAR * jnp.eye(len(self.factor), dtype=self.factor.dtype)
        metric_inverse = gram[last:, last:]
        implicit = 0.5 * (gram[:size, :size] + metric_inverse / self.rate**2 + self.skew - self.skew.T)
        inner = gram[size:last, size:last]
        multipliers = 0.5 * inner[jnp.arange(self.neurons), jnp.arange(self.neurons)]
        explicit = _solve(implicit, gram[last:, :last])
        return EquilibriumMatrices(
            transition=explicit[:, :size],
            neuron_weight=explicit[:, size:],
            sensing=-gram[size:last, :size] / multipliers[:, None],
            feedback=-jnp.tril(inner, -1) / multipliers[:, None],
            metric=implicit.T @ _solve(metric_inverse, implicit),
            multipliers=multipliers,
        )

    def metric(self) -> tuple[Float[Array, "hidden hidden"], float]:
        """(M, rate) with V(d') <= rate^2 V(d), V(d) = d' M d, for two states under the same inputs."""
        return self.matrices().metric, self.rate


def _check(neurons: int, rate: float | int, timescales: Timescales) -> None:
    if not 0 < rate <= 1:
        raise ConfigError(f"rate={rate}: expected a factor in (0, 1]")
    if neurons < 1:
        raise ConfigError(f"neurons={neurons}: expected at least one")
    if not 1 < timescales[0] <= timescales[1]:
        raise ConfigError(f"timescales={timescales}: expected 1 < shortest <= longest, in steps")


def _first_factor(
    key: PRNGKeyArray, decay: Float[np.ndarray, " hidden"], neurons: int, rate: float
) -> Float[Array, "parts parts"]:
    """X for E = I, P = rate^2 I, F = diag(decay) and Lambda = `_NEURON_SCALE` I, plus a little noise.

    The factor of [[1, a], [a, rate^2]], the block of one state, is [[1, a], [0, sqrt(rate^2 - a^2)]].
    """
    size, parts = len(decay), 2 * len(decay) + neurons
    first, neuron, last = slice(0, size), slice(size, size + neurons), slice(size + neurons, parts)
    start, noisy = np.zeros((parts, parts)), np.zeros((parts, parts))  # in NumPy: nothing is compiled
    start[first, first] = np.eye(size)
    start[first, last] = np.diag(decay)
    start[last, last] = np.diag(np.sqrt(rate**2 - decay**2))
    start[neuron, neuron] = np.eye(neurons) * (2 * _NEURON_SCALE) ** 0.5
    # Only what makes C_1, D_1 and B_1: noise in the other blocks would shorten the memories.
    noisy[neuron, first] = noisy[neuron, neuron] = noisy[last, neuron] = _LISTENING
    return jnp.asarray(start, float) + jnp.asarray(noisy, float) * uniform_weight(key, parts, parts, size)


def _solve(
    matrix: Float[Array, "size size"], right: Float[Array, "size columns"]
) -> Float[Array, "size columns"]:
    """The solution X of matrix X = right, of primitives alone: `jnp.linalg.solve` holds a branch."""
    factors, _, order = jax.lax.linalg.lu(matrix)
    halfway = jax.lax.linalg.triangular_solve(
        factors, right[order], left_side=True, lower=True, unit_diagonal=True
    )
    return jax.lax.linalg.triangular_solve(factors, halfway, left_side=True)


def _substitute(
    feedback: Float[Array, "neurons neurons"], driven: Float[Array, " neurons"]
) -> Float[Array, " neurons"]:
    """Solve w = tanh(driven + feedback @ w): neuron by neuron, each hears only those before it."""
    found = []
    for index in range(len(driven)):
        found.append(jnp.tanh(driven[index : index + 1]))
        driven = driven + feedback[:, index] * found[-1]
    return jnp.concatenate(found)


FAMILIES.register("ren", RecurrentEquilibrium)
