"""An identified model in the formats of other tools, each file checked against the model."""

from pathlib import Path

from attractor.control.embedded import controller_difference, export_controller
from attractor.control.model import control_model
from attractor.control.study import ControlSetup
from attractor.errors import AttractorError, ConfigError
from attractor.export import EXPORTERS, export
from attractor.files import make_folder
from attractor.runs import check_origin

from .plant_model import PlantModel

CONTROLLER = "controller"
"""The target that only a plant model has, beside those of every cell."""


def export_model(
    model: PlantModel, target: str, folder: Path, setup: ControlSetup | None = None
) -> list[tuple[Path, float | None]]:
    """Write the chosen network of a model: its step on scaled signals, and its read-out.

    What was written is read back and run before it counts.

    Args:
        model: a fitted model.
        target: a name of `attractor.export.EXPORTERS`; or "controller", the predictive controller as one C
            file.
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
    if target in EXPORTERS:
        return export(model.network(), target, folder, origin=model.origin)
    if target != CONTROLLER:
        raise ConfigError(f"unknown target {target!r}; expected one of {', '.join([*EXPORTERS, CONTROLLER])}")
    make_folder(folder)
    check_origin(folder, model.origin)
    path, setup = folder / "controller.c", setup or ControlSetup()
    inner, card = control_model(model)
    export_controller(inner, card, setup, path, origin=model.origin)
    try:
        return [(path, controller_difference(inner, card, setup))]
    except AttractorError:
        path.unlink(missing_ok=True)
        raise
