"""What is given beside a cell: bounds of its inputs and starts, checked before anything is proved of them."""

from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from attractor.errors import ConfigError, ShapeError


def checked_bound(input_bound: Any, inputs: int) -> Float[np.ndarray, " inputs"]:
    """A bound for every input.

    Raises:
        ConfigError: something else than finite numbers of at least 0.
        ShapeError: neither one number nor one for each input.
    """
    bound = _numbers(input_bound, "input_bound")
    if bound.shape not in ((), (inputs,)):
        message = f"input_bound has shape {bound.shape}; expected one number or shape ({inputs},)"
        raise ShapeError(message)
    if not (np.isfinite(bound) & (bound >= 0)).all():
        message = f"input_bound={input_bound}: expected finite numbers of at least 0, in scaled units"
        raise ConfigError(message)
    return np.broadcast_to(bound, (inputs,)).copy()


def checked_starts(
    own: Float[np.ndarray, " states"], starts: tuple[ArrayLike, ArrayLike] | None
) -> tuple[Float[np.ndarray, " states"], Float[np.ndarray, " states"]]:
    """Ends of a box with all starts in it, the cell's own among them.

    Raises:
        ConfigError: ends that are no numbers.
        ShapeError: no two finite ends of the shape of the state.
    """
    if starts is None:
        return own, own
    ends = [_numbers(end, "starts") for end in starts]
    for end in ends:
        if end.shape not in ((), own.shape) or not np.isfinite(end).all():
            message = (
                f"starts of shape {end.shape}: expected two finite ends of shape {own.shape}, or numbers"
            )
            raise ShapeError(message)
    return np.minimum(ends[0], own), np.maximum(ends[1], own)


def _numbers(values: Any, name: str) -> np.ndarray:
    """An array of float64 of what is made of numbers; a text or a flag is none."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        message = f"{name}={values!r}: expected numbers, in scaled units"
        raise ConfigError(message)
    return array.astype(float)


__all__ = ["checked_bound", "checked_starts"]
