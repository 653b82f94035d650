"""The quadratic program of one Gauss-Newton step, solved by the dual active-set method DAQP."""

from dataclasses import dataclass

import daqp
import numpy as np

from attractor.control.model import InputVector

from .control_problem import ControlProblem, Hessian, InputPlan, Numbers
from .sensitivities import Linearisation, differences

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

    step: Numbers
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
        self._sense = np.repeat([0, _SOFT], [hard, self._soft]).astype(np.int32)
        self._identity = np.eye(len(self._low))
        self._solver: daqp.Model | None = None

    def reset(self) -> None:
        """Forget the active set of the last program."""
        self._solver = None

    def solve(
        self, model: Linearisation, plan: InputPlan, last_input: InputVector, damping: float
    ) -> StepProposal:
        """The step that the model of the cost at `plan` proposes; a failure drops the workspace."""
        hessian = model.hessian + damping * self._identity
        rows, lower, upper = self._constraints(model, plan.ravel(), last_input)
        found, iterations = self._run(hessian, model.gradient, rows, upper, lower)
        if found is None or not np.isfinite(found).all():
            self.reset()
            return StepProposal(np.zeros_like(model.gradient), 0.0, np.inf, 0, solved=False)
        step = np.clip(found, lower[: len(found)], upper[: len(found)])
        curved = hessian @ step
        largest = float(np.abs(curved).max())
        return StepProposal(step, self._decrease(model, step, curved), largest, iterations, solved=True)

    def _run(self, hessian: Hessian, gradient: Numbers, *limits: np.ndarray) -> tuple[np.ndarray | None, int]:
        """The minimiser, None where DAQP finds none, and changes of the active set."""
        rows, upper, lower = limits
        solver = self._solver
        if solver is None:
            solver = self._solver = daqp.Model()
            solver.settings = {"primal_tol": _TOLERANCE}
            flag, _ = solver.setup(hessian, gradient, rows, upper, lower, self._sense)
            if flag >= 0 and self._soft:
                quadratic = np.full(len(upper), 1.0 / self._limits.quadratic_penalty)
                linear = np.full(len(upper), float(self._limits.linear_penalty))
                solver.soft_weights(quadratic, quadratic, linear, linear)
        else:
            # An update with no rows at all is refused by DAQP; then there is nothing to update either.
            changed = {"A": rows} if len(rows) else {}
            flag = solver.update(
                H=hessian, f=gradient, bupper=upper, blower=lower, sense=self._sense, **changed
            )
        if flag < 0:
            return None, 0
        found, _, flag, info = solver.solve()
        return (np.asarray(found) if flag >= 1 else None), info["iterations"]

    def _constraints(
        self, model: Linearisation, plan: Numbers, last_input: InputVector
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, lower, upper = [self._difference], [self._low - plan], [self._high - plan]
        if self._rate is not None:
            move = self._difference @ plan
            move[: len(last_input)] -= last_input
            lower.append(-self._rate - move)
            upper.append(self._rate - move)
        if self._soft:
            rows.append(model.sensitivity)
            lower.append(np.maximum(self._below - model.outputs.ravel(), -_INFINITE))
            upper.append(np.minimum(self._above - model.outputs.ravel(), _INFINITE))
        return np.concatenate(rows), np.concatenate(lower), np.concatenate(upper)

    def _decrease(self, model: Linearisation, step: Numbers, curved: Numbers) -> float:
        fall = -float(model.gradient @ step + 0.5 * step @ curved)
        if not self._soft:
            return fall
        outputs = model.outputs.ravel()
        before, after = (
            float(self._limits.penalty(one, self._below, self._above))
            for one in (outputs, outputs + model.sensitivity @ step)
        )
        return fall + before - after
