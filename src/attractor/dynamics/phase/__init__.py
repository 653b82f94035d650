"""Phase diagrams: what networks do over two parameters, simulated beside the lines of theory."""

from .agreement import agreement, expected_outcomes
from .diagram import PhaseDiagram, phase_diagram
from .hysteresis import HysteresisScan, hysteresis_scan
from .outcomes import Outcome
from .placement import Placement, place_on
from .plan import PhaseAxis, PhasePlan, PhaseSimulation
from .storage import load_diagram, save_diagram
from .theory import Theory, TheoryLine

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
