"""Runs of `PlantModel`: identified from the log of a plant."""

from pathlib import Path
from typing import Any

import numpy as np

from attractor.certify import CertifySettings, Verdict, claim
from attractor.certify.stability.certificate_page import CertifiedCell
from attractor.certify.verify import Answer
from attractor.control import PlantModel
from attractor.control.deployment import export_model
from attractor.control.identification.certification import (
    certify_model,
    repairable,
    retrained,
    save_stability,
    visited_in_training,
)
from attractor.control.identification.from_files import (
    experiment_of_file,
    inputs_of_file,
    inputs_of_run,
    predict_file,
)
from attractor.control.identification.identification_page import write_run_report
from attractor.control.identification.recordings import stored_roles
from attractor.control.plant_verification import verify_plant
from attractor.data import ColumnOptions, Experiment, Record
from attractor.errors import ConfigError
from attractor.progress import reporter_for
from attractor.report.about import About
from attractor.report.publishing import publish
from attractor.runs import load_run

from . import RUN_KINDS, Asking, Driving, Proof, Reading, RunKind, Verified


def _drive(model: PlantModel, asked: Driving) -> tuple[Any, np.ndarray]:
    if asked.data is None:
        return model.network().cell, inputs_of_run(model, asked.folder)
    return model.network().cell, inputs_of_file(model, asked.data, asked.columns or ColumnOptions())


def _certify(
    model: PlantModel, folder: Path, input_bound: float, settings: CertifySettings, command: str
) -> Proof:
    result = certify_model(model, input_bound, settings, reporter_for("bounds"))
    save_stability(folder, result, input_bound, model.origin)
    interval = model.signals_.known_sampling_time
    visited = visited_in_training(folder, model)
    retraining = retrained(str(load_run(folder).card.get("command", "")))
    able = repairable(model) or result.verdict is Verdict.PROVED
    found = CertifiedCell(model.network().cell, result, input_bound, interval, visited, able, retraining)
    page = publish(found, folder, About(command=command, origin=model.origin))
    return Proof(result, claim(result, input_bound), page, interval)


def _predict(model: PlantModel, source: Path, target: Path, reading: Reading) -> str:
    if reading.series is not None and reading.series.asked:
        raise ConfigError(f"options about cases and labels are for series; {source} is the log of a plant")
    return predict_file(model, source, target, reading.columns, reading.coverage)


def _verify(model: PlantModel, asking: Asking) -> Verified:
    record, source = _nominal(model, asking)
    found = verify_plant(model, record, asking.question, source, reporter_for("bounds"))
    page = publish(found, asking.folder, About(command=asking.command, origin=model.origin))
    decided = found.proof is None or found.proof.answer is Answer.HOLDS
    return Verified(tuple(str(found).splitlines()), decided, page, found.to_dict())


def _nominal(model: PlantModel, asking: Asking) -> tuple[Experiment, str]:
    """The record whose inputs are the nominal ones, and where it comes from."""
    if asking.data is not None:
        return experiment_of_file(model, asking.data, asking.columns), str(asking.data)
    roles = stored_roles(asking.folder, load_run(asking.folder))
    if roles is None:
        raise ConfigError(f"{asking.folder} was saved without its data; give a log by --data FILE")
    part = roles.test if roles.test.experiments else roles.training
    what = "test" if roles.test.experiments else "training"
    return part.experiments[0], f"the {what} part of the run"


def _training_data(folder: Path) -> Record:
    roles = stored_roles(folder, load_run(folder))
    if roles is None:
        raise ConfigError(f"{folder} was saved without its data; give the log itself: `attractor doctor LOG`")
    return roles.training


RUN_KINDS.register(
    "PlantModel",
    RunKind(
        "plant model",
        PlantModel.load,
        write_run_report,
        _drive,
        _predict,
        export_model,
        _certify,
        control=lambda model: model,
        doctor=_training_data,
        verify=_verify,
    ),
    source=__name__,
)
