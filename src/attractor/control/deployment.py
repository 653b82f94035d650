"""An identified model in the formats of other tools, and its predictive controller as one C file."""

from importlib.resources import files
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import jax.numpy as jnp
import numpy as np

from attractor.data import Signal
from attractor.errors import AttractorError, ConfigError
from attractor.export import EXPORTERS, CompiledController, ControllerCode, export, to_c_function
from attractor.export.c.c_controller import controller_source
from attractor.export.c.c_step import c_array, c_compiler
from attractor.files import make_folder, write_atomically
from attractor.origin import Origin, stamped
from attractor.program import double_precision, trace
from attractor.runs import check_origin

from .identification.plant_model import PlantModel
from .model import ControlModel, ModelCard, control_model
from .predictive import (
    ControlProblem,
    Limits,
    LocalTerminal,
    NoTerminal,
    PlanSolver,
    Situation,
    SolverSettings,
    TargetFinder,
)
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
        return export(model.network(), target, folder, origin=model.origin)
    if target != CONTROLLER:
        raise ConfigError(f"unknown target {target!r}; expected one of {', '.join([*EXPORTERS, CONTROLLER])}")
    make_folder(folder)
    check_origin(folder, model.origin)
    path, settings = folder / "controller.c", settings or ControlSettings()
    inner, card = control_model(model)
    export_controller(inner, card, settings, path, origin=model.origin)
    try:
        return [(path, controller_difference(inner, card, settings))]
    except AttractorError:
        path.unlink(missing_ok=True)
        raise


_LONGEST_REST = 1_000
"""Rounds of ten samples after which a model that has not come to rest is given up, in the C file."""
_COMPARISONS = 5
"""Situations in which the C file is compared with the solver in Python."""


def controller_code(model: ControlModel, card: ModelCard, settings: ControlSettings) -> ControllerCode:
    """What the predictive controller of an identified model minimises, on scaled signals.

    Inputs stay within [-1, 1], the range of the training. The terminal cost is the local cost to come where
    the model rests under the middle of that range; it is a constant of the code, while `PredictiveController`
    takes it anew for every target.

    Args:
        model: the plant's model.
        card: its scaling.
        settings: horizon, weights, rate limit (plant units) and whether there is one iteration per sample
            only. Observer and offset are left to the caller, who gives the state, and the reference less the
            estimated output disturbance.

    Raises:
        ConfigError: more than 64 numbers to decide on, or settings that contradict one another.
    """
    inputs, solver = model.input_size, settings.solver
    rate = None if settings.rate_limit is None else settings.rate_limit / card.inputs.scale
    problem = ControlProblem(settings.horizon, settings.objective, Limits(-1.0, 1.0, rate))
    output, input, move = map(np.diag, problem.objective.diagonals(inputs, model.output_size))
    return ControllerCode(
        step=model.step,
        output=model.output,
        horizon=settings.horizon,
        output_weight=output,
        input_weight=input,
        increment_weight=move,
        terminal_weight=_terminal(model, problem, np.diagonal(output)),
        low=-np.ones(inputs),
        high=np.ones(inputs),
        rate=rate,
        iterations=solver.iterations,
        tolerance=solver.tolerance,
    )


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
    `NAME_step` and `NAME_output` for the state, which the caller keeps, and `NAME_target` for the target.

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
    text = controller_source(code, name=name) + "\n" + _signals(model, card, name)
    write_atomically(path, (stamped(origin, "/* {} */\n") + text).encode())
    return path


def controller_difference(model: ControlModel, card: ModelCard, settings: ControlSettings) -> float | None:
    """Compile the controller here and compare it with the solver in Python, both carried to convergence.

    Args:
        model: the plant's model.
        card: its scaling.
        settings: of the controller.

    Returns:
        The largest difference of a planned input (scaled) in random situations; None without a C compiler.
    """
    if c_compiler() is None:
        return None
    fine = SolverSettings(tolerance=1e-9, iterations=100)
    base = controller_code(model, card, settings)
    code = ControllerCode(**vars(base) | {"iterations": fine.iterations, "tolerance": fine.tolerance})
    problem = ControlProblem(settings.horizon, settings.objective, Limits(-1.0, 1.0, code.rate))
    solver = PlanSolver(model, problem, fine)
    worst = 0.0
    with TemporaryDirectory() as folder:
        controller = CompiledController(code, Path(folder))
        for here in _situations(model, code):
            solver.reset()
            wanted = solver.solve(here).plan
            answer = controller(
                here.state,
                here.references[0],
                previous=here.last_input,
                input_target=here.target_input,
                state_target=here.target_state,
            )
            worst = max(worst, float(np.abs(answer.plan - wanted).max()))
    return worst


def _terminal(model: ControlModel, problem: ControlProblem, weight: np.ndarray) -> np.ndarray:
    rest = TargetFinder(model, problem).rest(np.zeros(model.input_size))
    rule = LocalTerminal() if rest.steady else NoTerminal()
    return rule.at(rest.jacobian, rest.reading, weight).matrix


def _situations(model: ControlModel, code: ControllerCode) -> list[Situation]:
    """States that the model visits under random inputs, and outputs that it can reach as references."""
    numbers = np.random.default_rng(0)
    finder = TargetFinder(model, ControlProblem())
    nothing, terminal = np.zeros(model.output_size), np.array(code.terminal_weight)
    made = []
    for _ in range(_COMPARISONS):
        now, aim = (finder.rest(numbers.uniform(-0.9, 0.9, model.input_size)) for _ in range(2))
        references = np.tile(aim.output, (code.horizon, 1))
        made.append(Situation(now.state, now.input, references, aim.state, aim.input, nothing, terminal))
    return made


def _signals(model: ControlModel, card: ModelCard, name: str) -> str:
    """What stands after the controller: the model for the caller, and the scaling."""
    template = files("attractor.control").joinpath("embedded.c").read_text()
    filled = template.replace("@name@", name).replace("@longest@", str(_LONGEST_REST))
    notes, conversions, targets = filled.split("@@@\n")
    parts = [notes, _described("input", card.signals.inputs), _described("output", card.signals.outputs)]
    for kind, scaling in (("input", card.inputs), ("output", card.outputs)):
        parts += [
            c_array(f"{name}_{kind}_offset", scaling.offset),
            c_array(f"{name}_{kind}_scale", scaling.scale),
            conversions.replace("@kind@", kind).replace("@COUNT@", f"{kind.upper()}S"),
        ]
    with double_precision():
        state, input = jnp.zeros(model.state_size), jnp.zeros(model.input_size)
        step = trace(lambda input, state: model.step(state, input), input, state)
        output = trace(model.output, state)
    step = to_c_function(step, f"{name}_step", arguments=["u", "x"], results=["next"])
    output = to_c_function(output, f"{name}_output", arguments=["x"], results=["y"])
    return "\n".join([*parts, step.code, output.code, targets])


def _described(kind: str, signals: tuple[Signal, ...]) -> str:
    """A comment with the names of signals, in which nothing can end the comment."""
    labels = ", ".join(signal.label for signal in signals)
    plain = "".join("_" if one in "*\\?" or not one.isprintable() else one for one in labels)
    return f"/* {kind}s: {plain} */"
