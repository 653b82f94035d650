"""What a recurrent network does, measured: exponents, fixed points, eigenvalues, Jacobians."""

from .eigenvalues import JacobianSpectrum, jacobian_spectrum, spectra_along, time_scale
from .equilibria.continuation import ContinuationSettings, follow_fixed_point, scaled_input
from .equilibria.counting import CountSettings, FixedPointCount, count_fixed_points
from .equilibria.fixed_point_curve import Bifurcation, BifurcationKind, Branch, BranchStatus
from .equilibria.points import FixedPoints, PointKind, SearchCounts, SlowPoints
from .equilibria.search import FixedPointSettings, fixed_points, sampled_starts
from .jacobians import JacobianNorms, flow_norms, jacobian_norms
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
from .portrait import Portrait, portrait

__all__ = [
    "Bifurcation",
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
    "SearchCounts",
    "SlowPoints",
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
