"""What theory predicts of a recurrent network, and the study that sets it beside what is measured."""

from .dynamics_study import DynamicsPlan, DynamicsStudy, Regime, dynamics_study
from .random_matrices import Boundary, NullKind, Outlier, SpectralCurve, Support, spectral_curve

__all__ = [
    "Boundary",
    "DynamicsPlan",
    "DynamicsStudy",
    "NullKind",
    "Outlier",
    "Regime",
    "SpectralCurve",
    "Support",
    "dynamics_study",
    "spectral_curve",
]
