"""An identified model in the formats of other tools, each file checked against the model."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from attractor.control.embedded import controller_difference, export_controller
from attractor.control.model import control_model
from attractor.control.study import ControlSetup
from attractor.errors import ConfigError
from attractor.export import check_parity, to_c, to_casadi, to_numpy, to_onnx_sequence, to_onnx_step
from attractor.export.c import c_compiler
from attractor.files import make_folder, write_atomically
from attractor.origin import stamped

from .estimator import PlantModel
from .network import PlantNetwork

TARGETS = ("numpy", "c", "casadi", "onnx", "controller")


def export_model(
    model: PlantModel, target: str, folder: Path, setup: ControlSetup | None = None
) -> list[tuple[Path, float | None]]:
    """Write the chosen network of a model: its step on scaled signals, and its read-out.

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
        UnsupportedError: the cell uses a primitive that the target cannot express; or a package is missing.
        StorageError: a file cannot be written.
    """
    network = model.network()
    make_folder(folder)
    if target == "onnx":
        exports = [
            to_onnx_step(network, folder / "step.onnx", origin=model.origin),
            to_onnx_sequence(network, folder / "sequence.onnx", origin=model.origin),
        ]
        return [(one.path, _finite(one.difference)) for one in exports]
    if target not in TARGETS:
        message = f"unknown target {target!r}; expected one of {', '.join(TARGETS)}"
        raise ConfigError(message)
    if target == "controller":
        return [_write_controller(model, folder, setup or ControlSetup())]
    if target == "numpy":
        path = to_numpy(network, folder / "step.py", origin=model.origin)
    elif target == "c":
        path = to_c(network, folder / "step.c", origin=model.origin)
    else:
        path = folder / "step.casadi"
        write_atomically(path, _casadi_file(network) + stamped(model.origin, "\n{}\n").encode())
    if target == "c" and c_compiler() is None:
        return [(path, None)]
    return [(path, check_parity(network, targets=(target,))[target])]


def _write_controller(model: PlantModel, folder: Path, setup: ControlSetup) -> tuple[Path, float | None]:
    inner, card = control_model(model)
    path = export_controller(inner, card, setup, folder / "controller.c", origin=model.origin)
    return path, controller_difference(inner, card, setup)


def _casadi_file(network: PlantNetwork) -> bytes:
    """What CasADi saves; it reads no further than the end of its function, so that a line may follow."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "step.casadi"
        to_casadi(network).save(str(path))
        return path.read_bytes()


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
