"""One way to report progress: a task takes a `Reporter` and never prints by itself.

Work may have several stretches, as a training and its refinement: each counts from its own start to its own
total and ends with `close`. Whoever makes a stretch closes it, also when it fails.
"""

import sys
import time
from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import IO, Any, ClassVar, Protocol, cast, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from attractor.errors import printable


@runtime_checkable
class Stream(Protocol):
    """Where lines go: a file, a terminal, a buffer."""

    def write(self, text: str, /) -> object:
        """Write text."""
        ...

    def flush(self) -> None:
        """Let it be seen."""
        ...

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        ...


class AtMost(int):
    """A total that need not be reached: the work may end before, where nothing is gained any more."""


@runtime_checkable
class Reporter(Protocol):
    """What a long computation tells about itself."""

    def update(self, done: int, total: int, message: str = "") -> None:
        """Report that `done` of `total` units are finished.

        Work that ends before a total that was `AtMost` says so by an update whose total is what was done.
        """
        ...

    def close(self) -> None:
        """Say that this stretch of work is over; an update after it begins the next one."""
        ...


class SilentReporter:
    """Reports nothing: the default inside a library."""

    def update(self, done: int, total: int, message: str = "") -> None:
        """Ignore the report."""

    def close(self) -> None:
        """Do nothing."""


class BarReporter:
    """A progress bar with rate and time left, for a terminal; every stretch of work has a bar of its own."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title, self._console = title, console
        self._bar: Progress | None = self._begin()

    def update(self, done: int, total: int, message: str = "") -> None:
        """Move the bar."""
        self._bar = self._bar or self._begin()
        task = self._bar.tasks[0]
        rate = f"{task.speed:.0f}/s" if task.speed else ""
        most = "at most" if isinstance(total, AtMost) and done < total else ""
        message = printable(message)
        self._bar.update(task.id, completed=done, total=total, message=message, rate=rate, most=most)

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def _begin(self) -> Progress:
        bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[most]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[message]}", markup=False),
            console=self._console,
        )
        bar.add_task(self._title, total=None, message="", rate="", most="")
        bar.start()
        return bar


class LineReporter:
    """A line every few seconds, for logs and pipes; rates are those of the present stretch of work."""

    spoke: ClassVar[float] = float("-inf")
    """When the last line of any of them was written, by the monotonic clock."""

    def __init__(self, title: str, stream: Stream | None = None, every: float = 4.0) -> None:
        self._title, self._stream, self._every = title, stream or sys.stderr, every
        self._start = time.monotonic()
        self._first: int | None = None
        self._last = self._start

    def update(self, done: int, total: int, message: str = "") -> None:
        """Write a line when the last one is old enough or the work is finished."""
        now = time.monotonic()
        if self._first is None:
            self._first = done
        if done < total and now - self._last < self._every:
            return
        self._last = LineReporter.spoke = now
        rate = (done - self._first) / max(now - self._start, 1e-9)
        most = "at most " if isinstance(total, AtMost) else ""
        left = f", {most}{(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        text = f"{self._title}: {done}/{total}, {rate:.0f}/s{left} {message}"
        self._say(printable(text.rstrip()), done, total)

    def close(self) -> None:
        """Count the next stretch of work afresh; every line of this one is already written."""
        self._first, self._start = None, time.monotonic()

    def _say(self, text: str, done: int, total: int) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class NotebookReporter(LineReporter):
    """One line of a notebook, which is written anew; nothing goes to the output of the cell beside it.

    All that runs in one cell under one title shares the line, so that a search over fifty fits does not leave
    fifty of them.
    """

    _shown: ClassVar[str] = ""
    """The line that was written last, of all reporters."""

    def __init__(self, title: str, shell: Any) -> None:
        super().__init__(title, every=0.25)
        self._last_told: tuple[int, int, str] | None = None
        self._name = f"attractor {title} {id(shell)} {getattr(shell, 'execution_count', 0)}"

    def update(self, done: int, total: int, message: str = "") -> None:
        """Write the line anew when that is due."""
        self._last_told = done, total, message
        super().update(done, total, message)

    def close(self) -> None:
        """Let the line say that this stretch of work is over, and how far it came."""
        if self._last_told is not None:
            done, total, message = self._last_told
            ended = "" if done >= total else "ended at "
            text = (
                f"{self._title}: {ended}{done}/{total} after {time.monotonic() - self._start:.0f} s {message}"
            )
            self._say(printable(text.rstrip()), total, total)
        self._last_told = None
        super().close()

    def _say(self, text: str, done: int, total: int) -> None:
        # Only what runs inside of IPython comes here; it is no dependency.
        display = import_module("IPython.display")
        bar = f'<progress value="{done}" max="{max(total, 1)}"></progress> {escape(text)}'
        show = display.update_display if NotebookReporter._shown == self._name else display.display
        show({"text/plain": text, "text/html": bar}, raw=True, display_id=self._name)
        NotebookReporter._shown = self._name


class LateReporter:
    """Says nothing for the first seconds: what is over by then needs no progress."""

    def __init__(self, make: Callable[[], Reporter], after: float = 2.0) -> None:
        self._make, self._begins = make, time.monotonic() + after
        self._reporter: Reporter | None = None

    def update(self, done: int, total: int, message: str = "") -> None:
        """Pass it on, once the time has come."""
        if self._reporter is None and time.monotonic() >= self._begins:
            self._reporter = self._make()
        if self._reporter is not None:
            self._reporter.update(done, total, message)

    def close(self) -> None:
        """Pass it on, where something was said."""
        if self._reporter is not None:
            self._reporter.close()


def notebook() -> Any:
    """The shell of the notebook that this process serves; None outside of one."""
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = shell_of() if shell_of is not None else None
    # IPython in a terminal has no kernel.
    return shell if hasattr(shell, "kernel") else None


def interactive_reporter(title: str) -> Reporter:
    """What a fit reports to when nobody said: a person who waits is told after two seconds, a script is not.

    A person waits in a notebook and at a prompt in a terminal.
    """
    at_prompt = hasattr(sys, "ps1") and sys.stderr is not None and sys.stderr.isatty()
    return LateReporter(lambda: reporter_for(title)) if notebook() or at_prompt else SilentReporter()


def reporter_for(title: str, stream: Stream | None = None) -> Reporter:
    """A line in a notebook; else a bar where `stream` (standard error) is a terminal, and lines elsewhere."""
    shell = notebook() if stream is None else None
    if shell is not None:
        return NotebookReporter(title, shell)
    stream = sys.stderr if stream is None else stream
    if stream is not None and stream.isatty():
        return BarReporter(title, Console(file=cast(IO[str], stream)))
    return LineReporter(title, stream)
