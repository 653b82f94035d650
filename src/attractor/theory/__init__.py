"""What theory predicts of a recurrent network, and the study that sets it beside what is measured."""

from .dynamics_study import DynamicsSettings, DynamicsStudy, Regime, dynamics_study
from .random_matrices.boundary import Boundary
from .random_matrices.null_model import NullKind, Outlier, SpectralCurve, spectral_curve
from .random_matrices.support import Support

__all__ = [
    "Boundary",
    "DynamicsSettings",
    "DynamicsStudy",
    "NullKind",
    "Outlier",
    "Regime",
    "SpectralCurve",
    "Support",
    "dynamics_study",
    "spectral_curve",
]
