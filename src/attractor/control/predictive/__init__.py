"""Nonlinear model predictive control of any recurrent model: targets, plans, closed loops."""

from .control_problem import ControlObjective, ControlProblem, Limits
from .controller import ControllerSettings, PredictiveController
from .sensitivities import Situation
from .simulated_loop import ClosedLoop, LoopMetrics, Scenario, loop_metrics, run_closed_loop
from .solver import PlanSolver, SolverSettings, SolveStatus
from .target import TargetFinder
from .terminal import CertifiedTerminal, ComparisonTerminal, LocalTerminal, NoTerminal

__all__ = [
    "CertifiedTerminal",
    "ClosedLoop",
    "ComparisonTerminal",
    "ControlObjective",
    "ControlProblem",
    "ControllerSettings",
    "Limits",
    "LocalTerminal",
    "LoopMetrics",
    "NoTerminal",
    "PlanSolver",
    "PredictiveController",
    "Scenario",
    "Situation",
    "SolveStatus",
    "SolverSettings",
    "TargetFinder",
    "loop_metrics",
    "run_closed_loop",
]
