"""An identified model in the formats of other tools, each file checked against the model."""

from pathlib import Path

import numpy as np

from attractor.control.embedded import controller_difference, export_controller
from attractor.control.model import control_model
from attractor.control.study import ControlSetup
from attractor.errors import AttractorError, ConfigError
from attractor.export import (
    to_c,
    to_numpy,
    to_onnx_sequence,
    to_onnx_step,
    write_casadi,
    written_deviation,
)
from attractor.export.c import c_compiler
from attractor.files import make_folder
from attractor.runs import check_origin

from .estimator import PlantModel

_FILES = {
    "numpy": ("step.py",),
    "c": ("step.c",),
    "casadi": ("step.casadi",),
    "onnx": ("step.onnx", "sequence.onnx"),
    "controller": ("controller.c",),
}
TARGETS = tuple(_FILES)
_MOST = 1e-3
"""A step that deviates by more is another one; what rounding explains is far smaller."""


def export_model(
    model: PlantModel, target: str, folder: Path, setup: ControlSetup | None = None
) -> list[tuple[Path, float | None]]:
    """Write the chosen network of a model: its step on scaled signals, and its read-out.

    What was written is read back and run before it counts.

    Args:
        model: a fitted model.
        target: "numpy", "c", "casadi", "onnx"; or "controller", the predictive controller as one C file.
        folder: to write into.
        setup: of the controller.

    Returns:
        The files, each with the largest difference from the model on random states and inputs (relative to
        1 + |value|), a controller with the largest difference of a planned input from the solver in
        Python; None where nothing could be compared, as in C without a compiler.

    Raises:
        ConfigError: unknown target.
        RunFolderError: the folder holds the run of another model.
        UnsupportedError: the cell uses a primitive that the target cannot express; or a package is missing.
        AttractorError: a file does not compute what the model computes; no file of this target is left.
        StorageError: a file cannot be written.
    """
    if target not in TARGETS:
        message = f"unknown target {target!r}; expected one of {', '.join(TARGETS)}"
        raise ConfigError(message)
    make_folder(folder)
    check_origin(folder, model.origin)
    written: list[tuple[Path, float | None]] = []
    try:
        for name in _FILES[target]:
            written.append(_write(model, target, folder / name, setup or ControlSetup()))
    except AttractorError:
        _remove(*(path for path, _ in written))  # half an export is none
        raise
    return written


def _write(model: PlantModel, target: str, path: Path, setup: ControlSetup) -> tuple[Path, float | None]:
    """Write one file, and take it away again where it does not do what the model does."""
    network, origin = model.network(), model.origin
    if target == "onnx":  # compared before it is written
        write = to_onnx_step if path.name == "step.onnx" else to_onnx_sequence
        return path, _finite(write(network, path, origin=origin).difference)
    if target == "controller":
        inner, card = control_model(model)
        export_controller(inner, card, setup, path, origin=origin)
    else:
        {"numpy": to_numpy, "c": to_c, "casadi": write_casadi}[target](network, path, origin=origin)
    try:
        return path, _checked(model, target, path, setup)
    except AttractorError:
        _remove(path)
        raise


def _checked(model: PlantModel, target: str, path: Path, setup: ControlSetup) -> float | None:
    """The largest difference from the model, found by running the file; None where nothing can run it."""
    if target in ("c", "controller") and c_compiler() is None:
        return None
    if target == "controller":
        return controller_difference(*control_model(model), setup)
    difference = written_deviation(model.network(), target, path)
    if not difference <= _MOST:
        message = (
            f"{path} deviates from the model by {difference:.1e} of the values and was taken away again. "
            "Please report this cell"
        )
        raise AttractorError(message)
    return difference


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
