"""What a recurrent network does: exponents, fixed points, spectra, and what theory predicts of them."""

from .jacobians import JacobianNorms, flow_norms, jacobian_norms
from .lyapunov import LyapunovSettings, LyapunovSpectrum, lyapunov_exponents

__all__ = [
    "JacobianNorms",
    "LyapunovSettings",
    "LyapunovSpectrum",
    "flow_norms",
    "jacobian_norms",
    "lyapunov_exponents",
]
