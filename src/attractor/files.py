"""Files that are written whole or not at all."""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from attractor.errors import StorageError

# No other program ends its files so: what a killed process left can be told from what a user put there.
_TEMPORARY = ".attractor.tmp"


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader, a crash or a full disk never sees half of it.

    A temporary file beside the target is written, flushed to the disk and renamed; then the folder entry is
    flushed. An old file keeps its permissions; a new one has those that the process gives to new files.

    Raises:
        StorageError: the disk is full, the folder is missing or read-only; an old file stays as it was.
    """
    temporary = _stage(path, content)
    try:
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as problem:
        raise storage_error(path, problem) from problem
    finally:
        temporary.unlink(missing_ok=True)


def write_together(folder: Path, contents: Mapping[str, bytes], seal: str) -> None:
    """Write several files of which one, the seal, says that all of them belong together.

    Everything is on the disk under temporary names before anything old is touched, so a full disk changes
    nothing. Then the old seal goes, the files take their names, and the new seal comes last: a crash in
    between leaves a folder without a seal, never one whose seal is wrong.

    Args:
        folder: where they go.
        contents: bytes by file name.
        seal: the name among them that comes last.

    Raises:
        StorageError: the disk is full, the folder is missing or read-only.
    """
    staged: dict[str, Path] = {}
    try:
        for name, content in contents.items():
            staged[name] = _stage(folder / name, content)
        (folder / seal).unlink(missing_ok=True)
        for name in sorted(staged, key=lambda name: name == seal):
            staged[name].replace(folder / name)
            _flush_folder(folder)
    except StorageError:
        raise
    except OSError as problem:
        raise storage_error(folder, problem) from problem
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def remove_strays(folder: Path) -> None:
    """Delete temporary files that a killed process left behind."""
    for stray in folder.glob(f".*{_TEMPORARY}"):
        stray.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents.

    Raises:
        StorageError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise storage_error(folder, problem) from problem


def storage_error(path: Path, problem: OSError) -> StorageError:
    """The error for a file that cannot be written, with what to do."""
    message = (
        f"cannot write {path}: {problem.strerror or problem}. What was there before is unchanged; free some "
        "space or choose a folder you may write to, then run the same command again"
    )
    return StorageError(message)


def _stage(path: Path, content: bytes) -> Path:
    """A temporary file beside `path` with `content`, flushed to the disk."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY}"
    try:
        old_mode = _mode(path)
        # The operating system takes the umask off the mode of a new file.
        handle = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if old_mode is None else old_mode
        )
    except OSError as problem:
        raise storage_error(path, problem) from problem
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if old_mode is not None:
            temporary.chmod(old_mode)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            raise storage_error(path, problem) from problem
        raise
    return temporary


def _mode(path: Path) -> int | None:
    """The permissions of a file, or `None` if there is none yet."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
