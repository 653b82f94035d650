"""P and Q forwards: the covariance that noise builds up in the state, and how far it shifts its mean."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attractor.cells import exposed
from attractor.program import compiled

from .path import Path, affordable, flat, follow, restored
from .problem import NoiseProblem, NoiseTerms
from .smoothness import require_second_derivatives


class ForecastTube(NamedTuple):
    """What noise of size eps does to the states h_1 ... h_M, to second order and without sampling.

    Covariances and shifts are for eps = 1 and grow with eps^2, deviations with eps. In flat coordinates all
    floating arrays of a state stand in one vector, in the order of `jax.tree.leaves`.

    Args:
        terms: loss, P and Q of the last state.
        covariance: S, shape (M, units, units), in flat coordinates.
        shift: mu, of the mean of the state, shape (M, units), in flat coordinates; zeros without curvature.
        exposed_deviation: of what the cell exposes, shape (M, exposed): half the width of an error bar.
        exposed_shift: of the mean of what the cell exposes, shape (M, exposed); zeros without curvature.
    """

    terms: NoiseTerms
    covariance: Float[Array, "steps units units"]
    shift: Float[Array, "steps units"]
    exposed_deviation: Float[Array, "steps exposed"]
    exposed_shift: Float[Array, "steps exposed"]


def forward_moments(problem: NoiseProblem, *, curvature: bool = True) -> ForecastTube:
    """P and Q exactly, by moments that run forwards with the states.

    S' = J S J' + s s', mu' = J mu + f_hh[S] / 2 from zero, with J and f_hh the derivatives of a step on the
    path without noise and s the deviation of its noise; then P = tr(G S) and Q = 2 g' mu at the end, with the
    gradient g and the Hessian G of the loss. Work grows as steps * units^3; run it inside
    `jax.enable_x64(True)` with a problem from `program.trace.in_double_precision` for 15 digits.

    Args:
        problem: one sequence; its length must be known.
        curvature: with Q and shifts, which need second derivatives of the step.

    Raises:
        ConfigError: too large, Q of a step without second derivatives, or no noise.
        ShapeError: no valid step.
        UnsupportedError: a state with complex numbers.
    """
    if curvature:
        require_second_derivatives(problem)
    problem = affordable(problem, lambda steps, units: (steps + 16) * units**2)
    return _forward(problem, curvature)


@compiled
def _forward(problem: NoiseProblem, curvature: bool) -> ForecastTube:
    path = follow(problem)
    units = len(path.last)

    def advance(carry: tuple[Array, Array], slice_: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        spread, shift = carry
        place, start, deviation = slice_

        def step(vector: Array) -> Array:
            return path.step(place, vector)

        slope, source = jax.jacfwd(step)(start), path.directions(deviation)
        bend = bent_by(step, start, spread) / 2 if curvature else 0
        new = slope @ spread @ slope.T + source @ source.T, slope @ shift + bend
        return new, new

    zeros = jnp.zeros((units, units), path.last.dtype), jnp.zeros_like(path.last)
    (spread, shift), (spreads, shifts) = jax.lax.scan(
        advance, zeros, (path.places, path.starts, path.deviations)
    )
    gradient, hessian = jax.grad(path.loss)(path.last), jax.hessian(path.loss)(path.last)
    terms = NoiseTerms(
        path.loss(path.last), jnp.vdot(hessian, spread), 2 * gradient @ shift if curvature else None
    )
    return ForecastTube(terms, spreads, shifts, *_exposed(problem, path, spreads, shifts, curvature))


def bent_by(
    function: Callable[[Array], Array], at: Float[Array, " units"], spread: Float[Array, "units units"]
) -> Array:
    """The vector f_hh[S] = sum_ij S_ij d2f / dh_i dh_j, without the array of all second derivatives."""

    def one(unit: Array, column: Array) -> Array:
        return jax.jvp(lambda at: jax.jvp(function, (at,), (column,))[1], (at,), (unit,))[1]

    return jax.vmap(one)(jnp.eye(len(at), dtype=at.dtype), spread).sum(axis=0)


def _exposed(
    problem: NoiseProblem, path: Path, spreads: Array, shifts: Array, curvature: bool
) -> tuple[Array, Array]:
    """Deviation and shift of what the cell exposes after every step."""

    def one(slice_: tuple) -> tuple[Array, Array]:
        state, spread, shift = slice_
        at = flat(state)

        def show(vector: Array) -> Array:
            return exposed(problem.cell, restored(state, vector))

        slope = jax.jacfwd(show)(at)
        variance = jnp.einsum("ei,ij,ej->e", slope, spread, slope)
        moved = slope @ shift + bent_by(show, at, spread) / 2 if curvature else jnp.zeros_like(variance)
        return jnp.sqrt(jnp.maximum(variance, 0)), moved

    return jax.lax.map(one, (path.ends, spreads, shifts))
