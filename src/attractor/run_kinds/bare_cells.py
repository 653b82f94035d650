"""Cells of the user's own that no run stands behind: what can be done with them as they are.

The functions take a `BareCell` where those of a kind of run take a model, and are called alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.cells import CellLike, input_size, name_of
from attractor.certify import CertifySettings, certify, claim
from attractor.certify.stability.certificate_page import CertifiedCell
from attractor.control.controller_code import ExportSettings
from attractor.control.identification.certification import save_stability
from attractor.control.study import ControlSettings
from attractor.data import ColumnOptions, read_csv, read_table
from attractor.data.time_axis import find_time
from attractor.errors import ConfigError
from attractor.export import EXPORTERS, export
from attractor.export.exporters import Precision
from attractor.files import make_folder
from attractor.origin import Origin
from attractor.program.digest import cell_digest, cell_identity
from attractor.progress import reporter_for
from attractor.report.about import About
from attractor.report.publishing import publish
from attractor.shown import counted

from . import Proof


@dataclass(frozen=True)
class BareCell:
    """A cell in the place of a model.

    Args:
        cell: the cell.
        called: what commands call it: "mine.py:Henon".
    """

    cell: CellLike
    called: str

    @property
    def title(self) -> str:
        """Its name in the file."""
        return self.called.rpartition(":")[2]

    @property
    def origin(self) -> Origin:
        """Its numbers and its equation, for the files that are made from it."""
        return Origin(cell_identity(self.cell), cell_digest(self.cell))


def bare_task(task: str, called: str) -> Callable[..., Any]:
    """What does a task with a cell.

    Args:
        task: "certify" or "export".
        called: what commands call the cell.

    Raises:
        ConfigError: the task needs a trained model.
    """
    if task not in _TASKS:
        name = called.rpartition(":")[2]
        raise ConfigError(
            f"`attractor {task}` takes the folder of a run, and {called} is a cell: "
            f"`attractor identify LOG.csv ... --cell {called} --out runs/{name}` trains one with it"
        )
    return _TASKS[task]


def rows_of_file(
    cell: CellLike | None, source: Path, names: Sequence[str], columns: ColumnOptions
) -> Float[np.ndarray, "time inputs"]:
    """What a file holds for the inputs of a cell, as it stands there, all experiments one after the other.

    Args:
        cell: that is driven; None for one that is still to be built for so many columns.
        source: a delimited file.
        names: the columns, in the order of the inputs; empty for all of them but the time and the names of
            experiments.
        columns: how the file is read.

    Raises:
        ConfigError: another number of columns than the cell has inputs.
        InputDataError: the file cannot be used.
    """
    table = read_table(source, columns.delimiter)
    aside = {table.find(label) for label in (columns.time, columns.experiment) if label is not None}
    time = find_time(table) if columns.time is None and not names else None
    apart = table.first_of(("experiment",)) if columns.experiment is None and not names else None
    aside |= {found for found in (time, apart) if found is not None}
    chosen = names or [one.label for position, one in enumerate(table.signals) if position not in aside]
    size = len(chosen) if cell is None else input_size(cell)
    if size == 0:
        raise ConfigError(f"{name_of(cell)} has no inputs, so that {source} cannot drive it; leave it out")
    if len(chosen) != size:
        raise ConfigError(
            f"{source} has {counted(len(chosen), 'column')} ({', '.join(chosen)}), {name_of(cell)} has "
            f"{counted(size, 'input')}; name the columns that drive it by --inputs, in the order of its "
            "inputs"
        )
    record = read_csv(table, inputs=chosen, outputs=[], columns=columns)
    return np.concatenate([one.inputs for one in record.experiments]).astype(np.float64)


def _certify(
    model: BareCell, folder: Path | None, input_bound: float, settings: CertifySettings, command: str
) -> Proof:
    reporter = reporter_for("bounds")
    try:
        result = certify(model.cell, input_bound=input_bound, settings=settings, reporter=reporter)
    finally:
        reporter.close()
    page = None
    if folder is not None:
        make_folder(folder)
        save_stability(folder, result, input_bound, model.origin)
        found = CertifiedCell(model.cell, result, input_bound, None, repairable=False, scaled=False)
        page = publish(found, folder, About(model.title, command, model.origin, named=model.called))
    return Proof(result, claim(result, input_bound), page, None)


def _export(
    model: BareCell, target: str, folder: Path, setup: ControlSettings
) -> list[tuple[Path, float | None]]:
    if target not in EXPORTERS:
        raise ConfigError(
            f"{target!r} is no format for a cell; expected one of {', '.join(EXPORTERS)} (a controller needs "
            "a trained model of a plant)"
        )
    precision: Precision = setup.precision if isinstance(setup, ExportSettings) else "double"
    return export(model.cell, target, folder, origin=model.origin, precision=precision)


_TASKS: dict[str, Callable[..., Any]] = {"certify": _certify, "export": _export}
