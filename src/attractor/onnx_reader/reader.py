"""An ONNX file as a pure function of arrays.

The graph is evaluated node by node: what does not depend on the inputs by NumPy, the rest by JAX, so that
tracing gives the straight-line program of the network. An operator, an attribute or a type that is not known
is refused by name; nothing of a file is passed over.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from attractor.errors import AttractorError, InputDataError, ShapeError, UnsupportedError
from attractor.shown import Shown, counted

from . import arrays, entrywise, recurrent, windows
from .node import OPERATORS, Attribute, Node, Value

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

# Files that register operators.
_TABLES = (arrays, entrywise, recurrent, windows)


@dataclass(frozen=True)
class Port:
    """An input or output of a network.

    Args:
        name: in the file.
        shape: batch axes that the file leaves open are 1.
        dtype: type of its numbers in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True, eq=False)
class OnnxFunction(Shown):
    """A network of an ONNX file.

    Args:
        inputs: what it takes.
        outputs: what it gives.
        operators: names of the operators in it, sorted.
        opset: version of the operators.
        digest: SHA-256 of the file.
        steps: its operations in order, with the names of their operands and results.
        constants: arrays of the file by name.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[str, ...]
    opset: int
    digest: str
    steps: tuple[tuple[Node, tuple[str, ...], tuple[str, ...]], ...] = field(repr=False)
    constants: dict[str, np.ndarray] = field(repr=False)

    def __str__(self) -> str:
        """What goes in and out, and what it is made of."""
        lines = [
            f"a network of {counted(len(self.steps), 'operation')} (ONNX operators of version {self.opset})"
        ]
        for what, ports in (("in", self.inputs), ("out", self.outputs)):
            lines += [f"{what}: {port.name}, {port.dtype} of shape {port.shape}" for port in ports]
        return "\n".join([*lines, f"operators: {', '.join(self.operators)}"])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all arrays that can be asked for."""
        made = [name for _, _, results in self.steps for name in results if name]
        return (*(port.name for port in self.inputs), *self.constants, *made)

    def __call__(self, *inputs: Value) -> tuple[jax.Array, ...]:
        """The outputs.

        Args:
            inputs: one array for each port, of its shape; in float64 all weights are taken as float64.
        """
        found = self.evaluate(inputs, [port.name for port in self.outputs])
        return tuple(map(jnp.asarray, found))

    def evaluate(
        self, inputs: Sequence[Value], names: Sequence[str], weights: Mapping[str, Value] | None = None
    ) -> list[Value]:
        """Any arrays of the network by name, hidden ones among them.

        Args:
            inputs: one array for each port.
            names: of what is asked for.
            weights: to take in place of arrays of the file, by name.

        Raises:
            ShapeError: inputs of other shapes or another number than the ports.
            InputDataError: a name that no array has.
        """
        values = self._prepared(inputs) | dict(weights or {})
        for node, operands, results in self.steps:
            node.seen.clear()
            arguments = [values[name] if name else None for name in operands]
            found = _done(node, arguments)
            node.overlooked()
            parts = found if isinstance(found, list) else [found]
            values.update(zip((name for name in results), parts, strict=False))
        missing = [name for name in names if name not in values]
        if missing:
            raise InputDataError(
                f"the network has no array '{missing[0]}'; it has {', '.join(self.names[:20])}"
            )
        return [values[name] for name in names]

    def _prepared(self, inputs: Sequence[Value]) -> dict[str, Value]:
        if len(inputs) != len(self.inputs):
            raise ShapeError(f"the network takes {len(self.inputs)} inputs, not {len(inputs)}")
        values: dict[str, Value] = {}
        for port, one in zip(self.inputs, inputs, strict=True):
            if tuple(one.shape) != port.shape:
                raise ShapeError(f"input '{port.name}' has shape {port.shape}, not {tuple(one.shape)}")
            values[port.name] = jnp.asarray(one)  # no array of NumPy, which would count as known
        floats = [one.dtype for one in inputs if jnp.issubdtype(one.dtype, jnp.floating)]
        kind = np.dtype(max(floats, key=lambda one: np.dtype(one).itemsize, default=np.float32))
        for name, one in self.constants.items():
            values[name] = one.astype(kind) if one.dtype.kind == "f" else one
        return values


def _done(node: Node, arguments: Sequence[Value | None]) -> Value | list[Value]:
    """The results of one operation."""
    try:
        return OPERATORS[node.operator](node, *arguments)
    except AttractorError:
        raise
    except Exception as problem:
        raise InputDataError(f"ONNX {node.operator} '{node.name}' cannot be computed: {problem}") from problem


def read_onnx(path: Path) -> OnnxFunction:
    """Read a network from an ONNX file.

    Raises:
        InputDataError: the file is not there or is no ONNX file, or one of its weights is no finite number.
        UnsupportedError: what is not read, which is named; or the package onnx is not installed.
    """
    model, digest = _loaded(Path(path))
    try:
        return _function(model, digest)
    except AttractorError:
        raise
    except Exception as problem:
        raise InputDataError(f"{path} is damaged: {problem}") from problem


def _function(model: "ModelProto", digest: str) -> OnnxFunction:
    graph = model.graph
    versions = {one.domain: one.version for one in model.opset_import}
    opset = int(versions.get("", versions.get("ai.onnx", 1)))
    constants = _constants(graph)
    inputs = tuple(_port(one) for one in graph.input if one.name not in constants)
    steps = tuple((_node(one, opset), tuple(one.input), tuple(one.output)) for one in graph.node)
    _check_order(steps, [*constants, *(port.name for port in inputs)])
    operators = tuple(sorted({node.operator for node, _, _ in steps}))
    outputs = tuple(_port(one) for one in graph.output)
    return OnnxFunction(inputs, outputs, operators, opset, digest, steps, constants)


def _loaded(path: Path) -> "tuple[ModelProto, str]":
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as problem:
        raise UnsupportedError(
            "an ONNX file needs the package onnx: pip install attractor[onnx]"
        ) from problem
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise InputDataError(f"{path}: {problem.strerror or problem}") from problem
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError, TypeError) as problem:
        raise InputDataError(f"{path} is no ONNX file") from problem
    if not model.graph.node and not model.graph.output:
        raise InputDataError(f"{path} holds no network")
    return model, hashlib.sha256(content).hexdigest()


def _constants(graph: "GraphProto") -> dict[str, np.ndarray]:
    from onnx import TensorProto, numpy_helper

    found = {}
    for one in graph.initializer:
        if one.data_location == TensorProto.EXTERNAL:
            raise UnsupportedError(
                f"ONNX: the weights '{one.name}' stand in another file; save them with the network"
            )
        found[one.name] = _array(one, one.name, numpy_helper.to_array)
    if graph.sparse_initializer:
        raise UnsupportedError("ONNX: sparse weights are not read; save them as plain arrays")
    return found


def _array(tensor: object, name: str, convert: object) -> np.ndarray:
    if not callable(convert):
        raise TypeError("no function")
    try:
        array = np.asarray(convert(tensor))
    except (ValueError, TypeError, NotImplementedError, KeyError) as problem:
        raise InputDataError(f"ONNX: the array '{name}' cannot be read: {problem}") from problem
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputDataError(f"ONNX: the array '{name}' holds what is no finite number")
    return array


def _port(one: "ValueInfoProto") -> Port:
    from onnx import helper

    kind = one.type.tensor_type
    if not one.type.HasField("tensor_type"):
        raise UnsupportedError(f"ONNX: '{one.name}' is no array")
    shape = []
    for axis, size in enumerate(kind.shape.dim):
        number = size.dim_value
        if number < 1 and axis > 0:
            raise UnsupportedError(f"ONNX: axis {axis} of '{one.name}' has no fixed size; export it with one")
        shape.append(max(number, 1))
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    except (KeyError, TypeError) as problem:
        raise UnsupportedError(f"ONNX: '{one.name}' has a type that is not read") from problem
    return Port(one.name, tuple(shape), dtype)


def _node(one: "NodeProto", opset: int) -> Node:
    from onnx import AttributeProto, helper, numpy_helper

    label = one.name or (one.output[0] if one.output else "")
    if one.domain not in ("", "ai.onnx") or one.op_type not in OPERATORS:
        raise UnsupportedError(
            f"ONNX: there is no rule for the operator {one.op_type} ('{label}')"
            f"{f' of the domain {one.domain}' if one.domain else ''}. Known: {', '.join(sorted(OPERATORS))}"
        )
    attributes: dict[str, Attribute] = {}
    for attribute in one.attribute:
        if attribute.type == AttributeProto.TENSOR:
            attributes[attribute.name] = _array(attribute.t, label, numpy_helper.to_array)
            continue
        value = helper.get_attribute_value(attribute)
        attributes[attribute.name] = _plain(value)
    return Node(one.op_type, label, attributes, opset, len(one.output))


def _plain(value: object) -> Attribute:
    """Text as text, several numbers as a list."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, Sequence):
        return [one.decode(errors="replace") if isinstance(one, bytes) else one for one in value]  # type: ignore[return-value]
    return str(value)


def _check_order(
    steps: Sequence[tuple[Node, tuple[str, ...], tuple[str, ...]]], begin: Sequence[str]
) -> None:
    seen = set(begin)
    for node, operands, results in steps:
        for name in operands:
            if name and name not in seen:
                raise InputDataError(
                    f"ONNX {node.operator} '{node.name}' reads '{name}', which nothing before it makes"
                )
        seen.update(results)
