"""Files that are written whole or not at all.

Every file of Attractor is written under a temporary name and renamed. The writer holds a lock on its
temporary file, so that another process can tell a file that is being written from one that a killed process
left: the operating system lets go of a lock when its process ends, however it ends.

Nothing here writes through a symbolic link: a link in the place of a file is replaced, and what it pointed to
stays as it was.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from attractor.errors import ConfigError, StorageError

# No other program ends its files so: what a killed process left can be told from what a user put there.
_TEMPORARY = ".attractor.tmp"


class _Staged(NamedTuple):
    """A temporary file, and the handle whose lock says that its writer is alive."""

    path: Path
    handle: int

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


def check_target(target: Path, *sources: Path, overwrite: bool = False) -> None:
    """Refuse to write over a file that is read, and by accident over any other one.

    Args:
        target: the file that is to be written.
        sources: files that are read for it, which no option allows to replace.
        overwrite: whether another file may be replaced.

    Raises:
        ConfigError: the target is one of the sources, or is there already.
    """
    if not target.exists():
        return
    for source in sources:
        if source.exists() and target.samefile(source):
            raise ConfigError(f"{target} is the file that is read; choose another name for what is written")
    if not overwrite:
        raise ConfigError(
            f"{target} is there already; choose another name, or give --overwrite to replace it"
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader, a crash or a full disk never sees half of it.

    A temporary file beside the target is written, flushed to the disk and renamed; then the folder entry is
    flushed. An old file keeps its permissions; a new one has those that the process gives to new files. What
    an earlier writer of this file left when it was killed is removed.

    Raises:
        StorageError: the disk is full, the folder is missing or read-only; an old file stays as it was.
    """
    staged = _stage(path, content)
    try:
        staged.path.replace(path)
        _flush_folder(path.parent)
    except OSError as problem:
        raise storage_error(path, problem) from problem
    finally:
        staged.discard()


def write_together(
    folder: Path, contents: Mapping[str, bytes], seal: str, stale: Iterable[Path] = ()
) -> None:
    """Write several files of which one, the seal, says that all of them belong together.

    Everything is on the disk under temporary names before anything old is touched, so a full disk changes
    nothing. Then the old seal goes, the files take their names, and the new seal comes last: a crash in
    between leaves a folder without a seal, never one whose seal is wrong.

    Args:
        folder: where they go.
        contents: bytes by file name.
        seal: the name among them that comes last.
        stale: files that do not belong to the new ones; they go before the new seal comes.

    Raises:
        StorageError: the disk is full, the folder is missing or read-only.
    """
    staged: dict[str, _Staged] = {}
    try:
        for name, content in contents.items():
            staged[name] = _stage(folder / name, content)
        (folder / seal).unlink(missing_ok=True)
        for path in stale:
            path.unlink(missing_ok=True)
        for name in sorted(staged, key=lambda name: name == seal):
            staged[name].path.replace(folder / name)
            _flush_folder(folder)
    except StorageError:
        raise
    except OSError as problem:
        raise storage_error(folder, problem) from problem
    finally:
        for one in staged.values():
            one.discard()


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file.

    It is not forced onto the disk: a power cut may lose it. What must not be lost is written atomically.

    Raises:
        StorageError: the disk is full, the file cannot be written, or is a symbolic link.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        with os.fdopen(handle, "ab") as file:
            file.write(f"{line}\n".encode())
    except OSError as problem:
        raise storage_error(path, problem) from problem


def remove_strays(folder: Path) -> None:
    """Delete temporary files that killed processes left behind, and none that is being written."""
    _remove_dead(folder.glob(f".*{_TEMPORARY}"))


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
    if path.is_symlink():
        message = (
            f"cannot write {path}: it is a symbolic link, and nothing is written through one; remove the "
            "link, or choose another folder"
        )
        return StorageError(message)
    message = (
        f"cannot write {path}: {problem.strerror or problem}. What was there before is unchanged; free some "
        "space or choose a folder you may write to, then run the same command again"
    )
    return StorageError(message)


def hold(handle: int) -> bool:
    """Take the lock of an open file without waiting; False if another handle holds it.

    Raises:
        OSError: the file system knows no locks.
    """
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stage(path: Path, content: bytes) -> _Staged:
    """A temporary file beside `path` with `content`, flushed to the disk."""
    _remove_dead(path.parent.glob(f".{_literal(path.name)}.*{_TEMPORARY}"))
    try:
        old_mode = _mode(path)
        # The operating system takes the umask off the mode of a new file.
        staged = _new_temporary(path, 0o666 if old_mode is None else old_mode)
    except OSError as problem:
        raise storage_error(path, problem) from problem
    try:
        with os.fdopen(staged.handle, "wb", closefd=False) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if old_mode is not None:
            staged.path.chmod(old_mode)
    except BaseException as problem:
        staged.discard()
        if isinstance(problem, OSError):
            raise storage_error(path, problem) from problem
        raise
    return staged


def _new_temporary(path: Path, mode: int) -> _Staged:
    """An empty temporary file beside `path`, locked."""
    while True:
        temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}{_TEMPORARY}"
        staged = _Staged(temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        with contextlib.suppress(OSError):  # a file system without locks
            hold(staged.handle)
        if temporary.exists():
            return staged
        os.close(staged.handle)  # taken for a stray in the moment before it was locked


def _remove_dead(temporaries: Iterable[Path]) -> None:
    for temporary in list(temporaries):
        with contextlib.suppress(OSError):
            handle = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                if hold(handle):
                    temporary.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _literal(name: str) -> str:
    """A name in which a pattern finds nothing but itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _mode(path: Path) -> int | None:
    """The permissions of a file, or `None` if there is none yet; those behind a link do not matter."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return None if stat.S_ISLNK(mode) else stat.S_IMODE(mode)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
