"""The spectrum of the random network that a Jacobian is compared with."""

from .boundary import Boundary
from .null_model import NullKind, Outlier, SpectralCurve, spectral_curve
from .support import Support

__all__ = [
    "Boundary",
    "NullKind",
    "Outlier",
    "SpectralCurve",
    "Support",
    "spectral_curve",
]
