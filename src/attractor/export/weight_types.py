"""Whether the entries of a state dict can become weights."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attractor.errors import ConfigError, InputDataError

_SHOWN = 5
_FLOATING = tuple(np.dtype(kind) for kind in (jnp.bfloat16, np.float16, np.float32, np.float64))


def as_arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The entries of a state dict, arrays or tensors on the host, as NumPy arrays.

    Raises:
        InputDataError: an entry that NumPy cannot take.
    """
    arrays = {}
    for name, entry in state.items():
        try:
            arrays[str(name)] = np.asarray(entry)
        except (TypeError, ValueError, RuntimeError) as problem:
            message = f"{name} cannot be read as numbers ({problem}); convert it to float32 first"
            raise InputDataError(message) from problem
    return arrays


def check_names(found: Collection[str], expected: Collection[str], what: str) -> None:
    """Refuse a state dict that lacks entries or has others.

    Args:
        found: names of the entries.
        expected: what they should be.
        what: the state dict should be, for the message.

    Raises:
        InputDataError: names some of the entries that are missing or not expected.
    """
    faults = [f"missing {name}" for name in sorted(set(expected) - set(found))]
    faults += [f"unexpected {name[:80]}" for name in sorted(set(found) - set(expected))]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        message = f"not the state dict of {what}: {', '.join(faults[:_SHOWN])}{more}"
        raise InputDataError(message)


def check_floating(state: Mapping[str, np.ndarray], dtype: Any) -> None:
    """Refuse entries that are no floating-point numbers, or that JAX would round without being told to.

    Args:
        state: arrays by name.
        dtype: the type they shall have; None keeps theirs.

    Raises:
        InputDataError: an entry of another kind, 8-bit floating point among them, in which no cell computes.
        ConfigError: float64 weights while JAX computes in float32.
    """
    for name, array in state.items():
        if array.dtype not in _FLOATING:
            message = f"{name} has type {array.dtype}, expected floating-point numbers of 16 to 64 bits"
            raise InputDataError(message)
        wanted = np.dtype(dtype or array.dtype)
        if jax.dtypes.canonicalize_dtype(wanted) != wanted:
            message = (
                f"{name} would be {wanted}, but JAX computes in float32; load under `jax.enable_x64(True)`, "
                "or round with `dtype=numpy.float32`"
            )
            raise ConfigError(message)
