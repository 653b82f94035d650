"""A C function that is being written: its values, its loops, buffers and constants, and dot products."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from jax.extend.core import JaxprEqn

from attractor.errors import UnsupportedError

from ..movement import Contraction, shape_of


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
        pattern: C code with a field for each operand.
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
        raise UnsupportedError(
            f"C: numbers of type {dtype} in a step; expected real numbers, whole numbers or flags"
        )
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


_LINE = 4000
"""Characters; C99 promises to read 4095."""
LARGEST_ON_STACK = 16384
"""Larger arrays are static, since a stack may be small; a function with one cannot run twice at a time."""

_INDICES = "ijklmnpq"


class Writer:
    """Writes the body of a function line by line.

    Args:
        prefix: begins the names of constants, which stand outside of the function.
        real: C type of the numbers, "double" or "float".
    """

    def __init__(self, prefix: str, real: str) -> None:
        self.real = real
        self.lines: list[str] = []
        self.constants: list[str] = []
        self._prefix = prefix
        self._names: dict[tuple[str, bytes], str] = {}
        self._buffers = 0

    def buffer(self, shape: tuple[int, ...], kind: str) -> Read:
        """A new array of the function."""
        self._buffers += 1
        name = f"t{self._buffers}"
        size = max(int(np.prod(shape)), 1)
        memory = "static " if size > LARGEST_ON_STACK else ""
        self.lines.append(f"{memory}{self._type(kind)} {name}[{size}];")
        return Read(name, numbered(shape), kind)

    def stored(self, value: Value) -> Read:
        """The value in an array; what is one already stays where it is."""
        if isinstance(value, Known):
            return self._constant(value)
        if isinstance(value, Read):
            return value
        target = self.buffer(value.shape, value.kind)
        self.store(target, value)
        return target

    def store(self, target: Read, value: Value) -> None:
        """A loop that writes `value` to `target`; neighbouring axes are one loop where that is possible."""
        if target.positions.size == 0:
            return
        value = self._with_constants(value)
        shape = tuple(size for size in value.shape if size > 1)
        axis = 0
        while axis + 1 < len(shape):
            if mergeable(self._positions(target, value, shape), axis):
                shape = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
            else:
                axis += 1
        names = _INDICES[: len(shape)]
        positions = numbered(value.shape).reshape(shape)
        left, right = (self.expression(take(side, positions), names) for side in (target, value))
        self.loops(zip(names, shape, strict=True), [f"{left} = {right};"])

    def loops(self, ranges: "Sequence[tuple[str, int]] | zip", body: Sequence[str]) -> None:
        """Nested loops around a body; a range of one needs none."""
        depth = 0
        for name, size in ranges:
            if size > 1:
                self.lines.append(f"{'  ' * depth}for (int {name} = 0; {name} < {size}; ++{name}) {{")
                depth += 1
        self.lines.extend("  " * depth + line for line in body)
        self.lines.extend("  " * level + "}" for level in reversed(range(depth)))

    def expression(self, value: Value, names: Sequence[str]) -> str:
        """C code for the entry of a value at the given index names, one an axis."""
        if isinstance(value, Apply):
            return value.pattern.format(*(self.expression(operand, names) for operand in value.operands))
        if isinstance(value, Known):
            if uniform(value.array):
                return self._number(value.array.flat[0])
            value = self._constant(value)
        if value.positions.size == 0:
            return "0"  # in a loop without rounds
        steps = strides(value.positions)
        if steps is not None:
            return f"{value.base}[{_sum(int(value.positions.flat[0]), steps, names)}]"
        table = self._constant(Known(value.positions))
        return f"{value.base}[{self.expression(table, names)}]"

    def _positions(self, target: Read, value: Value, shape: tuple[int, ...]) -> list[np.ndarray]:
        reads = [leaf for leaf in leaves(value) if isinstance(leaf, Read)]
        return [leaf.positions.reshape(shape) for leaf in (target, *reads)]

    def _with_constants(self, value: Value) -> Value:
        """The value with arrays of constants in place of known numbers that differ."""
        if isinstance(value, Apply):
            operands = tuple(map(self._with_constants, value.operands))
            return Apply(value.pattern, operands, value.kind)
        return self._constant(value) if isinstance(value, Known) and not uniform(value.array) else value

    def _constant(self, value: Known) -> Read:
        """A constant array; what repeats along an axis is kept once."""
        array = value.array
        for axis in range(array.ndim):
            first = array.take([0], axis) if array.shape[axis] else array
            if array.shape[axis] > 1 and np.array_equal(np.broadcast_to(first, array.shape), array):
                array = first
        kind = kind_of(array.dtype)
        key = (kind, np.ascontiguousarray(array, float if kind == "real" else int).tobytes())
        if key not in self._names:
            self._names[key] = f"{self._prefix}_c{len(self._names)}"
            numbers = list(map(self._number, array.ravel()))
            size = max(array.size, 1)
            type_name = "double" if kind == "real" else "int"
            type_name = self.real if kind == "real" else type_name
            self.constants.append(constant_array(type_name, self._names[key], size, numbers))
        positions = np.broadcast_to(numbered(array.shape), value.array.shape)
        return Read(self._names[key], positions, kind)

    def _number(self, number: np.generic) -> str:
        if not np.issubdtype(number.dtype, np.floating):
            return str(int(number))
        if not np.isfinite(number):
            return "NAN" if np.isnan(number) else ("INFINITY" if float(number) > 0 else "(-INFINITY)")
        text = real_number(float(number), self.real)
        return f"({text})" if text.startswith("-") else text

    def _type(self, kind: str) -> str:
        return self.real if kind == "real" else kind


def real_number(number: float, real: str) -> str:
    """A finite number in C, of the type "double" or "float"."""
    return repr(number) if real == "double" else f"{np.float32(number)!s}f"


def constant_array(type_name: str, name: str, size: int, numbers: Sequence[str]) -> str:
    """A constant array of C, in lines that every compiler reads."""
    text = f"static const {type_name} {name}[{size}] = {{{', '.join(numbers) or '0'}}};"
    return "\n".join(
        wrap(text, _LINE, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    )


def _sum(first: int, steps: Sequence[int], names: Sequence[str]) -> str:
    """An index: `first + step * name + ...` without what is zero or one."""
    terms = [
        name if step == 1 else f"{step} * {name}" for step, name in zip(steps, names, strict=True) if step
    ]
    return " + ".join([*terms, *([str(first)] if first or not terms else [])])


def product(writer: Writer, axes: Contraction, left: Value, right: Value, equation: JaxprEqn) -> Value:
    """out[b, m, n] = sum_k left[b, m, k] right[b, n, k], with m or n innermost.

    The result is kept in the order of the loops; a compiler can then compute several of its entries at once.
    """
    orders = axes.arranged(numbered(left.shape), numbered(right.shape))
    first, second = (_taken(writer, side, order) for side, order in zip((left, right), orders, strict=True))
    swapped = _preference(first) > _preference(second)
    outer, inner = (second, first) if swapped else (first, second)
    (batch, rows, _), columns = outer.shape, inner.shape[1]
    kind = "real" if "real" in (left.kind, right.kind) else "long"
    target = writer.buffer((batch, rows, columns), kind)
    by_column = _taken(writer, inner, numbered(inner.shape).transpose(0, 2, 1))
    _loops(writer, outer, by_column, target)
    order = target.positions.transpose(0, 2, 1) if swapped else target.positions
    return Read(target.base, order.reshape(shape_of(equation.outvars[0])), kind)


def _taken(writer: Writer, value: Value, order: np.ndarray) -> Read | Known:
    """Entries in another order; what is computed is kept first."""
    if isinstance(value, Known):
        return Known(value.array.ravel()[order])
    return writer.stored(value).taken(order)


def _loops(writer: Writer, outer: Read | Known, inner: Read | Known, target: Read) -> None:
    (batch, rows, depth), columns = outer.shape, target.shape[2]
    number = writer.real if target.kind == "real" else target.kind
    factor, entry = writer.expression(outer, "bmk"), writer.expression(inner, "bki")
    result = writer.expression(target, "bmi")
    ranges = [("b", batch), ("m", rows)]
    if columns == 1:
        body = [
            f"{number} s = 0;",
            f"for (int k = 0; k < {depth}; ++k) s += {factor} * {entry};",
            f"{result} = s;",
        ]
    else:
        over = f"for (int i = 0; i < {columns}; ++i)"
        body = [
            f"{number} s[{columns}] = {{0}};",
            f"for (int k = 0; k < {depth}; ++k) {{",
            f"  const {number} w = {factor};",
            f"  {over} s[i] += w * {entry};",
            "}",
            f"{over} {result} = s[i];",
        ]
    writer.loops(ranges, ["{", *body, "}"])


def _preference(value: Read | Known) -> tuple[bool, bool, int]:
    """How well a side serves as the innermost one: side by side in memory, in fours, many."""
    free = value.shape[1]
    steps = strides(value.positions) if isinstance(value, Read) else (0, 1, 0)
    return (free > 1 and steps is not None and steps[1] == 1, free % 4 == 0, free)
