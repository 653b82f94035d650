"""Cells of the user's own: `file.py:Class`; that of a run is found again, so that --cell need not be given.

A run names the file of its cell. Reading a run must run no code of strangers, though: anybody can write a
path on a card. So the command line runs a file that a card names only if this user has given it by --cell
before; the paths of those files are kept in a text file of the user's (`~/.local/state/attractor/cells`).
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from tyro.conf import Positional

from attractor.errors import ConfigError, RunFolderError, StorageError
from attractor.settings import Count, CountOrNone
from attractor.shown import counted

from .console import console, escaped, working


def own_cell(text: str | None, option: str = "--cell") -> Any:
    """The class or cell behind `file.py:Name`; None for a name of the house."""
    if text is None or not (":" in text or text.endswith(".py")):
        return None
    return own_object(text, option)


def own_object(text: str, option: str = "--cell", what: str = "class or cell") -> Any:
    """What a Python file of the user's calls by a name.

    Args:
        text: `file.py:Name`.
        option: of the command line, for messages; empty for what stands without one.
        what: that name stands for, for messages.

    Raises:
        ConfigError: no such file, one that cannot be run, or one without that name.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    from attractor.cells.calling import users_line

    path, colon, name = text.rpartition(":")
    said = f"{option} {text}".strip()
    if not colon:
        raise ConfigError(f"{said}: which {what} of the file? Give {text}:Name")
    spec = spec_from_file_location(f"_attractor_own_{option.strip('-')}_{Path(path).stem}", path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"{said}: there is no Python file {path}")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while it is being run
    try:
        with _importing_from(Path(path).resolve().parent):
            spec.loader.exec_module(module)
    except Exception as problem:
        raise ConfigError(
            f"{said}: {path} cannot be run{users_line(problem)}: {type(problem).__name__}: {problem}"
        ) from problem
    if not hasattr(module, name):
        near = get_close_matches(name, vars(module), n=1)
        hint = f"; did you mean {path}:{near[0]}?" if near else ""
        raise ConfigError(f"{said}: {path} has no {what} {name}{hint}")
    return getattr(module, name)


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let a file import what stands beside it, as a script may; what it imports later is found last."""
    path = str(folder)
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
        if path not in sys.path:
            sys.path.append(path)


def named_cell(text: str | None, option: str = "--cell") -> Any:
    """What `file.py:Name` is, whose file is trusted from now on; None for a name of the house."""
    found = own_cell(text, option)
    if text is not None and found is not None:
        _trust(Path(text.rpartition(":")[0]).resolve())
    return found


def cell_of(folder: Path, text: str | None) -> Any:
    """The cell for a run: the one that is given, else the one that the run names; None for one of the house.

    Args:
        folder: of the run.
        text: what --cell says; None if it was not given.

    Raises:
        ConfigError: there is no such file or class.
        RunFolderError: the run is damaged, or names a file that is gone or was never given here.
    """
    from attractor.runs import load_run

    if text is not None:
        return named_cell(text)
    facts = load_run(folder).card["equation"].get("cell_file")
    if not facts:
        return None
    path, name = Path(facts["path"]), facts["name"]
    if not path.is_file():
        raise RunFolderError(
            f"{folder} has a cell of your own, {name} of {path}, and that file is gone; give the class by "
            "--cell file.py:Class"
        )
    if path not in _trusted():
        raise RunFolderError(
            f"{folder} has a cell of your own, {name} of {path}. That file was never given by --cell here, "
            f"and a run folder alone starts no code: look at it, then add --cell {path}:{name}"
        )
    console.print(f"the cell is {escaped(name)} of {escaped(path)}", soft_wrap=True)
    return own_cell(f"{path}:{name}")


def _trust(path: Path) -> None:
    """Keep the path of a file that the user named; without room for it, it is named again."""
    from attractor.files import append_line, make_folder

    if path in _trusted():
        return
    with contextlib.suppress(StorageError):
        make_folder(_list().parent)
        append_line(_list(), str(path))


def _trusted() -> set[Path]:
    try:
        return {Path(line) for line in _list().read_text().splitlines()}
    except (OSError, ValueError):
        return set()


def _list() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "attractor" / "cells"


class Sizes(NamedTuple):
    """What a cell is built with that asks for it; one that is built already has sizes of its own.

    Args:
        inputs: number of inputs; None where nothing was said.
        hidden: number of units.
        seed: draws the weights.
    """

    inputs: int | None = None
    hidden: int | None = None
    seed: int = 0


def built(build: Any, sizes: Sizes) -> Any:
    """A cell by number of inputs and units where its class asks for them; as it stands where it does not.

    Raises:
        ConfigError: it is no cell, or has other sizes of its own than those that were given.
        CellError: it fails.
    """
    import jax

    from attractor.cells import build_cell, is_built, name_of

    asked = None if is_built(build) else sizes.inputs
    made = build_cell(build, asked, sizes.hidden, key=jax.random.key(sizes.seed))
    own = getattr(made, "input_size", None)
    if sizes.inputs is not None and own not in (None, sizes.inputs):
        raise ConfigError(
            f"--inputs {sizes.inputs}: {name_of(made)} has {counted(own, 'input')} of its own; leave "
            "--inputs out"
        )
    if sizes.hidden is not None and is_built(build):
        raise ConfigError(
            f"--hidden {sizes.hidden}: {name_of(made)} is a cell that is built already; leave --hidden out"
        )
    return made


def is_own(text: object) -> bool:
    """Whether a text names something in a file of the user's, and not a folder."""
    path, colon, _ = str(text).rpartition(":")
    return not Path(str(text)).is_dir() and (path.endswith(".py") if colon else str(text).endswith(".py"))


@dataclass(frozen=True)
class RunCommand:
    """What all commands about a finished run are given."""

    folder: Positional[Path]
    """The run folder."""
    _: KW_ONLY
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""

    def own_cell(self) -> Any:
        """The class of the cell of the run; None for one of the house."""
        return cell_of(self.folder, self.cell)

    def opened(self, task: str) -> tuple[Any, Callable[..., Any]]:
        """The model of the run, and what does a task with runs of its kind.

        Raises:
            ConfigError: runs of this kind cannot do that.
        """
        from attractor.run_kinds import kind_of

        if is_own(self.folder):
            return self._bare(task)
        with working(f"reading {self.folder}"):
            kind = kind_of(self.folder)
            able = kind.able(task, self.folder)
            return kind.load(self.folder, self.own_cell()), able

    def _bare(self, task: str) -> tuple[Any, Callable[..., Any]]:
        """The same of a cell of the user's own in place of a run."""
        from attractor.run_kinds.bare_cells import BareCell, bare_task

        called = str(self.folder)
        able = bare_task(task, called)
        if self.cell is not None:
            raise ConfigError(f"--cell {self.cell} is for a run; {called} names the cell already")
        with working(f"reading {called}"):
            return BareCell(built(named_cell(called, ""), self.sizes()), called), able

    def sizes(self) -> Sizes:
        """What a cell of the user's own is built with."""
        return Sizes()


@dataclass(frozen=True)
class CellCommand(RunCommand):
    """What commands are given that take a cell of the user's own in place of a run."""

    folder: Positional[Path]
    """The run folder, or a cell of your own: file.py:Name."""
    _: KW_ONLY
    inputs: CountOrNone | None = None
    """Inputs of a cell of your own that is built by their number; 1 if not given."""
    hidden: Count | None = None
    """Units of a cell of your own that is built by their number; 64 if not given."""

    def opened(self, task: str) -> tuple[Any, Callable[..., Any]]:
        """The model of the run, or the cell, and what does a task with it.

        Raises:
            ConfigError: nothing can do that with it; or there are sizes for a run.
        """
        if not is_own(self.folder) and self.sizes()[:2] != (None, None):
            raise ConfigError(f"--inputs and --hidden are for a cell of your own; {self.folder} is a run")
        return super().opened(task)

    def sizes(self) -> Sizes:
        """What a cell of the user's own is built with."""
        return Sizes(self.inputs, self.hidden)
