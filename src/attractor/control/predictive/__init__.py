"""Nonlinear model predictive control of any recurrent model: targets, plans, closed loops."""

from .control_problem import ControlObjective, ControlProblem, Limits
from .controller import ControllerOptions, ControlSolution, OutputDisturbance, PredictiveController
from .sensitivities import Look, Situation
from .simulated_loop import ClosedLoop, LoopFigures, Scenario, Segment, loop_figures, run_closed_loop
from .solver import PlanSolution, PlanSolver, SolverSettings, SolveStatus
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
