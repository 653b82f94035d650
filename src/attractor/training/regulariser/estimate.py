"""P and Q from one draw: what training can afford."""

import jax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State
from attractor.training.noise import floating, with_floating

from .problem import NoiseProblem, NoiseTerms, derivatives_at_the_end
from .smoothness import require_second_derivatives


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
