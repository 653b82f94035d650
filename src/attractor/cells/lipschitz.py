"""Lipschitz and noisy recurrent networks: Euler steps of a (stochastic) differential equation.

Erichson, Azencot, Queiruga, Hodgkinson and Mahoney 2021, *Lipschitz recurrent neural networks*, arXiv
2006.12070; Lim, Erichson, Hodgkinson and Mahoney 2021, *Noisy recurrent neural networks*, arXiv 2102.04877.
"""

from dataclasses import dataclass
from math import expm1, log, sqrt
from typing import Annotated, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.settings import NonNegative, Positive, Settings, Within, checked

from .building import FAMILIES
from .contract import Cell, Hidden, Input
from .initial import uniform_weight

_LINEAR = 30.0
"""Where softplus is the identity in float32."""


@dataclass(frozen=True)
class LipschitzForm(Settings):
    """What kind of drift a Lipschitz cell has, and how it starts.

    Args:
        skew: beta of A and W, in [1/2, 1]; see `structured`.
        damping: gamma of A and W, at least 0.
        linear: alpha, the factor of the linear part; with 0 there is no A.
        learned_step: "fixed", "one" for all units, or "each" unit its own; a learned step stays positive.
        scale: the matrices behind A and W start as normal numbers of this deviation over hidden_size.

    Raises:
        ConfigError: a value outside its range.
    """

    skew: Annotated[float, Within(0.5, 1)] = 0.75
    damping: NonNegative = 0.001
    linear: float = 1.0
    learned_step: Literal["fixed", "one", "each"] = "each"
    scale: NonNegative = 0.1


@dataclass(frozen=True)
class StateNoise(Settings):
    """Noise in the hidden state, on where a key is given.

    Args:
        additive: s_a.
        multiplicative: s_m.
        kind: "independent", "common" or "official"; see `Lipschitz`.

    Raises:
        ConfigError: a value outside its range.
    """

    additive: NonNegative = 0.0
    multiplicative: NonNegative = 0.0
    kind: Literal["independent", "common", "official"] = "independent"


QUIET = StateNoise()
USUAL = LipschitzForm()


def structured(
    matrix: Float[Array, "hidden hidden"], skew: float | int, damping: float | int
) -> Float[Array, "hidden hidden"]:
    """T(M) = beta (M - M') + (1 - beta) (M + M') - gamma I, from anything (1/2) to purely rotating (1).

    Its symmetric part is (1 - beta) (M + M') - gamma I, so that beta moves eigenvalues towards Re = -gamma.

    Args:
        matrix: M.
        skew: beta, in [1/2, 1].
        damping: gamma, at least 0.
    """
    mixed = matrix + (1 - 2 * skew) * matrix.T
    return mixed - damping * jnp.eye(len(matrix), dtype=matrix.dtype)


class Lipschitz(Cell):
    r"""h' = h + d F(h, u) + noise, with the drift F = alpha A h + tanh(W h + U u + b).

    An Euler-Maruyama step of dh = F dt + (s_a + s_m F) dB: A and W are `structured`, so that the drift keeps
    distances nearly as they are. The noise acts where a key is given (training) and not without one:

    - "independent": sqrt(d) (s_a + s_m F) z, with one standard normal z for every unit;
    - "common": the same with one z for all units;
    - "official": the authors' code, s_a z without sqrt(d) and a factor 1 - s_m (1 - v), v uniform on [0, 1],
      in front of the drift; its mean is below one, so that training and evaluation differ by s_m / 2.

    With alpha = 0 and beta = 1 it is the network of `antisymmetric`.

    Args:
        input_size: length of u.
        hidden_size: length of h.
        step: d, the step in time, positive; where it starts if it is learned.
        form: beta, gamma, alpha and how the step is learned.
        noise: s_a, s_m and how the noise enters.
        key: draws the weights.

    Raises:
        ConfigError: a step that is not positive.

    Example:
        >>> import jax
        >>> noisy = Lipschitz(1, 4, noise=StateNoise(additive=0.05), key=jax.random.key(0))
        >>> noisy(jnp.ones(1), noisy.initial_state(), key=jax.random.key(1)).shape
        (4,)
    """

    linear_weight: Float[Array, "hidden hidden"] | None
    state_weight: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden inputs"]
    bias: Hidden
    raw_step: Float[Array, "..."] | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    first_step: float = eqx.field(static=True)
    form: LipschitzForm = eqx.field(static=True)
    noise: StateNoise = eqx.field(static=True)

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
        step = checked("step", Positive, step)
        linear_key, state_key, input_key = jax.random.split(key, 3)
        shape = (hidden_size, hidden_size)
        deviation = form.scale / hidden_size
        self.linear_weight = deviation * jax.random.normal(linear_key, shape) if form.linear else None
        self.state_weight = deviation * jax.random.normal(state_key, shape)
        self.input_weight = uniform_weight(input_key, hidden_size, input_size)
        self.bias = jnp.zeros(hidden_size)
        raw = log(expm1(step)) if step < _LINEAR else float(step)  # softplus of it is the step
        sizes = {"fixed": None, "one": (), "each": (hidden_size,)}[form.learned_step]
        self.raw_step = None if sizes is None else jnp.full(sizes, raw)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.first_step, self.form, self.noise = float(step), form, noise

    @property
    def step(self) -> Float[Array, "..."]:
        """d: one number, or one for every unit; positive."""
        if self.raw_step is None:
            return jnp.asarray(self.first_step, self.bias.dtype)
        return jax.nn.softplus(self.raw_step)

    @property
    def matrices(self) -> tuple[Float[Array, "hidden hidden"] | None, Float[Array, "hidden hidden"]]:
        """A (None where alpha is 0) and W; products with columns, the authors' code has their transposes."""
        skew, damping = self.form.skew, self.form.damping
        linear = None if self.linear_weight is None else structured(self.linear_weight, skew, damping)
        return linear, structured(self.state_weight, skew, damping)

    def drift(self, input: Input, state: Float[Array, " hidden"]) -> Hidden:
        """F(h, u), the right-hand side of the differential equation."""
        linear, coupling = self.matrices
        return self.ungated_drift(linear, coupling @ state, input, state)

    def ungated_drift(
        self,
        linear: Float[Array, "hidden hidden"] | None,
        coupled: Hidden,
        input: Input,
        state: Hidden,
    ) -> Hidden:
        """Of `coupled` = W h, alpha A h + tanh(W h + U u + b).

        One product with A and W stacked takes half as long again as two (hidden 128, batch 64, 196 steps,
        forward and backward, two cores: 55 against 36 ms), because its result must be cut apart.
        """
        bent = jnp.tanh(coupled + self.input_weight @ input + self.bias)
        return bent if linear is None else self.form.linear * (linear @ state) + bent

    def __call__(self, input: Input, state: Hidden, *, key: PRNGKeyArray | None = None) -> Hidden:
        """One step."""
        noise, size, dtype = self.noise, state.shape, state.dtype
        if key is not None and noise.kind == "official":
            first, second = jax.random.split(key)
            uniform = jax.random.uniform(first, size, dtype)
            return official_step(self, input, state, uniform, jax.random.normal(second, size, dtype))
        drift = self.drift(input, state)
        if key is None:
            return state + self.step * drift
        drawn = jax.random.normal(key, () if noise.kind == "common" else drift.shape, drift.dtype)
        diffusion = noise.additive + noise.multiplicative * drift
        return state + self.step * drift + jnp.sqrt(self.step) * diffusion * drawn

    def equivalent_noise(self) -> tuple[float, float]:
        """Levels s_a and s_m of the differential equation that the noise stands for, at the first step size.

        The official form draws s_a without sqrt(d), and a factor of variance s_m^2 / 12.
        """
        if self.noise.kind != "official":
            return float(self.noise.additive), float(self.noise.multiplicative)
        root = sqrt(self.first_step)
        return self.noise.additive / root, root * self.noise.multiplicative / sqrt(12.0)


def official_step(
    cell: Lipschitz,
    input: Input,
    state: Hidden,
    uniform: Hidden,
    normal: Hidden,
) -> Hidden:
    """A step of the authors' code with given draws, h + d (1 - s_m (1 - v)) F(h, u) + s_a z.

    The step of a cell with "official" noise is this one with draws of its key; here a run of the authors'
    code can be replayed with the numbers it drew.

    Args:
        cell: the cell; its levels s_m and s_a are used, whatever the kind of its noise.
        input: u.
        state: h.
        uniform: v, uniform on [0, 1], one number a unit.
        normal: z, standard normal, one number a unit.
    """
    factor = 1 - cell.noise.multiplicative * (1 - uniform)
    moved = cell.step * factor * cell.drift(input, state)
    return state + moved + cell.noise.additive * normal


def antisymmetric(
    input_size: int,
    hidden_size: int,
    *,
    step: float | int = 0.1,
    damping: float | int = 0.001,
    noise: StateNoise = QUIET,
    key: PRNGKeyArray,
) -> Lipschitz:
    """The antisymmetric network, h' = h + d tanh((M - M' - gamma I) h + U u + b) with a fixed step d.

    The Lipschitz cell with alpha = 0 and beta = 1. Chang, Chen, Haber and Chi 2019, arXiv 1902.09689.

    Args:
        input_size: length of u.
        hidden_size: length of h.
        step: d.
        damping: gamma.
        noise: noise in the state, see `Lipschitz`.
        key: draws the weights.
    """
    form = LipschitzForm(skew=1.0, damping=damping, linear=0.0, learned_step="fixed")
    return Lipschitz(input_size, hidden_size, step=step, form=form, noise=noise, key=key)


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
    gate_bias: Hidden

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

    def drift(self, input: Input, state: Float[Array, " hidden"]) -> Hidden:
        """F(h, u), the right-hand side of the differential equation."""
        linear, coupling = self.matrices
        coupled = coupling @ state
        gate = jax.nn.sigmoid(coupled + self.gate_weight @ input + self.gate_bias)
        return self.ungated_drift(linear, coupled, input, state) * gate


FAMILIES.register("lipschitz", Lipschitz)
FAMILIES.register("lipschitz-gated", GatedLipschitz)
FAMILIES.register("antisymmetric", antisymmetric)
