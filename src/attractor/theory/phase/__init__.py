"""Phase diagrams: what networks do over two parameters, simulated beside the lines of theory."""

from .critical_lines import Theory, TheoryLine
from .diagram import (
    HysteresisScan,
    Outcome,
    PhaseDiagram,
    Placement,
    agreement,
    expected_outcomes,
    hysteresis_scan,
    phase_diagram,
    place_on,
)
from .diagram_files import load_diagram, save_diagram
from .phase_plan import PhaseAxis, PhasePlan, PhaseSimulation

__all__ = [
    "HysteresisScan",
    "Outcome",
    "PhaseAxis",
    "PhaseDiagram",
    "PhasePlan",
    "PhaseSimulation",
    "Placement",
    "Theory",
    "TheoryLine",
    "agreement",
    "expected_outcomes",
    "hysteresis_scan",
    "load_diagram",
    "phase_diagram",
    "place_on",
    "save_diagram",
]
