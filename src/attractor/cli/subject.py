"""What a command about dynamics speaks of: a run, or a cell by its name or file, and what drives it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attractor.errors import ConfigError
from attractor.origin import Origin
from attractor.settings import Count, NonNegative, Seed

from .options import Columns, column_options
from .saved_cell import cell_of, given_cell


@dataclass(frozen=True)
class Fresh:
    """How a cell is made that is not taken from a run, and what drives it."""

    inputs: Count = 1
    """Inputs of a cell that is built by their number."""
    hidden: Count = 64
    """Units of a cell that is built by their number."""
    seed: Seed = 0
    """Of weights and inputs."""
    drive: NonNegative = 0.0
    """Standard deviation of the white inputs; 0 leaves the cell alone."""
    start: tuple[float, ...] = ()
    """State to start from; the cell's own if not given."""


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
        origin: the weights and the equation of the run.
    """

    title: str
    cell: Any
    inputs: Any
    source: str
    start: Any = None
    folder: Path | None = None
    origin: Origin | None = None


@dataclass(frozen=True)
class Wanted:
    """What the user named.

    Args:
        name: a run folder, file.py:Class, or the name of a cell.
        data: a file that drives a run; None takes what the run was saved with.
        cell: file.py:Class, for a run with a cell of the user's own.
        steps: of a cell without data; at most so many of a file.
    """

    name: str
    data: Path | None
    cell: str | None
    steps: int


def find_subject(wanted: Wanted, fresh: Fresh, columns: Columns) -> Subject:
    """The cell and its inputs.

    Raises:
        ConfigError: there is neither such a run, nor such a file, nor such a cell.
        InputDataError: the data cannot be used.
        RunFolderError: the run folder is damaged.
    """
    if Path(wanted.name).is_dir():
        return _of_run(wanted, columns)
    if wanted.data is not None:
        raise ConfigError(
            f"{wanted.name} is no run folder; data drive a trained run, --drive a cell by its name"
        )
    return _of_cell(wanted, fresh)


def _of_run(wanted: Wanted, columns: Columns) -> Subject:
    from attractor.run_kinds import Driving, kind_of

    folder = Path(wanted.name)
    kind = kind_of(folder)
    driven = kind.able("dynamics", folder)
    model = kind.load(folder, cell_of(folder, wanted.cell))
    asked = None if columns == Columns() else column_options(columns)
    cell, inputs = driven(model, Driving(folder, wanted.data, wanted.steps, asked))
    source = "data of the run" if wanted.data is None else wanted.data.name
    return Subject(folder.name, cell, inputs[: wanted.steps], source, folder=folder, origin=model.origin)


def _of_cell(wanted: Wanted, fresh: Fresh) -> Subject:
    import numpy as np

    cell = _built(wanted.name, fresh)
    size = getattr(cell, "input_size", fresh.inputs)
    rows = fresh.drive * np.random.default_rng(fresh.seed).normal(size=(wanted.steps, size))
    source = f"white inputs of deviation {fresh.drive:g}" if fresh.drive and size else "no input"
    start = None if not fresh.start else _start(cell, fresh.start)
    return Subject(wanted.name.rpartition(":")[2] or wanted.name, cell, rows, source, start)


def _built(name: str, fresh: Fresh) -> Any:
    """By number of inputs and units where the class asks for them; as it stands where it asks for nothing."""
    import jax

    from attractor.cells import build_cell

    build = given_cell(name) or _named(name)
    return build_cell(build, fresh.inputs, fresh.hidden, key=jax.random.key(fresh.seed))


def _named(name: str) -> Any:
    from attractor.cells import cell_class

    try:
        return cell_class(name)
    except ConfigError as problem:
        raise ConfigError(f"there is no run folder {name}, and no such cell: {problem}") from problem


def _start(cell: Any, values: tuple[float, ...]) -> Any:
    import jax.numpy as jnp

    from attractor.program import double_precision, flat_map

    with double_precision():
        flat = flat_map(cell)
        if flat.real_size != len(values):
            raise ConfigError(f"--start has {len(values)} numbers, the state has {flat.real_size} real ones")
        rest = flat.start[flat.real_size :]
        return flat.restore(jnp.concatenate([jnp.asarray(values, jnp.float64), rest]))
