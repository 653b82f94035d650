"""The error classes of Attractor.

Every error a user can cause derives from `AttractorError` and from the built-in it refines, so that
`except ValueError` keeps working. A message says what was given, what was expected, where, and what to do.
The command line turns an error into its `exit_code` and prints the message without a traceback.
"""


class AttractorError(Exception):
    """Base of all errors that Attractor raises on purpose."""

    exit_code = 2


class InputDataError(AttractorError, ValueError):
    """The data given cannot be used: missing column, text in a number, NaN, constant signal."""


class ShapeError(InputDataError):
    """An array has the wrong rank or size."""


class ConfigError(AttractorError, ValueError):
    """An option has a value that makes no sense, or two options contradict each other."""


class UnsupportedError(AttractorError, NotImplementedError):
    """The request is meaningful but not (yet) possible."""


class NotFittedError(AttractorError, ValueError, AttributeError):
    """A model is used before `fit`."""


class RunFolderError(AttractorError, ValueError):
    """A run folder is damaged, tampered with, foreign, or of an unknown version."""


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
