"""Whether the arrays of a state dict can become weights."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attractor.errors import ConfigError, InputDataError


def check_floating(state: Mapping[str, np.ndarray], dtype: Any) -> None:
    """Refuse entries that are no floating-point numbers, or that JAX would round without being told to.

    Args:
        state: arrays by name.
        dtype: the type they shall have; None keeps theirs.

    Raises:
        InputDataError: an entry of another kind.
        ConfigError: float64 weights while JAX computes in float32.
    """
    for name, array in state.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            message = f"{name} has type {array.dtype}, expected floating-point numbers"
            raise InputDataError(message)
        wanted = np.dtype(dtype or array.dtype)
        if jax.dtypes.canonicalize_dtype(wanted) != wanted:
            message = (
                f"{name} would be {wanted}, but JAX computes in float32; load under `jax.enable_x64(True)`, "
                "or round with `dtype=numpy.float32`"
            )
            raise ConfigError(message)
