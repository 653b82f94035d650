"""States that a step leaves where they are, what trajectories do near them, and how they move and meet."""

from .continuation import ContinuationSettings, follow_fixed_point, scaled_input
from .counting import CountSettings, FixedPointCount, count_fixed_points
from .fixed_point_curve import Bifurcation, BifurcationKind, Branch, BranchStatus
from .points import FixedPoints, PointKind, SearchCounts, SlowPoints, Spectrum
from .search import FixedPointSettings, fixed_points, sampled_starts

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
    "PointKind",
    "SearchCounts",
    "SlowPoints",
    "Spectrum",
    "count_fixed_points",
    "fixed_points",
    "follow_fixed_point",
    "sampled_starts",
    "scaled_input",
]
