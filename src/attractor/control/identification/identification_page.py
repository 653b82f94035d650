"""From a run folder to its report: collect numbers and words, then let the page draw them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import numpy as np

from attractor.control.identification.assessment import mean_figures
from attractor.control.identification.identification_contents import (
    DataPage,
    Finding,
    IdentificationContents,
    MetricsRow,
    PredictionPage,
    ResidualPage,
    SteadyStatePage,
    Summary,
    TrainingPage,
    TrainingRun,
)
from attractor.control.identification.steady_map import steady_maps
from attractor.control.residuals import analyse_residuals
from attractor.data import Experiment, Record, Roles, Signal, examine, from_archive
from attractor.errors import RunFolderError
from attractor.folders import facts_of
from attractor.report.page import Drawing, draw, environment, write_document
from attractor.report.wording import digests, span
from attractor.runs import REPORT, check_judged, load_run

from . import identification_figures as figures
from .plant_model import PlantModel

MOST_EXPERIMENTS = 6
"""More test experiments than this are in the metrics table only."""

_GOOD, _FAIR = 90.0, 70.0
_TONES = {"error": "error", "warning": "warning", "note": "info"}


class PredictionView(NamedTuple):
    """A prediction with its two figures and the rows of the close-up in words."""

    page: PredictionPage
    whole: Drawing
    closeup: Drawing
    closeup_span: str


class ResidualView(NamedTuple):
    """The residual figure of one output and how often its bars leave the band."""

    page: ResidualPage
    output: Signal
    drawing: Drawing
    auto_outside: float
    cross_outside: float


class SteadyStateView(NamedTuple):
    """A steady-state map and its figure."""

    page: SteadyStatePage
    drawing: Drawing


def render_identification_report(contents: IdentificationContents) -> str:
    """The report as one HTML document: inline figures, no scripts, no network, light and dark.

    Args:
        contents: numbers and words; every word is escaped.

    Returns:
        The document.
    """
    page = environment().get_template("identification.html.j2")
    return page.render(
        contents=contents,
        predictions=[_prediction(i, page) for i, page in enumerate(contents.predictions)],
        signals=draw(
            "signals", "Signals over time", lambda size: figures.signals_figure(contents.data, size)
        ),
        amplitudes=draw(
            "inputs", "Use of the input range", lambda size: figures.amplitude_figure(contents.data, size)
        ),
        training=draw(
            "training", "Training curves", lambda size: figures.training_figure(contents.training, size)
        ),
        residuals=[view for i, page in enumerate(contents.residuals) for view in _residual_views(i, page)],
        steady_states=[_steady_state(i, page) for i, page in enumerate(contents.steady_states)],
    )


def write_report(contents: IdentificationContents, path: Path) -> Path:
    """Write the report; a reader never sees half a file.

    Args:
        contents: what to show.
        path: of the HTML file; missing folders are made.

    Returns:
        The path.

    Raises:
        StorageError: if the file cannot be written.
    """
    return write_document(render_identification_report(contents), path)


def write_run_report(folder: Path, cell: Callable[..., Any] | None = None) -> Path:
    """Write `report.html` into a run folder.

    Args:
        folder: a finished run of `PlantModel`, saved with its data.
        cell: the class of a cell of the user's own.

    Raises:
        RunFolderError: the folder is missing, damaged or foreign, or was saved without its data.
    """
    run = load_run(folder)
    check_judged(folder, run)
    model = PlantModel.load(folder, cell=cell)
    if not (run.evaluation and all(part in run.card for part in ("data", "metrics", "training"))):
        raise RunFolderError(_no_data(folder))
    with facts_of(folder / "card.json"):
        roles = from_archive(run.card["data"], run.evaluation)
        contents = replace(collect(folder.name, model, roles, run.card), origin=run.origin)
    return write_report(contents, folder / REPORT)


def _no_data(folder: Path) -> str:
    return (
        f"{folder} holds a model that was saved without its data, so there is nothing to report on. "
        "`attractor identify` saves both; from Python, with Roles of your records: facts, arrays = "
        "attractor.data.to_archive(roles); model.save(folder, card={'data': facts, **assess(model, roles)}, "
        "evaluation=arrays, overwrite=True), with assess of attractor.control.identification.assessment"
    )


def collect(title: str, model: PlantModel, roles: Roles, card: Mapping[str, Any]) -> IdentificationContents:
    """Everything the page shows, from a model, its data and its card."""
    shown = roles.test.experiments[:MOST_EXPERIMENTS]
    fit = float(mean_figures(card, "fit")[model.chosen_])
    verdict, tone = _verdict(model, roles, card, fit)
    return IdentificationContents(
        title=title,
        verdict=verdict,
        tone=tone,
        summary=_summary(model, roles, card, fit),
        start_rows=_start_rows(model),
        predictions=tuple(page for one in shown for page in _predictions(model, roles.test, one, card)),
        data=DataPage(roles.training, roles.validation, roles.test, _findings(roles.training)),
        training=_training(model, roles, card),
        residuals=tuple(page for one in shown for page in _residuals(model, roles.test, one)),
        steady_states=_steady_states(model, roles.training),
        metrics=_metrics(model, roles.test, card),
        model_card=_model_card(model, card),
        reproduce=str(card.get("command", "PlantModel(...).fit(...) from Python")),
    )


def parameter_count(model: PlantModel) -> int:
    """Trained numbers of one replica: those of a fixed cell, such as a reservoir, are drawn and stay."""
    numbers = eqx.filter(model.network(), eqx.is_inexact_array)
    return sum(0 if _is_fixed(part) else part.size for part in jax.tree.leaves(numbers, is_leaf=_is_fixed))


def _is_fixed(part: Any) -> bool:
    return getattr(type(part), "fixed", False) is True


def _start_rows(model: PlantModel) -> int:
    """Rows of a recording whose measured outputs set the initial state."""
    return model.settled if model.network().reads_state else 0


def _verdict(
    model: PlantModel, roles: Roles, card: Mapping[str, Any], fit: float
) -> tuple[str, Literal["good", "fair", "poor"]]:
    unseen = f"On {_recordings(len(roles.test.experiments))} it has never seen"
    if not np.isfinite(mean_figures(card, "rmse")[model.chosen_]):
        return f"{unseen}, the model runs away: its simulation has values that are not finite.", "poor"
    if np.isnan(fit):
        advice = "Look at the errors below, and test it where the plant moves."
        return f"{unseen}, FIT is undefined: no measured output moves there. {advice}", "fair"
    start = _start_rows(model)
    seen = f"{unseen}, in free run from the inputs alone" + (
        f" after its first {start} samples" if start else ""
    )
    if fit >= _GOOD:
        return f"{seen}, the model follows the plant: FIT {fit:.1f} %.", "good"
    if fit >= _FAIR:
        return f"{seen}, the model follows the plant roughly: FIT {fit:.1f} %.", "fair"
    return f"{seen}, the model does not follow the plant: FIT {fit:.1f} %. See the findings below.", "poor"


def _recordings(count: int) -> str:
    return "a recording" if count == 1 else f"{count} recordings"


def _summary(model: PlantModel, roles: Roles, card: Mapping[str, Any], fit: float) -> Summary:
    first = [replicas[model.chosen_]["rmse"][0] for replicas in card["metrics"]["test"].values()]
    samples = sum(part.samples for part in (roles.training, roles.validation, roles.test))
    return Summary(
        fit=fit,
        rmse=float(np.sqrt(np.mean(np.square(first)))),
        output=roles.training.outputs[0],
        samples=samples,
        parameters=parameter_count(model),
        training_seconds=float(card["training"]["seconds"]),
    )


def _predictions(
    model: PlantModel, test: Record, experiment: Experiment, card: Mapping[str, Any]
) -> list[PredictionPage]:
    predicted = model.simulate(experiment)
    figures = card["metrics"]["test"][experiment.name][model.chosen_]
    return [
        PredictionPage(
            experiment=experiment.name,
            output=signal,
            sampling_time=test.sampling_time,
            measured=experiment.outputs[:, index],
            predicted=predicted[:, index],
            washout=model.settled,
            fit=figures["fit"][index],
            rmse=figures["rmse"][index],
            max_error=figures["max_error"][index],
        )
        for index, signal in enumerate(test.outputs)
    ]


def _findings(record: Record) -> tuple[Finding, ...]:
    return tuple(Finding(_TONES[one.severity.value], one.message, one.advice) for one in examine(record)) or (
        Finding("ok", "The data doctor found nothing to complain about."),
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
    return [ResidualPage(experiment.name, test.inputs, test.outputs, test.sampling_time, analysis)]


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
    if options["feedthrough"] is None:
        options["feedthrough"] = f"{'yes' if model.feedthrough_ else 'no'}, decided from the data"
    return {
        "Model": {"parameters": str(parameter_count(model)), **_words(options)},
        "Training": {
            **_words(training),
            "chosen seed": f"{model.chosen_}, weights of step {outcome['best_steps'][model.chosen_]}",
            "time": f"{outcome['seconds']:.1f} s",
            "remarks": "; ".join(outcome["warnings"]) or "none",
        },
        "Data": {
            "source": str(card["data"]["source"]),
            "sampling time": f"{card['data']['sampling_time']:g} s",
            "parts": card["data"]["explanation"],
            **{part: ", ".join(names) or "none" for part, names in card["data"]["experiments"].items()},
        },
        "Scaling": _scaling(model),
        "Made with": _words(card["made_with"]),
        "Files": digests(card),
    }


def _words(facts: Mapping[str, Any]) -> dict[str, str]:
    return {name.replace("_", " "): str(value) for name, value in facts.items()}


def _scaling(model: PlantModel) -> dict[str, str]:
    def lines(signals: tuple[Signal, ...], scaling: Any) -> dict[str, str]:
        triples = zip(signals, scaling.offset, scaling.scale, strict=True)
        return {one.label: f"(value - {offset:g}) / {scale:g}" for one, offset, scale in triples}

    signals = model.signals_
    return lines(signals.inputs, model.input_scaling_) | lines(signals.outputs, model.output_scaling_)


def _prediction(number: int, page: PredictionPage) -> PredictionView:
    title = f"{page.output.name} in {page.experiment}"
    first, last = figures.closeup_rows(page)
    return PredictionView(
        page,
        draw(f"prediction-{number}", title, lambda size: figures.prediction_figure(page, size)),
        draw(f"closeup-{number}", f"{title}, close-up", lambda size: figures.closeup_figure(page, size)),
        span(first * page.sampling_time, last * page.sampling_time),
    )


def _residual_views(number: int, page: ResidualPage) -> list[ResidualView]:
    def correlations(output: int) -> Drawing:
        title = f"Correlations of the residual of {page.outputs[output].name} in {page.experiment}"
        return draw(
            f"residual-{number}-{output}", title, lambda size: figures.residual_figure(page, output, size)
        )

    return [
        ResidualView(
            page,
            signal,
            correlations(output),
            float(page.analysis.auto_outside[output]),
            float(np.max(page.analysis.cross_outside[output], initial=0.0)),
        )
        for output, signal in enumerate(page.outputs)
    ]


def _steady_state(number: int, page: SteadyStatePage) -> SteadyStateView:
    title = f"Steady-state map over {page.input.name}"
    return SteadyStateView(
        page, draw(f"steady-{number}", title, lambda size: figures.steady_state_figure(page, size))
    )
