"""What the library claims: numbers with their errors, and solutions with the reason why they ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import isfinite
from typing import Any, Generic, TypeVar

from attractor.errors import ConfigError
from attractor.shown import Shown, counted

Value = TypeVar("Value")


@dataclass(frozen=True)
class Estimate(Shown, next_call=".may_be(0.0), .to_dict()"):
    """A number that was measured, and how far it can be trusted.

    Args:
        value: the number; None where what was measured does not decide it.
        low: lower end of the interval; None where there is no bound.
        high: upper end of the interval; None where there is no bound.
        level: probability with which the interval holds the truth.
        unit: of the number, as in "per step"; empty for a pure number.
        estimator: how the number was found.
        samples: how many steps, runs or cases it rests on.
        assumptions: under which the interval holds.
        reason: why `value` or a bound is missing; empty where none is.

    Raises:
        ConfigError: a level outside (0, 1), or a value outside its interval.

    Example:
        >>> print(Estimate(2.06, 2.05, 2.07, samples=9000, estimator="Kaplan and Yorke 1979"))
        2.06, 95 % interval 2.05 to 2.07
        by Kaplan and Yorke 1979, from 9000 samples
    """

    value: float | None
    low: float | None
    high: float | None
    level: float = 0.95
    unit: str = ""
    estimator: str = ""
    samples: int = 0
    assumptions: tuple[str, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"level={self.level}: expected a probability between 0 and 1")
        inside = self.value is None or self._contains(self.value)
        if not inside or (self.low is not None and self.high is not None and self.low > self.high):
            raise ConfigError(
                f"an estimate of {self.value} between {self.low} and {self.high}: expected low to high"
            )

    def _contains(self, number: float) -> bool:
        return (self.low is None or self.low <= number) and (self.high is None or number <= self.high)

    def may_be(self, number: float) -> bool:
        """Whether the interval holds a number."""
        return self._contains(number)

    def __str__(self) -> str:
        """The number with its interval, where it comes from, and what is assumed."""
        unit = f" {self.unit}" if self.unit else ""
        low, high = (_number(end) if end is not None else "unknown" for end in (self.low, self.high))
        value = "unknown" if self.value is None else f"{_number(self.value)}{unit}"
        known = (self.low, self.high) != (None, None)
        lines = [f"{value}, {100 * self.level:g} % interval {low} to {high}" if known else value]
        if self.estimator or self.samples:
            by = [f"by {self.estimator}"] if self.estimator else []
            lines.append(
                ", ".join([*by, *([f"from {counted(self.samples, 'sample')}"] if self.samples else [])])
            )
        if self.assumptions:
            lines.append(f"assumes {'; '.join(self.assumptions)}")
        return "\n".join([*lines, *([self.reason] if self.reason else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts for a JSON file; infinite ends are written as None."""
        return {
            **{name: _finite(getattr(self, name)) for name in ("value", "low", "high")},
            "level": self.level,
            "unit": self.unit,
            "estimator": self.estimator,
            "samples": self.samples,
            "assumptions": list(self.assumptions),
            "reason": self.reason,
        }


@dataclass(frozen=True, eq=False)
class Solution(Shown, Generic[Value], next_call=".value, .to_dict()"):
    """What a solver found, and why it stopped.

    Args:
        value: the solution, or the best that is known.
        status: why it stopped; the value of the member is the text that users see.
        residual: how far `value` is from solving the equations.
        counts: what was spent, by name: evaluations, steps.
        seconds: wall time.
    """

    value: Value
    status: Enum
    residual: float
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        """The status, the value, and what it took."""
        spent = [f"{count} {name}" for name, count in self.counts.items()]
        return "\n".join([
            str(self.status.value),
            f"value {self.value}, residual {self.residual:.2e}",
            ", ".join([*spent, f"{self.seconds:.2g} s"]),
        ])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and texts for a JSON file."""
        value: Any = self.value
        return {
            "value": value.to_dict() if hasattr(value, "to_dict") else value,
            "status": self.status.name.lower(),
            "residual": _finite(self.residual),
            "counts": dict(self.counts),
            "seconds": self.seconds,
        }


def _number(value: float) -> str:
    return f"{value:.5g}"


def _finite(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else float(value)
