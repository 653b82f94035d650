"""What the data doctor tells: one finding, how bad it is, and what to do."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from jaxtyping import Float

from attractor.shown import Rows, Shown

# How far, as a share of the range, values may leave what is known, and the share of them that may.
BEYOND_RANGE, BEYOND_SHARE = 0.1, 0.01


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


class Findings(Shown, list[Finding]):
    """What the doctor found, errors first: a list that people can read."""

    def __str__(self) -> str:
        """How many findings of which severity, and each with what to do."""
        if not self:
            return "the data doctor found nothing to complain about"
        counts = Counter(one.severity.value for one in self)
        several = (f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items())
        told = (f"{one.severity.value}: {one.message}. {one.advice}" for one in self)
        return "\n".join([f"the data doctor found {', '.join(several)}", *told])

    def rows_shown(self) -> Rows:
        """The findings as a table."""
        rows = tuple((one.severity.value, one.signal, one.message, one.advice) for one in self)
        return Rows(("severity", "about", "finding", "what to do"), rows)


def note(code: str, signal: str, message: str, advice: str, **numbers: int | float) -> Finding:
    """A finding to know."""
    return Finding(Severity.NOTE, code, signal, message, advice, numbers)


def warning(code: str, signal: str, message: str, advice: str, **numbers: int | float) -> Finding:
    """A finding to act on."""
    return Finding(Severity.WARNING, code, signal, message, advice, numbers)


def error(code: str, signal: str, message: str, advice: str, **numbers: int | float) -> Finding:
    """A finding that makes training pointless."""
    return Finding(Severity.ERROR, code, signal, message, advice, numbers)


def by_severity(findings: Iterable[Finding]) -> Findings:
    """Errors first, then warnings, then notes."""
    order = (Severity.ERROR, Severity.WARNING, Severity.NOTE)
    return Findings(sorted(findings, key=lambda finding: order.index(finding.severity)))


def out_of_range(
    name: str, known: Float[np.ndarray, "_"], values: Float[np.ndarray, "_"], where: str
) -> list[Finding]:
    """A warning if more than 1 % of some values lie outside of what is known, by a tenth of its range.

    Args:
        name: the signal.
        known: its values in training.
        values: those in question.
        where: what the message calls them.
    """
    if not len(known) or not len(values):
        return []
    margin = BEYOND_RANGE * float(np.ptp(known))
    share = float(((values < known.min() - margin) | (values > known.max() + margin)).mean())
    if share <= BEYOND_SHARE:
        return []
    message = (
        f"{share:.1%} of the values of '{name}' in {where} lie outside the range {known.min():g} to "
        f"{known.max():g} of the other data"
    )
    advice = (
        "Compare units and sensors. Train on data that cover this range, or do not judge the model there: it "
        "would have to extrapolate."
    )
    return [warning("range-mismatch", name, message, advice, share=share)]
