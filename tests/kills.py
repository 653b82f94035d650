"""Commands that are killed at one file event after the other, and what the same command makes of the rest.

A parent that has imported everything forks a child for every trial. In the child, Python's audit events count
what happens to files of one folder, and at a chosen event the child kills itself as the kernel would: no
handler runs, no buffer is written, no lock is given back by hand. The parent never computes, so that every
child starts alike.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

EVENTS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.truncate", "os.chmod", "fcntl.flock"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def forked(task: Callable[[], int | None], folder: Path, said: Path, event: int = 0) -> int:
    """Do a task in a process of its own.

    Args:
        task: gives an exit status.
        folder: whose file events count.
        said: gets what the task prints.
        event: at which the process kills itself, counted from 1; 0 for none.

    Returns:
        The exit status; -9 if it was killed.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 70
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        _watch(str(folder), event)
        status = task() or 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _watch(folder: str, event: int) -> None:
    """Count file events of a folder; at the chosen one this process dies."""
    seen, sync = 0, os.fsync

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == event:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        if name == "open":
            path, _, flags = arguments
            counts = isinstance(flags, int) and flags & _WRITING and folder in _text(path)
        else:
            counts = name in EVENTS and (name == "fcntl.flock" or any(folder in _text(a) for a in arguments))
        if counts:
            count()

    def flushed(handle: int) -> None:
        count()
        sync(handle)

    os.fsync = flushed
    sys.addaudithook(hook)


def _text(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""


def strays(folder: Path) -> list[str]:
    """Temporary files under a folder."""
    return [str(path) for path in folder.rglob(".*") if path.name.endswith(".tmp")]
