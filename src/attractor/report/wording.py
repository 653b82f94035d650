"""Numbers as the page writes them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

_MISSING = "—"
_UNITS = (("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86400.0))


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


def signed(value: float, matters: float) -> str:
    """A difference with its sign, to a hundredth of what matters; a dash for NaN.

    Args:
        value: the difference.
        matters: a difference that counts, in the same unit.

    Example:
        >>> signed(0.25, 0.05), signed(-2.7e-9, 1e-6), signed(1234.5, 100.0)
        ('+0.2500', '-2.70e-09', '+1234')
    """
    if not math.isfinite(value):
        return _MISSING
    decimals = max(0, math.ceil(2 - math.log10(matters))) if matters > 0 else 4
    return f"{value:+.{decimals}f}" if decimals <= 5 else f"{value:+.2e}"


def percent(value: float, decimals: int = 1) -> str:
    """A percentage without its sign, a dash for NaN."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else _MISSING


def count(value: int) -> str:
    """A whole number with narrow spaces between the thousands."""
    return f"{value:,}".replace(",", "\u202f")


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a duration reads best, and its length in seconds.

    Example:
        >>> time_unit(25_000.0)
        ('h', 3600.0)
    """
    return next((unit for unit in reversed(_UNITS) if seconds >= 3.0 * unit[1]), _UNITS[0])


def time_axis(samples: int, sampling_time: float | None) -> tuple[Float[np.ndarray, " time"], str]:
    """Times of the samples in the unit that reads best, and the label of the axis; None counts samples."""
    if sampling_time is None:
        return np.arange(samples, dtype=float), "time [samples]"
    unit, length = time_unit(samples * sampling_time)
    return np.arange(samples) * sampling_time / length, f"time [{unit}]"


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


def digests(card: Mapping[str, Any]) -> dict[str, str]:
    """What a run is made from, for its card."""
    equation = card["equation"]
    facts = {"SHA-256 of the weights": card["weights_sha256"], "SHA-256 of the equation": equation["sha256"]}
    own = equation.get("cell_file")
    return facts | ({"cell": f"{own['name']} in {own['path']}"} if own else {})


def shortened(name: str, most: int) -> str:
    """A name of at most so many characters."""
    return name if len(name) <= most else name[: most - 1] + "…"


def in_words(facts: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Options and versions as rows of a table; nested ones follow the name of the group.

    Example:
        >>> in_words({"hidden_size": 8, "noise": {"additive": 0.1}})
        {'hidden size': '8', 'noise, additive': '0.1'}
    """
    rows = {}
    for name, value in facts.items():
        label = before + name.replace("_", " ")
        rows |= in_words(value, f"{label}, ") if isinstance(value, Mapping) else {label: str(value)}
    return rows
