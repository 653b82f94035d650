"""What primitives that only move entries do, by NumPy: to arrays, and to the numbers of their entries.

JAX would compile a program for each of them; a network of a hundred moves would take seconds to read.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jax.extend.core import JaxprEqn

from attractor.errors import UnsupportedError
from attractor.program import location
from attractor.program.walk import aval


def moved(equation: JaxprEqn, operands: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The results of an equation that moves entries.

    Args:
        equation: of a primitive in `MOVES`.
        operands: arrays, or the numbers of their entries.
    """
    found = MOVES[equation.primitive.name](equation, *map(np.asarray, operands))
    return found if isinstance(found, list) else [found]


def _broadcast(equation: JaxprEqn, array: np.ndarray, *_: np.ndarray) -> np.ndarray:
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    opened = np.ones(len(shape), int)
    for axis, size in zip(axes, array.shape, strict=True):
        opened[axis] = size
    return np.broadcast_to(array.reshape(opened), shape)


def _slice(equation: JaxprEqn, array: np.ndarray) -> np.ndarray:
    begins, ends = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or [1] * array.ndim
    return array[tuple(map(slice, begins, ends, strides))]


def _split(equation: JaxprEqn, array: np.ndarray) -> list[np.ndarray]:
    return np.split(array, np.cumsum(equation.params["sizes"])[:-1], axis=equation.params["axis"])


def _result_shape(equation: JaxprEqn, array: np.ndarray) -> np.ndarray:
    return array.reshape(aval(equation.outvars[0]).shape)


def _pad(equation: JaxprEqn, array: np.ndarray, filler: np.ndarray) -> np.ndarray:
    """Between and around entries; less than nothing takes entries away."""
    for axis, (before, after, between) in enumerate(equation.params["padding_config"]):
        size = array.shape[axis]
        spread = max(size + (size - 1) * between, 0)
        shape = list(array.shape)
        shape[axis] = spread + max(before, 0) + max(after, 0)
        grown = np.full(shape, filler.ravel()[0], array.dtype)
        target = [slice(None)] * array.ndim
        target[axis] = slice(max(before, 0), max(before, 0) + spread, between + 1)
        grown[tuple(target)] = array
        cut = [slice(None)] * array.ndim
        cut[axis] = slice(max(-before, 0), shape[axis] - max(-after, 0))
        array = grown[tuple(cut)]
    return array


def _dynamic_slice(equation: JaxprEqn, array: np.ndarray, *begins: np.ndarray) -> np.ndarray:
    sizes = equation.params["slice_sizes"]
    ends = [
        int(np.clip(begin, 0, whole - size))
        for begin, whole, size in zip(begins, array.shape, sizes, strict=True)
    ]
    return array[tuple(slice(begin, begin + size) for begin, size in zip(ends, sizes, strict=True))]


def _gather(equation: JaxprEqn, array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """By JAX itself, whose rules for it are many."""
    if index.dtype.kind not in "iu":
        raise UnsupportedError(f"verification: an index that depends on the input{location(equation)}")
    found = equation.primitive.bind(np.asarray(array), np.asarray(index), **equation.params)
    return np.asarray(found)


MOVES: Mapping[str, Callable[..., np.ndarray | list[np.ndarray]]] = {
    "reshape": _result_shape,
    "squeeze": _result_shape,
    "expand_dims": _result_shape,
    "transpose": lambda equation, array: array.transpose(equation.params["permutation"]),
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "split": _split,
    "rev": lambda equation, array: np.flip(array, equation.params["dimensions"]),
    "concatenate": lambda equation, *arrays: np.concatenate(arrays, equation.params["dimension"]),
    "stack": lambda equation, *arrays: np.stack(arrays, equation.params["axis"]),
    "unstack": lambda equation, array: list(np.moveaxis(array, equation.params["axis"], 0)),
    "tile": lambda equation, array: np.tile(array, equation.params["reps"]),
    "pad": _pad,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "copy": lambda _, array: array,
}
