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
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from attractor.errors import ConfigError, RunFolderError, StorageError

from .console import console, escaped, working


def own_cell(text: str | None) -> Any:
    """The class behind `file.py:Class`; None for a name of the house."""
    return None if text is None or ":" not in text else own_object(text)


def own_object(text: str, option: str = "--cell", what: str = "class") -> Any:
    """What a Python file of the user's calls by a name.

    Args:
        text: `file.py:Name`.
        option: of the command line, for messages.
        what: that name stands for, for messages.

    Raises:
        ConfigError: no such file, one that cannot be run, or one without that name.
    """
    from importlib.util import module_from_spec, spec_from_file_location

    path, colon, name = text.rpartition(":")
    if not colon:
        raise ConfigError(f"{option} {text}: which {what} of the file? Give {text}:Name")
    spec = spec_from_file_location(f"_attractor_own_{option.strip('-')}_{Path(path).stem}", path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"{option} {text}: there is no Python file {path}")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while it is being run
    try:
        with _importing_from(Path(path).resolve().parent):
            spec.loader.exec_module(module)
    except Exception as problem:
        raise ConfigError(
            f"{option} {text}: {path} cannot be run: {type(problem).__name__}: {problem}"
        ) from problem
    if not hasattr(module, name):
        raise ConfigError(f"{option} {text}: {path} has no {what} {name}")
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


def named_cell(text: str | None) -> Any:
    """The class behind `file.py:Class`, whose file is trusted from now on; None for a name of the house."""
    found = own_cell(text)
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

        with working(f"reading {self.folder}"):
            kind = kind_of(self.folder)
            able = kind.able(task, self.folder)
            return kind.load(self.folder, self.own_cell()), able
