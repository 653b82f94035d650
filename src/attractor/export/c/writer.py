"""Loops, buffers and constants of one C function."""

from collections.abc import Sequence

import numpy as np

from .values import Apply, Known, Read, Value, kind_of, leaves, mergeable, numbered, strides, take, uniform

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
        places = numbered(value.shape).reshape(shape)
        left, right = (self.expression(take(side, places), names) for side in (target, value))
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
            numbers = ", ".join(map(self._number, array.ravel())) or "0"
            size = max(array.size, 1)
            type_name = "double" if kind == "real" else "int"
            type_name = self.real if kind == "real" else type_name
            self.constants.append(f"static const {type_name} {self._names[key]}[{size}] = {{{numbers}}};")
        positions = np.broadcast_to(numbered(array.shape), value.array.shape)
        return Read(self._names[key], positions, kind)

    def _number(self, number: np.generic) -> str:
        if not np.issubdtype(number.dtype, np.floating):
            return str(int(number))
        if not np.isfinite(number):
            return "NAN" if np.isnan(number) else ("INFINITY" if float(number) > 0 else "(-INFINITY)")
        narrow = self.real == "float"
        text = f"{np.float32(number)!s}f" if narrow else repr(float(number))
        return f"({text})" if text.startswith("-") else text

    def _type(self, kind: str) -> str:
        return self.real if kind == "real" else kind


def _sum(first: int, steps: Sequence[int], names: Sequence[str]) -> str:
    """An index: `first + step * name + ...` without what is zero or one."""
    terms = [
        name if step == 1 else f"{step} * {name}" for step, name in zip(steps, names, strict=True) if step
    ]
    return " + ".join([*terms, *([str(first)] if first or not terms else [])])
