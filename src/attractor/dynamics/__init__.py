"""What a recurrent network does, measured: exponents, fixed points, eigenvalues, Jacobians."""

from .equilibria.continuation import ContinuationSettings, follow_fixed_point, scaled_input
from .equilibria.fixed_point_curve import BifurcationKind, Branch, BranchStatus
from .equilibria.points import FixedPoints, PointKind
from .equilibria.search import (
    CountSettings,
    FixedPointCount,
    FixedPointSettings,
    count_fixed_points,
    fixed_points,
    sampled_starts,
)
from .jacobians import (
    JacobianNorms,
    JacobianSpectrum,
    flow_norms,
    jacobian_norms,
    jacobian_spectrum,
    spectra_along,
    time_scale,
)
from .lyapunov.covariant import CovariantVectors, covariant_vectors
from .lyapunov.differentiable import leading_exponents
from .lyapunov.exponents import LyapunovSettings, lyapunov_exponents
from .lyapunov.lyapunov_spectrum import (
    Ending,
    LyapunovSpectrum,
    entropy_rate_bound,
    kaplan_yorke_dimension,
    participation_ratio,
)
from .trajectory import Portrait, portrait

__all__ = [
    "BifurcationKind",
    "Branch",
    "BranchStatus",
    "ContinuationSettings",
    "CountSettings",
    "CovariantVectors",
    "Ending",
    "FixedPointCount",
    "FixedPointSettings",
    "FixedPoints",
    "JacobianNorms",
    "JacobianSpectrum",
    "LyapunovSettings",
    "LyapunovSpectrum",
    "PointKind",
    "Portrait",
    "count_fixed_points",
    "covariant_vectors",
    "entropy_rate_bound",
    "fixed_points",
    "flow_norms",
    "follow_fixed_point",
    "jacobian_norms",
    "jacobian_spectrum",
    "kaplan_yorke_dimension",
    "leading_exponents",
    "lyapunov_exponents",
    "participation_ratio",
    "portrait",
    "sampled_starts",
    "scaled_input",
    "spectra_along",
    "time_scale",
]
