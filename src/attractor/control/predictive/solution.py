"""What a solve returns: always an input that can be applied, and the truth about it."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from jaxtyping import Float


class SolveStatus(Enum):
    """How a solve ended; the value is the text for the user."""

    CONVERGED = "converged: no step of the solver changes the plan by more than the tolerance"
    REAL_TIME = "real-time iteration: one step of the solver was taken, as asked"
    STALLED = "stalled: rounding leaves no step that lowers the cost; the best plan found is used"
    ITERATION_LIMIT = "iteration limit reached: the best plan found so far is used"
    TIME_LIMIT = "time limit reached: the best plan found so far is used"
    QP_FAILED = "the quadratic program could not be solved: the best plan found so far is used"
    STATE_NOT_FINITE = "ALARM: the state, target or reference is not a finite number; the last input is held"
    PREDICTION_NOT_FINITE = "ALARM: the prediction is not finite for any plan tried; the last input is held"
    MEASUREMENT_NOT_FINITE = "ALARM: the measurement is not a finite number; the last input is held"

    @property
    def alarm(self) -> bool:
        """Whether no plan could be computed and somebody should look."""
        return self.value.startswith("ALARM")

    @property
    def optimal(self) -> bool:
        """Whether the plan is the solver's answer and not a fallback."""
        return self in {SolveStatus.CONVERGED, SolveStatus.REAL_TIME, SolveStatus.STALLED}


@dataclass(frozen=True, eq=False)
class PlanSolution:
    r"""The plan that a solver found, in scaled units.

    Whatever the status, the plan is finite and keeps the input and rate limits.

    Args:
        plan: u_0 .. u_{N-1}; the first row is to be applied now.
        outputs: predicted y_1 .. y_N; NaN where the model gave none.
        cost: J at the last point that was evaluated, without the penalty of output limits; NaN if there was
            none. It lies one step of less than the tolerance, or the one real-time step, before the plan.
        penalty: what violations of output limits add to it there.
        residual: largest entry of the gradient of the Lagrangian at the last point that was evaluated.
        iterations: Gauss-Newton steps.
        evaluations: looks at the model.
        qp_iterations: changes of the active set, in all quadratic programs together.
        seconds: wall time.
        status: how it ended.
    """

    plan: Float[np.ndarray, "horizon inputs"]
    outputs: Float[np.ndarray, "horizon outputs"]
    cost: float
    penalty: float
    residual: float
    iterations: int
    evaluations: int
    qp_iterations: int
    seconds: float
    status: SolveStatus

    @property
    def input(self) -> Float[np.ndarray, " inputs"]:
        """What to apply now."""
        return self.plan[0]
