"""What must hold before anything is proved of a cell: its weights, bounds of inputs and starts are numbers.

A formula looks at some of the weights only: |U| < 1 says nothing of a bias that is NaN, and every state is
NaN after one step with it. So all of them are looked at first, whichever entry is used.
"""

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, PyTree

from attractor.errors import ConfigError, ShapeError


def not_finite(weights: PyTree) -> str:
    """Why weights can prove nothing: a sentence that names the array, or "" if all numbers are finite.

    Args:
        weights: a cell, or any other pytree of arrays and numbers.

    Example:
        >>> not_finite({"bias": np.array([0.0, np.nan])})
        "['bias'] holds 1 of 2 values that are not finite (NaN or infinite), so nothing can be proved of it"
    """
    for path, leaf in jax.tree.leaves_with_path(weights):
        kind = getattr(leaf, "dtype", np.asarray(leaf).dtype if isinstance(leaf, float | complex) else None)
        if kind is None or not jax.numpy.issubdtype(kind, jax.numpy.inexact):
            continue
        values = np.asarray(leaf)
        double = np.complex128 if jax.numpy.issubdtype(kind, jax.numpy.complexfloating) else np.float64
        wrong = int(values.size - np.isfinite(values.astype(double)).sum())
        if wrong:
            name = jax.tree_util.keystr(path) or "it"
            return (
                f"{name} holds {wrong} of {values.size} values that are not finite (NaN or infinite), so "
                "nothing can be proved of it"
            )
    return ""


def checked_bound(input_bound: object, inputs: int) -> Float[np.ndarray, " inputs"]:
    """A bound for every input.

    Raises:
        ConfigError: something else than finite numbers of at least 0.
        ShapeError: neither one number nor one for each input.
    """
    bound = _numbers(input_bound, "input_bound")
    if bound.shape not in ((), (inputs,)):
        raise ShapeError(f"input_bound has shape {bound.shape}; expected one number or shape ({inputs},)")
    if not (np.isfinite(bound) & (bound >= 0)).all():
        raise ConfigError(
            f"input_bound={input_bound}: expected finite numbers of at least 0, in scaled units"
        )
    return np.broadcast_to(bound, (inputs,)).copy()


def checked_starts(
    own: Float[np.ndarray, " states"], starts: tuple[ArrayLike, ArrayLike] | None
) -> tuple[Float[np.ndarray, " states"], Float[np.ndarray, " states"]]:
    """Ends of the box of starts: exactly those given, or the cell's own start alone.

    Raises:
        ConfigError: ends that are no numbers, or a lowest above a highest.
        ShapeError: no two finite ends of the shape of the state.
    """
    if starts is None:
        return own, own
    ends = [_numbers(end, "starts") for end in starts]
    for end in ends:
        if end.shape not in ((), own.shape) or not np.isfinite(end).all():
            raise ShapeError(
                f"starts of shape {end.shape}: expected two finite ends of shape {own.shape}, or numbers"
            )
    low, high = (np.broadcast_to(end, own.shape).copy() for end in ends)
    if not (low <= high).all():
        raise ConfigError(f"starts={starts}: expected the lowest start first, and then the highest")
    return low, high


def _numbers(values: object, name: str) -> np.ndarray:
    """An array of float64 of what is made of numbers; a text or a flag is none."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise ConfigError(f"{name}={values!r}: expected numbers, in scaled units")
    return array.astype(float)
