"""The data: every signal over time, how the input's range was used, and at which frequencies."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import welch

from attractor.control.identification.identification_contents import (
    DataPage,
    PredictionPage,
    ResidualPage,
    SteadyStatePage,
    TrainingPage,
)
from attractor.data.record import Record, Signal
from attractor.report.style import (
    Hue,
    Size,
    envelope,
    grid_of,
    legend_above,
    mark_point,
    panels,
    powers_of_ten,
    replica_style,
    segments,
)
from attractor.report.wording import time_axis, time_unit

COLOURS = {"training": Hue.MODEL, "validation": Hue.VALIDATION, "test": Hue.TEST}
MOST_SIGNALS = 8
_SEGMENT = 512


def signals_figure(page: DataPage, size: Size) -> Figure:
    """Inputs and outputs one above the other; the experiments follow each other, coloured by role."""
    signals = (page.training.inputs + page.training.outputs)[:MOST_SIGNALS]
    figure, rows = panels(size, [95] * len(signals), share=True)
    bins = size.bins * min(1.0, 2.5 / len(signals))
    total = sum(record.samples for record in page.roles.values())
    interval = page.training.known_sampling_time
    unit, length = ("samples", 1.0) if interval is None else time_unit(total * interval)
    for column, (axes, signal) in enumerate(zip(rows, signals, strict=True)):
        _one_signal(axes, page, column, bins / total, length)
        axes.set_ylabel(signal.label)
        axes.margins(x=0.0)
    rows[-1].set_xlabel(f"time, experiments in a row [{unit}]")
    legend_above(rows[0])
    return figure


def amplitude_figure(page: DataPage, size: Size) -> Figure:
    """For every input: how often each level occurs, and how the power spreads over frequency."""
    signals = page.training.inputs[:MOST_SIGNALS]
    figure, axes = grid_of(size, 2 * len(signals), 170 if size.is_wide else 150, 2)
    for column, (signal, levels, spectrum) in enumerate(zip(signals, axes[::2], axes[1::2], strict=True)):
        _histogram(levels, page, column, signal)
        _spectrum(spectrum, page.training, column, signal)
    legend_above(axes[0], 2)
    return figure


def _one_signal(axes: Axes, page: DataPage, column: int, bins_per_row: float, unit: float) -> None:
    start = 0
    for role, record in page.roles.items():
        for number, experiment in enumerate(record.experiments):
            values = np.concatenate([experiment.inputs, experiment.outputs], axis=1)[:, column]
            time = (start + np.arange(len(values))) * (record.known_sampling_time or 1.0) / unit
            bins = max(2, int(bins_per_row * len(values)))
            label = role if number == 0 else None
            axes.plot(*envelope(time, values, bins), color=COLOURS[role], linewidth=1.1, label=label)
            start += len(values)
            axes.axvline(time[-1], color=Hue.GRID, linewidth=1.0)


def _histogram(axes: Axes, page: DataPage, column: int, signal: Signal) -> None:
    training, test = (_column(record, column) for record in (page.training, page.test))
    both = np.concatenate([training, test])
    if not len(both):
        return
    edges = np.linspace(both.min(), both.max() + 1e-9 * (1 + abs(both.max())), 31)
    axes.stairs(_share(training, edges), edges, fill=True, color=Hue.MEASURED, label="training")
    axes.stairs(_share(test, edges), edges, color=Hue.TEST, linewidth=1.6, label="test")
    axes.set(xlabel=signal.label, ylabel="share of samples [%]")


def _spectrum(axes: Axes, record: Record, column: int, signal: Signal) -> None:
    values, interval = _column(record, column), record.known_sampling_time
    unit = "1/sample" if interval is None else "Hz"
    if len(values) < 8 or np.ptp(values) == 0:
        axes.set(xlabel=f"frequency [{unit}]", ylabel="power density")
        return
    segment = min(_SEGMENT, len(values))
    frequency, power = welch(values, 1.0 / (interval or 1.0), nperseg=segment)
    powers_of_ten(axes, "x", "y")
    axes.plot(frequency[1:], np.maximum(power[1:], 1e-12 * power.max()), color=Hue.MODEL, linewidth=1.4)
    density = _squared(signal.unit) + (" sample" if interval is None else "/Hz")
    axes.set(xlabel=f"frequency [{unit}]", ylabel=f"power density [{density}]")
    axes.grid(which="minor", visible=False)
    axes.axvline(frequency[-1], color=Hue.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))


def _squared(unit: str) -> str:
    """The square of a unit; a compound unit needs brackets."""
    return f"{unit}²" if unit.isalpha() else f"({unit or '1'})²"


def _column(record: Record, column: int) -> np.ndarray:
    values = np.concatenate(
        [experiment.inputs[:, column] for experiment in record.experiments] or [np.empty(0)]
    )
    return values[np.isfinite(values)]


def _share(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return 100.0 * np.histogram(values, edges)[0] / max(len(values), 1)


_CLOSEUP_SHARE = 0.1
_CLOSEUP_ROWS = 150
_MOST_OF_IT = 0.25
"""A stretch that covers more than this share of a recording is no stretch of it."""


def prediction_figure(page: PredictionPage, size: Size) -> Figure:
    """The whole experiment: both lines, and below them what lies between."""
    figure, (top, bottom) = panels(size, (250, 80) if size.is_wide else (220, 70), share=True)
    time, label = time_axis(len(page.measured), page.sampling_time)
    _overlay(top, page, time, size)
    residual = residual_of(page)
    bottom.axhspan(-2 * page.rmse, 2 * page.rmse, color=Hue.BAND, linewidth=0)
    bottom.plot(*envelope(time, residual, size.bins), color=Hue.MUTED, linewidth=1.0)
    _washout(bottom, page, time)
    bottom.margins(x=0.0)
    _limit_to(bottom, residual[page.washout :])
    bottom.set(ylabel=_with_unit("residual", page), xlabel=label)
    return figure


def closeup_figure(page: PredictionPage, size: Size) -> Figure:
    """The stretch in which the model errs most: a tenth of the experiment, a little more of a short one."""
    figure, (axes,) = panels(size, [190])
    time, label = time_axis(len(page.measured), page.sampling_time)
    first, last = closeup_rows(page)
    rows = slice(first, last)
    axes.plot(*envelope(time[rows], page.measured[rows], size.bins), color=Hue.MEASURED, linewidth=3.5)
    axes.plot(*envelope(time[rows], page.predicted[rows], size.bins), color=Hue.MODEL, linewidth=1.6)
    axes.set(xlabel=label, ylabel=page.output.label)
    axes.margins(x=0.0)
    return figure


def closeup_rows(page: PredictionPage) -> tuple[int, int]:
    """Which rows the close-up shows."""
    rows = len(page.measured) - page.washout
    length = max(_CLOSEUP_ROWS, int(_CLOSEUP_SHARE * rows))
    length = max(min(length, int(_MOST_OF_IT * rows)), 1)
    return worst_window(residual_of(page), length, page.washout)


def residual_of(page: PredictionPage) -> np.ndarray:
    """Measurement less model; NaN where one of them is not finite."""
    is_known = np.isfinite(page.measured) & np.isfinite(page.predicted)
    return np.subtract(page.measured, page.predicted, out=np.full(len(is_known), np.nan), where=is_known)


def has_band(page: PredictionPage) -> bool:
    """Whether there is a band that can be drawn: a finite one."""
    return page.band is not None and bool(np.isfinite(page.band).all(axis=0).any())


def _band(axes: Axes, page: PredictionPage, time: np.ndarray, bins: int) -> None:
    """The band around the free run, as wide as the widest row of every bin."""
    if page.band is None or not has_band(page):
        return
    known = np.flatnonzero(np.isfinite(page.band).all(axis=0))
    starts = np.unique(np.linspace(0, len(known), min(bins, len(known)), endpoint=False).astype(int))
    low = np.minimum.reduceat(page.band[0, known], starts)
    high = np.maximum.reduceat(page.band[1, known], starts)
    axes.fill_between(time[known[starts]], low, high, color=Hue.BAND, linewidth=0, label="band")


def _overlay(axes: Axes, page: PredictionPage, time: np.ndarray, size: Size) -> None:
    _band(axes, page, time, size.bins)
    axes.plot(*envelope(time, page.measured, size.bins), color=Hue.MEASURED, linewidth=3.0, label="measured")
    axes.plot(
        *envelope(time, page.predicted, size.bins), color=Hue.MODEL, linewidth=1.3, label="model, free run"
    )
    _washout(axes, page, time, label="washout" if size.is_wide else None)
    axes.margins(x=0.0)
    axes.set_ylabel(page.output.label)
    legend_above(axes)


def _washout(axes: Axes, page: PredictionPage, time: np.ndarray, label: str | None = None) -> None:
    if page.washout:
        end = time[min(page.washout, len(time) - 1)]
        axes.axvspan(0.0, end, color=Hue.GRID, linewidth=0, label=label, zorder=0)
        axes.axvline(end, color=Hue.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))


def _limit_to(axes: Axes, values: np.ndarray) -> None:
    """The largest residual after the washout sets the scale, symmetric around zero."""
    finite = np.abs(values[np.isfinite(values)])
    if len(finite) and finite.max() > 0:
        axes.set_ylim(-1.15 * finite.max(), 1.15 * finite.max())


def _with_unit(word: str, page: PredictionPage) -> str:
    return f"{word} [{page.output.unit}]" if page.output.unit else word


_MOST_PANELS = 3


def residual_figure(page: ResidualPage, output: int, size: Size) -> Figure:
    """The auto-correlation of one output's residual, then its correlation with every input."""
    figure, grid = grid_of(size, 1 + len(page.inputs), 170 if size.is_wide else 140, _MOST_PANELS)
    found = page.analysis
    # Lag 0 is left out: there the auto-correlation is 1 by definition.
    correlation_panel(grid[0], found.auto_lags[1:], found.auto[output, 1:], found.auto_band)
    grid[0].set_title(f"residual {page.outputs[output].name} with itself")
    for axes, signal, values, band in zip(
        grid[1:], page.inputs, found.cross[output], found.cross_band[output], strict=False
    ):
        correlation_panel(axes, found.cross_lags, values, band)
        axes.set_title(f"with input {signal.name}")
    for axes in grid:
        axes.set(xlabel="lag [samples]", ylabel="correlation")
    return figure


def correlation_panel(axes: Axes, lags: np.ndarray, values: np.ndarray, band: float) -> None:
    """Bars at every lag over the band of chance; bars that leave the band are coloured."""
    is_outside = np.abs(values) > band
    axes.axhspan(-band, band, color=Hue.BAND, linewidth=0)
    axes.axhline(0.0, color=Hue.MUTED, linewidth=0.8)
    for chosen, colour in ((~is_outside, Hue.MEASURED), (is_outside, Hue.ALERT)):
        x, y = lags[chosen], values[chosen]
        axes.plot(
            *segments(x, np.column_stack([np.zeros(len(x)), y])),
            color=colour,
            linewidth=3.0,
            solid_capstyle="butt",
        )
    finite = values[np.isfinite(values)]
    axes.set_ylim(1.15 * finite.min(initial=-1.6 * band), 1.15 * finite.max(initial=1.6 * band))


_MOST_POINTS = 1500
_COLUMNS = 2


def steady_state_figure(page: SteadyStatePage, size: Size) -> Figure:
    """One panel per output: dots for the training data, a line for the model at rest."""
    figure, grid = grid_of(size, len(page.outputs), 240 if size.is_wide else 200, _COLUMNS)
    thin = slice(None, None, max(1, -(-len(page.cloud_inputs) * len(page.outputs) // _MOST_POINTS)))
    for number, (signal, axes) in enumerate(zip(page.outputs, grid, strict=True)):
        x, y = page.cloud_inputs[thin], page.cloud_outputs[thin, number]
        axes.plot(
            *segments(x, np.column_stack([y, y])),
            color=Hue.MEASURED,
            linewidth=3.4,
            solid_capstyle="round",
            alpha=0.7,
            label="data",
        )
        axes.plot(
            page.levels, page.equilibria[:, number], color=Hue.MODEL, linewidth=2.2, label="model at rest"
        )
        axes.set(xlabel=page.input.label, ylabel=signal.label)
    legend_above(grid[0])
    return figure


# Early FIT values are far below zero; they would flatten the part that matters.
_SHOWN_BELOW_BEST = 30.0


def training_figure(page: TrainingPage, size: Size) -> Figure:
    """Left: loss on the training windows, logarithmic. Right: FIT of the free run on validation data."""
    figure, (left, right) = grid_of(size, 2, 210 if size.is_wide else 170, 2)
    powers_of_ten(left, "y")
    for number, run in enumerate(sorted(page.runs, key=lambda run: run.seed == page.chosen_seed)):
        look = replica_style(run.seed, page.chosen_seed, number == 0, "seed")
        loss = np.where(run.training_loss > 0, run.training_loss, np.nan)
        left.plot(*envelope(run.loss_steps, loss, size.bins // 2), **look)
        right.plot(*envelope(run.validation_steps, run.validation_fit, size.bins // 2), **look)
    left.set(xlabel="optimiser step", ylabel="training loss [scaled units²]")
    right.set(xlabel="optimiser step", ylabel="validation FIT [%]")
    _mark_choice(right, page)
    legend_above(left)
    return figure


def _mark_choice(axes: Axes, page: TrainingPage) -> None:
    """A dot on the checkpoint that was kept, and a scale that shows the neighbourhood of the best."""
    every = np.concatenate([run.validation_fit for run in page.runs] or [np.empty(0)])
    finite = every[np.isfinite(every)]
    if not len(finite):
        return
    best = finite.max()
    low = max(finite.min(), best - _SHOWN_BELOW_BEST)
    margin = max(0.06 * (best - low), 0.1)
    axes.set_ylim(low - margin, best + 3 * margin)
    for run in page.runs:
        if run.seed == page.chosen_seed and len(run.validation_steps):
            at = int(np.argmin(np.abs(run.validation_steps - page.chosen_step)))
            value = float(run.validation_fit[at])
            mark_point(axes, float(run.validation_steps[at]), value, f"{value:.1f} %", "right")


def worst_window(errors: Float[np.ndarray, " time"], length: int, start: int = 0) -> tuple[int, int]:
    """First and last row (exclusive) of the window with the largest sum of squared errors.

    Args:
        errors: measured less predicted; what is not finite counts as zero.
        length: of the window, in rows.
        start: rows before it are not considered.

    Returns:
        Both ends; the whole series where it is shorter than the window.
    """
    squares = np.where(np.isfinite(errors), errors, 0.0)[start:] ** 2
    if len(squares) <= length:
        return start, len(errors)
    total = np.concatenate([[0.0], np.cumsum(squares)])
    first = start + int(np.argmax(total[length:] - total[:-length]))
    return first, first + length
