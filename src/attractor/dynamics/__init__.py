"""What a recurrent network does: exponents, fixed points, spectra, and what theory predicts of them."""

from .fixed_points import (
    Bifurcation,
    BifurcationKind,
    Branch,
    BranchStatus,
    ContinuationSettings,
    CountSettings,
    FixedPointCount,
    FixedPoints,
    FixedPointSettings,
    PointKind,
    SearchCounts,
    SlowPoints,
    count_fixed_points,
    fixed_points,
    follow_fixed_point,
    sampled_starts,
    scaled_input,
)
from .jacobians import JacobianNorms, flow_norms, jacobian_norms
from .lyapunov import LyapunovSettings, LyapunovSpectrum, lyapunov_exponents

__all__ = [
    "Bifurcation",
    "BifurcationKind",
    "Branch",
    "BranchStatus",
    "ContinuationSettings",
    "CountSettings",
    "FixedPointCount",
    "FixedPointSettings",
    "FixedPoints",
    "JacobianNorms",
    "LyapunovSettings",
    "LyapunovSpectrum",
    "PointKind",
    "SearchCounts",
    "SlowPoints",
    "count_fixed_points",
    "fixed_points",
    "flow_norms",
    "follow_fixed_point",
    "jacobian_norms",
    "lyapunov_exponents",
    "sampled_starts",
    "scaled_input",
]
