"""What a recurrent network does: exponents, fixed points, spectra, and what theory predicts of them."""

from .jacobians import JacobianNorms, flow_norms, jacobian_norms
from .lyapunov import (
    CovariantVectors,
    Ending,
    LyapunovSettings,
    LyapunovSpectrum,
    covariant_vectors,
    entropy_rate_bound,
    kaplan_yorke_dimension,
    leading_exponents,
    lyapunov_exponents,
    participation_ratio,
)

__all__ = [
    "CovariantVectors",
    "Ending",
    "JacobianNorms",
    "LyapunovSettings",
    "LyapunovSpectrum",
    "covariant_vectors",
    "entropy_rate_bound",
    "flow_norms",
    "jacobian_norms",
    "kaplan_yorke_dimension",
    "leading_exponents",
    "lyapunov_exponents",
    "participation_ratio",
]
