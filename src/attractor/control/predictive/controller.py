"""The predictive controller as a plant sees it: measurement and reference in, input out, in plant units."""

import time
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from attractor.certify import bound_in_words
from attractor.control.model import (
    ControlModel,
    InputVector,
    ModelCard,
    OutputVector,
    StateVector,
    check_certificate,
    vector,
)
from attractor.control.observer import Observer, open_loop_observer
from attractor.errors import ConfigError, ShapeError
from attractor.program import double_precision
from attractor.settings import Count, Settings
from attractor.shown import Shown

from .control_problem import (
    ControlObjective,
    ControlProblem,
    InputPlan,
    Limits,
    OutputPlan,
    PerChannel,
    per_channel,
)
from .sensitivities import Situation
from .solver import PlanSolution, PlanSolver, SolverSettings, SolveStatus
from .target import SteadyTarget, TargetFinder
from .terminal import NoTerminal, terminal_rule


class OutputDisturbance:
    r"""The output-disturbance model $\hat y = g(x) + d$, $d^+ = d + K_d (y - \hat y)$.

    At rest $y = \hat y$, so a target for $r - d$ is one of the plant itself: no offset, whatever the model
    gets wrong, as long as the loop is stable. White noise of standard deviation $\sigma$ on y shakes d with
    $\sigma \sqrt{K_d / (2 - K_d)}$. The first measurement sets d at once. While a sensor shows nothing, d of
    its output stays as it is.

    Source: Pannocchia and Rawlings, AIChE Journal 49 (2003) 426; Maeder, Borrelli and Morari, Automatica 45
    (2009) 2214.

    Args:
        gain: the diagonal of $K_d$, from 0 (off) to 1 (all of the last error); one number or one per output.
        outputs: number of outputs.
    """

    def __init__(self, gain: PerChannel, outputs: int) -> None:
        self._gain = per_channel("offset gain", gain, outputs)
        if not ((self._gain >= 0) & (self._gain <= 1)).all():
            raise ConfigError(f"offset gain {gain}: expected numbers from 0 (off) to 1")
        self.reset()

    @property
    def value(self) -> OutputVector:
        """d, scaled."""
        return self._value

    def reset(self) -> None:
        """Forget what was learned."""
        self._value, self._started = np.zeros(len(self._gain)), np.zeros(len(self._gain), bool)

    def update(self, measured: OutputVector, modelled: OutputVector) -> OutputVector:
        """Learn from one sample; returns d.

        Args:
            measured: y, scaled; what is not finite is missing.
            modelled: g(x), scaled.
        """
        there = np.isfinite(measured)
        gain = np.where(self._started, self._gain, np.where(self._gain > 0, 1.0, 0.0))
        unexplained = np.where(there, measured, 0.0) - modelled - self._value
        self._value = self._value + np.where(there, gain * unexplained, 0.0)
        self._started = self._started | there
        return self._value


@dataclass(frozen=True)
class ControllerSettings(Settings):
    """How a `PredictiveController` works.

    Args:
        horizon: samples that a plan looks ahead.
        solver: when a solve stops; `SolverSettings(iterations=1)` asks for the real-time iteration.
        terminal: None for the local terminal cost, a certificate (any object with `weights` and `rate`) for
            one that is valid wherever the certificate is, or a terminal rule.
        offset_gain: K_d of the output disturbance; 0 switches offset-free control off.
    """

    horizon: Count = 20
    solver: SolverSettings = field(default_factory=SolverSettings)
    terminal: Any = None
    offset_gain: PerChannel = 0.3


@dataclass(frozen=True, eq=False)
class ControlSolution(Shown, next_call=".input, .plan, .status"):
    """What to do now, why, and how sure the solver is; in plant units where nothing else is said.

    Args:
        input: to be applied until the next sample; finite and within input and rate limits, always.
        plan: the inputs planned, the first of them is `input`.
        outputs: what the model expects at the next samples; NaN after an alarm.
        target_input: the input that holds the target.
        target_output: the output aimed at: the reference, or the nearest that can be reached.
        reachable: whether the reference can be held within the input limits.
        unstable_target: whether the model leaves its target by itself, so that the cost to come is infinite
            there and was left out of the plan.
        disturbance: the estimated output disturbance.
        estimate: the estimated state of the model, scaled.
        missing: which outputs were not measured, so that what the model expects of them was used.
        solve: cost, residual, counts and wall time of the solve, scaled.
        seconds: wall time of the whole sample: estimate, target and solve.
    """

    input: InputVector
    plan: InputPlan
    outputs: OutputPlan
    target_input: InputVector
    target_output: OutputVector
    reachable: bool
    unstable_target: bool
    disturbance: OutputVector
    estimate: StateVector
    missing: Bool[np.ndarray, " outputs"]
    solve: PlanSolution
    seconds: float

    @property
    def status(self) -> SolveStatus:
        """How the solve ended."""
        return self.solve.status


class PredictiveController:
    r"""Nonlinear model predictive control of a plant by its recurrent model.

    Every sample: the observer's estimate $\hat x$, the disturbance $d$ on the outputs, the steady target of
    the reference less $d$, and the plan that minimises the objective from $\hat x$. The observer sees
    $y - d$, so that what is constant and unexplained ends up in $d$ alone. A sensor that shows nothing (NaN)
    freezes nothing: what the model expects, with the last $d$, stands in, and the other sensors go on
    correcting the state.

    Limits are in plant units; inputs also stay within the range of the training, where the model was fitted
    and where a certificate holds.

    On Linux, bind a process that does nothing but control to one core before JAX starts
    (`os.sched_setaffinity(0, {0})`, `taskset -c 0`): XLA hands the prediction to a thread of its own, and
    waking another core for it takes longer than the prediction.

    Args:
        model: the plant's model.
        card: what its signals mean.
        objective: weights, on scaled signals.
        limits: limits in plant units; by default the range of the training.
        observer: follows the state; the model in open loop by default.
        settings: horizon, solver, terminal cost, offset-free gain.

    Attributes:
        input_range: smallest and largest input that is ever applied, plant units.
        terminal: what makes the cost of what comes after the horizon.
    """

    def __init__(
        self,
        model: ControlModel,
        card: ModelCard,
        objective: ControlObjective | None = None,
        limits: Limits | None = None,
        observer: Observer | None = None,
        settings: ControllerSettings | None = None,
    ) -> None:
        self.model, self.card = model, card
        # Asked once: a model finds its sizes by tracing.
        self._inputs, self._outputs = model.input_size, model.output_size
        settings = settings or ControllerSettings()
        scaled = Limits() if limits is None else limits.scaled(card.inputs, card.outputs)
        self.problem = ControlProblem(settings.horizon, objective or ControlObjective(), scaled)
        self.solver = PlanSolver(model, self.problem, settings.solver)
        self.targets = TargetFinder(model, self.problem)
        self.observer = open_loop_observer(model) if observer is None else observer
        self._offset = OutputDisturbance(settings.offset_gain, self._outputs)
        self.terminal = terminal_rule(settings.terminal)
        check_certificate(settings.terminal, model.network.cell)
        _check_inputs(settings.terminal, scaled, self._inputs)
        self._output_weight, _, _ = self.problem.objective.diagonals(self._inputs, self._outputs)
        self._read = jax.jit(lambda state: model.output(state))
        self.input_range = _input_range(card, limits)
        self.start()

    def start(self, last_input: InputVector | None = None, measured: OutputVector | None = None) -> None:
        """Begin with the plant at rest under an input; also compiles all that a sample needs.

        Args:
            last_input: the input that is applied now, plant units; the middle of the training range by
                default.
            measured: the outputs now, plant units, of a plant that is not at rest under that input: the model
                then begins in the rest that shows them, or the nearest.

        Raises:
            InputDataError: a value is not finite.
            ShapeError: there is not one value per input or output.
        """
        self._last = np.zeros(self._inputs) if last_input is None else self._scaled_input(last_input)
        low, high, _ = self.problem.limits.input_box(self._inputs)
        rest = self.targets.rest(self._last)
        self._near = self.targets.rest(np.clip(self._last, low, high), rest.state)
        state = rest.state
        if measured is not None:
            seen = self.card.outputs.to_unit(vector("measured output", measured, self._outputs))
            state = self.targets.find(seen, np.zeros(self._outputs), self._near).rest.state
        self._begin(state)
        references = np.tile(rest.output, (self.problem.horizon, 1))
        target = SteadyTarget(rest, rest.output, reachable=True, distance=0.0, iterations=0)
        self.solver.compile(self._situation(rest.state, references, target, np.zeros(len(rest.output))))

    def start_from(
        self, inputs: Float[np.ndarray, "past inputs"], outputs: Float[np.ndarray, "past outputs"]
    ) -> None:
        """Begin with the state that the model reads from recent samples (plant units, oldest first).

        Args:
            inputs: applied inputs; the last row is applied now.
            outputs: measured outputs.
        """
        self.start(inputs[-1])
        with double_precision():
            state = self.model.start(
                jnp.asarray(self.card.inputs.to_unit(inputs)), jnp.asarray(self.card.outputs.to_unit(outputs))
            )
        self._begin(np.asarray(state))

    def act(
        self,
        measured: OutputVector,
        reference: Float[np.ndarray, "*rows channels"],
        applied: InputVector | None = None,
    ) -> ControlSolution:
        """One sample: from a measurement to the input that is to be applied until the next one.

        Args:
            measured: y now, plant units. An output that is not finite is missing: the observer goes on with
                what the model expects of it, and plans are made as ever.
            reference: the wanted output from the next sample on; or a preview, one row per coming sample,
                whose last row holds beyond its end. While it is not finite the last input is held, with an
                alarm, and the observer goes on.
            applied: the input that the actuator really applied since the last call, if it was not the one
                returned.

        Returns:
            The input, with everything that led to it.

        Raises:
            ShapeError: an array has the wrong shape.
        """
        begin = time.perf_counter()
        references = self._references(np.asarray(reference, float))
        scaled = self.card.outputs.to_unit(vector("measured output", measured, self._outputs, finite=False))
        if applied is not None:
            self._last = self._scaled_input(applied)
        with double_precision():
            if self._pending is not None:
                self._state = np.array(self.observer.update(self._last, self._pending))
            state, modelled = self._state, np.asarray(self._read(self._state))
        self._missing = ~np.isfinite(scaled)
        if not np.isfinite(modelled).all():
            self._pending = scaled - self._offset.value
            return self._hold(state, SolveStatus.STATE_NOT_FINITE, begin)
        disturbance = self._offset.update(scaled, modelled)
        self._pending = np.where(self._missing, np.nan, scaled - disturbance)
        if not np.isfinite(references).all():
            return self._hold(state, SolveStatus.REFERENCE_NOT_FINITE, begin)
        target = self.targets.find(references[-1], disturbance, self._near)
        if target.rest.steady:
            self._near = target.rest
        if not target.reachable:
            # A reference that cannot be held is replaced by the nearest output that can.
            references = np.where(references == references[-1], target.output, references)
        solution = self.solver.solve(self._situation(state, references, target, disturbance))
        return self._conclude(state, target, solution, begin)

    def _begin(self, state: StateVector) -> None:
        self._state = np.array(state)
        # What the observer takes with the next call: the outputs of this sample less the disturbance.
        self._pending: OutputVector | None = None
        self._unstable = False
        self._offset.reset()
        self.solver.reset()
        with double_precision():
            self.observer.start(self._state)

    def _situation(
        self, state: StateVector, references: OutputPlan, target: SteadyTarget, disturbance: OutputVector
    ) -> Situation:
        rest = target.rest if target.rest.steady else self._near
        rule = self.terminal if target.rest.steady else NoTerminal()
        cost = rule.at(rest.jacobian, rest.reading, self._output_weight)
        self._unstable = cost.infinite
        return Situation(state, self._last, references, rest.state, rest.input, disturbance, cost.matrix)

    def _conclude(
        self, state: StateVector, target: SteadyTarget, solution: PlanSolution, begin: float
    ) -> ControlSolution:
        self._last = solution.input.copy()
        # Rounding of the change of units must not carry an input over its limit.
        plan = np.clip(self.card.inputs.to_engineering(solution.plan), *self.input_range)
        to_inputs, to_outputs = self.card.inputs.to_engineering, self.card.outputs.to_engineering
        return ControlSolution(
            input=plan[0],
            plan=plan,
            outputs=to_outputs(solution.outputs),
            target_input=to_inputs(target.rest.input),
            target_output=to_outputs(target.output),
            reachable=target.reachable,
            unstable_target=self._unstable,
            disturbance=self._offset.value * self.card.outputs.scale,
            estimate=state,
            missing=self._missing,
            solve=solution,
            seconds=time.perf_counter() - begin,
        )

    def _hold(self, state: StateVector, status: SolveStatus, begin: float) -> ControlSolution:
        """Hold the last input; an estimate that is not finite is replaced by the rest under that input."""
        solution = self.solver.hold(self._last, status)
        if not np.isfinite(state).all():
            self._begin(self.targets.rest(self._last).state)
        output = self._near.output + self._offset.value
        target = SteadyTarget(self._near, output, reachable=False, distance=np.inf, iterations=0)
        return self._conclude(state, target, solution, begin)

    def _references(self, reference: np.ndarray) -> OutputPlan:
        """One scaled row per sample of the horizon."""
        outputs, horizon = self._outputs, self.problem.horizon
        rows = reference[None] if reference.ndim == 1 else reference
        if rows.ndim != 2 or not len(rows) or rows.shape[1] != outputs:
            raise ShapeError(
                f"the reference has shape {reference.shape}; expected ({outputs},) or (samples, {outputs})"
            )
        index = np.minimum(np.arange(horizon), len(rows) - 1)
        return self.card.outputs.to_unit(rows[index])

    def _scaled_input(self, input: InputVector) -> InputVector:
        """Scaled and within the range of the training, beyond which the model says nothing."""
        return np.clip(self.card.inputs.to_unit(vector("input", input, self._inputs)), -1.0, 1.0)


def _check_inputs(certificate: object, scaled: Limits, inputs: int) -> None:
    """Refuse a certificate that speaks of smaller inputs than the controller may apply.

    Raises:
        ConfigError: it does.
    """
    bound = getattr(certificate, "input_bound", None)
    if bound is None:
        return
    low, high, _ = scaled.input_box(inputs)
    used = np.maximum(np.abs(low), np.abs(high))
    if not (used <= np.broadcast_to(np.asarray(bound, float), used.shape) * (1 + 1e-9)).all():
        raise ConfigError(
            f"the certificate holds for inputs within {bound_in_words(bound)} (scaled), and the controller "
            f"may apply inputs within {bound_in_words(used)}: certify for these, limit the inputs, or leave "
            "the certificate out"
        )


def _input_range(card: ModelCard, limits: Limits | None) -> tuple[InputVector, InputVector]:
    """Input limits in plant units, within the range of the training."""
    low, high = card.inputs.offset - card.inputs.scale, card.inputs.offset + card.inputs.scale
    if limits is None:
        return low, high
    below, above, _ = limits.input_box(len(low))
    return np.maximum(low, below), np.minimum(high, above)
