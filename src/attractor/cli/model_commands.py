"""Commands about models: identify, predict, report."""

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional

from attractor.errors import ConfigError
from attractor.settings import Count

from .console import console, escaped, show_findings
from .options import Columns, Model, TestData, Training, column_options
from .saved_cell import cell_of, given_cell

if TYPE_CHECKING:
    from attractor.data import Record, Roles

Names = tuple[str, ...]


@dataclass(frozen=True)
class IdentifyCommand:
    """Train a recurrent model on the log of a plant, judge it on unseen data and write a report."""

    data: Positional[Path]
    """The CSV log."""
    inputs: tuple[str, ...]
    """Columns that were applied to the plant."""
    outputs: tuple[str, ...]
    """Columns that the plant answered."""
    out: Path
    """The run folder; an interrupted training goes on when the command is given again."""
    overwrite: bool = False
    """Replace a finished run in that folder."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)
    test_data: OmitArgPrefixes[TestData] = field(default_factory=TestData)
    model: OmitArgPrefixes[Model] = field(default_factory=Model)
    training: OmitArgPrefixes[Training] = field(default_factory=Training)

    def run(self) -> None:
        """Read, train, judge, save, report."""
        from attractor.control.identification.recordings import check_judges
        from attractor.progress import reporter_for
        from attractor.runs import check_free
        from attractor.scan import keep_freed_memory
        from attractor.training.spreading import use_all_cores

        keep_freed_memory()
        use_all_cores()
        check_free(self.out, overwrite=self.overwrite)
        roles = _read_roles(self)
        console.print(escaped(roles.explanation))
        _warn(roles.training)
        model = _plant_model(self.model, self.training, self.test_data.validation_share)
        check_judges(roles.training, roles.test, model.washout, "test")
        reporter = reporter_for("training")
        model.fit(roles.training, validation=roles.validation, folder=self.out, reporter=reporter)
        _conclude(model, roles, self.out, overwrite=self.overwrite)


@dataclass(frozen=True)
class RepairCommand:
    """Move a trained model to where a certificate holds, as little as possible, and train it on there."""

    folder: Positional[Path]
    """The run folder of the trained model."""
    out: Path
    """The run folder of the new one."""
    steps: Count = 2000
    """Updates of the weights."""
    overwrite: bool = False
    """Replace a finished run in that folder."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""

    def run(self) -> None:
        """Load, project, train, judge, save, report."""
        from attractor.control import PlantModel
        from attractor.control.identification.repair import repair
        from attractor.data import from_archive
        from attractor.folders import facts_of
        from attractor.progress import reporter_for
        from attractor.runs import check_free, load_run

        check_free(self.out, overwrite=self.overwrite)
        model = PlantModel.load(self.folder, cell=cell_of(self.folder, self.cell))
        run = load_run(self.folder)
        if not run.evaluation or "data" not in run.card:
            raise ConfigError(
                f"{self.folder} was saved without its data; repair needs the data it was trained on"
            )
        with facts_of(self.folder / "card.json"):
            roles = from_archive(run.card["data"], run.evaluation)
        validation = roles.validation if roles.validation.experiments else None
        reporter = reporter_for("repair")
        repaired = repair(
            model,
            roles.training,
            validation=validation,
            steps=self.steps,
            folder=self.out,
            reporter=reporter,
        )
        _conclude(repaired, roles, self.out, overwrite=self.overwrite)


@dataclass(frozen=True)
class PredictCommand:
    """Simulate a trained model over new inputs."""

    folder: Positional[Path]
    """The run folder."""
    data: Positional[Path]
    """A CSV file with the input columns; output columns, if there are any, set the initial state."""
    out: Path
    """The CSV file to write: all columns of the data, and one column a predicted output."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> None:
        """Load, simulate, write."""
        from attractor.run_kinds import kind_of

        kind = kind_of(self.folder)
        predict = kind.able("predict", self.folder)
        model = kind.load(self.folder, cell_of(self.folder, self.cell))
        summary = predict(model, self.data, self.out, column_options(self.columns))
        console.print(summary)
        console.print(f"wrote [bold]{escaped(self.out)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class ReportCommand:
    """Write the report of a run folder again."""

    folder: Positional[Path]
    """The run folder."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""

    def run(self) -> None:
        """Render; say what else in the folder belongs to another run."""
        from attractor.origin import strangers
        from attractor.run_kinds import kind_of
        from attractor.runs import load_run
        from attractor.training.checkpoint import remove_leftovers

        kind = kind_of(self.folder)
        path = kind.report(self.folder, cell_of(self.folder, self.cell))
        for other, objection in strangers(self.folder, load_run(self.folder).origin).items():
            console.print(f"[yellow]{escaped(other.name)} {escaped(objection)}[/]", soft_wrap=True)
        remove_leftovers(self.folder)
        console.print(f"report of the {escaped(kind.title)}: [bold]{escaped(path)}[/]", soft_wrap=True)


def _conclude(model: Any, roles: "Roles", out: Path, *, overwrite: bool) -> None:
    """Save, judge, save what was found, report: whatever happens after training may not lose it."""
    from attractor.control.identification.assessment import assess
    from attractor.control.identification.identification_page import write_run_report
    from attractor.data import to_archive
    from attractor.runs import UNJUDGED

    facts, arrays = to_archive(roles)
    known = {"data": facts, "command": shlex.join(["attractor", *sys.argv[1:]])}
    model.save(out, card=known | UNJUDGED, evaluation=arrays, overwrite=overwrite)
    console.print(f"trained and saved in {escaped(out)}; judging it now", soft_wrap=True)
    card = {**known, **assess(model, roles)}
    model.save(out, card=card, evaluation=arrays, overwrite=True)
    report = write_run_report(out, cell=None if isinstance(model.cell, str) else model.cell)
    _show_figures(card, model.chosen_)
    console.print(f"report: [bold]{escaped(report)}[/]", soft_wrap=True)


def _read_roles(command: IdentifyCommand) -> "Roles":
    """The data set of `identify`, with a role for every part."""
    from attractor.data import Roles, assign_roles, read_csv

    asked = command.test_data

    def read(path: Path, inputs: Names, outputs: Names, rows: Names) -> "Record":
        columns = column_options(command.columns, rows)
        return read_csv(path, inputs=inputs, outputs=outputs, columns=columns)

    _check_rows(asked)
    record = read(command.data, command.inputs, command.outputs, asked.train_rows)
    test = None
    if asked.test or asked.test_inputs or asked.test_outputs or asked.test_rows:
        inputs, outputs = asked.test_inputs or command.inputs, asked.test_outputs or command.outputs
        test = read(asked.test or command.data, inputs, outputs, asked.test_rows)
    if asked.validation_rows and test is not None:
        validation = read(command.data, command.inputs, command.outputs, asked.validation_rows)
        return Roles(record, validation, test, "Rows were used as given.")
    return assign_roles(record, test, validation_share=asked.validation_share)


def _check_rows(asked: TestData) -> None:
    """Rows of one role must not have another role as well."""
    from attractor.data import check_apart, parse_row_block

    rows = {"--train-rows": asked.train_rows, "--validation-rows": asked.validation_rows}
    elsewhere = asked.test or asked.test_inputs or asked.test_outputs
    if not elsewhere:
        rows["--test-rows"] = asked.test_rows
    for option, texts in rows.items():
        if texts and not asked.train_rows:
            raise ConfigError(
                f"{option} would overlap the training rows; say which rows train by --train-rows"
            )
    if asked.validation_rows and not (elsewhere or asked.test_rows):
        raise ConfigError("--validation-rows needs test data beside it; give --test or --test-rows")
    check_apart({option: [parse_row_block(text) for text in texts] for option, texts in rows.items()})


def _plant_model(model: Model, training: Training, share: float) -> Any:
    from attractor.control import PlantModel
    from attractor.training import TrainingSettings

    return PlantModel(
        cell=given_cell(model.cell) or model.cell,
        hidden_size=model.hidden,
        layers=model.layers,
        initial_state=model.initial_state,
        validation_share=share,
        washout=model.washout,
        feedthrough=model.feedthrough,
        certified=model.certified,
        window=training.window,
        training=TrainingSettings(
            steps=training.steps,
            batch_size=training.batch_size,
            learning_rate=training.learning_rate,
            patience=training.patience,
            seeds=training.seeds,
            refine=training.refine,
        ),
        seed=training.seed,
    )


def _warn(record: "Record") -> None:
    from attractor.data import examine

    show_findings([finding for finding in examine(record) if finding.severity.name != "NOTE"])


def _show_figures(card: dict[str, Any], chosen: int) -> None:
    grid = Grid(
        "test experiment", "output", "FIT %", "RMSE", "largest error", title="free run on unseen data"
    )
    for experiment, replicas in card["metrics"]["test"].items():
        for index, output in enumerate(card["data"]["outputs"]):
            values = [replicas[chosen][name][index] for name in ("fit", "rmse", "max_error")]
            label = escaped(f"{output['name']} [{output['unit']}]" if output["unit"] else output["name"])
            grid.add_row(
                escaped(experiment), label, f"{values[0]:.2f}", *(f"{value:.4g}" for value in values[1:])
            )
    console.print(grid)
