"""The text of a specification, and errors that name a place in it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from attractor.errors import AttractorError, InputDataError, UnsupportedError

DEEPEST = 1000
"""Parentheses inside each other: readers of other libraries end the process at some tens of thousands."""


@dataclass(frozen=True)
class Source:
    """A specification as text.

    Args:
        name: of the file, for messages.
        text: its content.
    """

    name: str
    text: str

    def line_at(self, offset: int) -> int:
        """The line of a place, from 1 on.

        Args:
            offset: characters before the place.

        Returns:
            The line.
        """
        return self.text.count("\n", 0, offset) + 1

    def line_of(self, pattern: str) -> int | None:
        """The line of the first place that fits a pattern.

        Args:
            pattern: regular expression.

        Returns:
            The line; None where nothing fits.
        """
        found = re.search(pattern, self.text)
        return None if found is None else self.line_at(found.start())

    def fault(self, line: int | None, problem: str) -> InputDataError:
        """The error that names file and line.

        Args:
            line: where; None where that is not known.
            problem: what is wrong, and the remedy.

        Returns:
            The error, to be raised.
        """
        return InputDataError(f"{self.place(line)}: {problem}")

    def place(self, line: int | None) -> str:
        """A place in words.

        Args:
            line: where; None where that is not known.

        Returns:
            File and line.
        """
        return self.name if line is None else f"{self.name}, line {line}"

    @contextmanager
    def at(self, line: Callable[[], int | None]) -> Iterator[None]:
        """Errors that are raised inside name the place.

        Args:
            line: `line() -> where`, asked after an error only: counting lines takes time; None where that is
                not known.

        Yields:
            Nothing.

        Raises:
            UnsupportedError: as raised inside, with the place.
            InputDataError: the same.
        """
        try:
            yield
        except UnsupportedError as problem:
            raise UnsupportedError(f"{self.place(line())}: {problem}") from problem
        except AttractorError as problem:
            raise self.fault(line(), str(problem)) from problem
