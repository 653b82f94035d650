"""Long series made short enough to draw, and the units of their time axes."""

import numpy as np
from jaxtyping import Float, Num

_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0))


def envelope(
    time: Num[np.ndarray, " time"], values: Float[np.ndarray, " time"], bins: int
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """The smallest and the largest value of every bin, so that no peak gets lost.

    Values that are not finite count as missing; a bin of nothing else gives NaN, a gap in the line.

    Args:
        time: increasing.
        values: one per time.
        bins: the result has at most twice as many points.

    Returns:
        Times and values to draw, unchanged where the series is short enough.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    if len(values) <= 2 * bins:
        return np.asarray(time, float), values
    starts = np.linspace(0, len(values), bins, endpoint=False).astype(int)
    extremes = np.stack([np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)], axis=1)
    # A rising bin is drawn from its low to its high end, a falling one the other way round.
    ends = np.append(starts[1:], len(values)) - 1
    falling = values[starts] > values[ends]
    extremes[falling] = extremes[falling, ::-1]
    # The two points stand a quarter and three quarters into the bin; at one time they would draw stairs.
    left, right = time[starts].astype(float), time[ends].astype(float)
    return np.stack(
        [0.75 * left + 0.25 * right, 0.25 * left + 0.75 * right], axis=1
    ).ravel(), extremes.ravel()


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a duration reads best, and its length in seconds.

    Example:
        >>> time_unit(25_000.0)
        ('h', 3600.0)
    """
    return next((unit for unit in reversed(_UNITS) if seconds >= 3.0 * unit[1]), _UNITS[0])


def time_axis(samples: int, sampling_time: float) -> tuple[Float[np.ndarray, " time"], str]:
    """Times of the samples in the unit that reads best, and the label of the axis."""
    unit, length = time_unit(samples * sampling_time)
    return np.arange(samples) * sampling_time / length, f"time [{unit}]"


def worst_window(errors: Float[np.ndarray, " time"], length: int, start: int = 0) -> tuple[int, int]:
    """First and last row (exclusive) of the window with the largest sum of squared errors.

    Args:
        errors: measured less predicted; what is not finite counts as zero.
        length: of the window, in rows.
        start: rows before it are not considered.

    Returns:
        Both ends; the whole series where it is shorter than the window.
    """
    squares = np.where(np.isfinite(errors), errors, 0.0)[start:] ** 2
    if len(squares) <= length:
        return start, len(errors)
    total = np.concatenate([[0.0], np.cumsum(squares)])
    first = start + int(np.argmax(total[length:] - total[:-length]))
    return first, first + length
