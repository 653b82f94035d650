"""Figures of a closed loop: what the outputs did, what the inputs did, and how long the solver took."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.control.predictive import ClosedLoop
from attractor.data.record import Signal
from attractor.report.layout import panels
from attractor.report.series import time_axis
from attractor.report.style import (
    ALERT,
    INK,
    MEASURED,
    MODEL,
    MUTED,
    TEST,
    Size,
    legend_above,
    powers_of_ten,
)

_BINS = 40


def output_figure(
    loop: ClosedLoop, other: ClosedLoop | None, index: int, signal: Signal, size: Size
) -> Figure:
    """One output over time with its reference; in grey the loop that it is compared with."""
    figure, (axes,) = panels(size, [220 if size.is_wide else 190])
    time, label = _time(loop)
    if other is not None:
        axes.plot(
            time,
            other.outputs[:, index],
            color=MEASURED,
            linewidth=2.2,
            label="without offset-free" if size.is_wide else "without",
        )
    axes.plot(time, loop.outputs[:, index], color=MODEL, linewidth=1.8, label="plant")
    axes.step(time, loop.references[:, index], where="post", color=INK, linewidth=1.0, label="reference")
    _disturbances(axes, loop, time, size)
    axes.set(xlabel=label, ylabel=signal.label)
    axes.margins(x=0.0)
    legend_above(axes)
    return figure


def input_figure(
    loop: ClosedLoop, limits: Float[np.ndarray, "2 inputs"], signals: tuple[Signal, ...], size: Size
) -> Figure:
    """All inputs over time, each with its limits."""
    figure, grid = panels(size, [130] * len(signals), share=len(signals) > 1)
    time, label = _time(loop)
    for index, (axes, signal) in enumerate(zip(grid, signals, strict=True)):
        axes.step(time, loop.inputs[:, index], where="post", color=MODEL, linewidth=1.6, label="applied")
        for number, end in enumerate(limits[:, index]):
            name = "limits" if number == 0 else None
            axes.axhline(end, color=ALERT, linewidth=1.0, linestyle=(0, (4, 3)), label=name)
        axes.set_ylabel(signal.label)
        axes.margins(x=0.0)
    grid[-1].set_xlabel(label)
    legend_above(grid[0])
    return figure


def solve_time_figure(loop: ClosedLoop, sampling_time: float, size: Size) -> Figure:
    """How long the solves took, on a logarithmic scale, against the time that there is."""
    figure, (axes,) = panels(size, [170])
    powers_of_ten(axes, "x")
    milliseconds = 1e3 * loop.solve_seconds
    edges = np.geomspace(milliseconds.min() * 0.9, max(milliseconds.max() * 1.1, milliseconds.min()), _BINS)
    axes.hist(milliseconds, bins=list(edges), color=MODEL)
    axes.axvline(1e3 * sampling_time, color=TEST, linewidth=1.6, label="sampling time")
    axes.axvline(float(np.median(milliseconds)), color=INK, linewidth=1.0, label="median")
    axes.set(xlabel="time of a solve [ms]", ylabel="samples")
    legend_above(axes)
    return figure


def _time(loop: ClosedLoop) -> tuple[np.ndarray, str]:
    interval = float(loop.times[1] - loop.times[0]) if len(loop.times) > 1 else 1.0
    return time_axis(len(loop.times), interval)


def _disturbances(axes: Axes, loop: ClosedLoop, time: np.ndarray, size: Size) -> None:
    """A dotted line wherever nature changes her mind."""
    changed = np.flatnonzero((np.diff(loop.disturbances, axis=0) != 0).any(axis=1)) + 1
    for number, row in enumerate(changed):
        name = "disturbance" if number == 0 and size.is_wide else None
        axes.axvline(time[row], color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)), label=name)
