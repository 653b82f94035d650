"""Phase diagrams: what networks do over two parameters, simulated beside the lines of theory."""

from .critical_lines import Theory, TheoryLine
from .diagram import (
    DiagramPosition,
    Outcome,
    PhaseDiagram,
    agreement,
    expected_outcomes,
    phase_diagram,
    position_in,
)
from .diagram_files import load_diagram, save_diagram
from .hysteresis import HysteresisScan, hysteresis_scan
from .phase_plan import PhaseAxis, PhasePlan, PhaseSimulation

__all__ = [
    "DiagramPosition",
    "HysteresisScan",
    "Outcome",
    "PhaseAxis",
    "PhaseDiagram",
    "PhasePlan",
    "PhaseSimulation",
    "Theory",
    "TheoryLine",
    "agreement",
    "expected_outcomes",
    "hysteresis_scan",
    "load_diagram",
    "phase_diagram",
    "position_in",
    "save_diagram",
]
