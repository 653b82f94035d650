"""In which arithmetic a computation runs: decided where it starts, never by how the process was set up.

JAX has switches for a whole process (`JAX_ENABLE_X64`, `jax_numpy_dtype_promotion="strict"`,
`jax_numpy_rank_promotion="raise"`), which belong to the user. What trains, and what runs a trained model,
enters `single_precision`; what analyses and proves enters `double_precision`. Inside, types follow the usual
promotion, whatever the switches say outside. Both are contexts and decorators.

NumPy arrays in a step are converted in each precision anew, see `read_anew`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Tree = TypeVar("Tree")

_WIDE = {"float32": "float64", "complex64": "complex128"}
_NARROW = {"float64": "float32", "complex128": "complex64", "int64": "int32", "uint64": "uint32"}


@contextmanager
def usual_promotion() -> Iterator[None]:
    """Types and shapes mix as NumPy users expect, also where the process forbids it."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@contextmanager
def with_precision(*, double: bool) -> Iterator[None]:
    """`double_precision` or `single_precision`."""
    with jax.enable_x64(double), usual_promotion():
        yield


@contextmanager
def single_precision() -> Iterator[None]:
    """Real numbers in float32, whole ones in int32.

    Example:
        >>> import jax.numpy as jnp
        >>> with single_precision():
        ...     print(jnp.zeros(2).dtype)
        float32
    """
    with with_precision(double=False):
        yield


@contextmanager
def double_precision() -> Iterator[None]:
    """Real numbers in float64, whole ones in int64."""
    with with_precision(double=True):
        yield


def to_single_precision(tree: Tree) -> Tree:
    """The same tree with its arrays as `single_precision` makes them: no leaf of 64 bits is left."""

    def narrow(leaf: object) -> object:
        if not isinstance(leaf, jax.Array) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return jnp.asarray(leaf, dtype_in(leaf, double=False))

    return jax.tree.map(narrow, tree)


def dtype_in(array: jax.Array | np.ndarray, *, double: bool) -> Any:
    """What the type of an array becomes in one of the two precisions; any other type stays."""
    return (_WIDE if double else _NARROW).get(array.dtype.name, array.dtype)


def read_anew() -> None:
    """Let JAX convert NumPy arrays each time it meets them; where it has no such handler, nothing changes.

    JAX keeps for every NumPy array that a program holds what it became, and asks neither for the precision
    nor whether the numbers have changed: an array of float64 that was met while a model was trained in
    float32 stays float32 where the model is analysed in float64, and the two do not fit together. Here it is
    converted each time that a program is traced, by a handler of JAX's own, which a later version may no
    longer have.
    """
    try:
        from jax._src.dtypes import canonicalize_dtype, register_canonicalize_value_handler
        from jax._src.literals import TypedNdArray
    except ImportError:
        return

    def converted(array: np.ndarray) -> TypedNdArray:
        return TypedNdArray(np.asarray(array, canonicalize_dtype(array.dtype)))

    register_canonicalize_value_handler(np.ndarray, converted)


def single(values: np.ndarray) -> jax.Array:
    """Numbers in float32, infinite where it holds them no more; JAX would compile a program for each shape.

    Args:
        values: real numbers on the host.
    """
    with np.errstate(over="ignore"):
        return jax.device_put(values.astype(np.float32))
