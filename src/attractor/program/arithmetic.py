"""In which arithmetic a computation runs: decided where it starts, never by how the process was set up.

JAX has switches for a whole process (`JAX_ENABLE_X64`, `jax_numpy_dtype_promotion="strict"`,
`jax_numpy_rank_promotion="raise"`), which belong to the user. What trains, and what runs a trained model,
enters `single_precision`; what analyses and proves enters `double_precision`. Inside, types follow the usual
promotion, whatever the switches say outside. Both are contexts and decorators.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

Tree = TypeVar("Tree")


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

    def narrow(leaf: Any) -> Any:
        if not eqx.is_array(leaf) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return jnp.asarray(leaf, narrow_type(leaf.dtype))

    return jax.tree.map(narrow, tree)


def narrow_type(dtype: Any) -> Any:
    """What a type of 64 bits becomes in `single_precision`; any other as it is."""
    return _NARROW.get(dtype.name, dtype)


def wide_type(dtype: Any) -> Any:
    """What a floating type of 32 bits becomes in `double_precision`; any other as it is."""
    return _WIDE.get(dtype.name, dtype)


_WIDE = {"float32": "float64", "complex64": "complex128"}
_NARROW = {"float64": "float32", "complex128": "complex64", "int64": "int32", "uint64": "uint32"}
