"""The data: every signal over time, how the input's range was used, and at which frequencies."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import welch

from attractor.data.record import Record, Signal
from attractor.report.contents import DataPage
from attractor.report.layout import grid_of, panels
from attractor.report.series import envelope, time_unit
from attractor.report.style import (
    GRID,
    MEASURED,
    MODEL,
    MUTED,
    TEST,
    VALIDATION,
    Size,
    legend_above,
    powers_of_ten,
)

COLOURS = {"training": MODEL, "validation": VALIDATION, "test": TEST}
MOST_SIGNALS = 8
_SEGMENT = 512


def signals_figure(page: DataPage, size: Size) -> Figure:
    """Inputs and outputs one above the other; the experiments follow each other, coloured by role."""
    signals = (page.training.inputs + page.training.outputs)[:MOST_SIGNALS]
    figure, rows = panels(size, [95] * len(signals), share=True)
    bins = size.bins * min(1.0, 2.5 / len(signals))
    total = sum(record.samples for record in page.roles.values())
    unit, length = time_unit(total * page.training.sampling_time)
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
            time = (start + np.arange(len(values))) * record.sampling_time / unit
            bins = max(2, int(bins_per_row * len(values)))
            label = role if number == 0 else None
            axes.plot(*envelope(time, values, bins), color=COLOURS[role], linewidth=1.1, label=label)
            start += len(values)
            axes.axvline(time[-1], color=GRID, linewidth=1.0)


def _histogram(axes: Axes, page: DataPage, column: int, signal: Signal) -> None:
    training, test = (_column(record, column) for record in (page.training, page.test))
    both = np.concatenate([training, test])
    if not len(both):
        return
    edges = np.linspace(both.min(), both.max() + 1e-9 * (1 + abs(both.max())), 31)
    axes.stairs(_share(training, edges), edges, fill=True, color=MEASURED, label="training")
    axes.stairs(_share(test, edges), edges, color=TEST, linewidth=1.6, label="test")
    axes.set(xlabel=signal.label, ylabel="share of samples [%]")


def _spectrum(axes: Axes, record: Record, column: int, signal: Signal) -> None:
    values = _column(record, column)
    if len(values) < 8 or np.ptp(values) == 0:
        axes.set(xlabel="frequency [Hz]", ylabel="power density")
        return
    segment = min(_SEGMENT, len(values))
    frequency, power = welch(values, 1.0 / record.sampling_time, nperseg=segment)
    powers_of_ten(axes, "x", "y")
    axes.plot(frequency[1:], np.maximum(power[1:], 1e-12 * power.max()), color=MODEL, linewidth=1.4)
    axes.set(xlabel="frequency [Hz]", ylabel=f"power density [{_squared(signal.unit)}/Hz]")
    axes.grid(which="minor", visible=False)
    axes.axvline(frequency[-1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))


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
