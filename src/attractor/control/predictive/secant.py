"""What Gauss-Newton leaves out of the Hessian, learned from the gradients that are computed anyway."""

import numpy as np
from jaxtyping import Float

from .problem import ControlProblem
from .sensitivities import Look

_SAFE = 1e-8


class SecantCurvature:
    r"""A symmetric matrix M that learns $\sum_i \lambda_i \nabla^2 r_i$ along the steps of the solver.

    After a step s from $u$ to $u^+$ the part of the gradient's change that comes from the changed
    sensitivities is $d = (J(u^+) - J(u))' \lambda(u^+)$, with the slopes $\lambda$ of the cost by outputs and
    final state; M is changed by the symmetric rank-one formula so that $M s = d$. It costs no further look at
    the model, and shifted by one sample it still fits the next plan: few steps are left to take.

    Source: the structured secant of Dennis, Gay and Welsch, ACM Trans. Mathematical Software 7 (1981) 348;
    rank-one formula with the safeguard of Nocedal and Wright, Numerical Optimization (2006), eq. 6.26.

    Args:
        problem: horizon and output weights.
        inputs: number of inputs.
        outputs: number of outputs.
    """

    def __init__(self, problem: ControlProblem, inputs: int, outputs: int) -> None:
        weight, _, _ = problem.objective.diagonals(inputs, outputs)
        self._weight = 2.0 * np.tile(weight, problem.horizon)
        self._inputs = inputs
        self._size = problem.horizon * inputs
        self.reset()

    @property
    def matrix(self) -> Float[np.ndarray, "numbers numbers"]:
        """M."""
        return self._matrix

    def reset(self) -> None:
        """Forget everything."""
        self._matrix = np.zeros((self._size, self._size))

    def shift(self) -> None:
        """What was learned about sample k is now about sample k - 1."""
        moved = np.zeros_like(self._matrix)
        moved[: -self._inputs, : -self._inputs] = self._matrix[self._inputs :, self._inputs :]
        self._matrix = moved

    def learn(
        self,
        before: Look,
        after: Look,
        step: Float[np.ndarray, " numbers"],
        references: Float[np.ndarray, "horizon outputs"],
    ) -> None:
        """Learn from one step.

        Args:
            before: the look from which it was taken.
            after: the look to which it led.
            step: the change of the plan.
            references: wished outputs.
        """
        slope = self._weight * (after.outputs - references).ravel()
        seen = (after.sensitivity - before.sensitivity).T @ slope + (
            after.reach - before.reach
        ).T @ after.pull
        missed = seen - self._matrix @ step
        along = float(missed @ step)
        if np.isfinite(along) and abs(along) > _SAFE * float(np.linalg.norm(missed) * np.linalg.norm(step)):
            self._matrix = self._matrix + np.outer(missed, missed / along)
