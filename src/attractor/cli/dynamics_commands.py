"""Commands about dynamics: what they speak of (a run, or a cell by its name or file), and what they show."""

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional

from attractor.cells import CellLike, State, build_cell, cell_class, input_size, knows_input
from attractor.cells.building import CellBuilder
from attractor.certify import StabilityResult
from attractor.dynamics import LyapunovSettings, LyapunovSpectrum
from attractor.errors import ConfigError
from attractor.origin import Origin, stamped
from attractor.settings import Count, CountOrNone, NonNegative, checked
from attractor.shown import counted
from attractor.theory import DynamicsSettings

from . import estimates
from .console import Facts, command_line, console, escaped, tell, tell_file, working
from .data_commands import Columns, columns_of
from .own_cells import Sizes, built, cell_of, is_own, named_cell


@dataclass(frozen=True)
class Fresh:
    """How a cell is made that is not taken from a run, and what drives it."""

    inputs: tuple[str, ...] = ()
    """How many inputs, of a cell that is built by their number (1 if not given). With a data file that drives
    a cell: its columns, in the order of the inputs; all but the time if not given."""
    hidden: Count | None = None
    """Units of a cell that is built by their number; 64 if not given."""
    drive: NonNegative = 0.0
    """Standard deviation of the white inputs; 0 leaves the cell alone."""
    start: tuple[float, ...] = ()
    """State to start from; the cell's own if not given."""

    @property
    def count(self) -> int | None:
        """The number of inputs; None where nothing was said.

        Raises:
            ConfigError: it is no number.
        """
        if not self.inputs:
            return None
        text = " ".join(self.inputs)
        if not text.isdecimal():
            raise ConfigError(
                f"--inputs {text}: expected a whole number of at least 0; names of columns need a data file"
            )
        return checked("--inputs", CountOrNone, int(text))


@dataclass(frozen=True)
class Subject:
    """A cell and what drives it.

    Args:
        title: what it is called.
        cell: the cell.
        inputs: as the cell sees them, shape (time, inputs).
        source: where the inputs come from, in words.
        start: a state to start from; None for the cell's own.
        folder: of the run; None for a cell without one.
        origin: the weights and the equation of the run, or of a cell of the user's own.
        named: what commands call a cell of the user's own; empty for others.
    """

    title: str
    cell: CellLike
    inputs: np.ndarray
    source: str
    start: State | None = None
    folder: Path | None = None
    origin: Origin | None = None
    named: str = ""


@dataclass(frozen=True)
class Wanted:
    """What the user named.

    Args:
        name: a run folder, file.py:Class, or the name of a cell.
        data: a file that drives it; None takes what a run was saved with, and white inputs of a cell.
        cell: file.py:Class, for a run with a cell of the user's own.
        steps: of a cell without data; at most so many of a file.
        seed: of weights and inputs of a cell without a run.
    """

    name: str
    data: Path | None
    cell: str | None
    steps: int
    seed: int


def find_subject(wanted: Wanted, fresh: Fresh, columns: Columns) -> Subject:
    """The cell and its inputs.

    Raises:
        ConfigError: there is neither such a run, nor such a file, nor such a cell.
        InputDataError: the data cannot be used.
        RunFolderError: the run folder is damaged.
    """
    if not Path(wanted.name).is_dir():
        return _of_cell(wanted, fresh, columns)
    if fresh != Fresh():
        given = ", ".join(f"--{one.name}" for one in fields(Fresh) if getattr(fresh, one.name) != one.default)
        raise ConfigError(f"{given}: for a cell by its name or file; {wanted.name} is a run")
    return _of_run(wanted, columns)


def _of_run(wanted: Wanted, columns: Columns) -> Subject:
    from attractor.run_kinds import Driving, kind_of

    folder = Path(wanted.name)
    kind = kind_of(folder)
    driven = kind.able("dynamics", folder)
    model = kind.load(folder, cell_of(folder, wanted.cell))
    asked = None if columns == Columns() else columns_of(columns)
    cell, inputs = driven(model, Driving(folder, wanted.data, wanted.steps, asked))
    source = "data of the run" if wanted.data is None else wanted.data.name
    return Subject(folder.name, cell, inputs[: wanted.steps], source, folder=folder, origin=model.origin)


def _of_cell(wanted: Wanted, fresh: Fresh, columns: Columns) -> Subject:
    if wanted.cell is not None:
        raise ConfigError(f"--cell {wanted.cell} is for a run; {wanted.name} names the cell already")
    build = named_cell(wanted.name, "") or _named(wanted.name)
    if wanted.data is None:
        cell = built(build, Sizes(fresh.count, fresh.hidden, wanted.seed))
        rows, source = _white(cell, wanted, fresh)
    else:
        cell, rows = _driven(build, wanted, fresh, columns)
        rows, source = rows[: wanted.steps], wanted.data.name
    subject = Subject(wanted.name.rpartition(":")[2], cell, rows, source, _start(cell, fresh.start))
    if not is_own(wanted.name):
        return subject
    from attractor.run_kinds.bare_cells import BareCell

    return replace(subject, origin=BareCell(cell, wanted.name).origin, named=wanted.name)


def _white(cell: CellLike, wanted: Wanted, fresh: Fresh) -> tuple[np.ndarray, str]:
    size = input_size(cell) if knows_input(cell) else fresh.count or 1
    rows = fresh.drive * np.random.default_rng(wanted.seed).normal(size=(wanted.steps, size))
    return rows, f"white inputs of standard deviation {fresh.drive:g}" if fresh.drive and size else "no input"


def _driven(build: Any, wanted: Wanted, fresh: Fresh, columns: Columns) -> tuple[CellLike, np.ndarray]:
    """A cell and the columns of a file, as they stand there; a cell that is built by it gets all of them."""
    from attractor.cells import is_built
    from attractor.run_kinds.bare_cells import rows_of_file

    if fresh.drive:
        raise ConfigError(
            f"--drive makes white inputs, and {wanted.data} drives the cell: give one of the two"
        )
    how, names = columns_of(columns), fresh.inputs
    assert wanted.data is not None  # noqa: S101 (asked before)
    count = None if is_built(build) else rows_of_file(None, wanted.data, names, how).shape[1]
    cell = build_cell(build, count, fresh.hidden, key=jax.random.key(wanted.seed))
    return cell, rows_of_file(cell, wanted.data, names, how)


def _named(name: str) -> CellBuilder:
    try:
        return cell_class(name)
    except ConfigError as problem:
        raise ConfigError(f"there is no run folder {name}, and no such cell: {problem}") from problem


def _start(cell: CellLike, values: tuple[float, ...]) -> State | None:
    from attractor.program import double_precision, flat_map

    if not values:
        return None
    with double_precision():
        flat = flat_map(cell)
        if flat.real_size != len(values):
            raise ConfigError(
                f"--start has {counted(len(values), 'number')}, the state has {flat.real_size} real ones"
            )
        rest = flat.start[flat.real_size :]
        return flat.restore(jnp.concatenate([jnp.asarray(values, jnp.float64), rest]))


@dataclass(frozen=True)
class DynamicsCommand:
    """Show what a network does: exponents, fixed points, eigenvalues, time scales; write a report."""

    subject: Positional[str]
    """A run folder, a cell of your own (file.py:Name), or the name of a cell."""
    data: Positional[Path | None] = None
    """A file that drives the network: of a run scaled as its data were, of a cell as it stands. If not given,
    what the run was saved with, or white inputs (--drive)."""
    out: Path | None = None
    """Folder of the report; the run folder if there is one."""
    certificate_budget: NonNegative = 10.0
    """Seconds for a proof beside the measured exponent; 0 looks for none."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    settings: OmitArgPrefixes[DynamicsSettings] = field(default_factory=DynamicsSettings)
    fresh: OmitArgPrefixes[Fresh] = field(default_factory=Fresh)
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> Facts:
        """Load, measure, save, report."""
        from attractor.progress import reporter_for
        from attractor.report.about import About
        from attractor.report.publishing import publish
        from attractor.theory import dynamics_study

        wanted = Wanted(self.subject, self.data, self.cell, self.settings.steps, self.settings.seed)
        with working(f"reading {self.subject}"):
            subject = find_subject(wanted, self.fresh, self.columns)
        folder = self.out or subject.folder
        if folder is None:
            raise ConfigError(f"{self.subject} is no run; say where the report goes by --out")
        states = estimates.states_of(subject.cell)
        with working(
            f"measuring {counted(states, 'state')} over {counted(len(subject.inputs), 'step')}", bar=True
        ):
            reporter = reporter_for("dynamics")
            study = dynamics_study(subject.cell, subject.inputs, self.settings, reporter, subject.start)
        proved = _certificate(subject, self.certificate_budget)
        about = About(subject.title, command_line(), subject.origin, subject.source, named=subject.named)
        with working("writing the report"):
            page = publish(study, folder, about, proved=proved)
        tell(study)
        tell_file(page, "report:")
        return {"report": page, **study.to_dict()}


@dataclass(frozen=True)
class LyapunovCommand:
    """Measure the Lyapunov exponents of a network or of any map of your own."""

    subject: Positional[str]
    """A run folder, a cell of your own (file.py:Name), or the name of a cell."""
    data: Positional[Path | None] = None
    """A file that drives the network: of a run scaled as its data were, of a cell as it stands. If not given,
    what the run was saved with, or white inputs (--drive)."""
    steps: Count = 5000
    """Steps at most, with the burn-in."""
    out: Path | None = None
    """JSON file to write."""
    overwrite: bool = False
    """Replace that file if it is there already."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    settings: OmitArgPrefixes[LyapunovSettings] = field(default_factory=lambda: LyapunovSettings(burn_in=200))
    fresh: OmitArgPrefixes[Fresh] = field(default_factory=Fresh)
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> Facts:
        """Load, measure, show, write."""
        from attractor.dynamics import lyapunov_exponents
        from attractor.files import check_target, write_atomically
        from attractor.progress import reporter_for

        if self.out is not None:
            check_target(self.out, *filter(None, (self.data,)), overwrite=self.overwrite)
        wanted = Wanted(self.subject, self.data, self.cell, self.steps, self.settings.seed)
        with working(f"reading {self.subject}"):
            subject = find_subject(wanted, self.fresh, self.columns)
        with working(estimates.exponents(subject.cell, len(subject.inputs), self.settings), bar=True):
            found = lyapunov_exponents(
                subject.cell,
                subject.inputs,
                subject.start,
                settings=self.settings,
                reporter=reporter_for("exponents"),
            )
        _show(found, subject)
        content = {"origin": stamped(subject.origin, "{}"), **found.to_dict()}
        if self.out is not None:
            write_atomically(self.out, (json.dumps(content, indent=1) + "\n").encode())
            tell_file(self.out)
        return content


def _certificate(subject: Subject, budget: float) -> StabilityResult | None:
    """A proof for inputs within the range of the data; None where none is asked for or the cell cannot be."""
    from attractor.certify import CertifySettings, certify
    from attractor.errors import UnsupportedError

    if budget <= 0:
        return None
    bound = float(np.abs(subject.inputs).max(initial=0.0)) or 1.0
    settings = CertifySettings(time_budget=budget)
    try:
        with working(f"looking for a proof beside it; {estimates.proof(subject.cell, settings)}"):
            return certify(subject.cell, input_bound=bound, settings=settings)
    except UnsupportedError:
        return None


def _show(found: LyapunovSpectrum, subject: Subject) -> None:
    title = f"{subject.title}: Lyapunov exponents, {found.steps} steps, {subject.source}"
    columns = ["", "per step", "95 % interval"] + ([] if found.time_step is None else ["per unit of time"])
    grid = Grid(*columns, title=escaped(title))
    low, high = found.interval()
    for index, value in enumerate(found.per_step):
        row = [str(index + 1), f"{value:.5f}", f"{low[index]:.5f} to {high[index]:.5f}"]
        grid.add_row(*row, *([] if found.time_step is None else [f"{value / found.time_step:.5f}"]))
    console.print(grid)
    for line in found.remarks:
        tell(line)
