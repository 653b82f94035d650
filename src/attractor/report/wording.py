"""Numbers as the page writes them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from attractor.report.series import time_unit

_MISSING = "—"
_SEVERITIES = {"error": "bad", "warning": "fair", "info": "info", "ok": "good"}


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent where that is readable.

    Example:
        >>> significant(0.012345), significant(1234.5), significant(float("nan"))
        ('0.0123', '1234', '—')
    """
    if not math.isfinite(value):
        return _MISSING
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -5 <= exponent <= 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - exponent, 0)}f}"


def plain(value: float) -> str:
    """A number as a person would write it: 10, 0.5, 1e-06."""
    return f"{value:g}"


def percent(value: float, decimals: int = 1) -> str:
    """A percentage without its sign, a dash for NaN."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else _MISSING


def count(value: int) -> str:
    """A whole number with narrow spaces between the thousands."""
    return f"{value:,}".replace(",", "\u202f")


def duration(seconds: float) -> tuple[str, str]:
    """A duration as number and unit.

    Example:
        >>> duration(95.0)
        ('95', 's')
    """
    unit, length = time_unit(seconds)
    return significant(seconds / length, 2 if seconds < 100 * length else 3), unit


def span(start: float, stop: float) -> str:
    """Two times in the unit that suits the later one."""
    unit, length = time_unit(stop)
    return f"{significant(start / length)} to {significant(stop / length)} {unit}"


def mean_and_spread(values: np.ndarray) -> str:
    """Mean and standard deviation over seeds; the mean alone where there is one."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return _MISSING
    if len(finite) == 1:
        return f"{finite[0]:.1f}"
    return f"{finite.mean():.1f} ± {finite.std(ddof=1):.1f}"


def tone(severity: str) -> str:
    """The class of a finding in the style sheet."""
    return _SEVERITIES.get(severity, "info")


FILTERS = {
    "significant": significant,
    "percent": percent,
    "plain": plain,
    "count": count,
    "duration": duration,
    "mean_and_spread": mean_and_spread,
    "tone": tone,
}


def digests(card: Mapping[str, Any]) -> dict[str, str]:
    """What a run is made from, for its card."""
    equation = card["equation"]
    facts = {"SHA-256 of the weights": card["weights_sha256"], "SHA-256 of the equation": equation["sha256"]}
    own = equation.get("cell_file")
    return facts | ({"cell": f"{own['name']} in {own['path']}"} if own else {})
