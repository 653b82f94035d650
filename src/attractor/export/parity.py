"""Whether an export computes what the cell computes, found by running it."""

import ctypes
import importlib.util
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attractor.cells import initial_state
from attractor.errors import ConfigError, UnsupportedError
from attractor.program import flat_map, in_double_precision, layout_of

from .c.compiler import compile_c, load_c
from .c.step import to_c
from .casadi_function import to_casadi
from .flat_step import deviation, flat_step, parts_of
from .numpy_step import to_numpy
from .onnx_model import to_onnx_step

Steps = Float[np.ndarray, "samples _"]

_ROUNDING = 1e-3
"""What float32 may lose in one step of a large cell."""


def check_parity(
    source: Any, *, targets: Sequence[str] = ("numpy", "c"), samples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Export a cell to each target, run one step at random inputs and states, and compare with the cell.

    Inputs are uniform in [-1, 1], states in [-1, 1] about the initial state; whole numbers of the state stay.
    The step that counts is the cell's own call, with its weights made wider, and with them as they are: where
    these two differ by more than rounding in the type of the cell, the second decides.

    Args:
        source: any cell, or a network with a cell and an output.
        targets: "numpy", "c" (needs a compiler), "casadi", "onnx" (float32).
        samples: number of inputs and states.
        seed: draws them.

    Returns:
        For each target the largest |export - cell| / (1 + |cell|) of any number in any new state.

    Raises:
        ConfigError: an unknown target.
        UnsupportedError: a primitive without a rule, or a missing package or compiler.
    """
    unknown = sorted(set(targets) - set(_RUNS))
    if unknown:
        message = f"unknown targets {', '.join(unknown)}; known: {', '.join(_RUNS)}"
        raise ConfigError(message)
    flat_step(source)  # says what is wrong with a source that is no cell
    cell, _ = parts_of(source, None)
    given, states = _places(cell, samples, seed)
    wanted = _steps(cell, given, states)
    found = {}
    with TemporaryDirectory() as folder:
        for target in targets:
            found[target] = deviation(_RUNS[target](source, Path(folder), given, states), wanted)
    return found


def _places(cell: Any, samples: int, seed: int) -> tuple[Steps, Steps]:
    """Random inputs and states, which float32 holds exactly, so that a cell sees them in any type."""
    numbers = np.random.default_rng(seed)
    flat = flat_map(cell, dtype=jnp.float32)
    given = numbers.uniform(-1, 1, (samples, flat.input_size)).astype(np.float32)
    states = np.tile(np.asarray(flat.start), (samples, 1))
    states[:, : flat.real_size] += numbers.uniform(-1, 1, (samples, flat.real_size)).astype(np.float32)
    return given.astype(float), states.astype(float)


def _steps(cell: Any, given: Steps, states: Steps) -> Steps:
    """The steps of the cell itself, in float64, unless that copy is another map than the cell."""
    with jax.enable_x64(True):
        wide = _called(in_double_precision(cell), given, states, jnp.float64)
    own = _called(cell, given, states, jnp.float32)
    return own if deviation(own, wide) > _ROUNDING else wide


def _called(cell: Any, given: Steps, states: Steps, dtype: Any) -> Steps:
    """Steps of a cell whose types are left alone."""
    layout = layout_of(initial_state(cell), type(cell).__name__, dtype)

    def step(given: Any, state: Any) -> Any:
        return layout.flatten(cell(given, layout.restore(state)))

    return np.asarray(jax.jit(jax.vmap(step))(jnp.asarray(given, dtype), jnp.asarray(states, dtype)), float)


def _by_numpy(source: Any, folder: Path, given: Steps, states: Steps) -> Steps:
    path = to_numpy(source, folder / "exported_step.py")
    specification = importlib.util.spec_from_file_location("exported_step", path)
    if specification is None or specification.loader is None:
        message = f"{path} cannot be imported"
        raise UnsupportedError(message)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return np.stack([module.step(u, x) for u, x in zip(given, states, strict=True)])


def _by_c(source: Any, folder: Path, given: Steps, states: Steps) -> Steps:
    library = load_c(compile_c(to_c(source, folder / "exported_step.c")))
    after = np.empty_like(states)
    for u, x, result in zip(given, states, after, strict=True):
        library.model_step(*(array.ctypes.data_as(_NUMBERS) for array in (u, x, result)))
    return after


_NUMBERS = ctypes.POINTER(ctypes.c_double)


def _by_casadi(source: Any, folder: Path, given: Steps, states: Steps) -> Steps:
    after = to_casadi(source).map(len(given))(given.T, states.T)
    return np.array(after[0] if isinstance(after, tuple) else after).T


def _by_onnx(source: Any, folder: Path, given: Steps, states: Steps) -> Steps:
    try:
        onnxruntime = import_module("onnxruntime")
    except ImportError as problem:
        message = "to run an ONNX model needs onnxruntime: pip install attractor[onnx]"
        raise UnsupportedError(message) from problem
    export = to_onnx_step(source, folder / "exported_step.onnx")
    session = onnxruntime.InferenceSession(str(export.path), providers=["CPUExecutionProvider"])
    narrow = {"u": given.astype(np.float32), "x": states.astype(np.float32)}
    return np.asarray(session.run(["x_next"], narrow)[0], float)


_RUNS: dict[str, Callable[[Any, Path, Steps, Steps], Steps]] = {
    "numpy": _by_numpy,
    "c": _by_c,
    "casadi": _by_casadi,
    "onnx": _by_onnx,
}
