"""Commands about data: doctor, plant; how columns are read, and how findings are shown."""

import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

from tyro.conf import OmitArgPrefixes, Positional, Suppress, arg

from attractor.data import (
    ColumnOptions,
    Finding,
    LongColumns,
    Record,
    RowBlock,
    Sequences,
    describe_sampling,
    parse_row_block,
)
from attractor.data.long_columns import names_in
from attractor.data.sequence_file import SUFFIXES
from attractor.errors import ConfigError, DataWarning, InputDataError
from attractor.settings import Count, Positive, Seed, checked_fields
from attractor.shown import counted

from .console import (
    Facts,
    console,
    escaped,
    tell_file,
    working,
)

Names = tuple[str, ...]
Series = TypeVar("Series", bound="SeriesColumns")
SERIES = (".npz", ".ts", ".arff")
"""Files that hold labelled series, not a log."""


def signals_of(record: Record) -> str:
    """What drives what, in one line."""
    inputs = ", ".join(signal.label for signal in record.inputs)
    outputs = ", ".join(signal.label for signal in record.outputs)
    return escaped(f"{inputs} -> {outputs}")


def show_findings(findings: list[Finding]) -> None:
    """What the data doctor found, with its advice."""
    colours = {"ERROR": "red", "WARNING": "yellow", "NOTE": "cyan"}
    for finding in findings:
        name = finding.severity.name
        console.print(f"[bold {colours[name]}]{name.lower()}[/] {escaped(finding.message)}")
        console.print(f"  [dim]{escaped(finding.advice)}[/]")


def show_serious(findings: list[Finding]) -> list[Finding]:
    """Errors and warnings of the data doctor, shown and returned; notes are for `attractor doctor`."""
    serious = [finding for finding in findings if finding.severity.name != "NOTE"]
    show_findings(serious)
    return serious


def facts_of_findings(findings: list[Finding]) -> list[dict[str, str]]:
    """Findings as plain values."""
    return [
        {"severity": one.severity.value, "message": one.message, "advice": one.advice} for one in findings
    ]


@dataclass(frozen=True)
class Columns(ColumnOptions):
    """How the columns of the log of a plant are read; for series of a classifier only --delimiter counts."""

    sampling_time: Positive | None = None
    rows: Annotated[tuple[RowBlock, ...], Suppress] = ()

    def __post_init__(self) -> None:
        checked_fields(self)
        super().__post_init__()


def columns_of(columns: Columns, rows: Names = ()) -> ColumnOptions:
    """The same for the reader, with blocks of rows as they are written."""
    return replace(columns, rows=tuple(parse_row_block(text) for text in rows))


@dataclass(frozen=True)
class SeriesColumns(LongColumns):
    """How the columns of a table of series are read, for a classifier only; other formats name their own.

    A run of a classifier knows them: they are needed again only where another table calls them otherwise.
    """

    case: Annotated[tuple[str, ...], arg(name="id-column")] = ()
    """The column that tells the cases apart, or several that do so together."""
    label: Annotated[str | None, arg(name="label-column")] = None
    """The class."""
    time: Annotated[str | None, arg(name="time-column")] = None
    """Numbers or dates by which the rows of a case are put in order."""
    group: Annotated[str | None, arg(name="group-column")] = None
    """What a case comes from (patient, device): cases of one group stay together when cases are held out."""
    variables: tuple[str, ...] = ()
    """The measured quantities, by name or by patterns such as "acc_*"; all other columns if not given."""

    def written(self, **parts: str | Sequence[str]) -> str:
        """How a user of the command line writes what some columns mean."""
        options = {"case": "--id-column", "label": "--label-column", "time": "--time-column"}
        options |= {"group": "--group-column", "variables": "--variables"}
        told = ((options[name], *names_in(value)) for name, value in parts.items())
        return " ".join(shlex.quote(word) if word != "..." else word for words in told for word in words)


@dataclass(frozen=True)
class CaseColumns(SeriesColumns):
    """The same for a command that has the delimiter of a log."""

    delimiter: Annotated[str | None, Suppress] = None


def grouping(columns: Series, asked: Path | None) -> tuple[Series, Path | None]:
    """Which column names the groups, and which file does.

    Raises:
        ConfigError: both do.
    """
    if asked is None:
        return columns, None
    if columns.group is not None:
        raise ConfigError(
            f"--group-column {columns.group} and --weight-groups {asked} both name the groups; give one"
        )
    is_file = asked.exists() or len(asked.parts) > 1 or asked.suffix.casefold() in SUFFIXES
    return (columns, asked) if is_file else (replace(columns, group=str(asked)), None)


@dataclass(frozen=True)
class PlantCommand:
    """Simulate a plant and write its log."""

    plant: Positional[str]
    """ph, quadruple-tank, quadruple-tank-nonminimum-phase or quadruple-tank-pilot."""
    out: Path
    """The CSV file to write."""
    samples: Count = 8000
    """Rows in all: 60 % training, 20 % validation, 20 % test, each an experiment of its own."""
    seed: Seed = 0
    """Excitation and noise follow from it."""
    noise: float | None = None
    """Standard deviation of the measurement noise; the plant's usual one if not given."""
    sampling_time: float | None = None
    """Seconds between two rows; the plant's usual one if not given."""
    overwrite: bool = False
    """Replace the file if it is there already."""

    def run(self) -> Facts:
        """Simulate, write, tell."""
        from attractor.control import plant_by_name, record_experiments
        from attractor.data import write_record
        from attractor.files import check_target

        check_target(self.out, overwrite=self.overwrite)
        options = {"seed": self.seed, "noise": self.noise, "sampling_time": self.sampling_time}
        with working(f"simulating {counted(self.samples, 'sample')} of {self.plant}"):
            record = record_experiments(plant_by_name(self.plant), self.samples, **options)
            write_record(self.out, record)
        facts = _show_record(record)
        tell_file(self.out)
        return facts | {"file": self.out}


@dataclass(frozen=True)
class DoctorCommand:
    """Look for what makes a log, or labelled series, hard to learn from."""

    data: Positional[Path]
    """The CSV log; series as .npz, .ts or .arff, or as a table whose --id-column is given; or a run folder:
    its training data are looked at again (of a classifier: what was found before the training)."""
    inputs: tuple[str, ...] = ()
    """Input columns; all but the last column if not given."""
    outputs: tuple[str, ...] = ()
    """Output columns; the last column if not given."""
    series: OmitArgPrefixes[CaseColumns] = field(default_factory=CaseColumns)
    weight_groups: Path | None = None
    """What series come from, as for `classify`."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> Facts:
        """Read, examine, tell."""
        from attractor.data import examine, examine_sequences

        with working(f"reading {self.data}"):
            data = self._data()
        if isinstance(data, Record):
            facts = _show_record(data)
            with working("examining it"):
                findings = examine(data)
        elif isinstance(data, Sequences):
            facts = _show_series(data)
            with working("examining them"):
                findings = examine_sequences(data)
        else:
            facts, findings = {}, data
        show_findings(findings)
        if not findings:
            console.print("the data doctor found nothing to complain about")
        return facts | {"findings": facts_of_findings(findings)}

    def _data(self) -> Record | Sequences | list[Finding]:
        from attractor.data import guess_columns, read_csv

        inputs, outputs, columns = self.inputs, self.outputs, columns_of(self.columns)
        asked = bool(self.series.asked) or self.weight_groups is not None
        if self.data.is_dir():
            from attractor.run_kinds import kind_of

            if inputs or outputs or asked or self.columns != Columns():
                raise ConfigError(
                    f"{self.data} is a run folder, which knows its columns; leave their options out"
                )
            return kind_of(self.data).able("doctor", self.data)(self.data)
        if asked or (self.data.suffix.lower() in SERIES and not (inputs or outputs)):
            return self._cases()
        try:
            if not (inputs and outputs):
                inputs, outputs = guess_columns(self.data, inputs, outputs, columns)
            return read_csv(self.data, inputs=inputs, outputs=outputs, columns=columns)
        except InputDataError as problem:
            raise InputDataError(f"{problem}{self._perhaps_series()}") from None

    def _cases(self) -> Sequences:
        from attractor.data import read_case_groups, read_sequences

        columns, table = grouping(replace(self.series, delimiter=self.columns.delimiter), self.weight_groups)
        with warnings.catch_warnings():  # the remarks are among the findings
            warnings.simplefilter("ignore", DataWarning)
            cases = read_sequences(self.data, columns)
        return cases if table is None else cases.grouped(read_case_groups(table, cases))

    def _perhaps_series(self) -> str:
        """What to add if a table that is no log looks like one of series."""
        from attractor.data import read_table
        from attractor.data.column_guesses import proposal

        try:
            how = "" if self.inputs or self.outputs else proposal(read_table(self.data), self.series)
        except InputDataError:
            return ""
        return f". If the table holds labelled series, add {how}" if how and "..." not in how else ""


def _show_record(record: Record) -> Facts:
    sampling = escaped(describe_sampling(record.sampling_time, record.assumed))
    console.print(f"{record.samples} rows of {signals_of(record)}, every {sampling}", soft_wrap=True)
    ask_for_time(record)
    names = {"inputs": record.inputs, "outputs": record.outputs}
    labels = {role: [signal.label for signal in signals] for role, signals in names.items()}
    times = {"sampling_time": record.sampling_time, "sampling_time_assumed": record.assumed or None}
    return {"rows": record.samples, **times, **labels}


def _show_series(cases: Sequences) -> Facts:
    lengths = int(cases.lengths.min()), int(cases.lengths.max())
    steps = f"{lengths[0]}" if lengths[0] == lengths[1] else f"{lengths[0]} to {lengths[1]}"
    counts = cases.counts() if cases.labels is not None else {}
    classes = f"; {', '.join(f'{name}: {number}' for name, number in counts.items())}" if counts else ""
    variables = counted(len(cases.names), "variable")
    console.print(
        escaped(f"{counted(len(cases), 'case')} of {steps} steps and {variables}{classes}"), soft_wrap=True
    )
    return {"cases": len(cases), "steps": list(lengths), "variables": list(cases.names), "classes": counts}


def ask_for_time(record: Record) -> None:
    """Which option says what had to be assumed about the sampling time."""
    if record.assumed:
        console.print("  [dim]give it by --sampling-time, in seconds, or name its column by --time[/]")
