"""The time column of a log: its unit, its step, its gaps; rows made complete and evenly spaced."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor.errors import InputDataError

from .dates import parse_dates, seconds_since_first
from .delimited import DATE, is_number
from .record import find_runs
from .table import Table

# A column without a unit counts seconds.
SECONDS = {"": 1.0} | {
    name: seconds
    for names, seconds in (
        ("ns nanoseconds", 1e-9),
        ("us usec microseconds \N{MICRO SIGN}s \N{GREEK SMALL LETTER MU}s", 1e-6),
        ("ms msec millis milliseconds", 1e-3),
        ("s sec secs second seconds", 1.0),
        ("min mins minute minutes", 60.0),
        ("h hr hour hours", 3600.0),
        ("d day days", 86400.0),
    )
    for name in names.split()
}
# How columns of times are called, the usual names first, each of which may end in a unit: `t_ms`.
_TIMES = ("time", "timestamp", "t", "datetime", "elapsed", "epoch", "ts", "date")
# How many of these are sure, and the share of the rows in which another one must run on.
_USUAL, _RUNS = 3, 0.5
_ALIASES = {
    "date_time": "datetime",
    "time_stamp": "timestamp",
    "date time": "datetime",
    "time stamp": "timestamp",
    "elapsed_time": "elapsed",
    "elapsed time": "elapsed",
    "unixtime": "epoch",
    "unix_time": "epoch",
    "seconds": "t_s",
    "milliseconds": "t_ms",
    "millis": "t_ms",
    "microseconds": "t_us",
}
_SPLIT = re.compile(r"(.+?)(?:[_ .-]([^_ .-]+)|(ms|us|ns|sec|seconds|millis))")
# Largest difference of a step from a whole number of sampling times, as a share of them.
JITTER = 0.01
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d([.,]\d+)?)?")


@dataclass(frozen=True)
class TimeColumn:
    """When the rows of a table were recorded.

    Args:
        table: the table that has the column.
        position: which column it is.
        values: the instants, shape (rows,), in seconds, or in the column's own unit if that is unknown.
        is_in_seconds: whether the unit of the column could be converted to seconds.
        assumed: what had to be assumed about the unit; empty if it is known.
    """

    table: Table
    position: int
    values: Float[np.ndarray, "rows"]
    is_in_seconds: bool = True
    assumed: str = ""

    def problem(self, row: int, text: str) -> InputDataError:
        """An error at a row of this column."""
        return InputDataError(f"{self.table.where(row, self.position)}: {text}")


def read_time(table: Table, position: int) -> TimeColumn:
    """Read the time column: numbers in the unit of its head, or dates and times (see `parse_dates`).

    Raises:
        InputDataError: a cell is blank or neither a number nor a date and time.
    """
    instants = table.instants(position)
    first = table.cell(0, position)
    if instants is None and _CLOCK.fullmatch(first):
        instants = _read_clock(table, position)
    elif instants is None and DATE.match(first) and not is_number(first):
        instants = parse_dates(table.text(position))
    if instants is not None:
        for row in np.flatnonzero(np.isnat(instants))[:1]:
            raise InputDataError(
                f"{table.where(int(row), position)}: {table.cell(int(row), position)!r} is not a date and "
                "time like 2024-05-31T12:00:00 in the style of the first row; correct the cell"
            )
        return TimeColumn(table, position, seconds_since_first(instants))
    signal = table.signals[position]
    named = signal.unit.casefold() or time_in_name(signal.name)[1]
    unit = SECONDS.get(named)
    numbers = table.numbers([position])[:, 0]
    assumed = ""
    if not named:
        unit, assumed = _guessed_unit(signal.label, numbers)
    with np.errstate(over="ignore"):
        values = numbers * (unit or 1.0)
    column = TimeColumn(table, position, values, unit is not None, assumed)
    for row in np.flatnonzero(~np.isfinite(values))[:1]:
        raise column.problem(int(row), "the time is missing or too large; correct it or remove the row")
    return column


def _read_clock(table: Table, position: int) -> np.ndarray:
    """Instants from the time of day alone, with the day from a column of dates if there is one.

    Without one a clock that falls by more than half a day has passed midnight.
    """
    clocks = [cell.replace(",", ".") for cell in table.text(position)]
    dates = [at for at in find_times(table, [position]) if time_in_name(table.signals[at].name)[0] == "date"]
    days = table.text(dates[0]) if dates else ["2000-01-01"] * len(clocks)
    joined = [f"{day} {clock}" if clock else "" for day, clock in zip(days, clocks, strict=True)]
    instants = parse_dates(joined)
    if not dates:
        nights = np.cumsum(np.diff(instants, prepend=instants[:1]) < -np.timedelta64(12, "h"))
        instants = instants + nights * np.timedelta64(1, "D")
    return instants


def time_in_name(name: str) -> tuple[str, str]:
    """What kind of time a head names, and the unit in it; blank texts if it names none.

    Example:
        >>> [time_in_name(name) for name in ("Timestamp", "t_ms", "elapsed_us", "tmin", "T")]
        [('timestamp', ''), ('t', 'ms'), ('elapsed', 'us'), ('', ''), ('t', '')]
    """
    folded = name.strip().casefold()
    folded = _ALIASES.get(folded, folded)
    if folded in _TIMES:
        return folded, ""
    match = _SPLIT.fullmatch(folded)
    if match is None:
        return "", ""
    kind, unit = _ALIASES.get(match[1], match[1]), match[2] or match[3]
    is_split = match[2] is not None or len(kind) > 1
    return (kind, unit) if kind in _TIMES and unit in SECONDS and is_split else ("", "")


def find_times(table: Table, taken: Sequence[int] = ()) -> list[int]:
    """The free columns that are called like a time, the most usual name first."""
    found = []
    for position, signal in enumerate(table.signals):
        kind = time_in_name(signal.name)[0]
        # `T [K]` is a temperature.
        is_other = signal.name.strip() == "T" and signal.unit.casefold() not in SECONDS
        if kind and not is_other and position not in taken:
            found.append((_TIMES.index(kind), position))
    return [position for _, position in sorted(found)]


def find_time(table: Table, taken: Sequence[int] = ()) -> int | None:
    """The free column that tells the time by its name; one with a less usual name must run like a time."""
    found = find_times(table, taken)
    return next((position for position in found if _is_sure(table, position)), None)


def _is_sure(table: Table, position: int) -> bool:
    if time_in_name(table.signals[position].name)[0] in _TIMES[:_USUAL]:
        return True
    try:
        times = read_time(table, position).values
    except InputDataError:
        return False
    return bool(np.mean(np.diff(times) > 0) > _RUNS)


# Instants since 1970 as numbers: the units, by the smallest number that only this one explains.
_SINCE_1970 = ((1e17, 1e-9, "nanoseconds"), (1e14, 1e-6, "microseconds"), (1e11, 1e-3, "milliseconds"))


def _guessed_unit(label: str, numbers: Float[np.ndarray, " rows"]) -> tuple[float, str]:
    """Seconds in a unit that nobody named, and the assumption in words."""
    first = float(numbers[0])
    for smallest, seconds, unit in _SINCE_1970:
        if smallest <= first < 1e3 * smallest:
            return seconds, f"'{label}' names no unit; it looks like {unit} since 1970"
    return 1.0, f"'{label}' names no unit; seconds"


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
    stuck = np.flatnonzero(~(np.diff(column.values[rows]) > 0)) + 1
    if len(stuck):
        row = int(rows[stuck[0]])
        others = _and_others([int(column.table.row_numbers[int(at)]) for at in rows[stuck[1:]]])
        raise column.problem(
            row,
            f"time {column.table.cell(row, column.position)!r} is not later than in the row before{others}; "
            "sort the rows, remove those that are there twice, or name the column that tells the experiments "
            "apart",
        )


def _and_others(numbers: Sequence[int]) -> str:
    """Where else, in words; the first five."""
    if not numbers:
        return ""
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f" (and so in row{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:5]))}{more})"


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
    steps = [measure_steps(instants, base) for instants in times]
    for rows, instants, found in zip(groups, times, steps, strict=True):
        own = np.median(np.diff(instants))
        # Uneven rows have nearly the common step; of even ones at least one step is of its length.
        has_step = np.abs(own / base - 1.0) < 0.5 or (found.is_whole & (found.multiples == 1)).any()
        if not (resample or has_step):
            raise column.problem(
                int(rows[0]),
                f"the experiment that begins here has a step of {own:g}, most rows have {base:g}; "
                "experiments need one sampling time: read separate files, or set resample",
            )
    whole = np.concatenate([found.is_whole for found in steps])
    spans = np.concatenate([np.diff(instants) for instants in times])[whole]
    count = int(np.concatenate([found.multiples for found in steps])[whole].sum())
    # Nine digits: rounding of the printed times must not turn 0.1 s into 0.09999999999990905 s.
    return float(f"{spans.sum() / count:.9g}") if count else base


MissingPolicy = Literal["error", "interpolate", "split"]


@dataclass(frozen=True)
class Recording:
    """Rows of a table that belong together, on their way to an experiment.

    Args:
        name: the name of the experiment.
        rows: which rows of the table they are, shape (rows,).
        values: inputs and outputs, shape (rows, channels); NaN where a cell is blank.
    """

    name: str
    rows: Int[np.ndarray, "rows"]
    values: Float[np.ndarray, "rows channels"]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int) -> "Recording":
        """The rows `start` to `stop` (exclusive)."""
        return replace(self, rows=self.rows[start:stop], values=self.values[start:stop])


def fill_missing(
    recording: Recording, table: Table, positions: tuple[int, ...], policy: MissingPolicy
) -> list[Recording]:
    """Treat blank cells.

    Args:
        recording: the rows of one experiment.
        table: the table they come from, for the message.
        positions: the columns of the table that `recording.values` holds.
        policy: `error` refuses them; `interpolate` draws a straight line between the neighbours and drops
            incomplete rows at the two ends; `split` begins a new experiment after them.

    Returns:
        One recording without NaN, or several when it was split.

    Raises:
        InputDataError: a cell is blank and the policy is `error`, or nothing is left.
    """
    missing = np.isnan(recording.values)
    if not missing.any():
        return [recording]
    if policy == "split":
        return _parts(recording, find_runs(np.asarray(~missing.any(axis=1))))
    if policy == "interpolate":
        for channel in np.flatnonzero(missing.all(axis=0)):
            raise InputDataError(
                f"{table.path}: column '{table.signals[positions[channel]].label}' has no number in "
                f"experiment '{recording.name}'; leave one out"
            )
        return [_interpolate(recording, missing)]
    index, channel = np.argwhere(missing)[0]
    row, position = int(recording.rows[index]), positions[channel]
    cell = table.cell(row, position)
    what = f"{cell!r} is not a number" if cell else "the cell is blank"
    raise InputDataError(
        f"{table.where(row, position)}: {what} ({missing.sum()} missing values in all); fill in the values, "
        "or set missing to 'interpolate' (straight lines) or 'split' (a new experiment after each hole)"
    )


def _interpolate(recording: Recording, missing: Bool[np.ndarray, "rows channels"]) -> Recording:
    """Straight lines between known values; rows before the first and after the last of a channel go."""
    import pandas as pd

    values = pd.DataFrame(recording.values).interpolate(limit_area="inside").to_numpy()
    start = int(np.argmin(missing, axis=0).max())
    stop = len(recording) - int(np.argmin(missing[::-1], axis=0).max())
    return replace(recording, values=values).part(start, max(stop, start))


def _parts(recording: Recording, runs: Iterable[tuple[int, int]]) -> list[Recording]:
    """The runs of at least two rows, named `name/1`, `name/2`, ... when there are several."""
    parts = [recording.part(start, stop) for start, stop in runs if stop - start >= 2]
    if len(parts) == 1:
        return parts
    return [replace(part, name=f"{part.name}/{number}") for number, part in enumerate(parts, 1)]


def regularise(
    recording: Recording, column: TimeColumn, step: float, policy: MissingPolicy, resample: bool
) -> list[Recording]:
    """Check that the rows are evenly spaced, and close or cut gaps.

    Args:
        recording: the rows of one experiment, whose times increase.
        column: the time column of the whole table.
        step: the sampling time, in the unit of `column.values`.
        policy: what to do where rows are missing: `error`, `interpolate` or `split`.
        resample: whether to put uneven rows on an even grid by linear interpolation; this closes gaps too.

    Returns:
        One recording with a row at each sampling time, or several when it was split at gaps.

    Raises:
        InputDataError: the times are uneven, or have gaps the policy does not allow.
    """
    times = column.values[recording.rows]
    steps = measure_steps(times, step)
    if not steps.is_whole.all() and not resample:
        uneven = int(np.argmin(steps.is_whole))
        raise column.problem(
            int(recording.rows[uneven + 1]),
            f"the step to this row is {np.diff(times)[uneven]:g} where most steps are {step:g}; the rows are "
            "not evenly spaced: set resample to interpolate them onto an even grid, or correct the times",
        )
    gaps = np.flatnonzero(steps.multiples > 1)
    if not len(gaps) and steps.is_whole.all():
        return [recording]
    if policy == "interpolate" or resample:
        return [_on_grid(recording, column, step)]
    if policy == "split":
        return _parts(recording, pairwise([0, *(gaps + 1).tolist(), len(recording)]))
    raise column.problem(
        int(recording.rows[gaps[0] + 1]),
        f"{steps.multiples[gaps[0]] - 1} row(s) are missing before this time; set missing to 'interpolate' "
        "(straight lines) or 'split' (a new experiment after the gap)",
    )


def _on_grid(recording: Recording, column: TimeColumn, step: float) -> Recording:
    """Linear interpolation onto t0, t0 + step, ...; at most half of the rows may be new."""
    times = column.values[recording.rows]
    count = int(min((times[-1] - times[0]) / step + 1e-6, 1e15)) + 1
    if count > 2 * len(recording) + 2:
        raise column.problem(
            int(recording.rows[0]),
            f"experiment '{recording.name}' has {len(recording)} rows but spans {count} sampling times; more "
            "than half of it would be invented: set missing to 'split'",
        )
    grid = times[0] + step * np.arange(count)
    values = np.column_stack([np.interp(grid, times, channel) for channel in recording.values.T])
    nearest = np.clip(np.searchsorted(times, grid), 0, len(times) - 1)
    return replace(recording, rows=recording.rows[nearest], values=values)
