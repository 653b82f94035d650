"""Residual analysis: what a correlation plot shows of the dynamics a model has missed."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.report.contents import ResidualPage
from attractor.report.layout import grid_of
from attractor.report.style import ALERT, BAND, MEASURED, MUTED, Size

_COLUMNS = 3


def residual_figure(page: ResidualPage, output: int, size: Size) -> Figure:
    """The auto-correlation of one output's residual, then its correlation with every input."""
    figure, grid = grid_of(size, 1 + len(page.inputs), 170 if size.is_wide else 140, _COLUMNS)
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
    axes.axhspan(-band, band, color=BAND, linewidth=0)
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    for chosen, colour in ((~is_outside, MEASURED), (is_outside, ALERT)):
        x, y = lags[chosen], values[chosen]
        # One path with gaps instead of one element per bar keeps the page small.
        feet = np.column_stack([np.zeros(len(x)), y, np.full(len(x), np.nan)]).ravel()
        axes.plot(np.repeat(x, 3), feet, color=colour, linewidth=3.0, solid_capstyle="butt")
    finite = values[np.isfinite(values)]
    axes.set_ylim(1.15 * finite.min(initial=-1.6 * band), 1.15 * finite.max(initial=1.6 * band))
