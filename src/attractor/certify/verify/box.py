"""Boxes of inputs, checked."""

import numpy as np
from numpy.typing import ArrayLike

from attractor.errors import InputDataError, ShapeError


def box_of(low: ArrayLike, high: ArrayLike, what: str = "the inputs") -> tuple[np.ndarray, np.ndarray]:
    """Both ends of a box in float64.

    Args:
        low: least values.
        high: largest ones.
        what: they are of, for messages.

    Raises:
        ShapeError: ends of different shapes.
        InputDataError: ends that are no finite numbers, or a lower one above the upper one.
    """
    lows, highs = (np.asarray(end, np.float64) for end in (low, high))
    if lows.shape != highs.shape:
        raise ShapeError(f"the lower end of {what} has shape {lows.shape}, the upper one {highs.shape}")
    if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
        raise InputDataError(f"the ends of {what} hold what is no finite number; give each a range")
    if (lows > highs).any():
        where = tuple(int(index) for index in np.argwhere(lows > highs)[0])
        raise InputDataError(
            f"{what} at {where} have the range {lows[where]:g} to {highs[where]:g}, whose lower end is larger"
        )
    return lows, highs


def inside(nominal: ArrayLike | None, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Values between both ends: those that are given, or the middle.

    Raises:
        ShapeError: values of another shape.
        InputDataError: values outside of the box.
    """
    if nominal is None:
        return low + (high - low) / 2
    values = np.asarray(nominal, np.float64)
    if values.shape != low.shape:
        raise ShapeError(f"the nominal inputs have shape {values.shape}, their ends {low.shape}")
    if not ((values >= low) & (values <= high)).all():
        where = tuple(int(index) for index in np.argwhere(~((values >= low) & (values <= high)))[0])
        raise InputDataError(
            f"the nominal input at {where} is {values[where]:g}, outside of {low[where]:g} to {high[where]:g}"
        )
    return values
