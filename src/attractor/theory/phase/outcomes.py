"""What a point of a phase diagram does, as far as a simulation of finite length can tell."""

from enum import Enum

import numpy as np
from jaxtyping import Float

from attractor.dynamics.lyapunov.low_frequency import error_of_mean


class Outcome(Enum):
    """What a network does from a large and from a small start; the value is the text that users see."""

    SETTLES = "it comes to rest from both starts"
    CHAOTIC = "it is chaotic from both starts"
    START_DECIDES = "it is chaotic from one start and comes to rest from the other"
    UNDECIDED = "the exponent is within its error of zero, from one start at least"
    DIVERGED = "it leaves the finite numbers"

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


def mean_and_interval(
    growth: Float[np.ndarray, "seeds *points blocks"], confidence: float
) -> tuple[Float[np.ndarray, "*points"], Float[np.ndarray, "*points"], Float[np.ndarray, "*points"]]:
    """Exponents and the ends of their intervals, from growth rates that may remember each other.

    A path that still changes has halves that differ; the interval reaches at least that far on both sides, so
    that the sign of a slow transient is not taken for that of what comes after it.

    Args:
        growth: mean growth rate in every block of time; not finite where the state left the finite numbers.
        confidence: probability with which an interval holds the exponent.

    Returns:
        Exponents, lower and upper ends; NaN where there is no exponent.
    """
    seeds, *points, blocks = growth.shape
    mean = np.full(int(np.prod(points)), np.nan)
    low, high = mean.copy(), mean.copy()
    paths = np.moveaxis(growth.reshape(seeds, len(mean), blocks), 1, -1)
    known = np.isfinite(paths).all(axis=(0, 1))
    if known.any():
        mean[known], low[known], high[known] = _known(paths[..., known], confidence)
    return mean.reshape(points), low.reshape(points), high.reshape(points)


def _known(paths: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of finite growth rates, shape (seeds, blocks, points)."""
    blocks = paths.shape[1]
    mean, half = paths.mean(axis=(0, 1)), blocks // 2
    drift = np.abs(paths[:, half:].mean(axis=(0, 1)) - paths[:, :half].mean(axis=(0, 1)))
    error = error_of_mean(np.cumsum(paths, axis=1), np.arange(1.0, blocks + 1))
    below, above = (error.quantile(share) for share in ((1 - confidence) / 2, (1 + confidence) / 2))
    return mean, mean + np.minimum(below, -drift), mean + np.maximum(above, drift)


def signs(
    low: Float[np.ndarray, "*points"], high: Float[np.ndarray, "*points"]
) -> Float[np.ndarray, "*points"]:
    """1 where the exponent is surely positive, -1 where it is surely negative, 0 between, NaN without one.

    Args:
        low: lower ends of the intervals of exponents.
        high: upper ends.
    """
    sign = np.sign(low) * (low > 0) + np.sign(high) * (high < 0)
    return np.where(np.isfinite(low) & np.isfinite(high), sign, np.nan)


def outcome_of(large: float, small: float) -> Outcome:
    """The outcome of two signs, that of the large and that of the small start."""
    if np.isnan(large) or np.isnan(small):
        return Outcome.DIVERGED
    if large == 0 or small == 0:
        return Outcome.UNDECIDED
    if large != small:
        return Outcome.START_DECIDES
    return Outcome.CHAOTIC if large > 0 else Outcome.SETTLES
