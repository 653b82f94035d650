"""What a point of a phase diagram does, as far as a simulation of finite length can tell."""

from enum import Enum

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student


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


def mean_and_error(
    growth: Float[np.ndarray, "seeds *points blocks"],
) -> tuple[Float[np.ndarray, "*points"], Float[np.ndarray, "*points"]]:
    """Exponent and its standard error, from blocks that are taken as independent.

    A path that still changes has halves that differ; the error is at least half of that difference, so that
    the sign of a slow transient is not taken for that of what comes after it.
    """
    blocks = np.moveaxis(growth, 0, -1).reshape(*growth.shape[1:-1], -1)
    mean = blocks.mean(axis=-1)
    scatter = blocks.std(axis=-1, ddof=1) / np.sqrt(blocks.shape[-1])
    half = growth.shape[-1] // 2
    drift = growth[..., half:].mean(axis=(0, -1)) - growth[..., :half].mean(axis=(0, -1))
    return mean, np.maximum(scatter, np.abs(drift) / 2)


def signs(
    mean: Float[np.ndarray, "*points"], error: Float[np.ndarray, "*points"], confidence: float, blocks: int
) -> Float[np.ndarray, "*points"]:
    """1 where the exponent is surely positive, -1 where it is surely negative, 0 between, NaN without one.

    Args:
        mean: exponents.
        error: their standard errors.
        confidence: two-sided probability.
        blocks: behind every error.
    """
    width = student.ppf(0.5 + confidence / 2, blocks - 1) * error
    decided = np.where(np.abs(mean) > width, np.sign(mean), 0.0)
    return np.where(np.isfinite(mean), decided, np.nan)


def outcome_of(large: float, small: float) -> Outcome:
    """The outcome of two signs, that of the large and that of the small start."""
    if np.isnan(large) or np.isnan(small):
        return Outcome.DIVERGED
    if large == 0 or small == 0:
        return Outcome.UNDECIDED
    if large != small:
        return Outcome.START_DECIDES
    return Outcome.CHAOTIC if large > 0 else Outcome.SETTLES
