"""The error classes of Attractor.

Every error a user can cause derives from `AttractorError` and from the built-in it refines, so that
`except ValueError` keeps working. A message says what was given, what was expected, where, and what to do.
The command line turns an error into its `exit_code` and prints the message without a traceback.
"""

import re
import sys
import warnings

_LONGEST = 2000
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # what terminals obey, ESC among them
    "\u202a-\u202e\u2066-\u2069"  # what turns the direction of reading
    "\ud800-\udfff]"  # what no encoding can write, such as bytes of a file name that is not UTF-8
)
WRONG_FACTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What Python raises where facts of a file have another kind, size or value than they should have."""


def printable(text: str) -> str:
    r"""Text from outside as a terminal, a page or a figure may show it: nothing in it is a command.

    Control characters, marks that turn the direction of reading and broken code points become their escape
    sequences; line ends and tabs stay.

    Example:
        >>> printable("flow \x1b[31m") == r"flow \x1b[31m"
        True
    """
    return _COMMANDS.sub(_escape_sequence, text)


def _escape_sequence(found: re.Match[str]) -> str:
    code = ord(found[0])
    # Python keeps a byte of a file name that is not UTF-8 as a surrogate.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(found[0])[1:-1]


def _message(part: object) -> object:
    """A part of an error as a person can read it: no commands, no more than a screen."""
    if not isinstance(part, str):
        return part
    if len(part) > _LONGEST:
        begin, end = part[: _LONGEST - 600], part[-500:]
        part = f"{begin} [... {len(part) - len(begin) - len(end)} characters ...] {end}"
    return printable(part)


class AttractorError(Exception):
    """Base of all errors that Attractor raises on purpose.

    A message may quote files of any origin: what a terminal would obey is escaped, what is longer than a
    screen is cut in the middle.
    """

    exit_code = 2

    def __init__(self, *parts: object) -> None:
        super().__init__(*map(_message, parts))


class InputDataError(AttractorError, ValueError):
    """The data given cannot be used: missing column, text in a number, NaN, constant signal."""


class ShapeError(InputDataError):
    """An array has the wrong rank or size."""


class ConfigError(AttractorError, ValueError):
    """An option has a value that makes no sense, or two options contradict each other."""


class CellError(ConfigError):
    """The update equation of a cell fails, or its parts do not fit together; the message names the line."""


class UnsupportedError(AttractorError, NotImplementedError):
    """The request is meaningful but not (yet) possible."""


class CellWarning(UserWarning):
    """A cell can be used as it stands, and is perhaps not what was meant."""


class PrecisionWarning(UserWarning):
    """A step computes in a narrower type than the analysis, which leaves its rounding out."""


class DataWarning(UserWarning):
    """Data were read, but not all of them as they stand, or not as they were meant."""


class ExportWarning(UserWarning):
    """What was exported is right, and works differently from what one may expect of it."""


class ControlWarning(UserWarning):
    """A controller plans in another way than it was asked to, because that way would not work."""


class NotFittedError(AttractorError, ValueError, AttributeError):
    """A model is used before `fit`."""


class RunFolderError(AttractorError, ValueError):
    """A run folder is damaged, changed, foreign, of an unknown version, or of another equation."""


class DivergedError(AttractorError, ArithmeticError):
    """A computation left the finite numbers.

    Args:
        message: what happened, where, and what to do.
        partial: what is known until then, where that is something.
    """

    exit_code = 3

    def __init__(self, message: str, partial: object = None) -> None:
        super().__init__(message)
        self.partial = partial


class StorageError(AttractorError, OSError):
    """A file could not be written or is locked by another process."""

    exit_code = 4


_BETWEEN = ("attractor", "contextlib", "functools", "jaxtyping", "equinox", "jax")
"""Packages whose frames stand between a user's line and what is said about it."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's that led here: the innermost one that is not of this library.

    Args:
        message: what happened, where, and what to do.
        category: of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
