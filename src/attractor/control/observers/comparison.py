"""Rates of errors that obey a componentwise bound |e(k+1)| <= M(|e(k)|)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, " size"]

SLACK = 1 + 1e-12
"""Covers the rounding of the sums in a bound many times over."""

_FLOOR = 1e-9


def best_weights(
    ratios: Callable[[Vector], Vector], size: int, iterations: int = 300
) -> tuple[float, Vector]:
    """Weights w for which the largest of `ratios(w)` is smallest; it is the rate in the norm max |e_i| / w_i.

    The map w -> w * ratios(w) is monotone and homogeneous, so its powers tend to the nonlinear Perron vector.
    Every iterate gives a valid rate; the smallest is kept, and equal weights are tried first.

    Args:
        ratios: ratios(w)_i = bound on |e_i(k+1)| / w_i for all |e(k)| <= w.
        size: length of w.
        iterations: how often the map is applied.
    """
    weights = np.ones(size)
    best, chosen = np.inf, weights
    for _ in range(iterations):
        now = ratios(weights)
        largest = float(np.max(now))
        if largest < best:
            best, chosen = largest, weights
        if not np.isfinite(largest):
            break
        weights = weights * now + 1e-12
        weights = np.maximum(weights / weights.max(), _FLOOR)
    return best * SLACK, chosen


def slope_bound(
    derivative: Callable[[Vector], Vector], centre: Vector, radius: Vector
) -> Float[np.ndarray, " size"]:
    """Largest derivative of a logistic function or of tanh within centre +- radius: that nearest to zero."""
    nearest = np.maximum(np.abs(centre) - radius, 0.0)
    return derivative(nearest) * SLACK
