"""P + Q backwards: at which step of a sequence noise costs most."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attractor.program import compiled, hessian_before

from .path import affordable, follow
from .problem import NoiseProblem
from .smoothness import require_second_derivatives


class Fragility(NamedTuple):
    """How much noise at each step adds to the loss, and how the loss bends in the states.

    Args:
        loss: without noise.
        profile: tr(s' R s) of every step, shape (M,); what noise of size eps in that step alone adds to the
            loss is eps^2 / 2 times it, and the sum over all steps is P + Q.
        trace: of R, the Hessian of the loss in the state after the step, shape (M,).
        largest: eigenvalue of R, the algebraically largest, shape (M,).
    """

    loss: Float[Array, ""]
    profile: Float[Array, " steps"]
    trace: Float[Array, " steps"]
    largest: Float[Array, " steps"]

    @property
    def total(self) -> Float[Array, ""]:
        """P + Q; P alone without curvature."""
        return self.profile.sum()


def fragility(problem: NoiseProblem, *, curvature: bool = True) -> Fragility:
    """P + Q exactly and by steps, with the Hessian R of the loss in every state running backwards.

    R = G and l = g at the end; before a step with derivatives J and f_hh they are J' R J + l . f_hh and J' l.
    Work grows as steps * units^3.

    Args:
        problem: one sequence; its length must be known.
        curvature: with the second derivatives of the steps; without them R is that of Gauss and Newton and
            the profile adds up to P.

    Raises:
        ConfigError: too large, curvature of a step without second derivatives, or no noise.
        ShapeError: no valid step.
        UnsupportedError: a state with complex numbers.
    """
    if curvature:
        require_second_derivatives(problem)
    return _backward(affordable(problem, lambda steps, units: 4 * steps * units + 24 * units**2), curvature)


@compiled
def _backward(problem: NoiseProblem, curvature: bool) -> Fragility:
    path = follow(problem)

    def retreat(carry: tuple[Array, Array], slice_: tuple) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        bend = carry[1]
        place, start, deviation = slice_
        source = path.directions(deviation)
        report = jnp.vdot(source, bend @ source), jnp.trace(bend), jnp.linalg.eigvalsh(bend)[-1]

        def step(vector: Array) -> Array:
            return path.step(place, vector)

        return hessian_before(step, start, carry, curvature=curvature), report

    end = jax.grad(path.loss)(path.last), jax.hessian(path.loss)(path.last)
    slices = (path.places, path.starts, path.deviations)
    _, reports = jax.lax.scan(retreat, end, slices, reverse=True)
    return Fragility(path.loss(path.last), *reports)
