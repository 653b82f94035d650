"""Lyapunov exponents: measured, with their errors; what follows from them; as a term of training."""

from .exponents import lyapunov_exponents
from .settings import LyapunovSettings
from .spectrum import Ending, LyapunovSpectrum
from .summaries import entropy_rate_bound, kaplan_yorke_dimension, participation_ratio

__all__ = [
    "Ending",
    "LyapunovSettings",
    "LyapunovSpectrum",
    "entropy_rate_bound",
    "kaplan_yorke_dimension",
    "lyapunov_exponents",
    "participation_ratio",
]
