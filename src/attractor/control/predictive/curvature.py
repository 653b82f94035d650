"""The part of the Hessian that Gauss-Newton leaves out, for problems on which it crawls."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.control.model import ControlModel

from .problem import ControlProblem
from .sensitivities import penalty, predict, unpacker

_FLATTEST = 1e-8
"""Smallest eigenvalue of the model, relative to the largest."""


class Curvature:
    r"""$\sum_i \lambda_i \nabla^2 r_i(u)$ over outputs and final states r, $\lambda = dJ/dr$, exactly.

    Gauss-Newton converges fast where the residuals are small or the model is nearly linear, and slowly where
    the reference is far out of reach for the whole horizon. With this part added the model of the cost is
    exact to second order, and steps converge quadratically. Computed forward over reverse.

    Args:
        model: the plant.
        problem: horizon and weights.
    """

    def __init__(self, model: ControlModel, problem: ControlProblem) -> None:
        unpack = unpacker(model, problem.horizon)
        weight, _, _ = problem.objective.diagonals(model.input_size, model.output_size)
        shape = problem.horizon, model.input_size

        def missing(situation: Array, plan: Array) -> Array:
            state, _, references, target, _, disturbance, terminal = unpack(situation)

            def look(flat: Array) -> tuple[Array, Array]:
                states = predict(model, state, flat.reshape(shape))
                return jax.vmap(model.output)(states) + disturbance, states[-1]

            outputs, final = look(plan.ravel())
            slope = 2.0 * weight * (outputs - references)
            slope += jax.grad(lambda outputs: penalty(problem, outputs))(outputs)
            pull = 2.0 * problem.objective.terminal_weight * (terminal @ (final - target))

            def weighed(flat: Array) -> Array:
                outputs, final = look(flat)
                return jnp.vdot(slope, outputs) + pull @ final

            return jax.hessian(weighed)(plan.ravel())

        self._call = jax.jit(missing)

    def __call__(
        self,
        situation: Float[np.ndarray, " all"],
        plan: Float[np.ndarray, "horizon inputs"],
        hessian: Float[np.ndarray, "numbers numbers"],
    ) -> Float[np.ndarray, "numbers numbers"]:
        """The whole Hessian at a plan, directions of negative curvature turned over.

        Args:
            situation: `Situation.packed()`.
            plan: where.
            hessian: the Gauss-Newton part there.
        """
        whole = hessian + np.asarray(self._call(situation, plan))
        if not np.isfinite(whole).all():
            return hessian
        values, vectors = np.linalg.eigh((whole + whole.T) / 2)
        values = np.maximum(np.abs(values), _FLATTEST * np.abs(values).max())
        return np.ascontiguousarray((vectors * values) @ vectors.T)
