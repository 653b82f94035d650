"""Runs of `PlantModel`: identified from the log of a plant."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import RUN_KINDS, Driving, Proof, RunKind

if TYPE_CHECKING:
    import numpy as np

    from attractor.cells.building import CellBuilder
    from attractor.certify import CertifySettings
    from attractor.control import PlantModel
    from attractor.control.study import ControlSettings
    from attractor.data import ColumnOptions


def _load(folder: Path, cell: "CellBuilder | None") -> "PlantModel":
    from attractor.control import PlantModel

    return PlantModel.load(folder, cell=cell)


def _report(folder: Path, cell: "CellBuilder | None") -> Path:
    from attractor.report import write_run_report

    return write_run_report(folder, cell)


def _drive(model: "PlantModel", asked: Driving) -> "tuple[Any, np.ndarray]":
    from attractor.control.identification.from_files import inputs_of_file, inputs_of_run
    from attractor.data import ColumnOptions

    if asked.data is None:
        return model.network().cell, inputs_of_run(model, asked.folder)
    return model.network().cell, inputs_of_file(model, asked.data, asked.columns or ColumnOptions())


def _predict(model: "PlantModel", data: Path, out: Path, columns: "ColumnOptions") -> str:
    from attractor.control.identification.from_files import predict_file

    return predict_file(model, data, out, columns)


def _export(
    model: "PlantModel", target: str, folder: Path, setup: "ControlSettings"
) -> list[tuple[Path, float | None]]:
    from attractor.control.deployment import export_model

    return export_model(model, target, folder, setup)


def _certify(
    model: "PlantModel", folder: Path, input_bound: float, settings: "CertifySettings", command: str
) -> Proof:
    from attractor.control.identification.certification import certify_model, claim, save_stability
    from attractor.progress import reporter_for
    from attractor.report import StabilityFacts, write_stability_report

    result = certify_model(model, input_bound, settings, reporter_for("bounds"))
    save_stability(folder, result, input_bound, model.origin)
    facts = StabilityFacts(folder.name, input_bound, model.signals_.sampling_time, command)
    page = write_stability_report(folder, model, result, facts)
    return Proof(result, claim(result, input_bound), page, model.signals_.sampling_time)


RUN_KINDS.register(
    "PlantModel", RunKind("plant model", _load, _report, _drive, _predict, _export, _certify), source=__name__
)
