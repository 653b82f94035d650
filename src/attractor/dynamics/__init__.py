"""What a recurrent network does: exponents, fixed points, spectra, and what theory predicts of them."""

from .jacobians import JacobianNorms, flow_norms, jacobian_norms
from .lyapunov import LyapunovSettings, LyapunovSpectrum, lyapunov_exponents
from .spectra import JacobianSpectrum, SpectralCurve, jacobian_spectrum, spectra_along, spectral_curve

__all__ = [
    "JacobianNorms",
    "JacobianSpectrum",
    "LyapunovSettings",
    "LyapunovSpectrum",
    "SpectralCurve",
    "flow_norms",
    "jacobian_norms",
    "jacobian_spectrum",
    "lyapunov_exponents",
    "spectra_along",
    "spectral_curve",
]
