"""The time column of a log: its unit, its step, its gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor.errors import InputDataError

from .table import Table

TIME_NAMES = ("time", "timestamp", "t")
SECONDS = {
    "": 1.0,
    "ns": 1e-9,
    "us": 1e-6,
    "\N{MICRO SIGN}s": 1e-6,
    "\N{GREEK SMALL LETTER MU}s": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
}
JITTER = 0.01
"""Largest deviation of a step from a whole number of sampling times, as a share of them."""


@dataclass(frozen=True)
class TimeColumn:
    """When the rows of a table were recorded.

    Args:
        table: the table that has the column.
        place: which column it is.
        values: the instants, shape (rows,), in seconds, or in the column's own unit if that is unknown.
        is_in_seconds: whether the unit of the column could be converted to seconds.
    """

    table: Table
    place: int
    values: Float[np.ndarray, "rows"]
    is_in_seconds: bool = True

    def problem(self, row: int, text: str) -> InputDataError:
        """An error at a row of this column."""
        return InputDataError(f"{self.table.where(row, self.place)}: {text}")


def read_time(table: Table, place: int) -> TimeColumn:
    """Read the time column: numbers in the unit of its head, or dates and times after ISO 8601.

    Raises:
        InputDataError: a cell is blank or neither a number nor a date and time.
    """
    first = table.text(place)[0]
    if _parse_date(first) is not None and not _is_float(first):
        return TimeColumn(table, place, _read_dates(table, place))
    unit = SECONDS.get(table.signals[place].unit.casefold())
    with np.errstate(over="ignore"):
        column = TimeColumn(table, place, table.numbers([place])[:, 0] * (unit or 1.0), unit is not None)
    bad = np.flatnonzero(~np.isfinite(column.values))
    if len(bad):
        raise column.problem(int(bad[0]), "the time is missing or too large; correct it or remove the row")
    return column


def _read_dates(table: Table, place: int) -> Float[np.ndarray, "rows"]:
    cells = table.text(place)
    start = _parse_date(cells[0])
    seconds = np.empty(len(cells))
    for row, cell in enumerate(cells):
        moment = _parse_date(cell)
        try:
            seconds[row] = (moment - start).total_seconds()  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
        except (TypeError, OverflowError):
            message = (
                f"{table.where(row, place)}: {cell!r} is not a date and time like 2024-05-31T12:00:00 "
                "in the style of the first row; correct the cell"
            )
            raise InputDataError(message) from None
    return seconds


def _parse_date(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _is_float(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Steps:
    """The steps of one experiment against a sampling time.

    Args:
        multiples: how many sampling times each step takes, shape (rows - 1,); 1 where nothing is missing.
        is_whole: whether each step is a whole number of sampling times within the jitter, same shape.
    """

    multiples: Int[np.ndarray, "steps"]
    is_whole: Bool[np.ndarray, "steps"]


def measure_steps(times: Float[np.ndarray, "rows"], sampling_time: float) -> Steps:
    """Compare the steps between rows with the sampling time.

    A step r (in sampling times) is whole if |r - k| <= 0.01 k for k = round(r) >= 1. Times printed with few
    digits would fail that, so they also pass if rounding alone explains them.
    """
    ratio = np.diff(times) / sampling_time
    multiples = np.maximum(np.rint(np.minimum(ratio, 1e15)), 1.0)
    is_whole = np.abs(ratio - multiples) <= JITTER * multiples * (1 + 1e-9)
    if not is_whole.all() and is_rounded_grid(times, sampling_time):
        return Steps(np.ones(len(ratio), dtype=np.int64), np.ones(len(ratio), dtype=bool))
    return Steps(multiples.astype(np.int64), is_whole)


def is_rounded_grid(times: Float[np.ndarray, "rows"], sampling_time: float) -> bool:
    """Whether the times are a uniform grid, printed with few digits but at least four units a step."""
    digits = _decimals(times)
    mean_step = (times[-1] - times[0]) / max(len(times) - 1, 1)
    unit = np.inf if digits is None else 10.0**-digits
    if not mean_step >= 4 * unit >= 4 * abs(mean_step - sampling_time):
        return False
    grid = times[0] + mean_step * np.arange(len(times))
    return bool(np.abs(times - grid).max() <= 1.001 * unit)


def _decimals(times: Float[np.ndarray, "rows"]) -> int | None:
    """How many digits after the point the times have; None if more than nine."""
    for digits in range(10):
        scaled = times * 10.0**digits
        if np.all(np.abs(scaled - np.rint(scaled)) <= 1e-6 * np.maximum(1.0, np.abs(scaled) * 1e-6)):
            return digits
    return None


def check_increasing(column: TimeColumn, rows: Int[np.ndarray, "rows"]) -> None:
    """Raise an error where time stands still or runs backwards within an experiment.

    Args:
        column: the time column of the whole table.
        rows: which rows make up the experiment, shape (rows,).

    Raises:
        InputDataError: names the first row that is not later than the one before.
    """
    times = column.values[rows]
    bad = np.flatnonzero(~(np.diff(times) > 0))
    if len(bad):
        row = int(rows[bad[0] + 1])
        cell = column.table.text(column.place)[row]
        text = (
            f"time {cell!r} is not later than in the row before; sort the rows, remove the repeated one, "
            "or name the column that tells the experiments apart"
        )
        raise column.problem(row, text)


def find_sampling_time(
    column: TimeColumn, groups: Sequence[Int[np.ndarray, "_"]], resample: bool = False
) -> float:
    """The step most rows have, over all experiments; it is the same in each of them.

    Args:
        column: the time column of the whole table.
        groups: the rows of each experiment, at least two each.
        resample: whether the experiments may differ, because they are brought to one step later.

    Returns:
        The median step, refined by the mean of the steps that are whole multiples of it.

    Raises:
        InputDataError: two experiments have different sampling times.
    """
    times = [column.values[rows] for rows in groups]
    base = float(np.median(np.concatenate([np.diff(instants) for instants in times])))
    if not 0 < base < np.inf:
        raise column.problem(int(groups[0][0]), f"the median step is {base:g}; correct the times")
    for rows, instants in zip(groups, times, strict=True):
        if not resample and not _has_step(instants, base):
            text = (
                f"the experiment that begins here has a step of {np.median(np.diff(instants)):g}, most rows "
                f"have {base:g}; experiments need one sampling time: read separate files, or set resample"
            )
            raise column.problem(int(rows[0]), text)
    return _mean_step(times, base)


def _has_step(times: Float[np.ndarray, "rows"], base: float) -> bool:
    """Whether the common step occurs in an experiment, or nearly so if its rows are uneven."""
    steps = measure_steps(times, base)
    close = np.abs(np.median(np.diff(times)) / base - 1.0) < 0.5
    return bool(close or (steps.is_whole & (steps.multiples == 1)).any())


def _mean_step(times: Sequence[Float[np.ndarray, "_"]], base: float) -> float:
    """Mean length of a sampling time over all steps that are whole multiples of `base`."""
    steps = [measure_steps(instants, base) for instants in times]
    whole = np.concatenate([item.is_whole for item in steps])
    spans = np.concatenate([np.diff(instants) for instants in times])[whole]
    count = int(np.concatenate([item.multiples for item in steps])[whole].sum())
    # Nine digits: rounding of the printed times must not turn 0.1 s into 0.09999999999990905 s.
    return float(f"{spans.sum() / count:.9g}") if count else base
