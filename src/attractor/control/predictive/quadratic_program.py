"""The quadratic program of one Gauss-Newton step, solved by the dual active-set method DAQP."""

from dataclasses import dataclass
from typing import Any

import daqp
import numpy as np
from jaxtyping import Float, Int

from .control_problem import ControlProblem
from .sensitivities import Look, differences

_INFINITE = 1e30
_SOFT = 8
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class StepProposal:
    """The minimiser of the quadratic model.

    Args:
        step: change of the plan, flat; zeros if the solver failed.
        decrease: by how much the model falls, penalties included.
        stationarity: largest entry of the gradient of the Lagrangian before the step.
        iterations: changes of the active set.
        solved: whether the solver found it.
    """

    step: Float[np.ndarray, " numbers"]
    decrease: float
    stationarity: float
    iterations: int
    solved: bool


class StepProgram:
    r"""minimise $g'p + \frac{1}{2} p'(H + \mu I)p$ + penalties over the step p of a plan, within all limits.

    The input box and the rate limits are kept exactly; limits of the predicted outputs $y + Yp$ are soft
    inside DAQP, which minimises over their slack without extra variables.

    Source: Arnström, Bemporad and Axehill, A dual active-set solver for embedded quadratic programming using
    recursive LDL' updates, IEEE Trans. Automatic Control 67 (2022), arXiv 2103.16236.

    Args:
        problem: horizon and limits, scaled.
        inputs: number of inputs.
        outputs: number of outputs.
    """

    def __init__(self, problem: ControlProblem, inputs: int, outputs: int) -> None:
        horizon, limits = problem.horizon, problem.limits
        low, high, rate = limits.input_box(inputs)
        self._limits = limits
        self._low, self._high = np.tile(low, horizon), np.tile(high, horizon)
        self._rate = None if rate is None else np.tile(rate, horizon)
        self._difference = (
            differences(horizon, inputs) if rate is not None else np.zeros((0, horizon * inputs))
        )
        below, above = limits.output_box(outputs)
        self._below, self._above = np.tile(below, horizon), np.tile(above, horizon)
        self._soft = horizon * outputs if limits.has_output_limits else 0
        hard = len(self._low) + len(self._difference)
        self._sense: Int[np.ndarray, " rows"] = np.repeat([0, _SOFT], [hard, self._soft]).astype(np.int32)
        self._identity = np.eye(len(self._low))
        self._solver: Any = None

    def solve(
        self,
        look: Look,
        plan: Float[np.ndarray, "horizon inputs"],
        last_input: Float[np.ndarray, " inputs"],
        damping: float,
    ) -> StepProposal:
        """The step that the model at `plan` proposes; a failure drops the workspace, so the next is fresh."""
        hessian = look.hessian + damping * self._identity
        rows, lower, upper = self._constraints(look, plan.ravel(), last_input)
        found, flag, info = self._run(hessian, look.gradient, rows, upper, lower)
        if flag < 1 or not np.isfinite(found).all():
            self._solver = None
            return StepProposal(np.zeros_like(found), 0.0, np.inf, 0, solved=False)
        step = np.clip(found, lower[: len(found)], upper[: len(found)])
        curved = hessian @ step
        return StepProposal(
            step,
            self._decrease(look, step, curved),
            float(np.abs(curved).max()),
            info["iterations"],
            solved=True,
        )

    def _run(
        self,
        hessian: np.ndarray,
        gradient: np.ndarray,
        rows: np.ndarray,
        upper: np.ndarray,
        lower: np.ndarray,
    ) -> tuple[np.ndarray, int, dict[str, Any]]:
        failed = np.zeros(len(gradient)), -1, {}
        if self._solver is None:
            solver = daqp.Model()
            solver.settings = {"primal_tol": _TOLERANCE}
            flag, _ = solver.setup(hessian, gradient, rows, upper, lower, self._sense)
            if flag < 0:
                return failed
            self._weigh(solver, len(upper))
            self._solver = solver
        else:
            # An update with no rows at all is refused by DAQP; then there is nothing to update either.
            changed = {"A": rows} if len(rows) else {}
            flag = self._solver.update(
                H=hessian, f=gradient, bupper=upper, blower=lower, sense=self._sense, **changed
            )
            if flag < 0:
                return failed
        found, _, flag, info = self._solver.solve()
        return np.asarray(found), flag, info

    def _weigh(self, solver: Any, rows: int) -> None:
        if self._soft:
            quadratic = np.full(rows, 1.0 / self._limits.quadratic_penalty)
            linear = np.full(rows, float(self._limits.linear_penalty))
            solver.soft_weights(quadratic, quadratic, linear, linear)

    def _constraints(
        self, look: Look, plan: Float[np.ndarray, " numbers"], last_input: Float[np.ndarray, " inputs"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, lower, upper = [self._difference], [self._low - plan], [self._high - plan]
        if self._rate is not None:
            move = self._difference @ plan
            move[: len(last_input)] -= last_input
            lower.append(-self._rate - move)
            upper.append(self._rate - move)
        if self._soft:
            rows.append(look.sensitivity)
            lower.append(np.maximum(self._below - look.outputs.ravel(), -_INFINITE))
            upper.append(np.minimum(self._above - look.outputs.ravel(), _INFINITE))
        return np.concatenate(rows), np.concatenate(lower), np.concatenate(upper)

    def _decrease(self, look: Look, step: np.ndarray, curved: np.ndarray) -> float:
        fall = -float(look.gradient @ step + 0.5 * step @ curved)
        if not self._soft:
            return fall
        outputs = look.outputs.ravel()
        return fall + self._penalty(outputs) - self._penalty(outputs + look.sensitivity @ step)

    def _penalty(self, outputs: Float[np.ndarray, " rows"]) -> float:
        beyond = np.maximum(np.maximum(self._below - outputs, outputs - self._above), 0.0)
        limits = self._limits
        return float((limits.linear_penalty * beyond + 0.5 * limits.quadratic_penalty * beyond**2).sum())
