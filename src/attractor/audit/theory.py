"""Whether a measure follows the level of noise that a network was trained with."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from attractor.errors import InputDataError, ShapeError


class Trend(NamedTuple):
    """A rank correlation.

    Args:
        correlation: Spearman's rho, from -1 (falls with the level throughout) to 1.
        p_value: two-sided, of no association; an approximation for few points, and one that takes the
            points as independent.
        points: how many pairs of level and value.
    """

    correlation: float
    p_value: float
    points: int


def trend(levels: ArrayLike, values: ArrayLike) -> Trend:
    """Spearman's rank correlation of a measure with the level, over all levels and seeds.

    Args:
        levels: shape (levels,).
        values: the measure, shape (levels,) or (levels, seeds).

    Raises:
        ShapeError: sizes that do not fit, or fewer than three points.
        InputDataError: numbers that are not finite, or all the same, which have no ranks.

    Example:
        >>> trend([0.0, 0.1, 0.2], [[3.0, 3.1], [2.0, 2.2], [1.0, 0.9]]).correlation < -0.9
        True
    """
    level, value = np.asarray(levels, float), np.asarray(values, float)
    if level.ndim != 1 or value.ndim not in (1, 2) or len(value) != len(level) or value.size < 3:
        raise ShapeError(
            f"levels of shape {level.shape} and values of shape {value.shape}, expected (levels,) and "
            "(levels, seeds) with three points or more"
        )
    repeated = np.broadcast_to(level.reshape(-1, *[1] * (value.ndim - 1)), value.shape).ravel()
    for name, numbers in (("levels", repeated), ("values", value.ravel())):
        if not np.isfinite(numbers).all() or np.ptp(numbers) == 0:
            raise InputDataError(f"{name} must be finite and not all the same, to be ranked")
    found: Any = spearmanr(repeated, value.ravel())
    return Trend(float(found.statistic), float(found.pvalue), value.size)
