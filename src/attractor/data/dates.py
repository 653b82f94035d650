"""Dates and times that a log writes as text, in the styles of many countries and loggers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from .delimited import DATE

if TYPE_CHECKING:
    import pandas as pd

_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %I:%M:%S.%f %p")
# A zone ends a time: Z, +02:00, -0500.
_ZONE = r"[T ].*(?:[Zz]|[+-]\d\d:?\d\d)$"


def parse_dates(cells: Sequence[str]) -> np.ndarray:
    """Dates and times as instants (datetime64); NaT for what is not in the style of the first.

    Known styles: ISO 8601, with a zone in every cell or in none; day.month.year; month/day/year or
    day/month/year: the order that reads every cell, and of two that do, the one in which time runs forwards
    in fewer different steps. The time of day may have seconds, fractions of them, and AM or PM.
    """
    import pandas as pd

    texts = pd.Series([" ".join(cell.replace(",", ".").split()) for cell in cells], dtype=object)
    iso = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    if not pd.isna(iso.iloc[0]):
        has_zone = texts.str.contains(_ZONE, regex=True)
        return iso.where(has_zone == has_zone.iloc[0]).dt.tz_convert(None).to_numpy()
    tried = [_in_order(texts, order) for order in _orders(texts.iloc[0])]
    return min([found for found in tried if not np.isnat(found).any()], key=_irregularity, default=tried[0])


def _irregularity(instants: np.ndarray) -> tuple[int, int]:
    """How often time stands still or runs backwards, and how many different steps it takes."""
    steps = np.diff(instants)
    return int(np.sum(steps <= np.timedelta64(0))), len(np.unique(steps))


def _orders(first: str) -> list[str]:
    """How the year, the month and the day may follow one another, the most likely order first."""
    match = DATE.match(first)
    if match is None or match[1] is None:
        return ["%Y%m%d"]
    mark, year = match[1], "%y" if len(match[2]) == 2 else "%Y"
    if first[:4].isdigit():
        return [mark.join(("%Y", "%m", "%d"))]
    orders = ("%m", "%d", year), ("%d", "%m", year)
    return [mark.join(order) for order in (orders if mark == "/" else orders[1:])]


def _in_order(texts: "pd.Series", order: str) -> np.ndarray:
    """Instants of texts whose dates are in this order; NaT for others."""
    import pandas as pd

    def convert(some: Any, clock: str) -> "pd.Series":
        return pd.to_datetime(some, format=order + clock, errors="coerce")

    # The clock of the first row is that of most rows.
    clocks = sorted(_CLOCKS, key=lambda clock: bool(convert(texts.head(1), clock).isna().iloc[0]))
    found = convert(texts, clocks[0]).astype("datetime64[us]")
    for clock in clocks[1:]:
        left = found.isna()
        if not left.any():
            break
        found[left] = convert(texts.loc[left], clock).astype("datetime64[us]")
    return found.to_numpy()


def seconds_since_first(instants: np.ndarray) -> Float[np.ndarray, " rows"]:
    """Seconds from the first of some instants (datetime64 or timedelta64) to each."""
    return (instants - instants[:1]) / np.timedelta64(1, "s")
