"""Whether noise is small enough for P and Q to tell what it does."""

from math import inf
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State, initial_state
from attractor.errors import ConfigError
from attractor.program import compiled
from attractor.scan import unroll
from attractor.training.noise import disturbed, normal

from .diffusion import Diffusion
from .problem import NoiseProblem, check_real, derivatives_at_the_end

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


class _Simulated(eqx.Module):
    """A cell with normal noise of size eps times the deviation that the diffusion gives on its own path."""

    cell: Any
    diffusion: Diffusion
    size: Float[Array, ""]

    @property
    def input_size(self) -> int | None:
        return getattr(self.cell, "input_size", None)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return getattr(self.cell, "input_shape", None)

    def initial_state(self) -> State:
        """That of the cell."""
        return initial_state(self.cell)

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray) -> State:
        new = self.cell(input, state)
        mean = self.diffusion.mean(state, new)
        deviation = self.diffusion.deviation(self.cell, input, state, new)
        draw = normal(key, deviation, common=self.diffusion.common)
        return disturbed(mean, jax.tree.map(lambda s: self.size * s, deviation), draw)
