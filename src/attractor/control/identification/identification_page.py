"""The page of an identification: what the numbers of a run mean, and what to do next."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from attractor.certify import Certificate
from attractor.errors import RunFolderError
from attractor.folders import facts_of
from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Tile
from attractor.report.publishing import publish
from attractor.report.wording import count, duration, mean_and_spread, percent, significant, span
from attractor.runs import check_judged, load_run

from . import identification_figures as figures
from .bands import ASSUMPTION
from .certification import stored_certificate
from .identification_contents import (
    BAND_COVERAGE,
    DataPage,
    IdentificationContents,
    MetricsRow,
    PredictionPage,
    ResidualPage,
    Summary,
    collect,
)
from .identification_verdict import advice
from .plant_model import PlantModel
from .race import AS_FITTED, Result
from .recordings import stored_roles


def identification_page(contents: IdentificationContents, about: About) -> Page:
    """What the page says.

    Args:
        contents: numbers and words.
        about: the run.
    """
    family = contents.compared.family
    meaning, steps = advice(contents.outlook, about, family, proved=contents.proved)
    sections = (
        _prediction_section(contents),
        _comparison_section(contents),
        _data_section(contents.data),
        _training_section(contents),
        _residual_section(contents.residuals),
        _steady_section(contents),
        _metrics_section(contents.metrics),
        _card_section(contents.model_card),
    )
    return Page(
        kind="Identification report",
        verdict=contents.verdict,
        tone=contents.tone,
        meaning=meaning,
        steps=steps,
        tiles=_tiles(contents.summary),
        sections=tuple(one for one in sections if one.figures or one.tables or one.lead),
    )


def _tiles(summary: Summary) -> tuple[Tile, ...]:
    time, unit = duration(summary.training_seconds)
    output = summary.output
    return (
        Tile("FIT", percent(summary.fit), "%", "free run on test data; 100 is perfect"),
        Tile("RMSE", significant(summary.rmse), output.unit, f"typical error of {output.name}"),
        Tile("Samples", count(summary.samples), "", "training, validation and test"),
        Tile("Parameters", count(summary.parameters), "", "numbers in the model that were learned"),
        Tile("Training", time, unit, "wall time, all seeds")
        if summary.training_seconds
        else Tile("Training", "none", "", "a regression gives this model"),
    )


def _prediction_section(contents: IdentificationContents) -> Section:
    lead = (
        "Of a test experiment the model sees the inputs, and the measured outputs of its first "
        f"{contents.start_rows} samples, which tell it where to start. From there on it sees the inputs only"
        if contents.start_rows
        else "The model sees the inputs only. It never sees a measured output of a test experiment"
    )
    drawn = [
        figure
        for number, page in enumerate(contents.predictions)
        for figure in _prediction_figures(number, page, contents.start_rows)
    ]
    lead += ", so errors have every chance to build up."
    return Section("prediction", "Prediction against measurement", lead, tuple(drawn), _band_tables(contents))


def _band_tables(contents: IdentificationContents) -> tuple[PageTable, ...]:
    """Stated and measured coverage of the bands, beside their width and that of a constant band."""
    rows = tuple(
        (
            one["output"],
            f"{100 * one['coverage']:g} %",
            f"{100 * one['coverage']:g} to {100 * one['stated']:.1f} %",
            percent(100 * one["held"]) + (f" ± {percent(100 * one['error'])}" if one["error"] > 0 else ""),
            _width(one["width"]),
            _width(one["constant"]),
        )
        for one in contents.bands
    )
    if not rows:
        return ()
    header = ("output", "asked", "stated", "held on test [%]", "mean width", "width if constant")
    caption = (
        f"Bands around the free run (split conformal prediction), calibrated by {contents.bands_by}: each "
        "stretch counts as one case, however many rows it has, for its errors are nearly one error; where "
        "stretches are few, more must be held than was asked, and too few give an infinite band. The band "
        "depends on the rows since the start where there are stretches enough, and is constant else. Held: "
        "with its standard error over stretches of the test data. "
        f"{ASSUMPTION} `attractor predict --coverage 0.9` writes them."
    )
    return (PageTable("Bands that hold the measurement", header, rows, caption),)


def _width(value: float) -> str:
    return significant(value) if np.isfinite(value) else "infinite"


def _prediction_figures(number: int, page: PredictionPage, start_rows: int) -> tuple[PageFigure, PageFigure]:
    """The whole experiment, and its worst stretch; only the first says how to read it."""
    title, unit = f"{page.output.name} in {page.experiment}", page.output.unit
    first, last = figures.closeup_rows(page)
    interval = page.sampling_time
    stretch = f"samples {first} to {last}" if interval is None else span(first * interval, last * interval)
    washout = ""
    if start_rows:
        washout = (
            f" The first {start_rows} samples are washout: they set the initial state, and nothing there is "
            "predicted or counts."
        )
    elif page.washout:
        washout = (
            f" The first {page.washout} samples are washout: there a wrong initial state may still show, and "
            "nothing there counts."
        )
    held = f"{100 * BAND_COVERAGE:g} %"
    band = (
        f" The band around the blue line should hold {held} of the measurement."
        if page.band is not None and figures.has_band(page)
        else ""
    )
    whole = PageFigure(
        name=f"prediction-{number}",
        title=title,
        caption=(
            "The blue line should cover the grey one. Below: measurement less model; the shaded band is "
            f"twice the RMSE, and a good model fills it with noise and without a pattern.{band}{washout}"
        )
        if number == 0
        else "",
        plot=lambda size: figures.prediction_figure(page, size),
        facts=(
            (f"{percent(page.fit)} %", "FIT"),
            (f"{significant(page.rmse)} {unit}", "RMSE"),
            (f"{significant(page.max_error)} {unit}", "largest error"),
        ),
    )
    closeup = PageFigure(
        name=f"closeup-{number}",
        title=f"{title}: the worst stretch, {stretch}",
        caption="The part of the experiment where the model errs most.",
        plot=lambda size: figures.closeup_figure(page, size),
    )
    return whole, closeup


def _comparison_section(contents: IdentificationContents) -> Section:
    """The model beside simple ones on the test data, and beside other families on the validation data."""
    found = contents.compared
    rows = [("this model", found.family, percent(found.fit), "—")]
    removed = [f"{percent(100 * one.gain)} ± {percent(100 * one.gain_error)}" for one in found.rivals]
    rows += [
        (one.name, one.description, percent(one.fit), text)
        for one, text in zip(found.rivals, removed, strict=True)
    ]
    if np.isfinite(found.ceiling):
        rows.append(("noise floor", found.predictor, percent(found.ceiling), "—"))
    caption = (
        "Each model is simulated over the test rows from the inputs alone, and each was chosen on the "
        "validation data. The last column is the share of a simple model's squared error that this model "
        "removes, with its standard error. The noise floor is an estimate, made with a predictor that also "
        "sees every measured output before the sample: no simulation should be expected to reach more. Slow "
        "disturbances, which such a predictor follows, may keep the best simulation well below it."
    )
    header = ("model", "", "FIT [%]", "error removed [%]")
    tables = [PageTable("On the test data", header, tuple(rows), caption)]
    if contents.race:
        tables.append(_race_table(contents.race))
    lead = "A model is worth its trouble if it does better than one that takes a second to make."
    return Section("comparison", "Beside simple models", lead, tables=tuple(tables))


def _race_table(results: tuple[Result, ...]) -> PageTable:
    rows = tuple(
        (
            one.cell,
            str(one.hidden_size),
            significant(one.error),
            f"{significant(one.seconds)} s",
            "chosen" if one.won else "",
        )
        for one in results
    )
    caption = (
        "Families that were trained on the same data. The error is the root mean square of the free run over "
        "the validation data, in standard deviations of the outputs; test data played no part."
    )
    return PageTable("Which family", ("family", "states", "error", "training", ""), rows, caption)


def _data_section(data: DataPage) -> Section:
    many = len(data.training.inputs) + len(data.training.outputs) > figures.MOST_SIGNALS
    signals = PageFigure(
        name="signals",
        title="Signals over time",
        caption=(
            "Inputs on top, outputs below, the experiments one after the other. Test data should look like "
            "the use you have in mind, and should not go where training has never "
            f"been.{' Only the first eight signals are drawn.' if many else ''}"
        ),
        plot=lambda size: figures.signals_figure(data, size),
    )
    inputs = PageFigure(
        name="inputs",
        title="Use of the input range",
        caption=(
            "Amplitudes: no gaps under the orange line, or the model has to guess there. Spectrum: power at "
            "low frequencies teaches the steady state, power at high ones the dynamics; the dashed line is "
            "the highest frequency this sampling time can show."
        ),
        plot=lambda size: figures.amplitude_figure(data, size),
    )
    lead = "A model can only know what the plant was made to show."
    return Section("data", "Data and excitation", lead, (signals, inputs), notes=data.findings)


_UNKEPT = "No history of this training was kept."


def _training_section(contents: IdentificationContents) -> Section:
    training = contents.training
    if not training.runs:
        how = "A regression gives this model." if contents.compared.family in AS_FITTED else _UNKEPT
        return Section("training", "Training", how)
    curves = PageFigure(
        name="training",
        title="Training curves",
        caption=(
            f"Every line is one seed; the blue one was kept, at the dot (seed {training.chosen_seed}, step "
            f"{training.chosen_step}). A loss that falls while FIT falls too is overfitting. Lines far apart "
            "say that luck of the start matters: train more seeds. FIT values far below the best are cut off."
        ),
        plot=lambda size: figures.training_figure(training, size),
    )
    return Section("training", "Training", "How every seed learned.", (curves,))


def _residual_section(pages: tuple[ResidualPage, ...]) -> Section:
    lead = "What is left after the model should be noise: nothing in its past or in the inputs predicts it."
    drawn = tuple(
        _residual_figure(f"residual-{number}-{output}", page, output)
        for number, page in enumerate(pages)
        for output in range(len(page.outputs))
    )
    return Section("residuals", "Residuals", lead if drawn else "", drawn)


def _residual_figure(name: str, page: ResidualPage, output: int) -> PageFigure:
    found = page.analysis
    chance = f"{100 * found.confidence:.0f}"
    caption = (
        f"Bars inside the band: nothing left to explain. The band holds {chance} % of what chance alone "
        "would give. Red bars with an input at positive lags: the input acts in a way the model has "
        "missed. At negative lags: feedback in the data, or a slow input. Red bars with itself alone: the "
        "errors have a memory, as slow disturbances have; a simulation cannot know them. One lag is "
        f"{'one sample' if page.sampling_time is None else f'{page.sampling_time:g} s'}."
    )
    outside = float(found.auto_outside[output]), float(np.max(found.cross_outside[output], initial=0.0))
    return PageFigure(
        name=name,
        title=f"Residual of {page.outputs[output].name} in {page.experiment}",
        caption=caption if name == "residual-0-0" else "",
        plot=lambda size: figures.residual_figure(page, output, size),
        facts=(
            (f"{percent(100 * outside[0], 0)} %", "of lags outside, with itself"),
            (f"{percent(100 * outside[1], 0)} %", "of lags outside, with the worst input"),
            (f"{percent(100 - 100 * found.confidence, 0)} %", "expected by chance"),
        ),
    )


def _steady_section(contents: IdentificationContents) -> Section:
    others = len(contents.data.training.inputs) > 1
    caption = (
        "The line should run through the cloud of training data, which scatters because the plant was "
        f"rarely at rest{' and the other inputs moved' if others else ''}; where there are no dots the "
        "model extrapolates. A slope that changes along the line is a gain that changes with the operating "
        "point. A gap in the line means that the model did not come to rest."
    )
    held = ", the other inputs in the middle of their range" if others else ""
    drawn = tuple(
        PageFigure(
            name=f"steady-{number}",
            title=f"{page.input.name} held{held}",
            caption="" if number else caption,
            plot=lambda size, page=page: figures.steady_state_figure(page, size),
        )
        for number, page in enumerate(contents.steady_states)
    )
    lead = "Hold one input for ever: where does the model rest? The slope is the gain a controller will feel."
    return Section("steady-state", "Steady state", lead if drawn else "", drawn)


def _metrics_section(metrics: tuple[MetricsRow, ...]) -> Section:
    rows = tuple(
        (
            row.experiment,
            row.output.name,
            percent(row.fit),
            f"{significant(row.rmse)} {row.output.unit}",
            significant(row.nrmse),
            f"{significant(row.max_error)} {row.output.unit}",
            mean_and_spread(row.fit_per_seed),
            "  ".join(percent(fit) for fit in row.fit_per_seed),
        )
        for row in metrics
    )
    header = ("experiment", "output", "FIT [%]", "RMSE", "NRMSE", "largest error", "over seeds", "each seed")
    caption = (
        "FIT = 100 (1 - RMSE / standard deviation of the measurement) after the washout: 100 is perfect, 0 "
        "is as good as predicting the mean, below 0 is worse than that. Over seeds: mean ± standard "
        "deviation of FIT; where it is large, one run proves little. A dash means undefined, for instance "
        "the FIT of a constant signal."
    )
    return Section("metrics", "Metrics", "", (), (PageTable("Free run", header, rows, caption),))


def _card_section(card: Mapping[str, Mapping[str, str]]) -> Section:
    tables = tuple(PageTable(name, ("fact", "value"), tuple(rows.items())) for name, rows in card.items())
    return Section("model-card", "Model card", "What it takes to make this model again.", tables=tables)


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
    roles = stored_roles(folder, run)
    if roles is None or not all(part in run.card for part in ("metrics", "training")):
        raise RunFolderError(_no_data(folder))
    with facts_of(folder / "card.json"):
        proved = isinstance(stored_certificate(folder, run.origin), Certificate)
        contents = replace(collect(model, roles, run.card), proved=proved)
        command = str(run.card.get("command", "PlantModel(...).fit(...) from Python"))
        about = About(folder.name, command, run.origin, str(run.card["data"]["source"]))
    return publish(contents, folder, about)


def _no_data(folder: Path) -> str:
    return (
        f"{folder} holds a model that was saved without its data, so there is nothing to report on. "
        "`attractor identify` saves both; from Python, with Roles of your records: facts, arrays = "
        "attractor.data.to_archive(roles); model.save(folder, card={'data': facts, **assess(model, roles)}, "
        "evaluation=arrays, overwrite=True), with assess of attractor.control.identification.assessment"
    )
