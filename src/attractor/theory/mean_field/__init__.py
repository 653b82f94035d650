"""Mean-field theory of gated random networks: what infinitely many units do, computed for one.

Krishnamurthy, Can and Schwab, *Theory of gating in recurrent neural networks*, arXiv 2007.14823; without
gates Sompolinsky, Crisanti and Sommers 1988, *Chaos in random neural networks*.
"""

from .correlators import CorrelatorSolution, MeanFieldStatus, solve_correlators
from .critical import Phase, chaos_threshold, chaotic_branch, critical_gains, fold_gain, fold_threshold
from .gated_parameters import GatedParameters, SampledCovariance, input_covariance_of
from .mean_field_fixed_points import (
    fixed_point_gain,
    leading_edge,
    marginal_range,
    mean_field_fixed_points,
    stability_index,
)
from .mean_field_solution import (
    ExponentSolution,
    MeanFieldSolution,
    mean_field_exponent,
    sample_exponent,
    solve_mean_field,
)
from .sampling import SamplingSettings, sample_correlators

__all__ = [
    "CorrelatorSolution",
    "ExponentSolution",
    "GatedParameters",
    "MeanFieldSolution",
    "MeanFieldStatus",
    "Phase",
    "SampledCovariance",
    "SamplingSettings",
    "chaos_threshold",
    "chaotic_branch",
    "critical_gains",
    "fixed_point_gain",
    "fold_gain",
    "fold_threshold",
    "input_covariance_of",
    "leading_edge",
    "marginal_range",
    "mean_field_exponent",
    "mean_field_fixed_points",
    "sample_correlators",
    "sample_exponent",
    "solve_correlators",
    "solve_mean_field",
    "stability_index",
]
