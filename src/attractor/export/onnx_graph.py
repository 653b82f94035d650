"""ONNX nodes from a program: every array gets one axis in front, the batch, whose length is free."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from types import ModuleType
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from attractor.program import Exact, Program, Rule, added_rules, interpret

from .movement import MOVES, Contraction, dtype_of, move, run_start, shape_of, without_rounding

_NODES = {
    "add": "Add",
    "add_any": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "pow": "Pow",
    "max": "Max",
    "min": "Min",
    "neg": "Neg",
    "abs": "Abs",
    "sign": "Sign",
    "floor": "Floor",
    "ceil": "Ceil",
    "sqrt": "Sqrt",
    "exp": "Exp",
    "log": "Log",
    "logistic": "Sigmoid",
    "erf": "Erf",
    "eq": "Equal",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
} | {
    name: name.capitalize() for name in "tanh sinh cosh asinh acosh atanh sin cos tan asin acos atan".split()
}
"""Primitives that are one node."""
_LOGIC = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}
_REDUCTIONS = {
    "reduce_sum": "ReduceSum",
    "reduce_max": "ReduceMax",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
}


@dataclass(frozen=True)
class Tensor:
    """A value of the graph: (batch, *shape).

    Args:
        name: its name.
        shape: shape without the batch.
    """

    name: str
    shape: tuple[int, ...]


Operand = Tensor | Exact


class Graph:
    """Nodes and constants of one ONNX graph.

    Args:
        onnx: the module of that name.
        sized_by: a tensor whose first axis is the batch.
    """

    def __init__(self, onnx: ModuleType, sized_by: str) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx = onnx
        self._names: dict[tuple[Any, ...], str] = {}
        self._sized_by = sized_by
        self._batch: str | None = None
        self._count = 0

    def node(self, kind: str, inputs: Sequence[str], result: str | None = None, **attributes: Any) -> str:
        """Add a node; the name of its result."""
        self._count += 1
        result = result or f"v{self._count}"
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), [result], **attributes))
        return result

    def constant(self, array: np.ndarray) -> str:
        """The name of a constant without a batch axis."""
        array = np.asarray(array, order="C")  # ascontiguousarray would give a scalar an axis
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"c{len(self._names)}"
            self.constants.append(self._onnx.numpy_helper.from_array(array, self._names[key]))
        return self._names[key]

    def integers(self, *numbers: int) -> str:
        """A constant list of whole numbers."""
        return self.constant(np.array(numbers, np.int64))

    def batched(self, value: Operand) -> str:
        """A value with its batch axis; an exact one is repeated."""
        if isinstance(value, Tensor):
            return value.name
        array = np.asarray(value)
        if self._batch is None:
            self._batch = self.node("Shape", [self._sized_by], start=0, end=1)
        shape = self.node("Concat", [self._batch, self.integers(*array.shape)], axis=0)
        return self.node("Expand", [self.constant(array[None]), shape])

    def aligned(self, value: Operand, rank: int) -> str:
        """An operand of an elementwise node of that rank."""
        if not isinstance(value, Tensor):
            return self.constant(np.asarray(value))
        missing = rank - len(value.shape)
        return self.reshaped(value.name, (*[1] * missing, *value.shape)) if missing else value.name

    def reshaped(self, name: str, shape: Sequence[int]) -> str:
        """Another shape behind the batch axis."""
        return self.node("Reshape", [name, self.integers(-1, *shape)])

    def cast(self, name: str, dtype: np.dtype) -> str:
        """Numbers of another type."""
        return self.node("Cast", [name], to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def add_program(graph: Graph, program: Program, arguments: Sequence[str], results: Sequence[str]) -> None:
    """Add the nodes of a program.

    Args:
        graph: where they go.
        program: what they compute for each entry of the batch.
        arguments: names of the batched arguments.
        results: names of the batched results.

    Raises:
        UnsupportedError: a primitive without a rule; the message names it and its line.
    """
    given = [Tensor(name, shape) for name, shape in zip(arguments, program.input_shapes, strict=True)]
    values = interpret(program, _rules(graph), given, "ONNX")
    for name, value in zip(results, values, strict=True):
        graph.node("Identity", [graph.batched(value)], name)


def _rules(graph: Graph) -> dict[str, Rule]:
    elementwise = partial(_elementwise, graph)

    def reduced(kind: str, equation: JaxprEqn, operand: Tensor) -> Tensor:
        axes = graph.integers(*(axis + 1 for axis in equation.params["axes"]))
        name = graph.node(kind, [operand.name, axes], keepdims=0)
        return Tensor(name, shape_of(equation.outvars[0]))

    def logic(kind: str, equation: JaxprEqn, *operands: Operand) -> Tensor:
        flag = np.dtype(dtype_of(equation.outvars[0])).kind == "b"
        return elementwise(kind if flag else f"Bitwise{kind}", equation, *operands)

    rules: dict[str, Rule] = {name: partial(elementwise, kind) for name, kind in _NODES.items()}
    rules["rem"] = partial(elementwise, "Mod", fmod=1)
    rules |= {name: partial(reduced, kind) for name, kind in _REDUCTIONS.items()}
    rules |= {name: partial(logic, kind) for name, kind in _LOGIC.items()}
    rules |= {name: partial(rule, graph) for name, rule in _COMPOSED.items()}
    rules |= dict.fromkeys(MOVES, partial(_moved, graph))
    rules["reduce_precision"] = partial(without_rounding, "ONNX")
    # Of a file of one's own: the name of one node, or `rule(graph, equation, *operands) -> Tensor`.
    for name, added in added_rules("ONNX").items():
        rules[name] = partial(elementwise, added) if isinstance(added, str) else partial(added, graph)
    return rules


def _elementwise(
    graph: Graph, kind: str, equation: JaxprEqn, *operands: Operand, **attributes: int
) -> Tensor:
    """One node for every entry of the result."""
    shape = shape_of(equation.outvars[0])
    names = [graph.aligned(operand, len(shape)) for operand in operands]
    return Tensor(graph.node(kind, names, None, **attributes), shape)


def _moved(graph: Graph, equation: JaxprEqn, *operands: Operand) -> list[Tensor]:
    moved = move(equation, *operands)
    flat = [graph.reshaped(graph.batched(operand), [prod(_shape(operand))]) for operand in moved.operands]
    source = flat[0] if len(flat) == 1 else graph.node("Concat", flat, axis=1)
    results = []
    for indices in moved.indices:
        start = run_start(indices)
        name = source
        if start is None:
            name = graph.node("Gather", [source, graph.constant(indices.ravel().astype(np.int64))], axis=1)
        elif indices.size != moved.size:
            ends = [graph.integers(start), graph.integers(start + indices.size), graph.integers(1)]
            name = graph.node("Slice", [source, *ends])
        results.append(Tensor(graph.reshaped(name, indices.shape), indices.shape))
    return results


def _shape(value: Operand) -> tuple[int, ...]:
    return value.shape if isinstance(value, Tensor) else np.shape(value)


def _product(graph: Graph, equation: JaxprEqn, left: Operand, right: Operand) -> Tensor:
    axes, shape = Contraction.of(equation), shape_of(equation.outvars[0])
    batched = [isinstance(side, Tensor) for side in (left, right)]
    plain = axes.formula()
    # A known matrix times a vector.
    if plain == "ba,a->b" and isinstance(right, Tensor) and not isinstance(left, Tensor):
        weight = graph.constant(np.ascontiguousarray(np.asarray(left).T))
        return Tensor(graph.node("MatMul", [right.name, weight]), shape)
    names = [graph.aligned(side, len(_shape(side))) for side in (left, right)]
    return Tensor(graph.node("Einsum", names, equation=axes.formula(batched)), shape)


def _power(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    exponent = np.asarray(equation.params["y"], dtype_of(equation.invars[0]))
    return Tensor(graph.node("Pow", [operand.name, graph.constant(exponent)]), operand.shape)


def _power_of_two(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    two = graph.constant(np.asarray(2, dtype_of(equation.invars[0])))
    return Tensor(graph.node("Pow", [two, operand.name]), operand.shape)


def _rounded(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    if equation.params["rounding_method"].value == 1:  # to even
        return Tensor(graph.node("Round", [operand.name]), operand.shape)
    half = graph.constant(np.asarray(0.5, dtype_of(equation.invars[0])))
    size = graph.node("Floor", [graph.node("Add", [graph.node("Abs", [operand.name]), half])])
    return Tensor(graph.node("Mul", [graph.node("Sign", [operand.name]), size]), operand.shape)


def _square(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    return Tensor(graph.node("Mul", [operand.name, operand.name]), operand.shape)


def _reciprocal_root(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    return Tensor(graph.node("Reciprocal", [graph.node("Sqrt", [operand.name])]), operand.shape)


def _exponential_minus_one(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    one = graph.constant(np.ones((), dtype_of(equation.invars[0])))
    return Tensor(graph.node("Sub", [graph.node("Exp", [operand.name]), one]), operand.shape)


def _logarithm_of_one_plus(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    """log(w) x / (w - 1) with w = 1 + x, and x where w is one: exact for small x (Kahan)."""
    dtype = dtype_of(equation.invars[0])
    one = graph.constant(np.ones((), dtype))
    above = graph.node("Add", [operand.name, one])
    none = graph.node("Equal", [above, one])
    apart = graph.node("Sub", [above, one])
    safe = graph.node("Where", [none, one, apart])
    slope = graph.node("Div", [graph.node("Log", [above]), safe])
    product = graph.node("Mul", [slope, operand.name])
    # Far out the logarithm is taken as it is: infinity over infinity would not be a number.
    huge = graph.constant(np.asarray(1 / np.finfo(dtype).eps, dtype))
    large = graph.node("Greater", [operand.name, huge])
    exact = graph.node("Where", [large, graph.node("Log", [above]), product])
    return Tensor(graph.node("Where", [none, operand.name, exact]), operand.shape)


def _unequal(graph: Graph, equation: JaxprEqn, *operands: Operand) -> Tensor:
    equal = _elementwise(graph, "Equal", equation, *operands)
    return Tensor(graph.node("Not", [equal.name]), equal.shape)


def _finite(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    parts = [graph.node(kind, [operand.name]) for kind in ("IsInf", "IsNaN")]
    return Tensor(graph.node("Not", [graph.node("Or", parts)]), operand.shape)


def _clamped(graph: Graph, equation: JaxprEqn, low: Operand, operand: Operand, high: Operand) -> Tensor:
    shape = shape_of(equation.outvars[0])
    least, name, most = (graph.aligned(value, len(shape)) for value in (low, operand, high))
    return Tensor(graph.node("Min", [graph.node("Max", [name, least]), most]), shape)


def _chosen(graph: Graph, equation: JaxprEqn, which: Operand, *cases: Operand) -> Tensor:
    shape = shape_of(equation.outvars[0])
    index, *names = (graph.aligned(value, len(shape)) for value in (which, *cases))
    dtype = np.dtype(dtype_of(equation.invars[0]))
    value = names[0]
    for number, name in enumerate(names[1:], start=1):
        here = index
        if dtype.kind != "b":
            here = graph.node("Equal", [index, graph.constant(np.asarray(number, dtype))])
        value = graph.node("Where", [here, name, value])
    return Tensor(value, shape)


def _converted(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    return Tensor(graph.cast(operand.name, equation.params["new_dtype"]), operand.shape)


def _all_or_any(kind: str, graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    axes = graph.integers(*(axis + 1 for axis in equation.params["axes"]))
    name = graph.node(kind, [graph.cast(operand.name, np.dtype(np.int32)), axes], keepdims=0)
    return Tensor(graph.cast(name, np.dtype(bool)), shape_of(equation.outvars[0]))


def _cumulative(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    axis = graph.constant(np.asarray(equation.params["axis"] + 1, np.int64))
    name = graph.node("CumSum", [operand.name, axis], reverse=int(equation.params["reverse"]))
    return Tensor(name, operand.shape)


def _same(graph: Graph, equation: JaxprEqn, operand: Tensor) -> Tensor:
    return operand


_COMPOSED: dict[str, Callable[..., Tensor]] = {
    "dot_general": _product,
    "integer_pow": _power,
    "exp2": _power_of_two,
    "round": _rounded,
    "square": _square,
    "rsqrt": _reciprocal_root,
    "expm1": _exponential_minus_one,
    "log1p": _logarithm_of_one_plus,
    "ne": _unequal,
    "is_finite": _finite,
    "clamp": _clamped,
    "select_n": _chosen,
    "convert_element_type": _converted,
    "reduce_and": partial(_all_or_any, "ReduceMin"),
    "reduce_or": partial(_all_or_any, "ReduceMax"),
    "cumsum": _cumulative,
    "copy": _same,
}
