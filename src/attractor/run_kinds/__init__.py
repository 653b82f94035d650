"""What can be done with a saved run, by the kind that its card names.

Each file here registers one kind; another package does so by an entry point `attractor.run_kinds`. The
command line reads the table: `report`, `predict`, `export`, `certify`, `control`, `doctor`, `dynamics` and
`lyapunov` work on every kind that has what they need.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from attractor.cells.building import CellBuilder
from attractor.certify import CertifySettings, StabilityResult
from attractor.control import PlantModel
from attractor.control.plant_verification import PlantQuestion
from attractor.control.study import ControlSettings
from attractor.data import ColumnOptions, Finding, LongColumns, Record
from attractor.errors import ConfigError, RunFolderError
from attractor.registry import Registry
from attractor.runs import load_run

Model = TypeVar("Model")


@dataclass(frozen=True)
class Driving:
    """What drives the cell of a run.

    Args:
        folder: of the run.
        data: a file; None takes what the run was saved with.
        steps: at most so many.
        columns: how a log is read; None where nothing was said.
    """

    folder: Path
    data: Path | None
    steps: int
    columns: ColumnOptions | None


@dataclass(frozen=True)
class Reading:
    """How `predict` reads a file, and what it adds to its answers.

    Args:
        columns: of a log.
        series: columns of a table of series; None where nothing was said.
        coverage: of intervals or sets beside the answers; None for none.
    """

    columns: ColumnOptions
    series: LongColumns | None = None
    coverage: float | None = None


@dataclass(frozen=True)
class Proof:
    """What `certify` found of a run, and its page.

    Args:
        result: of the ladder of bounds.
        claim: what was found, in a sentence.
        page: the report; None where no folder was given for it.
        sampling_time: seconds of a step; None if that is only assumed.
    """

    result: StabilityResult
    claim: str
    page: Path | None
    sampling_time: float | None


@dataclass(frozen=True)
class Asking:
    """What `verify` asks of a run.

    Args:
        folder: of the run.
        data: a file with nominal inputs or labelled cases; None takes the test part of the run.
        columns: how a log is read.
        question: what is asked of a plant model; of a classifier only `within` counts.
        cases: of a classifier, at most so many; None for all.
        command: as it was given, for the page.
    """

    folder: Path
    data: Path | None
    columns: ColumnOptions
    question: PlantQuestion
    cases: int | None
    command: str


@dataclass(frozen=True)
class Verified:
    """What `verify` found of a run.

    Args:
        said: sentences, the verdict first.
        decided: False where a property was asked for and is not proved.
        page: the report.
        facts: for programs.
    """

    said: tuple[str, ...]
    decided: bool
    page: Path
    facts: dict[str, Any]


@dataclass(frozen=True)
class RunKind(Generic[Model]):
    """What can be done with a run of one kind; None for what it cannot do.

    Args:
        title: what people call it: "plant model".
        load: `load(folder, cell) -> model`; `cell` is the class of a user's own cell. A model has an
            `origin`.
        report: `report(folder, cell) -> page`.
        dynamics: `dynamics(model, driving) -> cell, inputs`, what is studied; inputs (time, inputs) are those
            that the cell sees.
        predict: `predict(model, data, out, reading) -> what was done`, in a sentence; writes `out`.
        export: `export(model, target, folder, setup) -> files`, each with its difference from the model;
            `attractor.export.export` does it for a cell, or a network with a cell and an output.
        certify: `certify(model, folder, input_bound, settings, command) -> proof`; writes its page.
        provable: `provable(model, folder)` refuses a run of which nothing can be proved, before any work.
        control: `control(model) -> plant model`, with which a controller plans.
        doctor: `doctor(folder) -> the data that it was trained on`, to be looked at again, or what was found
            of them.
        verify: `verify(model, asking) -> what is proved on a set of inputs`; writes its page.
    """

    title: str
    load: Callable[[Path, CellBuilder | None], Model]
    report: Callable[[Path, CellBuilder | None], Path]
    dynamics: Callable[[Model, Driving], tuple[Any, np.ndarray]] | None = None
    predict: Callable[[Model, Path, Path, Reading], str] | None = None
    export: Callable[[Model, str, Path, ControlSettings], list[tuple[Path, float | None]]] | None = None
    certify: Callable[[Model, Path, float, CertifySettings, str], Proof] | None = None
    provable: Callable[[Model, Path], object] | None = None
    control: Callable[[Model], PlantModel] | None = None
    doctor: Callable[[Path], Record | list[Finding]] | None = None
    verify: Callable[[Model, Asking], Verified] | None = None

    def able(self, task: str, folder: Path) -> Callable[..., Any]:
        """The function for a task: "predict".

        Raises:
            ConfigError: there is none; the message names the kinds that have one.
        """
        found = getattr(self, task)
        if found is None:
            others = ", ".join(kind.title for kind in RUN_KINDS.values() if getattr(kind, task) is not None)
            raise ConfigError(f"{folder} holds a {self.title}; `attractor {task}` is for runs of: {others}")
        return found


RUN_KINDS = Registry[str, RunKind[Any]]("kind of run", "attractor.run_kinds", "attractor.run_kinds")
"""By the `kind` on the card."""


def kind_of(folder: Path) -> RunKind[Any]:
    """The kind of a finished run.

    Raises:
        RunFolderError: the folder is missing, damaged or foreign, or its kind is not known here.
    """
    name = load_run(folder).card.get("kind")
    if not isinstance(name, str) or name not in RUN_KINDS:
        raise RunFolderError(
            f"{folder} holds {name!r}; this installation knows {', '.join(RUN_KINDS)}: install the package "
            "that made the run"
        )
    return RUN_KINDS[name]
