"""P and Q by their definitions: slow, and obviously right. The other forms are checked against these two."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attractor.program import compiled
from attractor.training.regulariser import NoiseProblem, NoiseTerms
from attractor.training.regulariser.exact import Path, affordable, follow
from attractor.training.regulariser.problem import require_second_derivatives


def direct_sum(problem: NoiseProblem) -> NoiseTerms:
    """P and Q as the sums of arXiv 2102.04877, over pairs of steps and with the whole second derivative.

    With Phi_ab the derivative of h_a by h_b, s_m the noise of the step that leads to h_{m+1}, f_k the step
    from h_k to h_{k+1}, g and G gradient and Hessian of the loss:

        P = sum_m tr(s_m' Phi_{M,m+1}' G Phi_{M,m+1} s_m)
        Q = sum_{k,m<k} g' Phi_{M,k+1} f_k,hh[Phi_{k,m+1} s_m, Phi_{k,m+1} s_m]

    Work grows as steps^2 * units^3.

    Args:
        problem: one sequence; its length must be known.

    Raises:
        ConfigError: too large, a step without second derivatives, or no noise.
        ShapeError: no valid step.
        UnsupportedError: a state with complex numbers.
    """
    require_second_derivatives(problem)
    return _direct(affordable(problem, lambda steps, units: 2 * steps * units**3 + steps**2 * units**2))


@compiled
def _direct(problem: NoiseProblem) -> NoiseTerms:
    path = follow(problem)
    steps = len(path.starts)
    slopes = jax.vmap(jax.jacfwd(path.step, argnums=1))(path.before, path.starts)
    bends = jax.vmap(jax.jacfwd(jax.jacfwd(path.step, argnums=1), argnums=1))(path.before, path.starts)
    gradient, hessian = jax.grad(path.loss)(path.last), jax.hessian(path.loss)(path.last)
    flatness = curvature = jnp.zeros((), path.last.dtype)
    for source in range(steps):
        carried = path.directions(path.deviations[source])  # Phi_{k,m+1} s_m, from k = m + 1 on
        for here in range(source + 1, steps):
            bent = jnp.einsum("pij,ir,jr->p", bends[here], carried, carried)
            curvature += gradient @ _carried(slopes[here + 1 :], bent)
            carried = slopes[here] @ carried
        flatness += jnp.vdot(carried, hessian @ carried)
    return NoiseTerms(path.loss(path.last), flatness, curvature)


def _carried(slopes: Float[Array, "steps units units"], vector: Float[Array, " units"]) -> Array:
    for slope in slopes:
        vector = slope @ vector
    return vector


def perturbation_trace(problem: NoiseProblem) -> Float[Array, ""]:
    """P + Q as the trace of the Hessian of the loss in perturbations of all states, scaled by the noise.

    One second directional derivative of the whole run for every step and source of noise; work grows as
    steps^2 * units^3.

    Args:
        problem: one sequence; its length must be known.

    Raises:
        ConfigError: too large, a step without second derivatives, or no noise.
        ShapeError: no valid step.
        UnsupportedError: a state with complex numbers.
    """
    require_second_derivatives(problem)
    return _trace(affordable(problem, lambda steps, units: 8 * steps * units**2))


@compiled
def _trace(problem: NoiseProblem) -> Float[Array, ""]:
    path = follow(problem)

    def at_step(one: Array) -> Array:
        moved = path.directions(path.deviations[one]).T
        pushes = jnp.zeros((len(moved), *path.starts.shape), moved.dtype).at[:, one].set(moved)
        return jax.vmap(lambda push: _second(lambda size: _pushed_loss(path, size * push)))(pushes).sum()

    return jax.lax.map(at_step, jnp.arange(len(path.starts))).sum()


def _second(function: Callable[[Array], Array]) -> Array:
    """Second derivative at zero."""
    zero, one = jnp.zeros(()), jnp.ones(())
    return jax.jvp(lambda size: jax.jvp(function, (size,), (one,))[1], (zero,), (one,))[1]


def _pushed_loss(path: Path, pushes: Float[Array, "steps units"]) -> Array:
    """The loss when something is added to every state."""

    def step(state: Array, slice_: tuple) -> tuple[Array, None]:
        at, push = slice_
        return path.step(at, state) + push, None

    return path.loss(jax.lax.scan(step, path.starts[0], (path.before, pushes))[0])
