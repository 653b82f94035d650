"""The part of the Hessian that Gauss-Newton leaves out: exact, or learned from the gradients."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.control.model import ControlModel

from .control_problem import ControlProblem, Hessian, InputPlan, Numbers, OutputPlan
from .sensitivities import Linearisation, output_penalty, predict, situation_unpacking

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
        unpack = situation_unpacking(model, problem.horizon)
        penalty = output_penalty(problem, model.output_size)
        weight, _, _ = problem.objective.diagonals(model.input_size, model.output_size)
        shape = problem.horizon, model.input_size

        def missing(situation: Array, plan: Array) -> Array:
            state, _, references, target, _, disturbance, terminal = unpack(situation)

            def predicted(flat: Array) -> tuple[Array, Array]:
                states = predict(model, state, flat.reshape(shape))
                return jax.vmap(model.output)(states) + disturbance, states[-1]

            outputs, final = predicted(plan.ravel())
            slope = 2.0 * weight * (outputs - references) + jax.grad(penalty)(outputs)
            final_slope = 2.0 * problem.objective.terminal_weight * (terminal @ (final - target))

            def weighted(flat: Array) -> Array:
                outputs, final = predicted(flat)
                return jnp.vdot(slope, outputs) + final_slope @ final

            return jax.hessian(weighted)(plan.ravel())

        self._call = jax.jit(missing)

    def __call__(self, situation: Float[np.ndarray, " all"], plan: InputPlan, hessian: Hessian) -> Hessian:
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


_SAFE = 1e-8


class SecantCurvature:
    r"""A symmetric matrix M that learns $\sum_i \lambda_i \nabla^2 r_i$ along the steps of the solver.

    After a step s from $u$ to $u^+$ the part of the gradient's change that comes from the changed
    sensitivities is $d = (J(u^+) - J(u))' \lambda(u^+)$, with the slopes $\lambda$ of the cost by outputs and
    final state; M is changed by the symmetric rank-one formula so that $M s = d$. It costs no evaluation of
    the model, and shifted by one sample it still fits the next plan: few steps are left to take.

    Source: the structured secant of Dennis, Gay and Welsch, ACM Trans. Mathematical Software 7 (1981) 348;
    rank-one formula with the safeguard of Nocedal and Wright, Numerical Optimization (2006), eq. 6.26.

    Args:
        problem: horizon and output weights.
        inputs: number of inputs.
        outputs: number of outputs.

    Attributes:
        matrix: M.
    """

    def __init__(self, problem: ControlProblem, inputs: int, outputs: int) -> None:
        weight, _, _ = problem.objective.diagonals(inputs, outputs)
        self._weight = 2.0 * np.tile(weight, problem.horizon)
        self._inputs = inputs
        self._size = problem.horizon * inputs
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.matrix = np.zeros((self._size, self._size))

    def shift(self) -> None:
        """What was learned about sample k is now about sample k - 1."""
        moved = np.zeros_like(self.matrix)
        moved[: -self._inputs, : -self._inputs] = self.matrix[self._inputs :, self._inputs :]
        self.matrix = moved

    def learn(
        self, before: Linearisation, after: Linearisation, step: Numbers, references: OutputPlan
    ) -> None:
        """Learn from one step.

        Args:
            before: the linearisation from which it was taken.
            after: that where it led.
            step: the change of the plan.
            references: wanted outputs.
        """
        slope = self._weight * (after.outputs - references).ravel()
        change = (after.sensitivity - before.sensitivity).T @ slope
        change = change + (after.final_sensitivity - before.final_sensitivity).T @ after.final_gradient
        missed = change - self.matrix @ step
        along = float(missed @ step)
        if np.isfinite(along) and abs(along) > _SAFE * float(np.linalg.norm(missed) * np.linalg.norm(step)):
            self.matrix = self.matrix + np.outer(missed, missed / along)
