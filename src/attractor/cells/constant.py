"""Arrays of a cell that training leaves alone: masks, fixed filters, tables."""

import operator
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array

from attractor.errors import ConfigError

from .contract import name_of

Operator = Callable[["Constant", ArrayLike], Array]


def _binary(operation: Callable[..., Array]) -> Operator:
    return lambda self, other: operation(self.__jax_array__(), other)


def _reflected(operation: Callable[..., Array]) -> Operator:
    return lambda self, other: operation(other, self.__jax_array__())


class Constant(eqx.Module):
    """An array that is part of a cell, is saved with it, and is never trained; made by `constant`.

    It behaves like a JAX array in arithmetic and in functions of `jax.numpy`.

    Args:
        array: the values.
    """

    array: Array

    def __jax_array__(self) -> Array:
        """The array, through which no gradient passes."""
        return jax.lax.stop_gradient(self.array)

    def __getattr__(self, name: str) -> Any:
        """Shape, type and methods of the array."""
        if name.startswith("__") or name == "array":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.__jax_array__(), name)

    def __getitem__(self, index: object) -> Array:
        """A part of it."""
        return self.__jax_array__()[index]  # pyright: ignore[reportArgumentType] (JAX refuses what is none)

    def __len__(self) -> int:
        """Length of the first axis."""
        return len(self.array)

    def __neg__(self) -> Array:
        """The negative."""
        return -self.__jax_array__()

    __add__, __radd__ = _binary(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _binary(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _binary(operator.mul), _reflected(operator.mul)
    __truediv__, __rtruediv__ = _binary(operator.truediv), _reflected(operator.truediv)
    __matmul__, __rmatmul__ = _binary(operator.matmul), _reflected(operator.matmul)
    __pow__, __rpow__ = _binary(operator.pow), _reflected(operator.pow)
    __lt__, __le__ = _binary(operator.lt), _binary(operator.le)
    __gt__, __ge__ = _binary(operator.gt), _binary(operator.ge)


def constant(array: ArrayLike) -> Constant:
    """An array of a cell that training never changes, neither by gradients nor by weight decay.

    Args:
        array: the values, from NumPy or JAX.

    Example:
        >>> import attractor, numpy
        >>> mask = attractor.constant(numpy.eye(2))
        >>> mask * 3.0
        Array([[3., 0.],
               [0., 3.]], dtype=float32)
    """
    return Constant(jnp.asarray(array))


def check_trained_arrays(cell: object) -> None:
    """Refuse NumPy arrays of real or complex numbers in a cell that is to be trained: they may mean either.

    Raises:
        ConfigError: there is one; the message names it and both remedies.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(cell)[0]:
        if isinstance(leaf, np.ndarray) and np.issubdtype(leaf.dtype, np.inexact):
            name = f"{name_of(cell)}{jax.tree_util.keystr(path)}"
            raise ConfigError(
                f"{name} is a NumPy array; write attractor.constant(array) if it is fixed (a mask), "
                "jnp.asarray(array) if it is a weight to be trained"
            )
