"""Phase diagrams: what networks do over two parameters, simulated beside the lines of theory."""

from .agreement import agreement, expected_outcomes
from .critical_lines import Theory, TheoryLine
from .diagram import PhaseDiagram, phase_diagram
from .diagram_files import load_diagram, save_diagram
from .hysteresis import HysteresisScan, hysteresis_scan
from .outcomes import Outcome
from .phase_plan import PhaseAxis, PhasePlan, PhaseSimulation
from .placement import Placement, place_on

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
