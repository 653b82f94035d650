"""Spectra of Jacobians, and the random network that they are compared with."""

from .boundary import Boundary
from .eigenvalues import JacobianSpectrum, jacobian_spectrum, spectra_along, time_scale
from .null_model import NullKind, Outlier, SpectralCurve, spectral_curve
from .support import Support

__all__ = [
    "Boundary",
    "JacobianSpectrum",
    "NullKind",
    "Outlier",
    "SpectralCurve",
    "Support",
    "jacobian_spectrum",
    "spectra_along",
    "spectral_curve",
    "time_scale",
]
