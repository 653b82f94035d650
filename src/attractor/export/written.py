"""What a written file computes, found by running that very file: whatever went wrong on its way shows."""

import ctypes
import importlib.util
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.errors import AttractorError, UnsupportedError

from .c.c_step import compile_c, load_c

Rows = Float[np.ndarray, "samples _"]

_NUMBERS = ctypes.POINTER(ctypes.c_double)


def run_written(target: str, path: Path, given: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    """New states and outputs of a written step at some inputs and states.

    Args:
        target: "numpy", "c", "casadi" or "onnx".
        path: the file.
        given: inputs, one row a sample.
        states: states, likewise.
        outputs: length of the output; 0 does not ask for it.

    Raises:
        AttractorError: the file cannot be read or run: it was cut or changed on its way to the disk.
        UnsupportedError: what runs it is missing.
    """
    try:
        return RUNNERS[target](path, given, states, outputs)
    except (AttractorError, ImportError):
        raise
    except Exception as problem:
        message = f"{path} does not run, so that it was not written as it should be: {problem}"
        raise AttractorError(message) from problem


def _by_numpy(path: Path, given: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    specification = importlib.util.spec_from_file_location("exported_step", path)
    if specification is None or specification.loader is None:
        message = f"{path} cannot be imported"
        raise UnsupportedError(message)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    after = np.stack([module.step(u, x) for u, x in zip(given, states, strict=True)])
    return after, np.stack([module.read(x) for x in after]) if outputs else after[:, :0]


def _by_c(path: Path, given: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    with TemporaryDirectory() as folder:  # what the compiler makes is nobody's export
        library = load_c(compile_c(Path(shutil.copy(path, folder))))
    after, seen = np.empty_like(states), np.empty((len(states), outputs))
    for u, x, result in zip(given, states, after, strict=True):
        library.model_step(*map(_pointer, (u, x, result)))
    for x, result in zip(after, seen, strict=True) if outputs else ():
        library.model_output(*map(_pointer, (x, result)))
    return after, seen


def _pointer(array: np.ndarray) -> Any:
    return array.ctypes.data_as(_NUMBERS)


def _by_casadi(path: Path, given: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    function = import_module("casadi").Function.load(str(path))
    found = function.map(len(given))(given.T, states.T)
    after, *seen = (np.array(part).T for part in (found if isinstance(found, tuple) else (found,)))
    return after, seen[0] if outputs else after[:, :0]


def _by_onnx(path: Path, given: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    try:
        onnxruntime = import_module("onnxruntime")
    except ImportError as problem:
        message = "to run an ONNX model needs onnxruntime: pip install attractor[onnx]"
        raise UnsupportedError(message) from problem
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    narrow = {"u": given.astype(np.float32), "x": states.astype(np.float32)}
    after, seen = (np.asarray(part, float) for part in session.run(["x_next", "y"], narrow))
    return after, seen if outputs else after[:, :0]


RUNNERS: dict[str, Callable[[Path, Rows, Rows, int], tuple[Rows, Rows]]] = {
    "numpy": _by_numpy,
    "c": _by_c,
    "casadi": _by_casadi,
    "onnx": _by_onnx,
}
"""How a file of each target is run."""
