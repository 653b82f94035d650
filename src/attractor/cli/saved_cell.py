"""The cell of a run that was trained with a file of the user's own: found again, so that --cell need not be.

A run names the file of its cell. Reading a run must run no code of strangers, though: anybody can write a
path on a card. So the command line runs a file that a card names only if this user has given it by --cell
before; the paths of those files are kept in a text file of the user's (`~/.local/state/attractor/cells`).
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from attractor.errors import RunFolderError, StorageError

from .console import console, escaped
from .options import own_cell


def given_cell(text: str | None) -> Any:
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
        return given_cell(text)
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
    """Keep the path of a file that the user has given; without a place to keep it, it is given again."""
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
