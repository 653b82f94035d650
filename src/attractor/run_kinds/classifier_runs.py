"""Runs of `SequenceClassifier`: trained on labelled series."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from attractor.certify import CertifySettings, certify, claim
from attractor.certify.stability.certificate_page import CertifiedCell
from attractor.classification import SequenceClassifier
from attractor.classification.classifier_page import write_classifier_report
from attractor.classification.classifier_study import known_cases, stored_cases, training_limits
from attractor.classification.classifier_verification import certified_cases
from attractor.classification.deployment import predict_cases, streamed
from attractor.classification.reading import bare_cell, driving_inputs, some_of
from attractor.control.controller_code import ExportSettings
from attractor.control.identification.certification import save_stability
from attractor.control.plant_verification import PlantQuestion
from attractor.control.study import ControlSettings
from attractor.data import (
    ColumnOptions,
    Finding,
    LongColumns,
    Sequences,
    Severity,
    read_sequences,
)
from attractor.errors import ConfigError
from attractor.export import export
from attractor.export.exporters import Precision
from attractor.folders import facts_of
from attractor.progress import reporter_for
from attractor.report.about import About
from attractor.report.publishing import publish
from attractor.runs import load_run

from . import RUN_KINDS, Asking, Driving, Proof, Reading, RunKind, Verified


def _drive(model: SequenceClassifier, asked: Driving) -> tuple[Any, np.ndarray]:
    if asked.columns is not None:
        raise ConfigError("options about columns are for the log of a plant; this run classifies series")
    if asked.data is not None:
        cases = read_sequences(asked.data, like=known_cases(model))
        return bare_cell(model.network()), driving_inputs(model, cases, asked.steps)
    inputs = driving_inputs(model, stored_cases(model, asked.folder), asked.steps)
    # A run keeps a few cases only: they come again until there are steps enough.
    return bare_cell(model.network()), np.resize(inputs, (asked.steps, inputs.shape[1]))


def _predict(model: SequenceClassifier, source: Path, target: Path, reading: Reading) -> str:
    delimiter = reading.columns.delimiter
    if vars(reading.columns) != vars(ColumnOptions(delimiter=delimiter)):
        raise ConfigError(
            "options about the columns of a log are for plants; for series there are --id-column, "
            "--label-column, --time-column, --group-column and --variables"
        )
    series = reading.series
    if delimiter is not None:
        series = replace(series or LongColumns(), delimiter=delimiter)
    return predict_cases(model, source, target, series, reading.coverage)


def _export(
    model: SequenceClassifier, target: str, folder: Path, setup: ControlSettings
) -> list[tuple[Path, float | None]]:
    """The step of the stream, which takes samples in the unit of the data and gives probabilities."""
    precision: Precision = setup.precision if isinstance(setup, ExportSettings) else "double"
    return export(streamed(model), target, folder, origin=model.origin, precision=precision)


def _certify(
    model: SequenceClassifier, folder: Path, input_bound: float, settings: CertifySettings, command: str
) -> Proof:
    """Of the recurrent part: whether it forgets its past, for values as large as those of the training."""
    limits = _range(model, folder)
    largest = max(np.abs(model.scaling_.to_unit(np.asarray(end, float))).max() for end in limits)
    cell, bound = bare_cell(model.network()), float(input_bound * largest)
    reporter = reporter_for("bounds")
    try:
        result = certify(cell, input_bound=bound, settings=settings, reporter=reporter)
    finally:
        reporter.close()
    save_stability(folder, result, bound, model.origin)
    found = CertifiedCell(cell, result, bound, None, repairable=False)
    page = publish(found, folder, About(command=command, origin=model.origin))
    return Proof(result, claim(result, bound), page, None)


def _verify(model: SequenceClassifier, asking: Asking) -> Verified:
    """For how many cases the class cannot change."""
    if asking.question != PlantQuestion(within=asking.question.within, timeout=asking.question.timeout):
        raise ConfigError(
            "horizon, outputs, rows and ranges are for models of plants; this run classifies series"
        )
    data, source = _labelled(model, asking)
    data = data if asking.cases is None else some_of(data, asking.cases)
    found = certified_cases(model, data, asking.question.within, reporter_for("cases"))
    about = About(command=asking.command, origin=model.origin, data=source)
    page = publish(found, asking.folder, about)
    return Verified(tuple(str(found).splitlines()), True, page, found.to_dict())


def _labelled(model: SequenceClassifier, asking: Asking) -> tuple[Sequences, str]:
    """The labelled cases that are asked about: those of a file, else of the test file of the run."""
    path = asking.data
    if path is None:
        with facts_of(asking.folder / "card.json"):
            name = load_run(asking.folder).card.get("data", {}).get("test_source")
        path = None if name is None else Path(str(name))
    if path is None or not path.is_file():
        raise ConfigError(
            f"{asking.folder} does not keep its test cases{f', and {path} is gone' if path else ''}; name a "
            "file of labelled cases by --data"
        )
    return read_sequences(path, like=known_cases(model)), str(path)


def _range(model: SequenceClassifier, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The range of the values for which a proof holds.

    Raises:
        ConfigError: the run has none, or a proof would say nothing of it.
    """
    if model.missing != "error":
        raise ConfigError(
            f"{folder} fills gaps (missing={model.missing!r}): a proof holds for a range of measured values "
            "and says nothing of gaps that go on; to certify, train with missing='error', without gaps"
        )
    if model.decision.is_without_network:
        raise ConfigError(
            f"{folder}: {model.decision.said} A proof about that network would say nothing of this "
            "classifier; train with --convolutions 0 (readout__convolutions=0) for one that the network "
            "decides"
        )
    limits = training_limits(folder)
    if limits is None:
        raise ConfigError(
            f"{folder}: what is proved holds for a range of values, and this run keeps none: it was saved "
            "without its scores; train it by `attractor classify`"
        )
    return limits


def _findings(folder: Path) -> list[Finding]:
    """What was found of the training cases before the training."""
    with facts_of(folder / "card.json"):
        stored = load_run(folder).card.get("data", {}).get("findings", ())
        return [
            Finding(Severity(one["severity"]), "stored", "", one["message"], one["advice"], {})
            for one in stored
        ]


RUN_KINDS.register(
    "SequenceClassifier",
    RunKind(
        "classifier",
        SequenceClassifier.load,
        write_classifier_report,
        _drive,
        _predict,
        _export,
        _certify,
        provable=_range,
        doctor=_findings,
        verify=_verify,
    ),
    source=__name__,
)
