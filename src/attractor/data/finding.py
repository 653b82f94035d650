"""What the data doctor tells: one finding, how bad it is, and what to do."""

from dataclasses import dataclass, field
from enum import Enum


class Severity(Enum):
    """How bad a finding is."""

    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One observation about a record.

    Args:
        severity: a note to know, a warning to act on, or an error that makes identification pointless.
        code: a stable short name, for instance `saturation`.
        signal: which signal or signals it is about; empty for the whole record.
        message: what was found, with its numbers.
        advice: what to do about it.
        numbers: the measured quantities behind the message, by name.
    """

    severity: Severity
    code: str
    signal: str
    message: str
    advice: str
    numbers: dict[str, int | float] = field(default_factory=dict)
