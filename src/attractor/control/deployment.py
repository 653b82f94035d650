"""An identified model in the formats of other tools, and its predictive controller as one C file."""

import warnings
from importlib.resources import files
from os import PathLike
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from attractor.data import Signal, describe_sampling
from attractor.errors import AttractorError, ConfigError, ExportWarning
from attractor.export import (
    EXPORTERS,
    export,
    to_c_function,
)
from attractor.export.c.c_controller import controller_source, in_precision, named
from attractor.export.c.c_step import c_array
from attractor.files import make_folder, write_atomically
from attractor.origin import Origin, check_replaceable, stamped
from attractor.program import double_precision, trace
from attractor.runs import check_origin

from .controller_check import compare_controller
from .controller_code import controller_code, export_limits, precision_of
from .identification.plant_model import PlantModel
from .model import ControlModel, ModelCard, control_model
from .predictive.control_problem import per_channel
from .study import ControlSettings

CONTROLLER = "controller"
"""The target that only a plant model has, beside those of every cell."""


def export_model(
    model: PlantModel, target: str, folder: Path, settings: ControlSettings | None = None
) -> list[tuple[Path, float | None]]:
    """Write the chosen network of a model: its step on scaled signals, and its read-out.

    What was written is read back and run before it counts.

    Args:
        model: a fitted model.
        target: a name of `attractor.export.EXPORTERS`; or "controller", the predictive controller as one C
            file.
        folder: to write into.
        settings: of the controller.

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
        return export(model.network(), target, folder, origin=model.origin, precision=precision_of(settings))
    if target != CONTROLLER:
        raise ConfigError(f"unknown target {target!r}; expected one of {', '.join([*EXPORTERS, CONTROLLER])}")
    make_folder(folder)
    check_origin(folder, model.origin)
    path, settings = folder / "controller.c", settings or ControlSettings()
    check_replaceable(path)
    inner, card = control_model(model)
    export_controller(inner, card, settings, path, origin=model.origin)
    try:
        found = compare_controller(inner, card, settings)
    except AttractorError:
        path.unlink(missing_ok=True)
        raise
    if found is not None and found.elsewhere:
        warnings.warn(ExportWarning(str(found)), stacklevel=2)
    return [(path, None if found is None else found.difference)]


_LONGEST_REST = 1_000
"""Rounds of ten samples after which a model that has not come to rest is given up, in the C file."""


def export_controller(
    model: ControlModel,
    card: ModelCard,
    settings: ControlSettings,
    path: str | PathLike[str],
    *,
    name: str = "controller",
    origin: Origin | None = None,
) -> Path:
    """Write one C file with the controller, its model and the scaling of all signals.

    `NAME_control`, explained in the file, works on scaled signals. Beside it stand `NAME_scale_input`,
    `NAME_unscale_input`, `NAME_scale_output` and `NAME_unscale_output` for the way from and to plant units,
    `NAME_step` and `NAME_output` for the state, `NAME_target` for the target, and `NAME_begin` and
    `NAME_sample`, which do all of it: from a measurement in plant units to the input, with the offset of
    every output, and with what the model expects where a sensor shows nothing.

    Args:
        model: the plant's model.
        card: names, units and scaling.
        settings: of the controller, see `controller_code`.
        path: the file to write.
        name: begins all names in the file.
        origin: what the model is made from, for a comment in the file.

    Returns:
        The path.

    Raises:
        ConfigError: a name that C does not take, or settings that cannot be written.
        UnsupportedError: a primitive of the cell without a rule; the message names it and its position.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    code = controller_code(model, card, settings)
    gain = per_channel("offset gain", settings.offset_gain, model.output_size)
    text = controller_source(code, name=name) + "\n" + _signals(model, card, name, gain, settings)
    write_atomically(path, (stamped(origin, "/* {} */\n") + text).encode())
    return path


def controller_difference(model: ControlModel, card: ModelCard, settings: ControlSettings) -> float | None:
    """The largest difference of a planned input that `compare_controller` finds."""
    found = compare_controller(model, card, settings)
    return None if found is None else found.difference


def _signals(
    model: ControlModel, card: ModelCard, name: str, gain: np.ndarray, settings: ControlSettings
) -> str:
    """What stands after the controller: the model for the caller, the scaling, and a whole sample."""
    precision = precision_of(settings)
    template = files("attractor.control").joinpath("embedded.c").read_text()
    filled = named(template, name).replace("@longest@", str(_LONGEST_REST))
    notes, conversions, targets = filled.split("@@@\n")
    parts = [notes, _described("input", card.signals.inputs), _described("output", card.signals.outputs)]
    sample = describe_sampling(card.sampling_time, card.signals.assumed)
    parts.append(f"/* one sample: {sample} */")
    parts.append(_limits_in_words(card, settings))
    for kind, scaling in (("input", card.inputs), ("output", card.outputs)):
        conversion = conversions.replace("@kind@", kind).replace("@COUNT@", f"{name}_{kind.upper()}S")
        parts += [
            c_array(f"{name}_{kind}_offset", scaling.offset, precision),
            c_array(f"{name}_{kind}_scale", scaling.scale, precision),
            in_precision(conversion, precision),
        ]
    parts.append(c_array(f"{name}_offset_gain", gain, precision))
    with double_precision():
        state, input = jnp.zeros(model.state_size), jnp.zeros(model.input_size)
        step = trace(lambda input, state: model.step(state, input), input, state)
        output = trace(model.output, state)
    step = to_c_function(step, f"{name}_step", arguments=["u", "x"], results=["next"], dtype=precision)
    output = to_c_function(output, f"{name}_output", arguments=["x"], results=["y"], dtype=precision)
    declared = f"{step.signature};\n{output.signature};\n"
    return "\n".join([*parts, declared, step.code, output.code, in_precision(targets, precision)])


def _limits_in_words(card: ModelCard, settings: ControlSettings) -> str:
    """A comment that says which limits the inputs keep, in plant units, and where they come from."""
    scaled = export_limits(card, settings).scaled(card.inputs, card.outputs)
    low, high, _ = scaled.input_box(len(card.inputs.scale))
    ends = zip(card.inputs.to_engineering(low), card.inputs.to_engineering(high), strict=True)
    asked = settings.input_low is not None or settings.input_high is not None
    why = "the range of the training, which --input-low and --input-high of `attractor export` narrow"
    why = "as asked, and never beyond the training" if asked else why
    return f"/* inputs stay within {', '.join(f'{low:g} to {high:g}' for low, high in ends)}: {why} */"


def _described(kind: str, signals: tuple[Signal, ...]) -> str:
    """A comment with the names of signals, in which nothing can end the comment."""
    labels = ", ".join(signal.label for signal in signals)
    plain = "".join("_" if one in "*\\?" or not one.isprintable() else one for one in labels)
    return f"/* {kind}s: {plain} */"
