"""What every target has to know: where entries move that are not computed with, and the axes of products."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import add, eq, ge, gt, le, lt, mul, ne, sub, truediv
from typing import Any, Generic, TypeVar

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from attractor.errors import UnsupportedError
from attractor.program import PRIMITIVES, Exact, Kind, double_precision, is_exact, location, of_kind

Parameters = Mapping[str, Any]
"""Parameters of an equation."""

Operand = TypeVar("Operand")

INFIX = {
    "add": ("+", add),
    "add_any": ("+", add),
    "sub": ("-", sub),
    "mul": ("*", mul),
    "div": ("/", truediv),
    "eq": ("==", eq),
    "ne": ("!=", ne),
    "lt": ("<", lt),
    "le": ("<=", le),
    "gt": (">", gt),
    "ge": (">=", ge),
}
"""Primitives that Python and C write alike, and what they do in Python."""

MOVES = of_kind(Kind.MOVING)
"""The primitives that `move` knows."""


@dataclass(frozen=True)
class Move(Generic[Operand]):
    """Every entry of a result is one entry of an operand.

    Args:
        operands: the operands whose entries move.
        indices: for each result an array of its shape: positions in the operands, flattened and put one
            after the other.
        size: entries of all operands together.
    """

    operands: list[Operand]
    indices: list[np.ndarray]
    size: int


def move(equation: JaxprEqn, *operands: Operand) -> Move[Operand]:
    """Where the entries go, found by letting the primitive move numbered entries.

    Raises:
        UnsupportedError: the position depends on values of the run.
    """
    # The operands that are not moved say where to, and have to be known.
    moving = PRIMITIVES[equation.primitive.name].moved or tuple(range(len(operands)))
    if not all(is_exact(operand) for index, operand in enumerate(operands) if index not in moving):
        raise UnsupportedError(
            f"'{equation.primitive.name}'{location(equation)} at an index that depends on values cannot be "
            "exported; choose with jnp.where"
        )
    numbered: list[Any] = list(operands)
    start = 0
    for index in moving:
        shape = shape_of(equation.invars[index])
        size = int(np.prod(shape))
        numbered[index] = np.arange(start, start + size, dtype=np.int32).reshape(shape)
        start += size
    indices = _rearranged(equation, numbered)
    if any(array.size and (array.min() < 0 or array.max() >= start) for array in indices):
        raise UnsupportedError(
            f"'{equation.primitive.name}'{location(equation)} reads outside its array; index inside it"
        )
    return Move([operands[index] for index in moving], indices, start)


def added_to(equation: JaxprEqn, indices: object) -> np.ndarray:
    """Where `scatter-add` adds each entry of its updates: positions in the flattened operand, -1 for nowhere.

    It is what differentiation makes of picking entries (x[[0, 2, 2]]).

    Raises:
        UnsupportedError: the position depends on values of the run.
    """
    if not is_exact(indices):
        raise UnsupportedError(
            f"'{equation.primitive.name}'{location(equation)} at an index that depends on values cannot be "
            "exported; choose with jnp.where"
        )
    shape = shape_of(equation.invars[2])
    with double_precision():  # the primitive adds in the type of its equation
        empty = jnp.zeros(shape_of(equation.invars[0]), dtype_of(equation.invars[0]))
        one_each = jnp.eye(int(np.prod(shape)), dtype=dtype_of(equation.invars[2])).reshape(-1, *shape)
        places = jnp.asarray(indices)
        hits = [
            np.asarray(equation.primitive.bind(empty, places, one, **equation.params)) for one in one_each
        ]
    hits = np.array(hits).reshape(len(one_each), -1) > 0
    return np.where(hits.any(axis=1), hits.argmax(axis=1), -1)


def _rearranged(equation: JaxprEqn, numbered: Sequence[Exact]) -> list[np.ndarray]:
    """The results of the primitive; the common ones by NumPy, which has nothing to compile."""
    name = equation.primitive.name
    if name == "reshape" and equation.params["dimensions"] is None:
        name = "squeeze"
    if name in _DIRECT:
        return _DIRECT[name](numbered, shape_of(equation.outvars[0]), equation.params)
    moved = equation.primitive.bind(*map(jnp.asarray, numbered), **equation.params)
    return [np.asarray(array) for array in (moved if equation.primitive.multiple_results else [moved])]


def _spread(arrays: Sequence[np.ndarray], shape: tuple[int, ...], parameters: Parameters) -> list[np.ndarray]:
    aligned = [1] * len(shape)
    for own, axis in enumerate(parameters["broadcast_dimensions"]):
        aligned[axis] = arrays[0].shape[own]
    return [np.broadcast_to(arrays[0].reshape(aligned), shape)]


def _cut(arrays: Sequence[np.ndarray], shape: tuple[int, ...], parameters: Parameters) -> list[np.ndarray]:
    steps = parameters["strides"] or [1] * arrays[0].ndim
    bounds = zip(parameters["start_indices"], parameters["limit_indices"], steps, strict=True)
    return [arrays[0][tuple(slice(*bound) for bound in bounds)]]


_DIRECT: dict[str, Callable[..., list[np.ndarray]]] = {
    "squeeze": lambda arrays, shape, _: [arrays[0].reshape(shape)],
    "expand_dims": lambda arrays, shape, _: [arrays[0].reshape(shape)],
    "broadcast_in_dim": _spread,
    "slice": _cut,
    "split": lambda arrays, _, own: np.split(arrays[0], np.cumsum(own["sizes"])[:-1], own["axis"]),
    "concatenate": lambda arrays, _, own: [np.concatenate(arrays, own["dimension"])],
    "transpose": lambda arrays, _, own: [arrays[0].transpose(own["permutation"])],
}


def run_start(indices: np.ndarray) -> int | None:
    """The first of consecutive positions, or None if they are not consecutive."""
    flat = indices.ravel()
    return int(flat[0]) if flat.size and np.array_equal(flat, flat[0] + np.arange(flat.size)) else None


@dataclass(frozen=True)
class Contraction:
    """The axes of `dot_general`: out[b, m, n] = sum_k left[b, m, k] right[b, n, k].

    Args:
        left: batch, free and contracted axes of the left operand.
        right: the same of the right operand.
    """

    left: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    right: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, equation: JaxprEqn) -> "Contraction":
        """The axes of an equation with the primitive `dot_general`."""
        contracted, batch = equation.params["dimension_numbers"]
        sides = []
        for side in (0, 1):
            rank = len(shape_of(equation.invars[side]))
            taken = {*batch[side], *contracted[side]}
            free = tuple(axis for axis in range(rank) if axis not in taken)
            sides.append((tuple(batch[side]), free, tuple(contracted[side])))
        return cls(*sides)

    def formula(self, batched: Sequence[bool] = (False, False)) -> str:
        """The product in Einstein's notation; an operand that is `batched` has one axis more in front, Z."""
        letters = iter("abcdefghijklmnopqrstuvwxyz")
        batch = [next(letters) for _ in self.left[0]]
        summed = [next(letters) for _ in self.left[2]]
        free = [[next(letters) for _ in side[1]] for side in (self.left, self.right)]
        terms = []
        for axes, own, front in zip((self.left, self.right), free, batched, strict=True):
            named = dict(zip([*axes[0], *axes[1], *axes[2]], [*batch, *own, *summed], strict=True))
            terms.append("Z" * front + "".join(named[axis] for axis in sorted(named)))
        result = "Z" * any(batched) + "".join([*batch, *free[0], *free[1]])
        return f"{terms[0]},{terms[1]}->{result}"

    def arranged(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The operands with the shapes (b, m, k) and (b, n, k), several axes of a kind made one."""
        return _arranged(left, self.left), _arranged(right, self.right)


def _arranged(array: np.ndarray, axes: tuple[tuple[int, ...], ...]) -> np.ndarray:
    sizes = [int(np.prod([array.shape[axis] for axis in kind])) for kind in axes]
    return array.transpose([axis for kind in axes for axis in kind]).reshape(sizes)


def check_rounding(equation: JaxprEqn, target: str, known: Sequence[str] = ("float64", "float32")) -> None:
    """Refuse a cast to numbers with less digits than the target can write: leaving it out is another step.

    Args:
        equation: a cast (`convert_element_type`) or `reduce_precision`.
        target: where it is written, for the message.
        known: the floating types that the target writes.

    Raises:
        UnsupportedError: names type, primitive and line.
    """
    if equation.primitive.name == "reduce_precision":
        digits = equation.params["mantissa_bits"]
        coarse = digits < np.finfo(known[-1]).nmant and digits < np.finfo(dtype_of(equation.invars[0])).nmant
        found = f"{digits} binary digits"
    else:
        new = jnp.dtype(equation.params["new_dtype"])
        coarse, found = jnp.issubdtype(new, jnp.floating) and new.name not in known, new.name
    if coarse:
        raise UnsupportedError(
            f"{target}: '{equation.primitive.name}'{location(equation)} rounds to {found}; an export without "
            f"that rounding would be another step. {target} rounds to {' or '.join(known)}"
        )


def without_rounding(target: str, equation: JaxprEqn, operand: Operand) -> Operand:
    """The rule of `reduce_precision`: the operand as it is, where no digits of the target are lost."""
    check_rounding(equation, target)
    return operand


def shape_of(atom: Any) -> tuple[int, ...]:
    """Shape of a variable of a program."""
    return tuple(atom.aval.shape)


def dtype_of(atom: Any) -> np.dtype:
    """Type of the numbers of a variable of a program."""
    return np.dtype(atom.aval.dtype)
