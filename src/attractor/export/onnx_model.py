"""A cell as an ONNX model, one step or a whole sequence, compared with the cell before it is written."""

from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor.cells import exposed, knows_input
from attractor.errors import AttractorError, UnsupportedError
from attractor.files import write_atomically
from attractor.origin import Origin, stamped
from attractor.program import Program, deviation, interpret, with_precision

from .exporters import EXPORTERS, Exporter, Rows, needed
from .flat_step import MOST_LOST, FlatStep, Readout, flat_step, rounding_explains
from .onnx_graph import Graph, add_program

_OPSET, _FORMAT = 20, 10
"""Version of the operators and of the file format: what runtimes since 2024 read."""
_ROUNDINGS = 8.0
"""How much more than its own rounding a model may deviate."""


class OnnxCheck(Enum):
    """What was found when the file was run."""

    AGREES = "the model in onnxruntime gives the numbers of the cell"
    NOT_RUN = "not compared: onnxruntime is missing; pip install attractor[onnx]"


@dataclass(frozen=True)
class OnnxExport:
    """A written ONNX file.

    Args:
        path: the file.
        check: whether it was run.
        difference: largest deviation from the cell that was seen, divided by 1 + |value|; None if not run.
    """

    path: Path
    check: OnnxCheck
    difference: float | None


def to_onnx(
    source: object,
    path: str | PathLike[str],
    *,
    sequence: bool = False,
    read: Readout | None = None,
    double_precision: bool = False,
    origin: Origin | None = None,
) -> OnnxExport:
    """Write one step, or a whole run.

    A step: u (batch, inputs), x (batch, states) -> x_next (batch, states), y (batch, outputs). y is what
    `read` sees of x_next; without `read`, the output of a network or what the cell exposes.

    A run: inputs (batch, time, inputs), initial_state (batch, states) -> outputs (batch, time, outputs), what
    `read` sees of the state after each input, and last_state (batch, states).

    Batch and time are of any length.

    Args:
        source: a cell or a network with a cell and an output.
        path: the file to write.
        sequence: a whole run instead of a step.
        read: an output of the state of a cell.
        double_precision: float64 instead of float32.
        origin: what the step is made from, for the metadata of the file.

    Raises:
        UnsupportedError: onnx is not installed, or a primitive without a rule.
        AttractorError: the model does not give the numbers of the cell; nothing is written.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    onnx = needed("onnx", "onnx")
    if read is None and knows_input(source):
        read = _exposed(source)
    flat = flat_step(source, read=read, single_precision=not double_precision)
    with with_precision(double=double_precision):
        graph = _sequence(onnx, flat) if sequence else _step(onnx, flat)
        opset = onnx.helper.make_opsetid("", _OPSET)
        model = onnx.helper.make_model(
            graph, opset_imports=[opset], ir_version=_FORMAT, producer_name="attractor"
        )
        onnx.helper.set_model_props(model, {"made by": stamped(origin, "{}") or "attractor"})
        _check_graph(onnx, model, type(source).__name__)
        content = model.SerializeToString()
        difference = _difference(content, flat, sequence)
    allowed = 0.0 if difference is None else rounding_explains(flat, flat.initial.dtype)
    if difference is not None and not difference <= allowed and not double_precision:
        allowed = max(allowed, _lost_in_single(source, read, flat))
    if difference is not None and not difference <= allowed:
        raise AttractorError(
            f"the ONNX model deviates from {type(source).__name__} by {difference:.1e} of the values, where "
            f"rounding explains {allowed:.1e}; nothing was written. Please report this cell"
        )
    write_atomically(path, content)
    return OnnxExport(path, OnnxCheck.NOT_RUN if difference is None else OnnxCheck.AGREES, difference)


def _check_graph(onnx: ModuleType, model: Any, name: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as problem:
        raise AttractorError(
            f"the ONNX model of {name} is not valid ({problem}); nothing was written. Please report it"
        ) from problem


def _lost_in_single(source: object, read: Readout | None, flat: FlatStep) -> float:
    """What a cell loses in float32, which another order of additions may lose too, up to a factor.

    It is compared with itself in float64 at the same points; that is compiled only where it is asked for.
    """
    start, given = _samples(flat)
    narrow = run_batch(flat, given, start)
    with with_precision(double=True):
        exact = run_batch(flat_step(source, read=read), given.astype(float), start.astype(float))
    lost = max(deviation(one, other) for one, other in zip(narrow, exact, strict=True))
    return min(_ROUNDINGS * lost, MOST_LOST)


def _exposed(cell: object) -> Readout:
    return lambda state: exposed(cell, state)


def _output(flat: FlatStep) -> Program:
    if flat.output is None:
        raise UnsupportedError("an ONNX model needs an output; give `read`")
    return flat.output


def _step(onnx: ModuleType, flat: FlatStep) -> Any:
    """The graph of one step; also the body of the loop over time."""
    graph = Graph(onnx, "x")
    add_program(graph, flat.step, ["u", "x"], ["x_next"])
    add_program(graph, _output(flat), ["x_next"], ["y"])
    return onnx.helper.make_graph(
        graph.nodes,
        "step",
        _described(onnx, flat, "batch", u=flat.input_size, x=flat.state_size),
        _described(onnx, flat, "batch", x_next=flat.state_size, y=flat.output_size),
        graph.constants,
    )


def _sequence(onnx: ModuleType, flat: FlatStep) -> Any:
    """A Scan over the time axis; its body takes the state first."""
    body = _step(onnx, flat)
    inputs = [body.input[1], body.input[0]]
    del body.input[:]
    body.input.extend(inputs)
    scan = onnx.helper.make_node(
        "Scan",
        ["initial_state", "inputs"],
        ["last_state", "outputs"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
    )
    given = _described(onnx, flat, "batch", "time", inputs=flat.input_size)
    given += _described(onnx, flat, "batch", initial_state=flat.state_size)
    found = _described(onnx, flat, "batch", "time", outputs=flat.output_size)
    found += _described(onnx, flat, "batch", last_state=flat.state_size)
    return onnx.helper.make_graph([scan], "sequence", given, found)


def _described(onnx: ModuleType, flat: FlatStep, *axes: str, **sizes: int) -> list[object]:
    """Arguments or results of a graph: free axes, and the length of the last one by name."""
    dtype = onnx.helper.np_dtype_to_tensor_dtype(flat.initial.dtype)
    return [onnx.helper.make_tensor_value_info(name, dtype, (*axes, size)) for name, size in sizes.items()]


def _difference(content: bytes, flat: FlatStep, sequence: bool) -> float | None:
    """The largest deviation from the cell at two lengths and sizes of a batch; None without a runtime."""
    if not _runs_here():
        return None
    onnxruntime = import_module("onnxruntime")
    problems = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except problems.NotImplemented as problem:
        raise UnsupportedError(
            f"onnxruntime does not run this model in {flat.initial.dtype}: {problem}. It knows fewer "
            "operators in float64 than in float32"
        ) from problem
    start, given = _samples(flat)
    outputs, states = run_batch(flat, given, start)
    worst = 0.0
    for batch, length in ((1, 3), (5, 7)) if sequence else ((1, 1), (5, 1)):
        feed = {"inputs": given[:batch, :length], "initial_state": start[:batch]}
        names = ["outputs", "last_state"]
        if not sequence:
            feed, names = {"u": given[:batch, 0], "x": start[:batch]}, ["y", "x_next"]
        found, last = session.run(names, feed)
        wanted = outputs[:batch, :length].reshape(found.shape)
        worst = max(worst, deviation(found, wanted), deviation(last, states[:batch, length - 1]))
    return worst


def _samples(flat: FlatStep) -> tuple[np.ndarray, np.ndarray]:
    """Five states at the start, and seven inputs for each."""
    numbers = np.random.default_rng(0)
    start = flat.initial + numbers.uniform(-0.5, 0.5, (5, flat.state_size)).astype(flat.initial.dtype)
    return start, numbers.uniform(-1, 1, (5, 7, flat.input_size)).astype(flat.initial.dtype)


def run_batch(flat: FlatStep, inputs: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a flat step with an output gives: outputs (batch, time, outputs), states (batch, time, states).

    Args:
        flat: a step with an output.
        inputs: (batch, time, inputs).
        states: the states at the start, (batch, states).
    """
    output = _output(flat)

    def advance(given: Array, state: Array) -> tuple[Array, Array]:
        after = interpret(flat.step, {}, [given, state], "evaluation")[0]
        return interpret(output, {}, [after], "evaluation")[0], after

    step = jax.jit(jax.vmap(advance))  # compiled once for all times
    state, run = jnp.asarray(states), []
    for given in jnp.asarray(inputs).swapaxes(0, 1):
        run.append(step(given, state))
        state = run[-1][1]
    outputs, visited = (np.stack(part, axis=1) for part in zip(*run, strict=True))
    return outputs, visited


def _write(source: object, path: Path, origin: Origin | None) -> float | None:
    return to_onnx(source, path, origin=origin, sequence=path.stem == "sequence").difference


def _runs_here() -> bool:
    return find_spec("onnxruntime") is not None


def _run(path: Path, inputs: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    session = needed("onnxruntime", "onnx").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    narrow = {"u": inputs.astype(np.float32), "x": states.astype(np.float32)}
    after, seen = (np.asarray(part, float) for part in session.run(["x_next", "y"], narrow))
    return after, seen if outputs else after[:, :0]


def _check(cell: object) -> str:
    _step(needed("onnx", "onnx"), flat_step(cell, read=_exposed(cell), single_precision=True))
    return "in float32"


EXPORTERS.register(
    "onnx",
    Exporter("ONNX", dict.fromkeys(("step.onnx", "sequence.onnx"), _write), _run, _check, _runs_here),
)
