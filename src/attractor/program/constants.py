"""NumPy arrays in a step are read anew in each precision.

JAX keeps for every NumPy array that a program holds what it became, and asks neither for the precision nor
whether the numbers have changed: an array of float64 that was met while a model was trained in float32 stays
float32 where the model is analysed in float64, and the two do not fit together. Here it is converted each
time that a program is traced, by a handler of JAX's own, which a later version may no longer have.
"""

from typing import Any

import numpy as np


def read_anew() -> None:
    """Let JAX convert NumPy arrays each time it meets them; where it has no such handler, nothing changes."""
    try:
        from jax._src.dtypes import canonicalize_dtype, register_canonicalize_value_handler
        from jax._src.literals import TypedNdArray
    except ImportError:
        return

    def converted(array: np.ndarray) -> Any:
        return TypedNdArray(np.asarray(array, canonicalize_dtype(array.dtype)))

    register_canonicalize_value_handler(np.ndarray, converted)


__all__ = ["read_anew"]
