"""Make the rows of one experiment complete and evenly spaced: missing cells, gaps in time, resampling."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor.errors import InputDataError

from .rows import find_runs
from .table import Table
from .time_axis import TimeColumn, measure_steps

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
    recording: Recording, table: Table, places: tuple[int, ...], policy: MissingPolicy
) -> list[Recording]:
    """Treat blank cells.

    Args:
        recording: the rows of one experiment.
        table: the table they come from, for the message.
        places: the columns of the table that `recording.values` holds.
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
    if policy == "error":
        row, channel = (int(number) for number in np.argwhere(missing)[0])
        raise _missing_cell(table, int(recording.rows[row]), places[channel], int(missing.sum()))
    if policy == "split":
        return split_at(recording, np.asarray(~missing.any(axis=1)))
    for channel in np.flatnonzero(missing.all(axis=0)):
        label = table.signals[places[channel]].label
        message = (
            f"{table.path}: column '{label}' has no number in experiment '{recording.name}'; leave one out"
        )
        raise InputDataError(message)
    return [_interpolate(recording, missing)]


def _missing_cell(table: Table, row: int, place: int, count: int) -> InputDataError:
    cell = table.text(place)[row]
    what = f"{cell!r} is not a number" if cell else "the cell is blank"
    return InputDataError(
        f"{table.where(row, place)}: {what} ({count} missing values in all); fill in the values, or set "
        "missing to 'interpolate' (straight lines) or 'split' (a new experiment after each hole)"
    )


def _interpolate(recording: Recording, missing: Bool[np.ndarray, "rows channels"]) -> Recording:
    index = np.arange(len(recording), dtype=np.float64)
    values = recording.values.copy()
    for channel in np.flatnonzero(missing.any(axis=0)):
        known = ~missing[:, channel]
        values[:, channel] = np.interp(index, index[known], values[known, channel])
    # np.interp repeats the first and last known value outwards: that would be invented, so those rows go.
    start = int(np.argmin(missing, axis=0).max())
    stop = len(recording) - int(np.argmin(missing[::-1], axis=0).max())
    return replace(recording, values=values).part(start, max(stop, start))


def split_at(recording: Recording, is_good: Bool[np.ndarray, "rows"]) -> list[Recording]:
    """The runs of at least two good rows, named `name/1`, `name/2`, ... when there are several."""
    return _parts(recording, [(start, stop) for start, stop in find_runs(is_good) if stop - start >= 2])


def _parts(recording: Recording, runs: list[tuple[int, int]]) -> list[Recording]:
    if len(runs) == 1:
        return [recording.part(*runs[0])]
    return [
        replace(recording.part(start, stop), name=f"{recording.name}/{number}")
        for number, (start, stop) in enumerate(runs, 1)
    ]


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
        raise _uneven(recording, column, step, int(np.argmin(steps.is_whole)))
    gaps = np.flatnonzero(steps.multiples > 1)
    if not len(gaps) and steps.is_whole.all():
        return [recording]
    if policy == "interpolate" or resample:
        return [_on_grid(recording, column, step)]
    if policy == "error":
        raise _gap(recording, column, int(gaps[0]), int(steps.multiples[gaps[0]]) - 1)
    edges = [0, *(int(gap) + 1 for gap in gaps), len(recording)]
    return _parts(recording, [(a, b) for a, b in pairwise(edges) if b - a >= 2])


def _on_grid(recording: Recording, column: TimeColumn, step: float) -> Recording:
    """Linear interpolation onto t0, t0 + step, ...; at most half of the rows may be new."""
    times = column.values[recording.rows]
    count = int(min((times[-1] - times[0]) / step + 1e-6, 1e15)) + 1
    if count > 2 * len(recording) + 2:
        message = (
            f"experiment '{recording.name}' has {len(recording)} rows but spans {count} sampling times; "
            "more than half of it would be invented: set missing to 'split'"
        )
        raise column.problem(int(recording.rows[0]), message)
    grid = times[0] + step * np.arange(count)
    values = np.column_stack([np.interp(grid, times, channel) for channel in recording.values.T])
    nearest = np.clip(np.searchsorted(times, grid), 0, len(times) - 1)
    return replace(recording, rows=recording.rows[nearest], values=values)


def _uneven(recording: Recording, column: TimeColumn, step: float, index: int) -> InputDataError:
    row = int(recording.rows[index + 1])
    found = column.values[row] - column.values[recording.rows[index]]
    text = (
        f"the step to this row is {found:g} where most steps are {step:g}; the rows are not evenly spaced: "
        "set resample to interpolate them onto an even grid, or correct the times"
    )
    return column.problem(row, text)


def _gap(recording: Recording, column: TimeColumn, index: int, lost: int) -> InputDataError:
    text = (
        f"{lost} row(s) are missing before this time; set missing to 'interpolate' (straight lines) or "
        "'split' (a new experiment after the gap)"
    )
    return column.problem(int(recording.rows[index + 1]), text)
