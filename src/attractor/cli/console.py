"""What the command line says and where it says it."""

import json
import math
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from attractor.errors import AttractorError, printable
from attractor.progress import LineReporter

Facts = dict[str, Any]
"""What a command found, for people who give `--json`."""
EVERY = 2.0
"""Seconds after which a command that is still at the same work says so."""
UNHEARD = 4.5
"""Seconds without a line of a reporter after which it is said all the same."""


class PlainConsole(Console):
    """A console on which no text commands the terminal, wherever it comes from; only rich itself does."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it is shown: control characters as escape sequences."""
        return super().render_str(printable(text), **options)


console = PlainConsole(emoji=False)
errors = PlainConsole(stderr=True, emoji=False)


class NotProvedError(AttractorError):
    """The command ran, and what it looked for is not proved.

    Args:
        message: why.
        facts: what was found all the same.
    """

    exit_code = 5

    def __init__(self, message: str, facts: Facts) -> None:
        super().__init__(message)
        self.facts = facts


def escaped(text: object) -> str:
    """Text whose brackets are no markup."""
    return escape(str(text))


def command_line() -> str:
    """The command as it was given, for pages and cards."""
    return shlex.join(["attractor", *sys.argv[1:]])


def tell(text: object) -> None:
    """A sentence with text of the user's, in one line."""
    console.print(escaped(text), soft_wrap=True)


def tell_file(path: object, what: str = "wrote") -> None:
    """Where a file was written."""
    console.print(f"{what} [bold]{escaped(path)}[/]", soft_wrap=True)


@contextmanager
def working(what: str, *, at_once: bool = True, bar: bool = False) -> Iterator[None]:
    """Say on standard error what is being done before it begins, and every two seconds while it lasts.

    Beside a reporter that speaks it is silent.

    Args:
        what: is being done: "writing the report".
        at_once: False says nothing of what is over in two seconds.
        bar: a reporter shows progress as well; its bar on a terminal must not be written over.
    """
    over, begun = threading.Event(), time.monotonic()

    def beat() -> None:
        while not over.wait(EVERY):
            now = time.monotonic()
            if now - LineReporter.spoke >= UNHEARD:
                errors.print(f"{escaped(what)}: {now - begun:.0f} s so far", soft_wrap=True)

    if at_once:
        errors.print(f"{escaped(what)} ...", soft_wrap=True)
    if not (bar and errors.is_terminal):
        threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def show_warning(message: Warning | str, *_: object) -> None:
    """A warning in one line, in place of the source line where it came up."""
    errors.print(f"[yellow]warning:[/] {escaped(message)}", soft_wrap=True)


@dataclass
class Json:
    """Whether facts are printed in place of words."""

    wanted: bool = False

    def say(self, facts: Mapping[str, Any]) -> None:
        """Print facts as one JSON document, if that is wanted."""
        if self.wanted:
            sys.stdout.write(json.dumps(_plain(facts), indent=1) + "\n")


def _plain(value: object) -> object:
    """A value as JSON has it; numbers that are not finite become null."""
    tolist = getattr(value, "tolist", None)  # an array or a number of NumPy or JAX
    value = tolist() if callable(tolist) else value
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str | None) else str(value)
