"""States that a step leaves where they are, what trajectories do near them, and how they move and meet."""

from .points import FixedPoints, SearchCounts, SlowPoints
from .search import FixedPointSettings, fixed_points
from .spectrum import PointKind, Spectrum
from .starts import sampled_starts

__all__ = [
    "FixedPointSettings",
    "FixedPoints",
    "PointKind",
    "SearchCounts",
    "SlowPoints",
    "Spectrum",
    "fixed_points",
    "sampled_starts",
]
