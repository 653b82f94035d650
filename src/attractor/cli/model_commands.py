"""Commands about models of plants: identify, repair, predict, report."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional, arg

from attractor.control import PlantModel
from attractor.data import (
    Record,
    Roles,
    check_apart,
    describe_sampling,
    parse_row_block,
)
from attractor.errors import ConfigError
from attractor.settings import Count, PartialShare, Seed
from attractor.training import TrainingSettings

from .console import (
    Facts,
    command_line,
    console,
    escaped,
    tell,
    tell_file,
    working,
)
from .data_commands import CaseColumns, Columns, Names, ask_for_time, columns_of, show_serious
from .own_cells import RunCommand, named_cell


@dataclass(frozen=True)
class TestData:
    """Where the test data come from; the last fifth of the data if nothing is said."""

    test: Path | None = None
    """A file of its own."""
    test_inputs: tuple[str, ...] = ()
    """Input columns of the test data, if they have other names."""
    test_outputs: tuple[str, ...] = ()
    """Output columns of the test data, if they have other names."""
    train_rows: tuple[str, ...] = ()
    """Rows for training and validation, such as 40600:110000; counted from 0 without the header."""
    validation_rows: tuple[str, ...] = ()
    """Rows for validation."""
    test_rows: tuple[str, ...] = ()
    """Rows for the test, such as arrow=0:25000; several blocks are several experiments."""
    validation_share: PartialShare = 0.2
    """Last part of the training rows that chooses the weights; 0 trains on everything."""


@dataclass(frozen=True)
class Model:
    """What is trained."""

    cell: str = "auto"
    """auto lets a linear model, a state-space network and a GRU race on the validation data (with --certified
    it is a GRU). Or one of linear, tanh, gru, gru-reset-after, lstm, esn, nnarx, state-space, ren, or your
    own class: file.py:Class."""
    hidden_size: Annotated[Count, arg(name="hidden")] = 8
    """Units a layer."""
    layers: Count = 1
    """Cells in the stack."""
    initial_state: Literal["encoder", "washout", "zero"] = "encoder"
    """How a recording starts: learned from its first samples, forgotten over them, or at rest."""
    washout: Count = 20
    """Samples that set the initial state and are not counted."""
    feedthrough: bool | Literal["shift"] | None = None
    """Whether an input acts on the output of its own row. With True no controller can use the model; shift
    gives the model the inputs one row early, for outputs measured after the input of their row has acted. If
    not given, the data decide between False and shift."""
    delay: tuple[int, ...] = ()
    """Samples by which inputs act late, one number or one for each; a long one is found in the data if not
    given, and 0 says that there is none."""
    certified: bool = False
    """Train for a certificate: a model that forgets its past for every input in the range of the data.
    Nothing is proved by that; `attractor certify` proves it."""


def _options(asked: Model) -> dict[str, Any]:
    """Options of `PlantModel` as the command line has them."""
    delay = asked.delay[0] if len(asked.delay) == 1 else asked.delay or None
    return {**vars(asked), "delay": delay, "cell": named_cell(asked.cell) or asked.cell}


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
    window: Count = 150
    """Rows simulated in one training example."""
    seed: Seed = 0
    """All randomness follows from it."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)
    test_data: OmitArgPrefixes[TestData] = field(default_factory=TestData)
    model: OmitArgPrefixes[Model] = field(default_factory=Model)
    training: OmitArgPrefixes[TrainingSettings] = field(default_factory=TrainingSettings)

    def run(self) -> Facts:
        """Read, train, judge, save, report."""
        from attractor.control import PlantModel
        from attractor.control.identification.family_options import check_family
        from attractor.control.identification.recordings import check_judges
        from attractor.data import examine
        from attractor.progress import reporter_for
        from attractor.runs import check_free
        from attractor.scan import keep_freed_memory
        from attractor.training.spreading import use_all_cores

        keep_freed_memory()
        use_all_cores()
        check_free(self.out, overwrite=self.overwrite)
        model = PlantModel(
            **_options(self.model),
            validation_share=self.test_data.validation_share,
            window=self.window,
            training=self.training,
            seed=self.seed,
        )
        check_family(model)
        with working(f"reading {self.data}"):
            roles = _read_roles(self)
        tell(roles.explanation)
        if roles.training.assumed:
            interval, assumed = roles.training.sampling_time, roles.training.assumed
            tell(f"one row every {describe_sampling(interval, assumed)}")
            ask_for_time(roles.training)
        with working("looking for what is hard to learn from"):
            findings = examine(roles.training)
        show_serious(findings)
        check_judges(roles.training, roles.test, model.washout, "test")
        tell(model.forecast(roles.training))
        reporter = reporter_for("training")
        with working("training", bar=True):
            model.fit(roles.training, validation=roles.validation, folder=self.out, reporter=reporter)
        return _conclude(model, roles, self.out, overwrite=self.overwrite)


@dataclass(frozen=True)
class RepairCommand(RunCommand):
    """Move a trained model to where a certificate holds, as little as possible, and train it on there."""

    out: Path
    """The run folder of the new one."""
    steps: Count = 2000
    """Updates of the weights."""
    overwrite: bool = False
    """Replace a finished run in that folder."""

    def run(self) -> Facts:
        """Load, project, train, judge, save, report."""
        from attractor.control import PlantModel
        from attractor.control.identification.certification import repair
        from attractor.control.identification.recordings import stored_roles
        from attractor.progress import reporter_for
        from attractor.runs import check_free, load_run

        check_free(self.out, overwrite=self.overwrite)
        with working(f"reading {self.folder}"):
            model = PlantModel.load(self.folder, cell=self.own_cell())
            roles = stored_roles(self.folder, load_run(self.folder))
        if roles is None:
            raise ConfigError(
                f"{self.folder} was saved without its data; repair needs the data it was trained on"
            )
        with working("moving the model to where a certificate holds, and training it on", bar=True):
            repaired = repair(
                model,
                roles.training,
                validation=roles.validation if roles.validation.experiments else None,
                steps=self.steps,
                folder=self.out,
                reporter=reporter_for("repair"),
            )
        return _conclude(repaired, roles, self.out, overwrite=self.overwrite)


@dataclass(frozen=True)
class PredictCommand(RunCommand):
    """Simulate a trained model over new inputs, or name the classes of new series."""

    data: Positional[Path]
    """Of a plant: a CSV file with the input columns; output columns, if there are any, set the initial state.
    Of a classifier: series, with or without labels."""
    out: Path
    """The CSV file to write. Of a plant: all columns of the data, and one column a predicted output. Of a
    classifier: a row for every case with its class and the probabilities of all."""
    coverage: float | None = None
    """Add what holds the truth with this probability, such as 0.9: of a plant the ends of a band, two columns
    for every output; of a classifier the set of labels that cannot be excluded."""
    series: OmitArgPrefixes[CaseColumns] = field(default_factory=CaseColumns)
    overwrite: bool = False
    """Replace that file if it is there already."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> Facts:
        """Load, simulate, write."""
        from attractor.files import check_target
        from attractor.run_kinds import Reading

        check_target(self.out, self.data, overwrite=self.overwrite)
        model, predict = self.opened("predict")
        reading = Reading(columns_of(self.columns), self.series, self.coverage)
        with working(f"predicting {self.data}"):
            summary = predict(model, self.data, self.out, reading)
        tell(summary)
        tell_file(self.out)
        return {"summary": summary, "file": self.out}


@dataclass(frozen=True)
class ReportCommand(RunCommand):
    """Write the report of a run folder again."""

    def run(self) -> Facts:
        """Render; say what else in the folder belongs to another run."""
        from attractor.origin import strangers
        from attractor.run_kinds import kind_of
        from attractor.runs import load_run
        from attractor.training.checkpoint import remove_leftovers

        with working(f"writing the report of {self.folder}"):
            kind = kind_of(self.folder)
            path = kind.report(self.folder, self.own_cell())
        foreign = {
            other.name: why for other, why in strangers(self.folder, load_run(self.folder).origin).items()
        }
        for name, objection in foreign.items():
            console.print(f"[yellow]{escaped(name)} {escaped(objection)}[/]", soft_wrap=True)
        remove_leftovers(self.folder)
        tell_file(path, f"report of the {escaped(kind.title)}:")
        return {"report": path, "foreign": foreign}


def _conclude(model: PlantModel, roles: Roles, out: Path, *, overwrite: bool) -> Facts:
    """Save, judge, save what was found, report: whatever happens after training may not lose it."""
    from attractor.control.identification import assessment, identification_page
    from attractor.data import to_archive
    from attractor.runs import UNJUDGED

    facts, arrays = to_archive(roles)
    known = {"data": facts, "command": command_line()}
    model.save(out, card=known | UNJUDGED, evaluation=arrays, overwrite=overwrite)
    tell(f"trained and saved in {out}")
    with working("judging it beside simple models"):
        card = {**known, **assessment.assess(model, roles)}
        model.save(out, card=card, evaluation=arrays, overwrite=True)
    with working("writing the report"):
        report = identification_page.write_run_report(
            out, cell=None if isinstance(model.cell, str) else model.cell
        )
    scores = _show_scores(card, model.chosen_)
    said = _show_judgement(model, card)
    tell_file(report, "report:")
    return {"run": out, "report": report, "test": scores, **said}


def _show_judgement(model: PlantModel, card: Facts) -> Facts:
    """What the model comes to beside simple ones, which family won, and what else the user should know."""
    from attractor.control.identification import comparison, identification_verdict, race

    compared = comparison.Comparison.of(card["comparison"])
    verdict = identification_verdict.of_run(model, card)
    for text in (verdict, race.in_words(model.race_)):
        if text:
            tell(text)
    for text in model.remarks_:
        console.print(f"[yellow]note[/] {escaped(text)}", soft_wrap=True)
    return {"verdict": verdict, "comparison": compared.facts(), "remarks": list(model.remarks_)}


def _read_roles(command: IdentifyCommand) -> Roles:
    """The data set of `identify`, with a role for every part."""
    from attractor.data import Roles, assign_roles, read_csv

    asked = command.test_data

    def read(path: Path, inputs: Names, outputs: Names, rows: Names) -> Record:
        columns = columns_of(command.columns, rows)
        return read_csv(path, inputs=inputs, outputs=outputs, columns=columns)

    _check_rows(asked)
    record = read(command.data, command.inputs, command.outputs, asked.train_rows)
    test = None
    if asked.test or asked.test_inputs or asked.test_outputs or asked.test_rows:
        inputs, outputs = asked.test_inputs or command.inputs, asked.test_outputs or command.outputs
        test = read(asked.test or command.data, inputs, outputs, asked.test_rows)
        if test.assumed and not record.assumed:
            test = replace(test, sampling_time=record.sampling_time, assumed="that of the training data")
    if asked.validation_rows and test is not None:
        validation = read(command.data, command.inputs, command.outputs, asked.validation_rows)
        return Roles(record, validation, test, "Rows were used as given.")
    return assign_roles(record, test, validation_share=asked.validation_share)


def _check_rows(asked: TestData) -> None:
    """Rows of one role must not have another role as well."""
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


def _show_scores(card: Facts, chosen: int) -> list[Facts]:
    """The free run of the chosen network over every test experiment, shown and returned."""
    grid = Grid(
        "test experiment", "output", "FIT %", "RMSE", "largest error", title="free run on unseen data"
    )
    rows = []
    for experiment, replicas in card["metrics"]["test"].items():
        for index, output in enumerate(card["data"]["outputs"]):
            found = {name: replicas[chosen][name][index] for name in ("fit", "rmse", "max_error")}
            label = f"{output['name']} [{output['unit']}]" if output["unit"] else output["name"]
            numbers = f"{found['fit']:.2f}", f"{found['rmse']:.4g}", f"{found['max_error']:.4g}"
            grid.add_row(escaped(experiment), escaped(label), *numbers)
            rows.append({"experiment": experiment, "output": label, **found})
    console.print(grid)
    return rows
