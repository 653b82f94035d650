"""An identified model in the formats of other tools, each file checked against the model."""

from pathlib import Path

import numpy as np

from attractor.errors import ConfigError
from attractor.export import check_parity, to_c, to_casadi, to_numpy, to_onnx_sequence, to_onnx_step
from attractor.files import make_folder

from .estimator import PlantModel

TARGETS = ("numpy", "c", "casadi", "onnx")


def export_model(model: PlantModel, target: str, folder: Path) -> list[tuple[Path, float | None]]:
    """Write the chosen network of a model: its step on scaled signals, and its read-out.

    Args:
        model: a fitted model.
        target: "numpy", "c", "casadi" or "onnx".
        folder: to write into.

    Returns:
        The files, each with the largest difference from the model on random states and inputs (relative to
        1 + |value|); None where nothing could be compared.

    Raises:
        ConfigError: unknown target.
        UnsupportedError: the cell uses a primitive that the target cannot express; or a package is missing.
        StorageError: a file cannot be written.
    """
    network = model.network()
    make_folder(folder)
    if target == "onnx":
        exports = [
            to_onnx_step(network, folder / "step.onnx"),
            to_onnx_sequence(network, folder / "sequence.onnx"),
        ]
        return [(one.path, _finite(one.difference)) for one in exports]
    if target not in TARGETS:
        message = f"unknown target {target!r}; expected one of {', '.join(TARGETS)}"
        raise ConfigError(message)
    if target == "numpy":
        path = to_numpy(network, folder / "step.py")
    elif target == "c":
        path = to_c(network, folder / "step.c")
    else:
        path = folder / "step.casadi"
        to_casadi(network).save(str(path))
    return [(path, check_parity(network, targets=(target,))[target])]


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
