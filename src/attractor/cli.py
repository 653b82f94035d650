"""The command line: parse, call the library, show.

JAX is imported inside the commands, so that `--help` answers at once.
"""

import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional

from attractor.errors import AttractorError, ConfigError

if TYPE_CHECKING:
    from attractor.data import Record, Roles

Names = tuple[str, ...]

OUR_BUG = 70
INTERRUPTED = 130
REPEAT_SECONDS = 0.5

_console = Console()
_errors = Console(stderr=True)


@dataclass(frozen=True)
class Columns:
    """How the columns of the file are read."""

    time: str | None = None
    """Column of the time stamps; one called time, t or timestamp is found by itself."""
    experiment: str | None = None
    """Column that names the experiment of a row; one called experiment is found by itself."""
    sampling_time: float | None = None
    """Seconds between two rows, where no time column says it."""
    missing: Literal["error", "interpolate", "split"] = "error"
    """What to do with missing cells."""
    resample: bool = False
    """Put irregular time stamps onto a regular grid."""
    delimiter: str | None = None
    """What stands between two cells; found by itself if not given."""


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
    validation_share: float = 0.2
    """Last part of the training rows that chooses the weights; 0 trains on everything."""


@dataclass(frozen=True)
class Model:
    """What is trained."""

    cell: str = "gru"
    """tanh, gru, gru-reset-after, lstm, esn, nnarx, state-space, ren, or your own class: file.py:Class."""
    hidden: int = 8
    """Units a layer."""
    layers: int = 1
    """Cells in the stack."""
    initial_state: Literal["encoder", "washout", "zero"] = "encoder"
    """How a recording starts: learned from its first samples, forgotten over them, or at rest."""
    washout: int = 20
    """Samples that set the initial state and are not counted."""
    feedthrough: bool | None = None
    """Whether an input acts on the output of the same sample; decided from the data if not given."""


@dataclass(frozen=True)
class Training:
    """How it is trained."""

    steps: int = 4000
    """Updates of the weights."""
    window: int = 150
    """Rows simulated in one training example."""
    batch_size: int = 32
    """Examples a step."""
    learning_rate: float = 1e-2
    """Peak of the learning rate."""
    patience: int | None = None
    """Validations without improvement before a seed stops."""
    seeds: int = 1
    """Models trained side by side; the best on validation data is kept."""
    refine: int = 0
    """Gauss-Newton steps afterwards: slower, and much closer for small networks on clean data."""
    seed: int = 0
    """All randomness follows from it."""


@dataclass(frozen=True)
class PlantCommand:
    """Simulate a plant and write its log."""

    plant: Positional[str]
    """ph, quadruple-tank, quadruple-tank-nonminimum-phase or quadruple-tank-pilot."""
    out: Path
    """The CSV file to write."""
    samples: int = 8000
    """Rows in all: 60 % training, 20 % validation, 20 % test, each an experiment of its own."""
    seed: int = 0
    """Excitation and noise follow from it."""
    noise: float | None = None
    """Standard deviation of the measurement noise; the plant's usual one if not given."""
    sampling_time: float | None = None
    """Seconds between two rows; the plant's usual one if not given."""

    def run(self) -> None:
        """Simulate, write, tell."""
        from attractor.control import plant_by_name, record_experiments
        from attractor.data import write_record

        record = record_experiments(
            plant_by_name(self.plant),
            self.samples,
            seed=self.seed,
            noise=self.noise,
            sampling_time=self.sampling_time,
        )
        write_record(self.out, record)
        _console.print(f"{record.samples} rows of {_signals(record)}, every {record.sampling_time:g} s")
        _console.print(f"wrote [bold]{_escape(self.out)}[/]", soft_wrap=True)


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
        from attractor.control.identification.assessment import assess
        from attractor.control.identification.recordings import check_judges
        from attractor.data import to_archive
        from attractor.progress import reporter_for
        from attractor.report import write_run_report
        from attractor.runs import check_free
        from attractor.scan import keep_freed_memory

        keep_freed_memory()
        check_free(self.out, overwrite=self.overwrite)
        roles = _read_roles(self)
        _console.print(_escape(roles.explanation))
        _warn(roles.training)
        model = _plant_model(self.model, self.training, self.test_data.validation_share)
        check_judges(roles.training, roles.test, model.washout, "test")
        reporter = reporter_for("training")
        model.fit(roles.training, validation=roles.validation, folder=self.out, reporter=reporter)
        assessment = assess(model, roles)
        facts, arrays = to_archive(roles)
        card = {"data": facts, "command": shlex.join(["attractor", *sys.argv[1:]]), **assessment}
        model.save(self.out, card=card, evaluation=arrays, overwrite=self.overwrite)
        report = write_run_report(self.out, cell=_own_cell(self.model.cell))
        _show_figures(card, model.member_)
        _console.print(f"report: [bold]{_escape(report)}[/]", soft_wrap=True)


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
        from attractor.control import PlantModel
        from attractor.control.identification.prediction import predict_file

        model = PlantModel.load(self.folder, cell=_own_cell(self.cell))
        summary = predict_file(model, self.data, self.out, _column_options(self.columns))
        _console.print(summary)
        _console.print(f"wrote [bold]{_escape(self.out)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class ReportCommand:
    """Write the report of a run folder again."""

    folder: Positional[Path]
    """The run folder."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""

    def run(self) -> None:
        """Render."""
        from attractor.report import write_run_report

        path = write_run_report(self.folder, cell=_own_cell(self.cell))
        _console.print(f"report: [bold]{_escape(path)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class DoctorCommand:
    """Look for what makes a log hard to learn from."""

    data: Positional[Path]
    """The CSV log."""
    inputs: tuple[str, ...] = ()
    """Input columns; all but the last column if not given."""
    outputs: tuple[str, ...] = ()
    """Output columns; the last column if not given."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> None:
        """Read, examine, tell."""
        from attractor.data import examine, guess_columns, read_csv

        inputs, outputs, columns = self.inputs, self.outputs, _column_options(self.columns)
        if not (inputs and outputs):
            inputs, outputs = guess_columns(self.data, inputs, outputs, columns)
        record = read_csv(self.data, inputs=inputs, outputs=outputs, columns=columns)
        _console.print(f"{record.samples} rows of {_signals(record)}, every {record.sampling_time:g} s")
        _show_findings(examine(record))


COMMANDS: dict[str, Callable[..., Any]] = {
    "plant": PlantCommand,
    "identify": IdentifyCommand,
    "predict": PredictCommand,
    "report": ReportCommand,
    "doctor": DoctorCommand,
}


def main() -> None:
    """Run one command; a user's mistake ends in a message and a status, never in a traceback."""
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="attractor", description="Recurrent networks you can depend on."
    )
    _listen_to_interrupts()
    sys.exit(_run(command.run))


def _listen_to_interrupts() -> None:
    """Ctrl-C, where the shell did not switch it off (background jobs), and SIGTERM end a command alike."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)


def _interrupt(*_: Any) -> None:
    # Python drops an exception that falls into a destructor, so it comes again until it is heard.
    signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)
    raise KeyboardInterrupt


def _run(task: Callable[[], None]) -> int:
    try:
        _heard(task)
    except AttractorError as problem:
        _errors.print(f"[bold red]error:[/] {_escape(str(problem))}", soft_wrap=True)
        return problem.exit_code
    except KeyboardInterrupt:
        _errors.print("interrupted; give the same command again to go on from the last checkpoint")
        return INTERRUPTED
    except Exception:  # noqa: BLE001 (the last line of defence: a bug of ours has its own status)
        _errors.print(traceback.format_exc(), markup=False, soft_wrap=True)
        _errors.print("this is a defect of Attractor, not yours; please report it with the lines above")
        return OUR_BUG
    return 0


def _heard(task: Callable[[], None]) -> None:
    """Do a task; however it ends, no interrupt that comes again disturbs what is said about it."""
    try:
        task()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _escape(text: object) -> str:
    return escape(str(text))


def _signals(record: "Record") -> str:
    inputs = ", ".join(signal.label for signal in record.inputs)
    outputs = ", ".join(signal.label for signal in record.outputs)
    return _escape(f"{inputs} -> {outputs}")


def _column_options(columns: Columns, rows: tuple[str, ...] = ()) -> Any:
    from attractor.data import ColumnOptions, parse_row_block

    blocks = tuple(parse_row_block(text) for text in rows)
    return ColumnOptions(**vars(columns), rows=blocks)


def _read_roles(command: IdentifyCommand) -> "Roles":
    """The data set of `identify`, with a role for every part."""
    from attractor.data import Roles, assign_roles, read_csv

    asked = command.test_data

    def read(path: Path, inputs: Names, outputs: Names, rows: Names) -> "Record":
        columns = _column_options(command.columns, rows)
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
            message = f"{option} would overlap the training rows; say which rows train by --train-rows"
            raise ConfigError(message)
    if asked.validation_rows and not (elsewhere or asked.test_rows):
        message = "--validation-rows needs test data beside it; give --test or --test-rows"
        raise ConfigError(message)
    check_apart({option: [parse_row_block(text) for text in texts] for option, texts in rows.items()})


def _own_cell(text: str | None) -> Any:
    """The class behind `file.py:Class`; None for a name of the house."""
    if text is None or ":" not in text:
        return None
    from importlib.util import module_from_spec, spec_from_file_location

    path, _, name = text.rpartition(":")
    spec = spec_from_file_location(f"_attractor_own_cell_{Path(path).stem}", path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        message = f"--cell {text}: there is no Python file {path}"
        raise ConfigError(message)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while it is being run
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        message = f"--cell {text}: {path} cannot be run: {type(problem).__name__}: {problem}"
        raise ConfigError(message) from problem
    if not hasattr(module, name):
        message = f"--cell {text}: {path} has no class {name}"
        raise ConfigError(message)
    return getattr(module, name)


def _plant_model(model: Model, training: Training, share: float) -> Any:
    from attractor.control import PlantModel
    from attractor.training import TrainingSettings

    return PlantModel(
        cell=_own_cell(model.cell) or model.cell,
        hidden_size=model.hidden,
        layers=model.layers,
        initial_state=model.initial_state,
        validation_share=share,
        washout=model.washout,
        feedthrough=model.feedthrough,
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

    _show_findings([finding for finding in examine(record) if finding.severity.name != "NOTE"])


def _show_findings(findings: list[Any]) -> None:
    colours = {"ERROR": "red", "WARNING": "yellow", "NOTE": "cyan"}
    for finding in findings:
        name = finding.severity.name
        _console.print(f"[bold {colours[name]}]{name.lower()}[/] {_escape(finding.message)}")
        _console.print(f"  [dim]{_escape(finding.advice)}[/]")
    if not findings:
        _console.print("the data doctor found nothing to complain about")


def _show_figures(card: dict[str, Any], chosen: int) -> None:
    grid = Grid(
        "test experiment", "output", "FIT %", "RMSE", "largest error", title="free run on unseen data"
    )
    for experiment, members in card["metrics"]["test"].items():
        for index, output in enumerate(card["data"]["outputs"]):
            values = [members[chosen][name][index] for name in ("fit", "rmse", "max_error")]
            label = _escape(f"{output['name']} [{output['unit']}]" if output["unit"] else output["name"])
            grid.add_row(
                _escape(experiment), label, f"{values[0]:.2f}", *(f"{value:.4g}" for value in values[1:])
            )
    _console.print(grid)


if __name__ == "__main__":
    main()
