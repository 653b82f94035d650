"""Lyapunov exponents: measured, with their errors; what follows from them; as a term of training."""

from .covariant import CovariantVectors, covariant_vectors
from .differentiable import leading_exponents
from .exponents import LyapunovSettings, lyapunov_exponents
from .lyapunov_spectrum import (
    Ending,
    LyapunovSpectrum,
    entropy_rate_bound,
    kaplan_yorke_dimension,
    participation_ratio,
)

__all__ = [
    "CovariantVectors",
    "Ending",
    "LyapunovSettings",
    "LyapunovSpectrum",
    "covariant_vectors",
    "entropy_rate_bound",
    "kaplan_yorke_dimension",
    "leading_exponents",
    "lyapunov_exponents",
    "participation_ratio",
]
