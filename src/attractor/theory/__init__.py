"""What theory predicts of a recurrent network, and the study that sets it beside what is measured."""

from .dynamics_study import DynamicsSettings, DynamicsStudy, Regime, dynamics_study
from .random_matrices.spectral_curve import NullKind, SpectralCurve, spectral_curve

__all__ = [
    "DynamicsSettings",
    "DynamicsStudy",
    "NullKind",
    "Regime",
    "SpectralCurve",
    "dynamics_study",
    "spectral_curve",
]
