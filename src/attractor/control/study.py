"""A closed-loop study: an identified model controls the plant that it was identified from."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from attractor.data import ColumnOptions, read_csv, read_table, write_csv
from attractor.errors import InputDataError
from attractor.progress import Reporter
from attractor.settings import Count, NonNegative, Positive, Settings

from .identification import PlantModel
from .model import control_model
from .observers import observer_for
from .plants.plant import Plant, disturbance_rows
from .predictive import (
    ClosedLoop,
    ControllerSettings,
    ControlObjective,
    Limits,
    LoopMetrics,
    PredictiveController,
    Scenario,
    SolverSettings,
    loop_metrics,
    run_closed_loop,
)

_LEVELS = (0.5, 0.8, 0.25, 0.5)
"""Shares of the range of the outputs that a reference steps through by default."""


@dataclass(frozen=True)
class ControlSettings(Settings):
    """How the controller of a study works.

    Args:
        horizon: samples that a plan looks ahead.
        output_weight: weight of the outputs, scaled units.
        move_weight: weight of changes of the inputs, scaled units.
        rate_limit: largest change of every input per sample, plant units; None for none.
        observer: kind of observer, see `attractor.control.observers.observer_for`.
        offset_gain: gain of the estimated output disturbance; 0 switches offset-free tracking off.
        real_time: one step of the solver per sample instead of convergence.
    """

    horizon: Count = 20
    output_weight: NonNegative = 1.0
    move_weight: NonNegative = 0.1
    rate_limit: Positive | None = None
    observer: str = "open-loop"
    offset_gain: float = 0.3
    real_time: bool = False

    @property
    def objective(self) -> ControlObjective:
        """The cost of a plan."""
        return ControlObjective(output_weight=self.output_weight, move_weight=self.move_weight)

    @property
    def solver(self) -> SolverSettings:
        """When a solve stops."""
        return SolverSettings(iterations=1) if self.real_time else SolverSettings()


@dataclass(frozen=True, eq=False)
class ControlStudy:
    """A closed loop, and how well it did.

    Args:
        loop: what happened.
        metrics: how well it did.
        limits: smallest and largest input that were allowed, shape (2, inputs), plant units.
        band: half width of the band in which an output counts as settled, shape (outputs,).
    """

    loop: ClosedLoop
    metrics: LoopMetrics
    limits: Float[np.ndarray, "2 inputs"]
    band: Float[np.ndarray, " outputs"]


def make_controller(
    model: PlantModel, plant: Plant, settings: ControlSettings, certificate: object = None
) -> PredictiveController:
    """A predictive controller for a plant of ours, within the input limits of the plant.

    Args:
        model: of the plant.
        plant: says what its inputs may be.
        settings: of the controller.
        certificate: gives the terminal cost, if there is one.

    Raises:
        InputDataError: the model has other signals than the plant.
    """
    _check_signals(model, plant)
    inner, card = control_model(model)
    return PredictiveController(
        inner,
        card,
        settings.objective,
        _limits(plant, settings),
        observer_for(inner, settings.observer),
        ControllerSettings(settings.horizon, settings.solver, certificate, settings.offset_gain),
    )


def control_study(
    model: PlantModel,
    plant: Plant,
    scenario: Scenario,
    settings: ControlSettings,
    reporter: Reporter | None = None,
) -> ControlStudy:
    """Control a plant with its identified model, and judge what came of it.

    Args:
        model: of the plant.
        plant: the true process.
        scenario: references, disturbances, noise.
        settings: of the controller.
        reporter: hears about progress.

    Raises:
        InputDataError: the model has other signals than the plant, or the plant comes where its equations do
            not hold.
    """
    controller = make_controller(model, plant, settings)
    loop = run_closed_loop(controller, plant, scenario, reporter=reporter)
    noise = plant.measurement_noise if scenario.noise is None else scenario.noise
    band = np.maximum(
        5 * np.broadcast_to(noise, loop.outputs.shape[1:]), 0.01 * controller.card.outputs.scale
    )
    metrics = loop_metrics(loop, band, _limits(plant, settings))
    return ControlStudy(loop, metrics, np.stack(controller.input_range), band)


def read_scenario(path: Path, plant: Plant, sampling_time: float) -> Scenario:
    """References, and disturbances where the file has them, from a CSV file with one row per sample.

    Args:
        path: columns with the names of the plant's outputs, and of any of its disturbances.
        plant: gives the names; a disturbance without a column keeps its nominal value.
        sampling_time: of the rows, s, if the file has no time column.

    Raises:
        InputDataError: a column of an output is missing, or a value is no number.
    """
    table = read_table(path)
    names = {signal.name for signal in table.signals}
    wanted = [signal.name for signal in plant.outputs]
    known = [signal.name for signal in plant.disturbances if signal.name in names]
    columns = ColumnOptions(sampling_time=None if "time" in names else sampling_time)
    record = read_csv(table, inputs=[*wanted, *known], outputs=[], columns=columns)
    if len(record.experiments) != 1:
        raise InputDataError(f"{path} holds {len(record.experiments)} experiments; a reference is one")
    values = record.experiments[0].inputs
    disturbances = disturbance_rows(plant, None, len(values))
    for index, signal in enumerate(plant.disturbances):
        if signal.name in known:
            disturbances[:, index] = values[:, len(wanted) + known.index(signal.name)]
    return Scenario(values[:, : len(wanted)], disturbances)


def stepped_scenario(model: PlantModel, rows: int) -> Scenario:
    """A reference that steps through the middle of the range of the training outputs.

    Args:
        model: knows that range.
        rows: samples at every level.
    """
    center, scale = model.output_scaling_.offset, model.output_scaling_.scale
    levels = np.array([center + (2 * share - 1) * scale for share in _LEVELS])
    return Scenario(levels.repeat(rows, axis=0))


def save_loop(path: Path, plant: Plant, loop: ClosedLoop) -> None:
    """Write a closed loop as a CSV file: time, references, outputs, measurements, inputs, disturbances.

    Raises:
        StorageError: the file cannot be written.
    """
    groups = (
        ("reference", plant.outputs, loop.references),
        ("", plant.outputs, loop.outputs),
        ("measured", plant.outputs, loop.measured),
        ("", plant.inputs, loop.inputs),
        ("", plant.disturbances, loop.disturbances),
    )
    labels, columns = ["time [s]"], [loop.times]
    for word, signals, values in groups:
        labels += [f"{signal.name}_{word}" if word else signal.label for signal in signals]
        columns += list(values.T)
    write_csv(path, labels, columns)


def _limits(plant: Plant, settings: ControlSettings) -> Limits:
    return Limits(np.asarray(plant.input_low), np.asarray(plant.input_high), settings.rate_limit)


def _check_signals(model: PlantModel, plant: Plant) -> None:
    for what, own, theirs in (
        ("inputs", model.signals_.inputs, plant.inputs),
        ("outputs", model.signals_.outputs, plant.outputs),
    ):
        if [one.name for one in own] != [one.name for one in theirs]:
            raise InputDataError(
                f"the model has the {what} {', '.join(one.name for one in own)}, the plant "
                f"{', '.join(one.name for one in theirs)}; choose the plant that it was identified from"
            )
