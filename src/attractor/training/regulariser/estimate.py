"""P and Q from one draw, which training can afford, and whether the noise is small enough for them."""

from math import inf
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State
from attractor.errors import ConfigError
from attractor.program import compiled
from attractor.scan import unroll
from attractor.shown import at_prompt, in_notebook
from attractor.training.noise import Wrapper, disturbed, floating, normal, with_floating

from .diffusion import Diffusion
from .problem import NoiseProblem, NoiseTerms, check_real, derivatives_at_the_end, require_second_derivatives


def estimate(problem: NoiseProblem, key: PRNGKeyArray, *, curvature: bool = False) -> NoiseTerms:
    """Unbiased estimates of P, and of Q if asked for, from one draw of signs.

    P = E[u' G u] and Q = E[g' v] with u and v the first and second derivative of the last state with respect
    to the size of the noise, g and G gradient and Hessian of the loss there. They are carried along with the
    states, so that P costs about two runs of the cell and P + Q about three, and the result can be
    differentiated with respect to weights, jitted, and mapped over a batch with a key for every example.
    The relative deviation of one draw is about 1, that of a batch of 128 about 0.1.

    Args:
        problem: one sequence.
        key: the draw.
        curvature: also estimate Q, from the same draw.

    Raises:
        ConfigError: Q of a step without second derivatives (rectifiers), or no noise.
        UnsupportedError: a state with complex numbers.
    """
    if curvature:
        require_second_derivatives(problem)
    last, along = derivatives_at_the_end(problem, 1 + curvature, key)
    end = floating(last)

    def loss(end: State) -> Array:
        return problem.loss_of(with_floating(end, last))

    def slope(end: State) -> tuple[Array, Array]:
        return jax.jvp(loss, (end,), along[:1])

    (value, _), (_, bent) = jax.jvp(slope, (end,), along[:1])
    return NoiseTerms(value, bent, jax.jvp(loss, (end,), along[1:])[1] if curvature else None)


def regularised_loss(
    problem: NoiseProblem, key: PRNGKeyArray, *, strength: ArrayLike = 1.0, curvature: bool = False
) -> Float[Array, ""]:
    """A loss with what noise of size eps adds to it on average: loss + (eps^2 / 2) P, or with P + Q.

    Map it over a batch with one key for every example, take the mean, and differentiate.

    Args:
        problem: one sequence.
        key: draws the directions of the estimate.
        strength: eps, multiplies the levels of the noise.
        curvature: with Q.

    Raises:
        ConfigError: see `estimate`.
    """
    return estimate(problem, key, curvature=curvature).expected(strength)


WIDEST_GAP = 0.2
"""Share of P + Q from which the expansion is said to be off."""


class SmallNoise(NamedTuple):
    """2 (E[loss] - loss) / eps^2 by simulation, beside P + Q.

    Args:
        simulated: from pairs of runs with noise and with its opposite.
        standard_error: of `simulated`.
        second_order: P + Q, or P where it stands alone.
        gap: |simulated / second_order - 1|.
        message: what to do where the gap is wide beyond the error of the simulation; empty otherwise.
    """

    simulated: float
    standard_error: float
    second_order: float
    gap: float
    message: str

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against the expansion."""
        return not self.message

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def small_noise(
    problem: NoiseProblem,
    second_order: float | Float[Array, ""],
    key: PRNGKeyArray,
    *,
    strength: float | int = 1.0,
    pairs: int = 10_000,
) -> SmallNoise:
    """Compare P + Q with a simulation of the noise that it stands for.

    The noise is normal and follows the disturbed path. It comes in opposite pairs, so that all odd orders
    cancel and the difference from P + Q falls as eps^2.

    Args:
        problem: one sequence.
        second_order: P + Q of it, from `fragility`, `forward_moments` or an average of `estimate`.
        key: the draws.
        strength: eps.
        pairs: how many pairs of runs.

    Raises:
        ConfigError: no strength or fewer than two pairs.
        UnsupportedError: a state with complex numbers.
    """
    if not strength > 0 or pairs < 2:
        raise ConfigError(
            f"strength={strength}, pairs={pairs}: expected a strength above 0 and at least two pairs"
        )
    check_real(problem)
    gains = 2 * _gains(problem, jnp.asarray(strength, float), jax.random.split(key, pairs)) / strength**2
    simulated, error = float(gains.mean()), float(gains.std(ddof=1) / pairs**0.5)
    expected = float(second_order)
    difference = abs(simulated - expected)
    gap = difference / abs(expected) if expected else (inf if difference else 0.0)
    return SmallNoise(simulated, error, expected, gap, _message(strength, simulated, error, expected))


def _message(strength: float, simulated: float, error: float, expected: float) -> str:
    if abs(simulated - expected) - 2 * error <= WIDEST_GAP * abs(expected):
        return ""
    return (
        f"noise of strength {strength:g} adds {strength**2 / 2 * simulated:.3g} to the loss, where P and Q "
        f"say {strength**2 / 2 * expected:.3g}: it is too strong for them; make it weaker, or train with it"
    )


@compiled
def _gains(problem: NoiseProblem, strength: Array, keys: Array) -> Float[Array, " pairs"]:
    """Mean loss of each opposite pair of runs over the loss without noise."""
    still = problem.loss_of(derivatives_at_the_end(problem, 0, None)[0])

    def run(key: Array, size: Array) -> Array:
        cell: Any = _Simulated(problem.cell, problem.diffusion, size)
        last = unroll(cell, problem.inputs, problem.state, length=problem.length, key=key).last
        return problem.loss_of(last)

    def pair(key: Array) -> Array:
        return (run(key, strength) + run(key, -strength)) / 2 - still

    return jax.lax.map(pair, keys, batch_size=256)


class _Simulated(Wrapper):
    """A cell with normal noise of size eps times the deviation that the diffusion gives on its own path."""

    diffusion: Diffusion
    size: Float[Array, ""]

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray) -> State:
        new = self.cell(input, state)
        mean = self.diffusion.mean(state, new)
        deviation = self.diffusion.deviation(self.cell, input, state, new)
        draw = normal(key, deviation, common=self.diffusion.common)
        return disturbed(mean, jax.tree.map(lambda s: self.size * s, deviation), draw)
