"""Sequential quadratic programming with the Gauss-Newton Hessian on the inputs alone (single shooting)."""

import time
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated

import numpy as np

from attractor.control.model import ControlModel, InputVector
from attractor.errors import ShapeError
from attractor.program import double_precision
from attractor.settings import Count, Positive, Settings, Within
from attractor.shown import Shown

from .control_problem import ControlProblem, InputPlan, OutputPlan
from .hessian import Curvature, SecantCurvature
from .quadratic_program import StepProgram, StepProposal
from .sensitivities import Evaluation, Linearisation, Situation


class SolveStatus(Enum):
    """How a solve ended; the value is the text for the user."""

    CONVERGED = "converged: no step of the solver changes the plan by more than the tolerance"
    REAL_TIME = "real-time iteration: one step of the solver was taken, as asked"
    STALLED = "stalled: rounding leaves no step that lowers the cost; the best plan found is used"
    ITERATION_LIMIT = "iteration limit reached: the best plan found so far is used"
    TIME_LIMIT = "time limit reached: the best plan found so far is used"
    QP_FAILED = "the quadratic program could not be solved: the best plan found so far is used"
    STATE_NOT_FINITE = "ALARM: the state or the target is not a finite number; the last input is held"
    PREDICTION_NOT_FINITE = "ALARM: the prediction is not finite for any plan tried; the last input is held"
    REFERENCE_NOT_FINITE = (
        "ALARM: the reference is not a finite number; the last input is held until it is one again"
    )

    @property
    def alarm(self) -> bool:
        """Whether no plan could be computed and somebody should be told."""
        return self.value.startswith("ALARM")

    @property
    def short(self) -> str:
        """What happened, without what was done then."""
        return self.value.removeprefix("ALARM: ").partition(":")[0].partition(";")[0]

    @property
    def optimal(self) -> bool:
        """Whether the plan is the solver's answer and not a fallback."""
        return self in {SolveStatus.CONVERGED, SolveStatus.REAL_TIME, SolveStatus.STALLED}


@dataclass(frozen=True, eq=False)
class PlanSolution(Shown):
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
        evaluations: linearisations of the model.
        qp_iterations: changes of the active set, in all quadratic programs together.
        seconds: wall time.
        status: how it ended.
    """

    plan: InputPlan
    outputs: OutputPlan
    cost: float
    penalty: float
    residual: float
    iterations: int
    evaluations: int
    qp_iterations: int
    seconds: float
    status: SolveStatus

    @property
    def input(self) -> InputVector:
        """What to apply now."""
        return self.plan[0]


@dataclass(frozen=True)
class PlanJudgement:
    """What a plan is worth.

    Args:
        cost: J with the penalty of output limits.
        step: largest change of an input that a step of the solver would still make, scaled: zero where the
            conditions of optimality hold, and only there.
    """

    cost: float
    step: float


_ARMIJO = 1e-4
_SHORTEST = 2.0**-12
# A model of learned curvature that needs shorter steps than this has learned something wrong.
_SHORTEST_LEARNED = 0.25
_STRONGEST = 1e6
# Below this part of the cost a promised decrease is rounding; so many such steps are taken on trust.
_ROUNDING = 1e-14
_PATIENCE = 3
# The last part of a plan, one over this, is where the end of the horizon is felt.
_END = 4
# A step longer than this part of the last one is slow; after so many the exact Hessian is worth its price.
_SLOW, _TOO_SLOW = 0.5, 2


@dataclass(frozen=True)
class SolverSettings(Settings):
    r"""When the solver stops.

    Args:
        tolerance: the solve has converged when a full step changes no scaled input by more.
        iterations: most steps; 1 asks for the real-time iteration, one full step without a line search.
        time_limit: seconds after which no further step is begun; None for none.
        damping: $\mu$ that is added to the diagonal of the Hessian at first; raised where steps fail.
    """

    tolerance: Positive = 1e-5
    iterations: Count = 30
    time_limit: Annotated[float, Within(0, above=True, infinite=True), "in seconds"] | None = None
    damping: Positive = 1e-9


@dataclass
class _Search:
    """The state of one solve: the best plan so far, always feasible, and what was spent on it."""

    plan: InputPlan
    model: Linearisation
    outputs: OutputPlan
    references: OutputPlan
    damping: float
    evaluations: int
    slow: int = 0
    plain: bool = False
    negligible: int = 0
    last_step: float = np.inf
    residual: float = np.inf
    iterations: int = 0
    qp_iterations: int = 0


class PlanSolver:
    r"""Finds plans for one problem, sample after sample, warm-started with the last plan shifted by one.

    Each step minimises the Gauss-Newton model with DAQP within all limits, then goes back along it until the
    true cost, penalties of output limits included, has fallen by Armijo's rule; a step that cannot be used
    raises the Levenberg damping. What
    Gauss-Newton leaves out of the Hessian is learned by a structured secant; where steps still shrink too
    slowly it is computed. A step of less than the tolerance ends the solve and is still taken, its
    effect predicted linearly.

    Source: the condensed real-time iteration of Diehl, Bock and Schlöder, SIAM J. Control and Optimization 43
    (2005) 1714; Gauss-Newton SQP as in Rawlings, Mayne and Diehl, Model Predictive Control (2017), ch. 8.

    Args:
        model: the plant.
        problem: horizon, cost and limits, scaled.
        settings: when to stop.
    """

    def __init__(
        self, model: ControlModel, problem: ControlProblem, settings: SolverSettings | None = None
    ) -> None:
        self.problem, self.settings = problem, settings or SolverSettings()
        with double_precision():
            self._evaluate, self._curvature = Evaluation(model, problem), Curvature(model, problem)
        inputs, outputs = self._evaluate.inputs, self._evaluate.outputs
        self._shape = problem.horizon, inputs
        self._low, self._high, self._rate = problem.limits.input_box(inputs)
        self._program = StepProgram(problem, inputs, outputs)
        self._secant = SecantCurvature(problem, inputs, outputs)
        self._next: InputPlan | None = None
        self._shifted: InputPlan | None = None

    def solve(self, situation: Situation) -> PlanSolution:
        """The best plan for a situation, in scaled units; never an exception for what the plant may do.

        Args:
            situation: state, target and references.

        Raises:
            ShapeError: the situation does not fit the problem.
        """
        begin = time.perf_counter()
        self._check(situation)
        packed = situation.packed()
        # Numbers out of all proportion overflow on their way; results are checked instead of warned about.
        with double_precision(), np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(packed).all():
                return self.hold(situation.last_input, _not_finite(situation), begin)
            search = self._begin(situation, packed)
            if search is None:
                return self.hold(situation.last_input, SolveStatus.PREDICTION_NOT_FINITE, begin)
            last_input = np.clip(situation.last_input, self._low, self._high)
            status = self._iterate(search, packed, last_input, begin)
        return self._finish(search, situation, status, begin)

    def compile(self, situation: Situation) -> None:
        """Compile all that a solve may need, so that the first one is as fast as the others.

        Args:
            situation: any; the plan for it is forgotten.
        """
        self.solve(situation)
        if self.settings.iterations > 1:
            size = self._evaluate.numbers
            with double_precision():
                self._curvature(situation.packed(), np.zeros(self._shape), np.zeros((size, size)))
        self.reset()

    def judge(self, situation: Situation, plan: InputPlan) -> "PlanJudgement":
        """The cost of any plan, and how far it is from satisfying the conditions of optimality.

        Args:
            situation: state, target and references.
            plan: inputs within the limits.
        """
        with double_precision(), np.errstate(over="ignore", invalid="ignore"):
            model = self._evaluate(situation.packed(), plan)
            last = np.clip(situation.last_input, self._low, self._high)
            proposal = StepProgram(self.problem, self._evaluate.inputs, self._evaluate.outputs).solve(
                model, plan, last, self.settings.damping
            )
        length = float(np.abs(proposal.step).max()) if proposal.solved else np.inf
        return PlanJudgement(model.merit, length)

    def reset(self) -> None:
        """Forget the last plan: the next solve starts from the target's input."""
        self._next = self._shifted = None
        self._secant.reset()
        self._program.reset()

    def hold(self, last_input: InputVector, status: SolveStatus, begin: float | None = None) -> PlanSolution:
        """Hold the last input (the middle of the box if there is none) and forget all that was planned.

        Args:
            last_input: what to hold.
            status: why.
            begin: when the solve began, by `time.perf_counter`.
        """
        now = time.perf_counter()
        self.reset()
        last = np.where(np.isfinite(last_input), last_input, (self._low + self._high) / 2)
        plan = self.project(np.tile(last, (self._shape[0], 1)), last)
        outputs = np.full((self._shape[0], self._evaluate.outputs), np.nan)
        seconds = time.perf_counter() - (now if begin is None else begin)
        return PlanSolution(plan, outputs, np.nan, np.nan, np.inf, 0, 0, 0, seconds, status)

    def project(self, plan: InputPlan, last_input: InputVector) -> InputPlan:
        """The plan made to keep the box and, one input after the other, the rate limits.

        Where the last input was outside of the box, the box comes first.
        """
        plan = np.clip(plan, self._low, self._high)
        if self._rate is not None:
            before = np.clip(last_input, self._low, self._high)
            for row in plan:
                np.clip(row, before - self._rate, before + self._rate, out=row)
                before = row
        return plan

    def _check(self, situation: Situation) -> None:
        (horizon, inputs), sizes = self._shape, self._evaluate
        for name, shape in Situation.shapes(sizes.states, inputs, sizes.outputs, horizon).items():
            found = np.shape(getattr(situation, name))
            if found != shape:
                raise ShapeError(f"{name} has shape {found}; this problem expects {shape}")

    def _begin(self, situation: Situation, packed: np.ndarray) -> _Search | None:
        """The first linearisation: at the shifted plan, else the target's input, else the last input."""
        evaluations = 0
        for plan in (self._next, situation.target_input, situation.last_input):
            if plan is None:
                continue
            start = self.project(np.broadcast_to(plan, self._shape).copy(), situation.last_input)
            model = self._evaluate(packed, start)
            evaluations += 1
            if model.finite:
                references, damping = situation.references, self.settings.damping
                return _Search(start, model, model.outputs, references, damping, evaluations)
        return None

    def _iterate(
        self, search: _Search, packed: np.ndarray, last_input: np.ndarray, begin: float
    ) -> SolveStatus:
        while True:
            model = self._model(search, packed)
            proposal = self._program.solve(model, search.plan, last_input, search.damping)
            search.qp_iterations += proposal.iterations
            if not proposal.solved and not search.plain:
                # With the learned part the model may have lost its convexity: Gauss-Newton alone has it.
                self._simplify(search)
                continue
            if not proposal.solved:
                if search.damping >= _STRONGEST:
                    return SolveStatus.QP_FAILED
                search.damping = max(1e3 * search.damping, 1e-6)
                continue
            search.iterations += 1
            search.residual = proposal.stationarity
            length = float(np.abs(proposal.step).max())
            search.slow += length > _SLOW * search.last_step
            search.last_step = length
            ended = self._arrived(search, proposal)
            if ended is not None:
                return ended
            if not self._descend(search, packed, proposal) and search.damping >= _STRONGEST:
                return SolveStatus.STALLED
            if search.iterations >= self.settings.iterations:
                return SolveStatus.ITERATION_LIMIT
            limit = self.settings.time_limit
            if limit is not None and time.perf_counter() - begin > limit:
                return SolveStatus.TIME_LIMIT

    def _model(self, search: _Search, packed: np.ndarray) -> Linearisation:
        """The learned part added to the Hessian, or the exact Hessian where steps stay long."""
        if search.slow >= _TOO_SLOW:
            return replace(search.model, hessian=self._curvature(packed, search.plan, search.model.hessian))
        if search.plain:
            return search.model
        return replace(search.model, hessian=search.model.hessian + self._secant.matrix)

    def _arrived(self, search: _Search, proposal: StepProposal) -> SolveStatus | None:
        """Whether this proposal ends the solve."""
        once = self.settings.iterations == 1
        if once or float(np.abs(proposal.step).max()) <= self.settings.tolerance:
            self._take(search, proposal)
            return SolveStatus.REAL_TIME if once else SolveStatus.CONVERGED
        search.negligible += proposal.decrease <= _ROUNDING * abs(search.model.merit)
        return SolveStatus.STALLED if search.negligible > _PATIENCE else None

    def _descend(self, search: _Search, packed: np.ndarray, proposal: StepProposal) -> bool:
        """Move along the step until the true cost has fallen enough; otherwise raise the damping."""
        step = proposal.step.reshape(self._shape)
        allowed, length = search.model.merit + _ROUNDING * abs(search.model.merit), 1.0
        while length >= (_SHORTEST if search.plain else _SHORTEST_LEARNED):
            plan = search.plan + length * step
            model = self._evaluate(packed, plan)
            search.evaluations += 1
            enough = model.merit <= allowed - _ARMIJO * length * proposal.decrease
            if enough and model.finite:
                self._secant.learn(search.model, model, length * proposal.step, search.references)
                search.plan, search.model, search.outputs = plan, model, model.outputs
                if length == 1.0:
                    search.damping = max(search.damping / 10, self.settings.damping)
                return True
            length /= 2
        if not search.plain:
            self._simplify(search)
            return True
        search.damping = max(1e3 * search.damping, 1e-6)
        return False

    def _simplify(self, search: _Search) -> None:
        """Back to Gauss-Newton alone, for the rest of this solve."""
        search.plain = True
        self._secant.reset()

    def _take(self, search: _Search, proposal: StepProposal) -> None:
        """The last step: too small to linearise again, or the one step of the real-time iteration."""
        search.plan = search.plan + proposal.step.reshape(self._shape)
        change = search.model.sensitivity @ proposal.step
        search.outputs = search.outputs + change.reshape(search.outputs.shape)

    def _finish(
        self, search: _Search, situation: Situation, status: SolveStatus, begin: float
    ) -> PlanSolution:
        plan = self.project(search.plan, situation.last_input)
        self._remember(plan)
        if not status.optimal:
            self._secant.reset()
            self._program.reset()
        return PlanSolution(
            plan,
            search.outputs,
            search.model.cost,
            search.model.merit - search.model.cost,
            search.residual,
            search.iterations,
            search.evaluations,
            search.qp_iterations,
            time.perf_counter() - begin,
            status,
        )

    def _remember(self, plan: np.ndarray) -> None:
        """Shift the plan by one sample, the last input twice.

        The end of a plan, where nothing comes after, is the same at every sample and not like its shifted
        predecessor: what this solve has changed there the next one would change again, so it is done now.
        """
        shifted = np.concatenate([plan[1:], plan[-1:]])
        self._next = shifted.copy()
        if self._shifted is not None:
            end = len(plan) - len(plan) // _END
            self._next[end:] += (plan - self._shifted)[end:]
        self._shifted = shifted
        self._secant.shift()


def _not_finite(situation: Situation) -> SolveStatus:
    """Whose numbers are not finite: the user's references alone, or something of ours."""
    rest = [part for name, part in vars(situation).items() if name != "references"]
    ours = not all(np.isfinite(part).all() for part in rest)
    return SolveStatus.STATE_NOT_FINITE if ours else SolveStatus.REFERENCE_NOT_FINITE
