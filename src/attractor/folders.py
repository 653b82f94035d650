"""The rules of every folder that Attractor keeps: who works in it, and whether its files are still the same.

One process at a time works in a folder (`locked`). Files that belong together are written together, and a
table of their SHA-256 digests comes last (`write_sealed`): a folder without it is unfinished, one whose
files differ from it is refused (`read_sealed`). The table is that of `sha256sum`. It finds accidents: a bad
disk, a file that was edited or half copied. It is no signature: whoever changes a file on purpose can write a
new table as well.
"""

import contextlib
import hashlib
import os
import socket
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from attractor.errors import WRONG_FACTS, RunFolderError, StorageError
from attractor.files import hold, make_folder, remove_strays, storage_error, write_together

SEAL = "SHA256SUMS"
LOCK = "lock"
_HELD: dict[tuple[int, int], int] = {}
"""The thread that holds a lock file of this process, by its device and number."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder alone; the operating system lets go when the process ends, however it ends.

    A thread that holds a folder may take it again inside; other threads and processes may not.

    Raises:
        StorageError: another process or thread holds it, or the folder cannot be written.
    """
    make_folder(folder)
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as problem:
        raise storage_error(path, problem) from problem
    facts = os.fstat(handle)
    identity = facts.st_dev, facts.st_ino
    try:
        if _HELD.get(identity) == threading.get_ident():
            yield
            return
        _take_lock(handle, path)
        _HELD[identity] = threading.get_ident()
        try:
            remove_strays(folder)
            yield
        finally:
            del _HELD[identity]
    finally:
        os.close(handle)


def is_sealed(folder: Path) -> bool:
    """Whether the folder was finished (not whether it is intact)."""
    return (folder / SEAL).is_file()


def digest(data: bytes) -> str:
    """SHA-256 as text."""
    return hashlib.sha256(data).hexdigest()


def sums(contents: Mapping[str, bytes]) -> bytes:
    """The table of digests: what `sha256sum` would print."""
    return "".join(f"{digest(data)}  {name}\n" for name, data in contents.items()).encode()


def write_sealed(folder: Path, contents: Mapping[str, bytes], stale: Iterable[Path] = ()) -> None:
    """Write files that belong together and, last, the table of their digests.

    Args:
        folder: where they go.
        contents: bytes by file name.
        stale: files that were made from the old ones; they go with them.

    Raises:
        RunFolderError: the folder was sealed with other files than these: it is of another kind.
        StorageError: the disk is full, the folder is missing or read-only.
    """
    _check_kind(folder, contents)
    write_together(folder, {**contents, SEAL: sums(contents)}, SEAL, stale)


def read_sealed(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read files that belong together and compare them with the table of their digests.

    Args:
        folder: where they are.
        names: of the files, in the order in which they were written.

    Raises:
        RunFolderError: a file is missing, no plain file, or differs from the table.
    """
    contents = {name: read_file(folder / name) for name in names}
    found = read_file(folder / SEAL)
    if found == sums(contents):
        return contents
    lines = found.splitlines(keepends=True)
    for name, data in contents.items():
        if sums({name: data}) not in lines:
            raise RunFolderError(
                f"{folder / name} is damaged or was changed: its SHA-256 is not the one in {SEAL}. Restore "
                "the folder from a copy, or make it again"
            )
    raise RunFolderError(
        f"{folder / SEAL} was changed: it holds more than the digests of {', '.join(contents)}"
    )


def read_file(path: Path) -> bytes:
    """The bytes of a plain file; a pipe or a device is never waited for.

    Raises:
        RunFolderError: there is none, or it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise RunFolderError(f"{path} cannot be read: it is no plain file")
            return file.read()
    except (OSError, MemoryError) as problem:
        raise RunFolderError(
            f"{path} cannot be read: {getattr(problem, 'strerror', None) or 'it is larger than the memory'}"
        ) from problem


@contextlib.contextmanager
def facts_of(path: Path) -> Iterator[None]:
    """Use the facts of a file inside: where one is missing or of another kind, the error names the file.

    Raises:
        RunFolderError: in place of what Python says about the fact.
    """
    try:
        yield
    except (RunFolderError, StorageError):
        raise
    except WRONG_FACTS as problem:
        raise RunFolderError(
            f"{path} lacks a fact or holds a wrong one ({type(problem).__name__}: {problem})"
        ) from problem


def _check_kind(folder: Path, contents: Mapping[str, bytes]) -> None:
    """A run does not replace a phase diagram by accident, nor the other way round."""
    if not is_sealed(folder):
        return
    held = {
        line.partition("  ")[2] for line in read_file(folder / SEAL).decode(errors="replace").splitlines()
    }
    foreign = sorted(held - set(contents))
    if foreign:
        raise RunFolderError(
            f"{folder} holds something else, sealed with {', '.join(foreign[:5])}; choose another folder"
        )


def _take_lock(handle: int, path: Path) -> None:
    try:
        taken = hold(handle)
        if taken:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
    except OSError as problem:
        raise storage_error(path, problem) from problem
    if not taken:
        owner = path.read_text(errors="replace") or "another process"
        raise StorageError(
            f"{path.parent} is in use by {owner}; wait for it to finish, or choose another folder"
        )
