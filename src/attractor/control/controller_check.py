"""Whether an exported controller is that of the model: plans, cost and conditions of optimality compared."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from attractor.errors import AttractorError, ControlWarning, ExportWarning
from attractor.export import CompiledController, ControllerCode, ControllerStatus
from attractor.export.c.c_step import c_compiler

from .controller_code import controller_code
from .model import ControlModel, ModelCard
from .predictive import ControlProblem, Limits, PlanSolver, Situation, SolverSettings, TargetFinder
from .study import ControlSettings

_COMPARISONS = 5
"""Situations in which the C file is compared with the solver in Python."""
_SAME_PLAN = 1e-5
"""Plans that differ by less are one: both solvers stop at steps of 1e-9, and conditioning costs the rest."""
_SAME_IN_SINGLE, _ROUNDINGS = 1e-4, 64
"""The same in single precision: so much, and so many roundings for each number that is decided or summed."""
_OPTIMAL = 1e-4
"""A step of the solver that is smaller leaves a plan where it is."""
_SAME_COST = 1e-6
_REACHED = 1e-6
"""A step that is larger after 100 iterations is that of a solve which has not converged."""


@dataclass(frozen=True)
class OtherPlan:
    """A situation in which C and Python ended in different plans.

    Args:
        difference: largest difference of an input, scaled.
        cost_in_c: what the plan of C costs, by the model in Python.
        cost_in_python: what that of Python costs.
        step_in_c: what a step of the solver would still change of the plan of C.
        step_in_python: the same for that of Python.
    """

    difference: float
    cost_in_c: float
    cost_in_python: float
    step_in_c: float
    step_in_python: float

    @property
    def unfinished(self) -> bool:
        """Whether the two are one minimum that a solver has not reached: the same cost, and a step left."""
        same = abs(self.cost_in_c - self.cost_in_python) <= _SAME_COST * (1 + abs(self.cost_in_python))
        return same and max(self.step_in_c, self.step_in_python) > _REACHED


@dataclass(frozen=True)
class ControllerCheck:
    """How an exported controller compares with the solver in Python.

    Args:
        difference: largest difference of a planned input (scaled) where both found the same minimum; None
            where they never did.
        elsewhere: situations in which they found different ones.
        situations: all that were tried.
    """

    difference: float | None
    elsewhere: tuple[OtherPlan, ...]
    situations: int

    def __str__(self) -> str:
        """What it means that they found different ones."""
        if not self.elsewhere:
            return f"the same plans in {self.situations} situations"
        unfinished = [one for one in self.elsewhere if one.unfinished]
        minima = [one for one in self.elsewhere if not one.unfinished]
        told = [self._unfinished(unfinished)] if unfinished else []
        return ". ".join([*told, *([self._minima(minima)] if minima else [])])

    def _beginning(self, plans: Sequence[OtherPlan]) -> tuple[str, OtherPlan]:
        most = max(plans, key=lambda one: one.difference)
        return (
            f"in {len(plans)} of {self.situations} situations the C file and the solver in Python end in "
            f"different plans (inputs differ by up to {most.difference:.2g}, scaled; cost "
            f"{most.cost_in_c:.4g} in C, {most.cost_in_python:.4g} in Python)"
        ), most

    def _unfinished(self, plans: Sequence[OtherPlan]) -> str:
        begun, most = self._beginning(plans)
        return (
            f"{begun}. They cost the same, and one has not converged (a step would change them by "
            f"{most.step_in_c:.0e} in C and {most.step_in_python:.0e} in Python): the cost is so flat there "
            "that plans are known to about that difference"
        )

    def _minima(self, plans: Sequence[OtherPlan]) -> str:
        begun, most = self._beginning(plans)
        return (
            f"{begun}. Both satisfy the conditions of optimality of the same cost (a step would change them "
            f"by {most.step_in_c:.0e} and {most.step_in_python:.0e}), so the export is right, and the "
            "problem has several local minima: which one is found depends on the plan that a solve begins "
            "with. A larger --move-weight or a shorter --horizon leaves fewer"
        )


def compare_controller(
    model: ControlModel, card: ModelCard, settings: ControlSettings
) -> ControllerCheck | None:
    """Compile the controller here and compare it with the solver in Python, both carried to convergence.

    Where the plans differ, cost and conditions of optimality are compared, at the plan of C, by the solver in
    Python, which knows nothing of the C code: a wrong export fails there, another local minimum does not.

    Args:
        model: the plant's model.
        card: its scaling.
        settings: of the controller.

    Returns:
        What was found in random situations; None without a C compiler.

    Raises:
        AttractorError: the C file minimises something else.
    """
    if c_compiler() is None:
        return None
    fine = SolverSettings(tolerance=1e-9, iterations=100)
    with warnings.catch_warnings():
        for said in (ExportWarning, ControlWarning):  # when the file was written
            warnings.simplefilter("ignore", said)
        base = controller_code(model, card, settings)
    code = ControllerCode(**vars(base) | {"iterations": fine.iterations, "tolerance": fine.tolerance})
    limits = Limits(code.low, code.high, code.rate)
    problem = ControlProblem(settings.horizon, settings.objective_of(model), limits)
    solver, same, elsewhere = PlanSolver(model, problem, fine), [], []
    with TemporaryDirectory() as folder:
        controller = CompiledController(code, Path(folder))
        situations = _situations(model, code)
        for here in situations:
            found = _compared(controller, solver, here)
            (elsewhere if isinstance(found, OtherPlan) else same).append(found)
    return ControllerCheck(max(same, default=None), tuple(elsewhere), len(situations))


def _compared(controller: CompiledController, solver: PlanSolver, here: Situation) -> float | OtherPlan:
    """The difference of the plans of C and of Python, or what is known of two plans that differ.

    Raises:
        AttractorError: the plan of C is none, or costs something else than C says.
    """
    solver.reset()
    wanted = solver.solve(here).plan
    answer = controller(
        here.state,
        here.references[0],
        previous=here.last_input,
        input_target=here.target_input,
        state_target=here.target_state,
    )
    difference, code = float(np.abs(answer.plan - wanted).max()), controller.code
    rounding = (
        _ROUNDINGS * (code.horizon * len(code.low) + len(code.terminal_weight)) * np.finfo(np.float32).eps
    )
    narrow = code.precision == "float"
    if difference <= (_SAME_IN_SINGLE + rounding if narrow else _SAME_PLAN):
        return difference
    in_c, in_python = (solver.judge(here, plan) for plan in (answer.plan, wanted))
    stated = 2 * answer.cost
    same_cost = abs(stated - in_c.cost) <= (1e-4 if narrow else _SAME_COST) * (1 + abs(in_c.cost))
    optimal = in_c.step <= (1e-2 if narrow else _OPTIMAL)
    if answer.status is ControllerStatus.CONVERGED and not (same_cost and optimal):
        raise AttractorError(
            f"the C controller says that it has converged, at a plan that costs {stated:.6g}; by the "
            "model in Python "
            f"it costs {in_c.cost:.6g}, and a step would still change it by {in_c.step:.1e}: the "
            "export is wrong and "
            "was taken away again. Please report this cell"
        )
    return OtherPlan(difference, in_c.cost, in_python.cost, in_c.step, in_python.step)


def _situations(model: ControlModel, code: ControllerCode) -> list[Situation]:
    """States that the model visits under random inputs, and outputs that it can reach as references."""
    numbers = np.random.default_rng(0)
    finder = TargetFinder(model, ControlProblem())
    nothing, terminal = np.zeros(model.output_size), np.array(code.terminal_weight)
    made, middle, half = [], (code.high + code.low) / 2, (code.high - code.low) / 2
    for _ in range(_COMPARISONS):
        drawn = numbers.uniform(-0.9, 0.9, (2, model.input_size))
        now, aim = (finder.rest(middle + half * row) for row in drawn)
        references = np.tile(aim.output, (code.horizon, 1))
        made.append(Situation(now.state, now.input, references, aim.state, aim.input, nothing, terminal))
    return made
