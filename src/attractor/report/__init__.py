"""The HTML report: one self-contained page with inline figures, no scripts and no network."""

from .classifier_page import write_classifier_report
from .contents import (
    DataPage,
    Finding,
    IdentificationContents,
    MetricsRow,
    PredictionPage,
    ResidualPage,
    SteadyStatePage,
    Summary,
    TrainingPage,
    TrainingRun,
)
from .dynamics_page import DynamicsFacts, write_dynamics_report
from .page import render_identification_report, write_report
from .phase_page import write_phase_report
from .robustness_page import write_robustness_report
from .run_report import write_run_report
from .stability_page import StabilityFacts, write_stability_report

__all__ = [
    "DataPage",
    "DynamicsFacts",
    "Finding",
    "IdentificationContents",
    "MetricsRow",
    "PredictionPage",
    "ResidualPage",
    "StabilityFacts",
    "SteadyStatePage",
    "Summary",
    "TrainingPage",
    "TrainingRun",
    "render_identification_report",
    "write_classifier_report",
    "write_dynamics_report",
    "write_phase_report",
    "write_report",
    "write_robustness_report",
    "write_run_report",
    "write_stability_report",
]
