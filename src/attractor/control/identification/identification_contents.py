"""What the page of an identification shows: numbers and words, collected from a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from attractor.control.metrics import ResidualAnalysis, analyse_residuals
from attractor.data import Experiment, Record, Roles, Signal, describe_sampling, examine
from attractor.report.page import Note, Tone
from attractor.report.publishing import PAGES, PageKind
from attractor.report.wording import digests, in_words
from attractor.runs import REPORT

from .assessment import mean_metric, steady_maps
from .bands import calibrated_by
from .comparison import Comparison, Outlook, compare
from .identification_verdict import TONES, outlook_of, start_rows, verdict
from .plant_model import PlantModel
from .race import Result
from .race import in_words as race_in_words
from .remarks import parameter_count

BAND_COVERAGE = 0.9
"""Of the band that is drawn."""
MOST_EXPERIMENTS = 6
"""More test experiments than this are in the metrics table only."""

_TONES = {"error": "error", "warning": "warning", "note": "info"}


@dataclass(frozen=True)
class Summary:
    """The figures of the tiles on top of the page.

    Args:
        fit: FIT on the test experiments, percent, averaged over outputs.
        rmse: root mean square error of the first output on the test experiments.
        output: the signal that `rmse` belongs to.
        samples: rows of the whole data set.
        parameters: trained numbers of the model.
        training_seconds: wall time of the training of all seeds.
    """

    fit: float
    rmse: float
    output: Signal
    samples: int
    parameters: int
    training_seconds: float


@dataclass(frozen=True)
class DataPage:
    """The data set by the role of its experiments, and what the data doctor found in it."""

    training: Record
    validation: Record
    test: Record
    findings: tuple[Note, ...] = ()

    @property
    def roles(self) -> dict[str, Record]:
        """The three records by the name the figures give them."""
        return {"training": self.training, "validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class PredictionPage:
    """A free-run simulation of one output over one test experiment.

    Args:
        experiment: its name.
        output: the signal.
        sampling_time: s; None if it is only assumed.
        measured: what the sensor showed, engineering units, (time,).
        predicted: what the model says from the inputs alone, (time,).
        washout: rows at the beginning that do not count.
        fit: percent, after the washout.
        rmse: engineering units, after the washout.
        max_error: engineering units, after the washout.
        band: lower and upper end of the band of `BAND_COVERAGE`, (2, time); None where there is none.
    """

    experiment: str
    output: Signal
    sampling_time: float | None
    measured: Float[np.ndarray, " time"]
    predicted: Float[np.ndarray, " time"]
    washout: int
    fit: float
    rmse: float
    max_error: float
    band: Float[np.ndarray, "2 time"] | None = None


@dataclass(frozen=True)
class TrainingRun:
    """How the training of one seed went.

    Args:
        seed: which one.
        loss_steps: steps at which the training loss was logged, (n,).
        training_loss: mean squared error in scaled units, (n,).
        validation_steps: steps at which the model was validated, (m,).
        validation_fit: FIT of the free run on the validation experiments, percent, (m,).
    """

    seed: int
    loss_steps: Num[np.ndarray, " n"]
    training_loss: Float[np.ndarray, " n"]
    validation_steps: Num[np.ndarray, " m"]
    validation_fit: Float[np.ndarray, " m"]


@dataclass(frozen=True)
class TrainingPage:
    """The training of all seeds (none if no history was kept), and the checkpoint that was kept."""

    runs: tuple[TrainingRun, ...]
    chosen_seed: int
    chosen_step: int


@dataclass(frozen=True)
class ResidualPage:
    """The correlations left in the residuals of one test experiment.

    Args:
        experiment: its name.
        inputs: the signals of the second axis of `analysis.cross`.
        outputs: the signals of its first axis.
        sampling_time: s, the length of one lag; None if it is only assumed.
        analysis: correlations and bands.
    """

    experiment: str
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    sampling_time: float | None
    analysis: ResidualAnalysis


@dataclass(frozen=True)
class SteadyStatePage:
    """Where the model comes to rest when one input is held and the others stay at their middle.

    Args:
        input: the input that is moved.
        outputs: the signals of the columns of `equilibria`.
        levels: values of the input, engineering units, (levels,).
        equilibria: outputs of the model at rest; NaN where it does not come to rest.
        cloud_inputs: training data, the input's column, (samples,).
        cloud_outputs: training data, the outputs of the same rows.
    """

    input: Signal
    outputs: tuple[Signal, ...]
    levels: Float[np.ndarray, " levels"]
    equilibria: Float[np.ndarray, "levels outputs"]
    cloud_inputs: Float[np.ndarray, " samples"]
    cloud_outputs: Float[np.ndarray, "samples outputs"]


@dataclass(frozen=True)
class MetricsRow:
    """One line of the metrics table: an output in an experiment.

    Args:
        experiment: its name.
        output: the signal.
        fit: percent, of the chosen seed.
        rmse: engineering units.
        nrmse: `rmse` over the standard deviation of the measurement.
        max_error: engineering units.
        fit_per_seed: FIT of every seed in the order of training, (seeds,).
    """

    experiment: str
    output: Signal
    fit: float
    rmse: float
    nrmse: float
    max_error: float
    fit_per_seed: Float[np.ndarray, " seeds"] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class IdentificationContents:
    """Everything on the page. An empty tuple leaves its section out.

    Args:
        verdict: one sentence that says how good the model is.
        outlook: what the comparison with simple models came to.
        summary: the tiles.
        start_rows: first samples of a test experiment whose measured outputs set the initial state.
        predictions: one per test experiment and output.
        data: the data set.
        training: the training of all seeds.
        residuals: one per test experiment that is long enough.
        steady_states: one per input.
        metrics: the rows of the metrics table.
        compared: simple models on the same test data.
        race: how the families did that the model was chosen among.
        model_card: section to label to text.
        bands: how often bands held the test rows, one entry for each coverage and output.
        bands_by: what the bands are calibrated by, in a sentence.
        proved: whether the run has a certificate of this model.
    """

    verdict: str
    outlook: Outlook
    summary: Summary
    start_rows: int
    predictions: tuple[PredictionPage, ...]
    data: DataPage
    training: TrainingPage
    residuals: tuple[ResidualPage, ...]
    steady_states: tuple[SteadyStatePage, ...]
    metrics: tuple[MetricsRow, ...]
    compared: Comparison
    race: tuple[Result, ...]
    model_card: Mapping[str, Mapping[str, str]]
    bands: tuple[Mapping[str, Any], ...] = ()
    bands_by: str = ""
    proved: bool = False

    @property
    def tone(self) -> Tone:
        """Colour of the verdict."""
        return TONES[self.outlook]


PAGES.register(
    IdentificationContents,
    PageKind(REPORT, "attractor.control.identification.identification_page:identification_page"),
    source=__name__,
)


def collect(model: PlantModel, roles: Roles, card: Mapping[str, Any]) -> IdentificationContents:
    """Everything the page shows, from a model, its data and its card."""
    shown = roles.test.experiments[:MOST_EXPERIMENTS]
    fit = float(mean_metric(card, "fit")[model.chosen_])
    compared = _compared(model, roles, card)
    outlook = outlook_of(compared, float(mean_metric(card, "rmse")[model.chosen_]))
    start = start_rows(model)
    return IdentificationContents(
        verdict=verdict(compared, outlook, len(roles.test.experiments), start),
        outlook=outlook,
        summary=_summary(model, roles, card, fit),
        start_rows=start,
        predictions=tuple(page for one in shown for page in _predictions(model, roles.test, one, card)),
        data=DataPage(roles.training, roles.validation, roles.test, _findings(model, roles.training)),
        training=_training(model, roles, card),
        residuals=tuple(page for one in shown for page in _residuals(model, roles.test, one)),
        steady_states=_steady_states(model, roles.training),
        metrics=_metrics(model, roles.test, card),
        compared=compared,
        race=model.race_,
        model_card=_model_card(model, card),
        bands=tuple(card.get("bands", ())),
        bands_by="" if model.calibration_ is None else calibrated_by(model.calibration_),
    )


def _compared(model: PlantModel, roles: Roles, card: Mapping[str, Any]) -> Comparison:
    """As the card has it; made anew for a run of a version that did not compare."""
    if "comparison" in card:
        return Comparison.of(card["comparison"])
    return compare(model, roles, mean_metric(card, "fit"))


def _summary(model: PlantModel, roles: Roles, card: Mapping[str, Any], fit: float) -> Summary:
    first = [replicas[model.chosen_]["rmse"][0] for replicas in card["metrics"]["test"].values()]
    samples = sum(part.samples for part in (roles.training, roles.validation, roles.test))
    return Summary(
        fit=fit,
        rmse=float(np.sqrt(np.mean(np.square(first)))),
        output=roles.training.outputs[0],
        samples=samples,
        parameters=parameter_count(model.network()),
        training_seconds=float(card["training"]["seconds"]),
    )


def _predictions(
    model: PlantModel, test: Record, experiment: Experiment, card: Mapping[str, Any]
) -> list[PredictionPage]:
    band = None
    if model.calibration_ is None:
        predicted = model.simulate(experiment)
    else:
        found = model.bands(experiment.inputs, experiment.outputs, BAND_COVERAGE)
        predicted, band = found.predicted, np.stack([found.low, found.high])
    figures = card["metrics"]["test"][experiment.name][model.chosen_]
    return [
        PredictionPage(
            experiment=experiment.name,
            output=signal,
            sampling_time=test.known_sampling_time,
            measured=experiment.outputs[:, index],
            predicted=predicted[:, index],
            washout=model.settled,
            fit=figures["fit"][index],
            rmse=figures["rmse"][index],
            max_error=figures["max_error"][index],
            band=None if band is None else band[:, :, index],
        )
        for index, signal in enumerate(test.outputs)
    ]


def _findings(model: PlantModel, record: Record) -> tuple[Note, ...]:
    said = tuple(Note("warning", f"{text[0].upper()}{text[1:]}.") for text in model.remarks_)
    return said + (
        tuple(Note(_TONES[one.severity.value], one.message, one.advice) for one in examine(record))
        or (Note("ok", "The data doctor found nothing to complain about."),)
    )


def _training(model: PlantModel, roles: Roles, card: Mapping[str, Any]) -> TrainingPage:
    history = card["training"]["history"]
    if not history:
        return TrainingPage((), model.chosen_, card["training"]["best_steps"][model.chosen_])
    spread = _scaled_spread(model, roles)
    steps = np.array([entry["step"] for entry in history], float)
    runs = []
    for replica in range(len(card["training"]["scores"])):
        losses = [entry["loss"][replica] for entry in history] if "loss" in history[0] else []
        scores = np.array([entry["validation"][replica] for entry in history], float)
        runs.append(
            TrainingRun(
                seed=replica,
                loss_steps=steps[: len(losses)],
                training_loss=np.array(losses, float),
                validation_steps=steps,
                validation_fit=100 * (1 - scores / spread),
            )
        )
    return TrainingPage(tuple(runs), model.chosen_, card["training"]["best_steps"][model.chosen_])


def _scaled_spread(model: PlantModel, roles: Roles) -> float:
    """Standard deviation of the scaled outputs that the validation figure was taken from; NaN for none."""
    record = roles.validation if roles.validation.experiments else roles.training
    outputs = np.concatenate([one.outputs[model.settled :] for one in record.experiments])
    return float(np.sqrt(np.mean(model.output_scaling_.to_unit(outputs).var(axis=0)))) or float("nan")


def _residuals(model: PlantModel, test: Record, experiment: Experiment) -> list[ResidualPage]:
    """No page where the rows are too few for one lag, or the model runs away."""
    rows = slice(model.settled, None)
    residuals = (experiment.outputs - model.simulate(experiment))[rows]
    lags = min(25, len(residuals) // 4)
    if lags < 1 or not np.isfinite(residuals).all():
        return []
    analysis = analyse_residuals(residuals, experiment.inputs[rows], lags=lags)
    return [ResidualPage(experiment.name, test.inputs, test.outputs, test.known_sampling_time, analysis)]


def _steady_states(model: PlantModel, training: Record) -> tuple[SteadyStatePage, ...]:
    inputs = np.concatenate([one.inputs for one in training.experiments])
    outputs = np.concatenate([one.outputs for one in training.experiments])
    return tuple(
        SteadyStatePage(one.input, training.outputs, one.levels, one.outputs, inputs[:, index], outputs)
        for index, one in enumerate(steady_maps(model))
    )


def _metrics(model: PlantModel, test: Record, card: Mapping[str, Any]) -> tuple[MetricsRow, ...]:
    rows = []
    for name, replicas in card["metrics"]["test"].items():
        for index, signal in enumerate(test.outputs):
            figures = {
                key: replicas[model.chosen_][key][index] for key in ("fit", "rmse", "nrmse", "max_error")
            }
            per_seed = np.array([replica["fit"][index] for replica in replicas])
            rows.append(MetricsRow(name, signal, **figures, fit_per_seed=per_seed))
    return tuple(rows)


def _model_card(model: PlantModel, card: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    options = dict(card["options"])
    training = options.pop("training")
    outcome = card["training"]
    options["trained for a certificate"] = "yes" if options.pop("certified") else "no"
    if model.race_:
        options["cell"] = f"{model.family}; {race_in_words(model.race_)}"
    if model.structure_ is not None:
        options["hidden_size"] = model.structure_.hidden_size
    decided = {"feedthrough": model.timing_.option, "delay": model.timing_.delays or "none"}
    for name, value in decided.items():
        if options[name] is None:
            options[name] = f"{value}, decided from the data"
    return {
        "Model": {"parameters": str(parameter_count(model.network())), **in_words(options)},
        "Training": {
            **in_words(training),
            "chosen seed": f"{model.chosen_}, weights of step {outcome['best_steps'][model.chosen_]}",
            "time": f"{outcome['seconds']:.1f} s",
            "remarks": "; ".join(outcome["warnings"]) or "none",
        },
        "Data": {
            "source": str(card["data"]["source"]),
            "sampling time": describe_sampling(
                card["data"]["sampling_time"], card["data"].get("sampling_time_assumed", "")
            ),
            "parts": card["data"]["explanation"],
            **{part: ", ".join(names) or "none" for part, names in card["data"]["experiments"].items()},
        },
        "Scaling": _scaling(model),
        "Made with": in_words(card["made_with"]),
        "Files": digests(card),
    }


def _scaling(model: PlantModel) -> dict[str, str]:
    def lines(signals: tuple[Signal, ...], scaling: Any) -> dict[str, str]:
        triples = zip(signals, scaling.offset, scaling.scale, strict=True)
        return {one.label: f"(value {-offset:+g}) / {scale:g}" for one, offset, scale in triples}

    signals = model.signals_
    return lines(signals.inputs, model.input_scaling_) | lines(signals.outputs, model.output_scaling_)
