"""Dot products in C: the innermost loop runs over entries that stand side by side."""

import numpy as np
from jax.extend.core import JaxprEqn

from ..movement import Contraction, shape_of
from .values import Known, Read, Value, numbered, strides
from .writer import Writer


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
