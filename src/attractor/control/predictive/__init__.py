"""Nonlinear model predictive control of any recurrent model: targets, plans, closed loops."""

from .closed_loop import ClosedLoop, Scenario, run_closed_loop
from .controller import ControllerOptions, ControlSolution, PredictiveController
from .figures import LoopFigures, Segment, loop_figures
from .offset_free import OutputDisturbance
from .problem import ControlObjective, ControlProblem, Limits
from .sensitivities import Look, Situation
from .solution import PlanSolution, SolveStatus
from .solver import PlanSolver, SolverSettings
from .target import Rest, SteadyTarget, TargetFinder
from .terminal import (
    CertifiedTerminal,
    ComparisonTerminal,
    LocalTerminal,
    NoTerminal,
    TerminalCost,
    comparison_cost,
    diagonal_comparison_cost,
)

__all__ = [
    "CertifiedTerminal",
    "ClosedLoop",
    "ComparisonTerminal",
    "ControlObjective",
    "ControlProblem",
    "ControlSolution",
    "ControllerOptions",
    "Limits",
    "LocalTerminal",
    "Look",
    "LoopFigures",
    "NoTerminal",
    "OutputDisturbance",
    "PlanSolution",
    "PlanSolver",
    "PredictiveController",
    "Rest",
    "Scenario",
    "Segment",
    "Situation",
    "SolveStatus",
    "SolverSettings",
    "SteadyTarget",
    "TargetFinder",
    "TerminalCost",
    "comparison_cost",
    "diagonal_comparison_cost",
    "loop_figures",
    "run_closed_loop",
]
