"""What must hold before anything is proved of a cell: its weights are numbers.

A formula looks at some of the weights only: |U| < 1 says nothing of a bias that is NaN, and every state is
NaN after one step with it. So all of them are looked at first, whichever entry is used.
"""

from typing import Any

import jax
import numpy as np


def not_finite(weights: Any) -> str:
    """Why weights can prove nothing: a sentence that names the array, or "" if all numbers are finite.

    Args:
        weights: a cell, or any other pytree of arrays and numbers.

    Example:
        >>> not_finite({"bias": np.array([0.0, np.nan])})
        "['bias'] holds 1 of 2 values that are not finite (NaN or infinite), so nothing can be proved of it"
    """
    for path, leaf in jax.tree.leaves_with_path(weights):
        kind = getattr(leaf, "dtype", np.asarray(leaf).dtype if isinstance(leaf, float | complex) else None)
        if kind is None or not _has_fractions(kind):
            continue
        values = np.asarray(leaf)
        wrong = int(values.size - np.isfinite(values.astype(_wide(kind))).sum())
        if wrong:
            name = jax.tree_util.keystr(path) or "it"
            return (
                f"{name} holds {wrong} of {values.size} values that are not finite (NaN or infinite), so "
                "nothing can be proved of it"
            )
    return ""


def _has_fractions(kind: Any) -> bool:
    return jax.numpy.issubdtype(kind, jax.numpy.inexact)


def _wide(kind: Any) -> type:
    return np.complex128 if jax.numpy.issubdtype(kind, jax.numpy.complexfloating) else np.float64


__all__ = ["not_finite"]
