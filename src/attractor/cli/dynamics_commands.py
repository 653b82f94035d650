"""Commands about dynamics: dynamics, lyapunov."""

import json
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional

from attractor.errors import ConfigError
from attractor.origin import stamped
from attractor.settings import Count, CountOrNone, NonNegative

from .console import console, escaped
from .options import Columns
from .subject import Fresh, Subject, Wanted, find_subject


@dataclass(frozen=True)
class DynamicsCommand:
    """Show what a network does: exponents, fixed points, eigenvalues, time scales; write a report."""

    subject: Positional[str]
    """A run folder, a cell of your own (file.py:Class), or the name of a cell."""
    data: Positional[Path | None] = None
    """A file that drives the network of a run; what the run was saved with if not given."""
    out: Path | None = None
    """Folder of the report; the run folder if there is one."""
    steps: Count = 2000
    """Steps at most."""
    starts: Count = 256
    """Starts of the search for fixed points."""
    certificate_budget: NonNegative = 10.0
    """Seconds for a proof beside the measured exponent; 0 looks for none."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    fresh: OmitArgPrefixes[Fresh] = field(default_factory=Fresh)
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> None:
        """Load, measure, save, report."""
        from attractor.files import make_folder, write_atomically
        from attractor.progress import reporter_for
        from attractor.runs import check_origin
        from attractor.theory import DynamicsSettings, dynamics_study
        from attractor.theory.dynamics_page import DynamicsFacts, write_dynamics_report

        wanted = Wanted(self.subject, self.data, self.cell, self.steps)
        subject = find_subject(wanted, self.fresh, self.columns)
        folder = self.out or subject.folder
        if folder is None:
            raise ConfigError(f"{self.subject} is no run; say where the report goes by --out")
        make_folder(folder)
        plan = DynamicsSettings(steps=self.steps, starts=self.starts, seed=self.fresh.seed)
        study = dynamics_study(subject.cell, subject.inputs, plan, reporter_for("dynamics"), subject.start)
        proved = _certificate(subject, self.certificate_budget)
        command = shlex.join(["attractor", *sys.argv[1:]])
        facts = DynamicsFacts(subject.title, subject.source, proved, command, subject.origin)
        check_origin(folder, subject.origin) if folder == subject.folder else None
        made_from = {"origin": stamped(subject.origin, "{}"), "source": subject.source}
        content = {**made_from, **study.to_dict(), "proved_exponent": facts.bound}
        write_atomically(folder / "dynamics.json", (json.dumps(content, indent=1) + "\n").encode())
        path = write_dynamics_report(folder / "dynamics.html", study, facts)
        console.print(escaped(study), soft_wrap=True)
        console.print(f"report: [bold]{escaped(path)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class LyapunovCommand:
    """Measure the Lyapunov exponents of a network or of any map of your own."""

    subject: Positional[str]
    """A run folder, a cell of your own (file.py:Class), or the name of a cell."""
    data: Positional[Path | None] = None
    """A file that drives the network of a run; what the run was saved with if not given."""
    count: str = "leading"
    """How many: a number, all, or leading for all but at most ten."""
    steps: Count = 5000
    """Steps at most, with the burn-in."""
    burn_in: CountOrNone = 200
    """Steps that do not count."""
    tolerance: float | None = None
    """Stop when all standard errors are below this, per step."""
    out: Path | None = None
    """JSON file to write."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    fresh: OmitArgPrefixes[Fresh] = field(default_factory=Fresh)
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> None:
        """Load, measure, show, write."""
        from attractor.dynamics import LyapunovSettings, lyapunov_exponents
        from attractor.files import write_atomically
        from attractor.progress import reporter_for

        wanted = Wanted(self.subject, self.data, self.cell, self.steps)
        settings = LyapunovSettings(
            count=int(self.count) if self.count.isdecimal() else self.count,
            burn_in=self.burn_in,
            tolerance=self.tolerance,
            seed=self.fresh.seed,
        )
        subject = find_subject(wanted, self.fresh, self.columns)
        reporter = reporter_for("exponents")
        found = lyapunov_exponents(
            subject.cell, subject.inputs, subject.start, settings=settings, reporter=reporter
        )
        _show(found, subject)
        if self.out is not None:
            content = {"origin": stamped(subject.origin, "{}"), **found.to_dict()}
            write_atomically(self.out, (json.dumps(content, indent=1) + "\n").encode())
            console.print(f"wrote [bold]{escaped(self.out)}[/]", soft_wrap=True)


def _certificate(subject: Subject, budget: float) -> Any:
    """A proof for inputs within the range of the data; None where none is asked for or the cell cannot be."""
    import numpy as np

    from attractor.certify import CertifySettings, certify
    from attractor.errors import UnsupportedError

    if budget <= 0:
        return None
    bound = float(np.abs(subject.inputs).max(initial=0.0)) or 1.0
    try:
        return certify(subject.cell, input_bound=bound, settings=CertifySettings(time_budget=budget))
    except UnsupportedError:
        return None


def _show(found: Any, subject: Subject) -> None:
    title = f"{subject.title}: Lyapunov exponents, {found.steps} steps, {subject.source}"
    columns = ["", "a step", "95 % interval"] + ([] if found.time_step is None else ["per unit of time"])
    grid = Grid(*columns, title=escaped(title))
    low, high = found.interval()
    for place, value in enumerate(found.per_step):
        row = [str(place + 1), f"{value:.5f}", f"{low[place]:.5f} to {high[place]:.5f}"]
        grid.add_row(*row, *([] if found.time_step is None else [f"{value / found.time_step:.5f}"]))
    console.print(grid)
    for line in found.remarks:
        console.print(escaped(line), soft_wrap=True)
