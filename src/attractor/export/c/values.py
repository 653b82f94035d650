"""Values of a C program that is being written: what is read from arrays, what is known, what is computed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from attractor.errors import UnsupportedError


@dataclass(frozen=True)
class Read:
    """Entries of a C array: `base[positions[...]]`.

    Args:
        base: name of the array.
        positions: where each entry of the value stands.
        kind: "real" or "long".
    """

    base: str
    positions: np.ndarray
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.positions.shape

    def taken(self, indices: np.ndarray) -> "Read":
        """The entries at `indices` of the flattened value."""
        return Read(self.base, np.asarray(self.positions.ravel()[indices]), self.kind)


@dataclass(frozen=True)
class Known:
    """Numbers that are known when the code is written."""

    array: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.array.shape

    @property
    def kind(self) -> str:
        """C type."""
        return kind_of(self.array.dtype)


@dataclass(frozen=True)
class Apply:
    """An elementwise operation that is written out where its result is needed.

    Args:
        pattern: C code with a place for each operand.
        operands: values of the same shape.
        kind: C type of the result.
    """

    pattern: str
    operands: tuple["Value", ...]
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self.operands[0].shape


Value = Read | Known | Apply


def kind_of(dtype: np.dtype) -> str:
    """The C type of numbers of a NumPy type; flags are whole numbers.

    Raises:
        UnsupportedError: complex numbers and the short types of accelerators.
    """
    if dtype.kind not in "fbiu":
        message = f"C: numbers of type {dtype} in a step; expected real numbers, whole numbers or flags"
        raise UnsupportedError(message)
    return "real" if dtype.kind == "f" else "long"


def take(value: Value, indices: np.ndarray) -> Value:
    """The value whose entries are those at `indices` of the flattened `value`."""
    if isinstance(value, Read):
        return value.taken(indices)
    if isinstance(value, Known):
        return Known(np.asarray(value.array.ravel()[indices]))
    return Apply(value.pattern, tuple(take(operand, indices) for operand in value.operands), value.kind)


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    """The positions of an array in row order."""
    return np.arange(int(np.prod(shape))).reshape(shape)


def stretched(value: Value, shape: tuple[int, ...]) -> Value:
    """A value in a larger shape that it is broadcast to."""
    return value if value.shape == shape else take(value, np.broadcast_to(numbered(value.shape), shape))


def leaves(value: Value) -> Iterator[Read | Known]:
    """What an expression reads.

    Yields:
        Arrays and known numbers, in the order in which they stand.
    """
    if isinstance(value, Apply):
        for operand in value.operands:
            yield from leaves(operand)
    else:
        yield value


def uniform(array: np.ndarray) -> bool:
    """Whether all entries are the same number."""
    return array.size > 0 and bool(np.all(array == array.flat[0]) or np.all(np.isnan(array)))


def strides(positions: np.ndarray) -> tuple[int, ...] | None:
    """Steps along the axes if the positions are `first + sum_axis step * index`, else None."""
    if positions.size == 0:
        return (0,) * positions.ndim
    first = positions.flat[0]
    steps, fitted = [], np.full(positions.shape, first)
    for axis, size in enumerate(positions.shape):
        corner = tuple(int(other == axis and size > 1) for other in range(positions.ndim))
        steps.append(int(positions[corner] - first))
        along = [1] * positions.ndim
        along[axis] = size
        fitted = fitted + steps[-1] * np.arange(size).reshape(along)
    return tuple(steps) if np.array_equal(fitted, positions) else None


def mergeable(positions: list[np.ndarray], axis: int) -> bool:
    """Whether an axis and the next can be one loop: the positions step evenly across both."""
    for array in positions:
        steps = strides(array)
        if steps is not None and steps[axis] != steps[axis + 1] * array.shape[axis + 1]:
            return False
    return True
