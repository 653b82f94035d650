"""The steady-state map: where the model comes to rest, against where the data have been."""

import numpy as np
from matplotlib.figure import Figure

from attractor.report.contents import SteadyStatePage
from attractor.report.layout import grid_of
from attractor.report.style import MEASURED, MODEL, Size, legend_above

_MOST_POINTS = 1500
_COLUMNS = 2


def steady_state_figure(page: SteadyStatePage, size: Size) -> Figure:
    """One panel per output: dots for the training data, a line for the model at rest."""
    figure, grid = grid_of(size, len(page.outputs), 240 if size.is_wide else 200, _COLUMNS)
    thin = slice(None, None, max(1, -(-len(page.cloud_inputs) * len(page.outputs) // _MOST_POINTS)))
    for number, (signal, axes) in enumerate(zip(page.outputs, grid, strict=True)):
        x, y = page.cloud_inputs[thin], page.cloud_outputs[thin, number]
        axes.plot(
            *_dots(x, y), color=MEASURED, linewidth=3.4, solid_capstyle="round", alpha=0.7, label="data"
        )
        axes.plot(page.levels, page.equilibria[:, number], color=MODEL, linewidth=2.2, label="model at rest")
        axes.set(xlabel=page.input.label, ylabel=signal.label)
    legend_above(grid[0])
    return figure


def _dots(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points as segments of no length: one path with round ends instead of one element per dot."""
    gap = np.full(len(x), np.nan)
    return np.column_stack([x, x, gap]).ravel(), np.column_stack([y, y, gap]).ravel()
