"""A closed-loop study: an identified model controls a plant, its own or one like it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from attractor.cells import PolynomialNARX
from attractor.certify import Certificate, bound_in_words
from attractor.data import (
    ColumnOptions,
    Signal,
    Table,
    describe_sampling,
    parse_row_block,
    read_csv,
    read_table,
    write_csv,
)
from attractor.errors import ConfigError, DataWarning, InputDataError, warn
from attractor.progress import Reporter
from attractor.report.drawn import Drawn
from attractor.settings import Count, NonNegative, Positive, Settings

from .identification import PlantModel
from .model import ControlModel, InputVector, control_model
from .observers import observer_for
from .plant_answers import PlantAnswers, plant_answers, undisturbed_rows, usual_errors
from .plants.plant import Plant, disturbance_rows
from .plants.process import MatchedPlant, Process, process_of
from .predictive import (
    ClosedLoop,
    ControllerSettings,
    ControlObjective,
    Limits,
    LoopMetrics,
    NoTerminal,
    PredictiveController,
    Scenario,
    SolverSettings,
    loop_metrics,
    run_closed_loop,
)
from .predictive.control_problem import per_channel
from .predictive.terminal import too_uneven, unevenness

Scaled = Float[np.ndarray, " inputs"]

_LEVELS = (0.5, 0.8, 0.25, 0.5)
"""Shares of the range of the outputs that a reference steps through by default."""
_MOVES, _POLYNOMIAL_MOVES = 0.1, 1.0
"""Usual weights of moves, see `ControlSettings.move_weight_of`."""
_SHORTEST_LEVEL, _LONGEST_LEVEL, _LEFT = 60, 400, 0.05
"""Samples at each level, and the part of a step that counts as settled."""


@dataclass(frozen=True)
class ControlSettings(Settings):
    """How the controller of a study works.

    Args:
        horizon: samples that a plan looks ahead.
        output_weight: weight of the outputs, scaled units.
        move_weight: weight of changes of the inputs, scaled units; None for 0.1, and for 1 with a polynomial
            model, whose plans chatter where moves cost less.
        rate_limit: largest change of every input per sample, plant units; None for none.
        input_low: smallest inputs, plant units: one number, or one for each input. It narrows the limits of
            the plant, or where it states none the range of the training, which inputs never leave.
        input_high: largest inputs, alike.
        observer: kind of observer, see `attractor.control.observers.observer_for`.
        offset_gain: gain of the estimated output disturbance; 0 switches offset-free tracking off.
        real_time: one step of the solver per sample instead of convergence.
        terminal: what stands for the time after the horizon: "auto" takes the run's certificate if there is
            one that covers the inputs, else the local cost to come; "local" the latter; "none" nothing.
    """

    horizon: Count = 20
    output_weight: NonNegative = 1.0
    move_weight: NonNegative | None = None
    rate_limit: Positive | None = None
    input_low: tuple[float, ...] | None = None
    input_high: tuple[float, ...] | None = None
    observer: str = "open-loop"
    offset_gain: float = 0.3
    real_time: bool = False
    terminal: Literal["auto", "local", "none"] = "auto"

    def move_weight_of(self, model: ControlModel) -> float:
        """The weight of moves that was asked for, or the usual one of a model of this kind.

        A polynomial is true of inputs that move as those of the log did. Where moves are cheap its plans seek
        what it promises of others: on the pilot plant of four tanks no level settled with 0.1, all with 1.
        """
        if self.move_weight is not None:
            return self.move_weight
        return _POLYNOMIAL_MOVES if isinstance(model.network.inner, PolynomialNARX) else _MOVES

    def objective_of(self, model: ControlModel) -> ControlObjective:
        """The cost of a plan by a model."""
        return ControlObjective(output_weight=self.output_weight, move_weight=self.move_weight_of(model))

    def limits_within(self, low: InputVector, high: InputVector) -> Limits:
        """The limits asked for, plant units, where they are narrower than these.

        Args:
            low: smallest inputs of the plant, or of the training.
            high: largest ones.

        Raises:
            ConfigError: none are left between them.
            ShapeError: neither one limit nor one for each input.
        """
        asked = self.asked_limits(len(low))
        below, above = np.fmax(low, asked[0]), np.fmin(high, asked[1])
        if not (below < above).all():
            raise ConfigError(
                f"input_low={self.input_low} and input_high={self.input_high} leave no input of those that "
                f"the plant, or the training, allows: {low} to {high}. They narrow this range; the "
                "smallest input must lie below the largest in it"
            )
        return Limits(below, above, self.rate_limit)

    def asked_limits(self, inputs: int) -> Float[np.ndarray, "2 inputs"]:
        """Smallest and largest inputs asked for, plant units; NaN where nothing is asked for."""
        ends = {"input_low": self.input_low, "input_high": self.input_high}
        return np.stack([
            np.full(inputs, np.nan)
            if end is None
            else per_channel(name, end[0] if len(end) == 1 else end, inputs)
            for name, end in ends.items()
        ])

    @property
    def solver(self) -> SolverSettings:
        """When a solve stops."""
        return SolverSettings(iterations=1) if self.real_time else SolverSettings()


@dataclass(frozen=True, eq=False)
class ControlStudy(
    Drawn, picture="attractor.control.loop_page:draw_study", next_call=".plot(), .metrics, .loop"
):
    """A closed loop, and how well it did.

    Args:
        loop: what happened.
        metrics: how well it did.
        limits: smallest and largest input that were allowed, shape (2, inputs), plant units.
        band: half width of the band in which an output counts as settled, shape (outputs,).
        remarks: what was assumed of the plant, in sentences.
        answers: whether the plant moves as the model foresees; None where the loop was too short to tell.
    """

    loop: ClosedLoop
    metrics: LoopMetrics
    limits: Float[np.ndarray, "2 inputs"]
    band: Float[np.ndarray, " outputs"]
    remarks: tuple[str, ...] = ()
    answers: PlantAnswers | None = None

    @property
    def headline(self) -> str:
        """That the plant answers otherwise than the model, where it clearly does; else empty."""
        return str(self.answers) if self.answers is not None and any(self.answers.otherwise) else ""

    def __str__(self) -> str:
        """How well it did, how the solves went, and what was assumed."""
        first = [self.headline] if self.headline else []
        return "\n".join([*first, str(self.metrics), *str(self.loop).splitlines()[:2], *self.remarks])


def matched(model: PlantModel, plant: Plant | Process) -> MatchedPlant:
    """A plant with the signals of a model in the model's order, and with input limits.

    Args:
        model: of the plant.
        plant: gives its signals by name; without input limits it gets the range of the training inputs.

    Raises:
        InputDataError: a signal of the model is none of the plant.
    """
    if isinstance(plant, MatchedPlant):
        return plant
    signals = model.signals_
    process = MatchedPlant(process_of(plant, signals.sampling_time), signals)
    if signals.assumed:
        process.remarks += (
            f"A sample is {describe_sampling(signals.sampling_time, signals.assumed)}: every time in seconds "
            "here rests on that; give --sampling-time to identify.",
        )
    if process.input_low is None or process.input_high is None:
        scaling = model.input_scaling_
        process.input_low, process.input_high = (
            scaling.offset - scaling.scale,
            scaling.offset + scaling.scale,
        )
        process.remarks += (
            "The plant states no input limits: the range of the training stands for them, which --input-low "
            "and --input-high narrow.",
        )
    return process


def make_controller(
    model: PlantModel, plant: Plant | Process, settings: ControlSettings, certificate: object = None
) -> PredictiveController:
    """A predictive controller for a plant, within the input limits of the plant.

    Args:
        model: of the plant.
        plant: says what its inputs may be.
        settings: of the controller.
        certificate: gives the terminal cost, if there is one.

    Raises:
        InputDataError: a signal of the model is none of the plant.
        ConfigError: the certificate does not cover the inputs, or is of another cell.
    """
    inner, card = control_model(model)
    return PredictiveController(
        inner,
        card,
        settings.objective_of(inner),
        limits_of(matched(model, plant), settings),
        observer_for(inner, settings.observer),
        ControllerSettings(
            settings.horizon, settings.solver, _terminal(settings, certificate), settings.offset_gain
        ),
    )


def covering_certificate(
    certificate: Certificate | str,
    low: Scaled,
    high: Scaled,
    settings: ControlSettings,
    precision: Literal["double", "float"] = "double",
) -> tuple[Certificate | None, str]:
    """The certificate for the terminal cost of a controller, and what is said of it on the page.

    Args:
        certificate: of the model, or why there is none.
        low: smallest inputs that the controller may apply, scaled.
        high: largest ones, scaled.
        settings: of the controller.
        precision: that it computes in.
    """
    local = "What comes after the horizon of a plan counts as the linearised model says, near its target"
    if settings.terminal == "none":
        return None, "What comes after its horizon does not count in a plan, as asked (--terminal none)."
    if settings.terminal == "local":
        return None, f"{local}, as asked (--terminal local)."
    why = certificate if isinstance(certificate, str) else _objection(certificate, (low, high), precision)
    if isinstance(certificate, str) or why:
        return None, f"{local}: {why}."
    return certificate, (
        "After its horizon a plan is judged by a cost that follows from the certificate "
        f"(level {certificate.level}, rate {certificate.rate:.4f}) and bounds what is to come."
    )


def _objection(
    certificate: Certificate, inputs: tuple[Scaled, Scaled], precision: Literal["double", "float"]
) -> str:
    """Why a certificate gives no terminal cost here; empty if it does."""
    if not certificate.in_maximum_norm:
        return "the certificate is in another norm than this cost needs"
    used = np.abs(inputs).max(axis=0)
    if not (used <= np.broadcast_to(certificate.input_bound, used.shape) * (1 + 1e-9)).all():
        return (
            f"the certificate holds for inputs within {bound_in_words(certificate.input_bound)} (scaled), "
            f"and the controller may use {bound_in_words(used)}"
        )
    return too_uneven(unevenness(certificate.weights), precision)


def _terminal(settings: ControlSettings, certificate: object) -> object:
    if settings.terminal == "none":
        return NoTerminal()
    return certificate if settings.terminal == "auto" else None


def control_study(
    model: PlantModel,
    plant: Plant | Process,
    scenario: Scenario,
    settings: ControlSettings,
    reporter: Reporter | None = None,
    certificate: object = None,
) -> ControlStudy:
    """Control a plant with its identified model, and judge what came of it.

    Args:
        model: of the plant.
        plant: the true process.
        scenario: references, disturbances, noise, lost sensors.
        settings: of the controller.
        reporter: hears about progress.
        certificate: gives the terminal cost, if there is one.

    Raises:
        InputDataError: a signal of the model is none of the plant, or the plant comes where its equations do
            not hold.
        ConfigError: the certificate does not cover the inputs, or is of another cell.
    """
    process = matched(model, plant)
    controller = make_controller(model, process, settings, certificate)
    loop = run_closed_loop(controller, process, scenario, reporter=reporter)
    noise = process.measurement_noise if scenario.noise is None else scenario.noise
    band = np.maximum(
        5 * np.broadcast_to(noise, loop.outputs.shape[1:]), 0.01 * controller.card.outputs.scale
    )
    limits, used = limits_of(process, settings), np.stack(controller.input_range)
    cut = cut_back(limits, used, model.signals_.inputs)
    metrics, weight = loop_metrics(loop, band, limits), settings.move_weight_of(controller.model)
    asked = not_widened(process, settings)
    remarks = (*process.remarks, *asked, *cut, *_chatter(metrics, model.signals_.inputs, weight))
    answers = plant_answers(
        (controller.model, controller.card),
        loop,
        settings.horizon,
        usual_errors(model.calibration_, loop.outputs.shape[1]),
        undisturbed_rows(loop, np.asarray(process.nominal_disturbances, float)),
    )
    return ControlStudy(loop, metrics, used, band, remarks, answers)


def _chatter(metrics: LoopMetrics, signals: tuple[Signal, ...], weight: float) -> list[str]:
    """A sentence for every input that goes back and forth from sample to sample."""
    return [
        f"{one.name} goes back and forth from one sample to the next, by up to "
        f"{100 * metrics.swing[at]:.0f} % of its range, and by more than 10 % in {metrics.reversals[at]} "
        f"samples: raise --move-weight (here {weight:g})."
        for at, one in enumerate(signals)
        if metrics.chatters[at]
    ]


def read_scenario(path: Path, plant: Plant | Process, sampling_time: float) -> Scenario:
    """References, and disturbances where the file has them, from a CSV file with one row per sample.

    Args:
        path: columns with the names of the plant's outputs, and of any of its disturbances.
        plant: gives the names; a disturbance without a column keeps its nominal value.
        sampling_time: of the rows, s, if the file has no time column.

    Raises:
        InputDataError: a column of an output is missing, or a value is no number or blank.
    """
    table = read_table(path)
    names = {signal.name for signal in table.signals}
    wanted = [signal.name for signal in plant.outputs]
    known = [signal.name for signal in plant.disturbances if signal.name in names]
    _check_filled(table, [*wanted, *known])
    columns = ColumnOptions(sampling_time=None if "time" in names else sampling_time)
    record = read_csv(table, inputs=[*wanted, *known], outputs=[], columns=columns)
    if len(record.experiments) != 1:
        raise InputDataError(f"{path} holds {len(record.experiments)} experiments; a reference is one")
    others = names - {*wanted, *known, "time", "experiment"}
    if others:
        able = ", ".join(signal.name for signal in plant.disturbances) or "none"
        warn(
            f"{path}: {', '.join(sorted(others))} left alone; a column is an output of the plant "
            f"({', '.join(wanted)}), one of its disturbances ({able}), or time",
            DataWarning,
        )
    values = record.experiments[0].inputs
    disturbances = disturbance_rows(plant, None, len(values))
    for index, signal in enumerate(plant.disturbances):
        if signal.name in known:
            disturbances[:, index] = values[:, len(wanted) + known.index(signal.name)]
    return Scenario(values[:, : len(wanted)], disturbances)


def _check_filled(table: Table, names: Sequence[str]) -> None:
    """Refuse a gap: a sample whose reference nobody knows can be neither left out nor drawn as a line."""
    positions = [table.find(name) for name in names]
    for row, index in np.argwhere(np.isnan(table.numbers(positions)))[:1]:
        raise InputDataError(
            f"{table.where(int(row), positions[index])}: no number stands there. A reference has a value for "
            "every sample: repeat the one before where nothing changes"
        )


def stepped_scenario(model: PlantModel, rows: int | None = None) -> Scenario:
    """A reference that steps through the middle of the range of the training outputs.

    Args:
        model: knows that range.
        rows: samples at every level; None takes twice what the model needs for a step, 60 to 400.
    """
    rows = _rows_to_settle(model) if rows is None else rows
    center, scale = model.output_scaling_.offset, model.output_scaling_.scale
    levels = np.array([center + (2 * share - 1) * scale for share in _LEVELS])
    return Scenario(levels.repeat(rows, axis=0))


def _rows_to_settle(model: PlantModel) -> int:
    """Twice the samples that the model needs until a step of all inputs leaves 5 % of its effect."""
    half = _LONGEST_LEVEL
    scaled = np.repeat([-0.5, 0.5], half)[:, None] * np.ones(len(model.signals_.inputs))
    given = model.input_scaling_.to_engineering(scaled)
    answer = np.asarray(model.predict(given)).reshape(2 * half, -1)[half:]
    left = np.abs(answer - answer[-1]) / np.maximum(np.ptp(answer, axis=0), 1e-12)
    late = np.flatnonzero((left > _LEFT).any(axis=1))
    return int(np.clip(2 * (late[-1] + 1) if len(late) else 0, _SHORTEST_LEVEL, _LONGEST_LEVEL))


def save_loop(path: Path, plant: Plant | Process, loop: ClosedLoop) -> None:
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


def lost_sensors(
    texts: Sequence[str], outputs: tuple[Signal, ...], rows: int
) -> Bool[np.ndarray, "time outputs"] | None:
    """Samples in which sensors show nothing, from texts such as `h2=60:120`; None for no text.

    Args:
        texts: name of an output, first sample, and the one after the last.
        outputs: of the model.
        rows: samples of the scenario.

    Raises:
        ConfigError: a text of another form, or a name that is no output of the model.
        InputDataError: samples beyond the scenario.
    """
    if not texts:
        return None
    names = [signal.name for signal in outputs]
    lost = np.zeros((rows, len(names)), bool)
    for text in texts:
        block = parse_row_block(text)
        if block.name not in names:
            raise ConfigError(
                f"a lost sensor {block.name!r}; expected NAME=FROM:TO with one of {', '.join(names)}"
            )
        begin, end = block.bounds(rows)
        lost[begin:end, names.index(block.name)] = True
    return lost


def limits_of(plant: Process, settings: ControlSettings) -> Limits:
    """What the inputs of a plant with limits may be, plant units."""
    return settings.limits_within(np.asarray(plant.input_low, float), np.asarray(plant.input_high, float))


def not_widened(plant: Process, settings: ControlSettings) -> list[str]:
    """A sentence for every limit asked for that reaches beyond those of the plant, and so changes nothing."""
    names, own = ("--input-low", "--input-high"), np.array([plant.input_low, plant.input_high], float)
    asked = settings.asked_limits(len(plant.inputs))
    beyond = np.stack([asked[0] < own[0], asked[1] > own[1]])
    return [
        f"{names[end]} {asked[end, at]:g} lies beyond the limit of {plant.inputs[at].label}, "
        f"{own[end, at]:g}, which stays: limits can be narrowed only."
        for end, at in np.argwhere(beyond)
    ]


def cut_back(limits: Limits, used: Float[np.ndarray, "2 inputs"], signals: tuple[Signal, ...]) -> list[str]:
    """A sentence for every input whose limits reach beyond the range of the training."""
    low, high, _ = limits.input_box(len(signals))
    slack = 1e-6 * (used[1] - used[0])
    beyond = (low < used[0] - slack) | (high > used[1] + slack)
    return [
        f"The limits of {one.label}, {low[at]:g} to {high[at]:g}, reach beyond the range of the training, "
        f"where the model was fitted: {used[0, at]:g} to {used[1, at]:g} is used."
        for at, one in enumerate(signals)
        if beyond[at]
    ]
