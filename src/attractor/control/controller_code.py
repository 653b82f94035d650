"""What the predictive controller of an identified model minimises in C, with or without a terminal cost."""

import warnings
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attractor.errors import ConfigError, ExportWarning
from attractor.export import ControllerCode
from attractor.export.exporters import Precision
from attractor.program import double_precision

from .model import ControlModel, ModelCard
from .predictive import ControlProblem, Limits, TargetFinder
from .predictive.target import Rest
from .predictive.terminal import horizon_steadies, terminal_rule
from .study import ControlSettings


@dataclass(frozen=True)
class ExportSettings(ControlSettings):
    """How a model or its controller is written.

    Args:
        precision: of all numbers in C: "float" for processors that know single precision only (a Cortex-M4F).
        certificate: of the model, for the terminal cost of the controller; None for none.
    """

    precision: Precision = "double"
    certificate: Any = None


def precision_of(settings: ControlSettings | None) -> Precision:
    """Of all numbers in C; double where the settings do not say."""
    return settings.precision if isinstance(settings, ExportSettings) else "double"


def export_limits(card: ModelCard, settings: ControlSettings) -> Limits:
    """What inputs an exported controller may apply, plant units: what is asked for, within the training."""
    middle, half = card.inputs.offset, card.inputs.scale
    return settings.limits_within(middle - half, middle + half)


def controller_code(model: ControlModel, card: ModelCard, settings: ControlSettings) -> ControllerCode:
    """What the predictive controller of an identified model minimises, on scaled signals.

    Inputs stay within the limits of the settings and [-1, 1], the range of the training. The terminal cost is
    the local cost to come where the model rests under the middle of them; it is a constant of the code, while
    `PredictiveController` takes it anew for every target.

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
    limits = export_limits(card, settings).scaled(card.inputs, card.outputs)
    low, high, rate = limits.input_box(inputs)
    problem = ControlProblem(settings.horizon, settings.objective_of(model), limits)
    output, input, move = map(np.diag, problem.objective.diagonals(inputs, model.output_size))
    return ControllerCode(
        step=model.step,
        output=model.output,
        horizon=settings.horizon,
        output_weight=output,
        input_weight=input,
        increment_weight=move,
        terminal_weight=_terminal(model, problem, settings),
        low=low,
        high=high,
        rate=rate,
        iterations=solver.iterations,
        tolerance=solver.tolerance,
        precision=precision_of(settings),
    )


def _terminal(model: ControlModel, problem: ControlProblem, settings: ControlSettings) -> np.ndarray:
    """P of the terminal cost: of the certificate if there is one, else the local one, else zero.

    Raises:
        ConfigError: there is none, and without it the horizon is too short.
    """
    weights = problem.objective.diagonals(model.input_size, model.output_size)
    low, high, _ = problem.limits.input_box(model.input_size)
    rest = TargetFinder(model, problem).rest((low + high) / 2)
    if settings.terminal == "none":
        return np.zeros_like(rest.jacobian)
    certificate = settings.certificate if isinstance(settings, ExportSettings) else None
    rule = terminal_rule(certificate if settings.terminal == "auto" else None, precision_of(settings))
    if not rest.steady:
        warnings.warn(
            ExportWarning(
                "the model comes to no rest in the middle of the range of the inputs, so that there "
                "is no cost to come: "
                "the controller has no terminal cost. Try its loop by `attractor control ... --terminal none`"
            ),
            stacklevel=2,
        )
        return np.zeros_like(rest.jacobian)
    found = rule.at(rest.jacobian, rest.reading, weights[0])
    if found.infinite:
        _check_horizon(model, rest, weights, problem.horizon)
    return found.matrix


def _check_horizon(
    model: ControlModel, rest: Rest, weights: tuple[np.ndarray, np.ndarray, np.ndarray], horizon: int
) -> None:
    """Refuse a horizon that holds no unstable model without a terminal cost; say so of one that does."""
    with double_precision():
        driven = np.asarray(jax.jacfwd(model.step, 1)(jnp.asarray(rest.state), jnp.asarray(rest.input)))
    growth = float(np.abs(np.linalg.eigvals(rest.jacobian)).max())
    what = (
        "the model does not rest stably in the middle of the range of its inputs (what is off by 1 is off by "
        f"{growth:.3g} one sample later), so the cost of what comes after the horizon is infinite there"
    )
    longest = 64 // model.input_size
    enough = [
        steps
        for steps in range(1, longest + 1)
        if horizon_steadies(rest.jacobian, driven, rest.reading, weights, steps)
    ]
    if horizon in enough:
        warnings.warn(
            ExportWarning(
                f"{what}: the controller is written without a terminal cost. Near that rest the "
                "linearised loop is "
                f"stable with the horizon of {horizon} samples. The state that is kept by the model alone in "
                "NAME_sample runs away "
                "from the plant's, so correct it by measurements (an observer)"
            ),
            stacklevel=2,
        )
        return
    longer = [steps for steps in enough if steps > horizon]
    remedy = (
        f"give --horizon {longer[0]} or more, with which the linearised loop is stable without a "
        "terminal cost"
        if longer
        else f"no horizon up to {longest} samples makes the linearised loop stable without a terminal cost: "
        "lower --move-weight, or identify with --certified, which makes stable models"
    )
    raise ConfigError(
        f"{what}, and plans over {horizon} samples without a terminal cost do not bring the "
        "linearised loop back to "
        f"rest: {remedy}; a reference elsewhere, where the model rests stably, needs another "
        "operating range; or "
        "write it all the same with --terminal none"
    )
