"""Prediction against measurement: the whole experiment, and its worst stretch in close-up."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.report.contents import PredictionPage
from attractor.report.layout import panels
from attractor.report.series import envelope, time_axis, worst_window
from attractor.report.style import BAND, GRID, MEASURED, MODEL, MUTED, Size, legend_above

_CLOSEUP_SHARE = 0.1
_CLOSEUP_ROWS = 150


def prediction_figure(page: PredictionPage, size: Size) -> Figure:
    """The whole experiment: both lines, and below them what lies between."""
    figure, (top, bottom) = panels(size, (250, 80) if size.is_wide else (220, 70), share=True)
    time, label = time_axis(len(page.measured), page.sampling_time)
    _overlay(top, page, time, size)
    residual = residual_of(page)
    bottom.axhspan(-2 * page.rmse, 2 * page.rmse, color=BAND, linewidth=0)
    bottom.plot(*envelope(time, residual, size.bins), color=MUTED, linewidth=1.0)
    _washout(bottom, page, time)
    bottom.margins(x=0.0)
    _limit_to(bottom, residual[page.washout :])
    bottom.set(ylabel=_with_unit("residual", page), xlabel=label)
    return figure


def closeup_figure(page: PredictionPage, size: Size) -> Figure:
    """The stretch, a tenth of the experiment, in which the model errs most."""
    figure, (axes,) = panels(size, [190])
    time, label = time_axis(len(page.measured), page.sampling_time)
    first, last = closeup_rows(page)
    rows = slice(first, last)
    axes.plot(*envelope(time[rows], page.measured[rows], size.bins), color=MEASURED, linewidth=3.5)
    axes.plot(*envelope(time[rows], page.predicted[rows], size.bins), color=MODEL, linewidth=1.6)
    axes.set(xlabel=label, ylabel=page.output.label)
    axes.margins(x=0.0)
    return figure


def closeup_rows(page: PredictionPage) -> tuple[int, int]:
    """Which rows the close-up shows."""
    length = max(_CLOSEUP_ROWS, int(_CLOSEUP_SHARE * len(page.measured)))
    return worst_window(residual_of(page), length, page.washout)


def residual_of(page: PredictionPage) -> np.ndarray:
    """Measurement less model; NaN where one of them is not finite."""
    is_known = np.isfinite(page.measured) & np.isfinite(page.predicted)
    return np.subtract(page.measured, page.predicted, out=np.full(len(is_known), np.nan), where=is_known)


def _overlay(axes: Axes, page: PredictionPage, time: np.ndarray, size: Size) -> None:
    axes.plot(*envelope(time, page.measured, size.bins), color=MEASURED, linewidth=3.0, label="measured")
    axes.plot(*envelope(time, page.predicted, size.bins), color=MODEL, linewidth=1.3, label="model, free run")
    _washout(axes, page, time, label="washout" if size.is_wide else None)
    axes.margins(x=0.0)
    axes.set_ylabel(page.output.label)
    legend_above(axes)


def _washout(axes: Axes, page: PredictionPage, time: np.ndarray, label: str | None = None) -> None:
    if page.washout:
        end = time[min(page.washout, len(time) - 1)]
        axes.axvspan(0.0, end, color=GRID, linewidth=0, label=label, zorder=0)
        axes.axvline(end, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))


def _limit_to(axes: Axes, values: np.ndarray) -> None:
    """The largest residual after the washout sets the scale, symmetric around zero."""
    finite = np.abs(values[np.isfinite(values)])
    if len(finite) and finite.max() > 0:
        axes.set_ylim(-1.15 * finite.max(), 1.15 * finite.max())


def _with_unit(word: str, page: PredictionPage) -> str:
    return f"{word} [{page.output.unit}]" if page.output.unit else word
