"""Runs of `PlantModel`: identified from the log of a plant."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import RUN_KINDS, Driving, Proof, RunKind

if TYPE_CHECKING:
    import numpy as np

    from attractor.cells.families import CellBuilder
    from attractor.certify import CertifySettings
    from attractor.control import PlantModel
    from attractor.control.study import ControlSetup
    from attractor.data import ColumnOptions


def _load(folder: Path, cell: "CellBuilder | None") -> "PlantModel":
    from attractor.control import PlantModel

    return PlantModel.load(folder, cell=cell)


def _report(folder: Path, cell: "CellBuilder | None") -> Path:
    from attractor.control.identification.identification_page import write_run_report

    return write_run_report(folder, cell)


def _drive(model: "PlantModel", asked: Driving) -> "tuple[Any, np.ndarray]":
    from attractor.control.identification.driving import driving_file, driving_of_run
    from attractor.data import ColumnOptions

    if asked.data is None:
        return model.network().cell, driving_of_run(model, asked.folder)
    return model.network().cell, driving_file(model, asked.data, asked.columns or ColumnOptions())


def _predict(model: "PlantModel", data: Path, out: Path, columns: "ColumnOptions") -> str:
    from attractor.control.identification.file_prediction import predict_file

    return predict_file(model, data, out, columns)


def _export(
    model: "PlantModel", target: str, folder: Path, setup: "ControlSetup"
) -> list[tuple[Path, float | None]]:
    from attractor.control.identification.deployment import export_model

    return export_model(model, target, folder, setup)


def _certify(
    model: "PlantModel", folder: Path, input_bound: float, settings: "CertifySettings", command: str
) -> Proof:
    from attractor.certify import claim
    from attractor.certify.stability.certificate_page import CertifiedCell
    from attractor.control.identification.stability_file import (
        certify_model,
        save_stability,
        visited_in_training,
    )
    from attractor.progress import reporter_for
    from attractor.report.about import About
    from attractor.report.publishing import publish

    result = certify_model(model, input_bound, settings, reporter_for("bounds"))
    save_stability(folder, result, input_bound, model.origin)
    interval = model.signals_.sampling_time
    visited = visited_in_training(folder, model)
    found = CertifiedCell(model.network().cell, result, input_bound, interval, visited)
    page = publish(found, folder, About(command=command, origin=model.origin))
    return Proof(result, claim(result, input_bound), page, interval)


RUN_KINDS.register(
    "PlantModel", RunKind("plant model", _load, _report, _drive, _predict, _export, _certify), source=__name__
)
