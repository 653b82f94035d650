"""Robustness curves of several networks in one figure."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from attractor.audit import RobustnessCurves
from attractor.report.layout import grid_of
from attractor.report.style import ALERT, BAND, INK, MEASURED, MODEL, MUTED, TEST, VALIDATION, Size

from .disturbances import level_label

_COLUMNS = 3
_COLOURS = (MODEL, ALERT, TEST, MEASURED, VALIDATION, INK)
_DASHES = ("-", "--", "-.", ":", (0, (1, 1)), (0, (5, 1)))


def compared_figure(networks: Mapping[str, RobustnessCurves], size: Size) -> Figure:
    """One panel a perturbation with a line for every network, on one vertical scale."""
    some = next(iter(networks.values()))
    figure, grid = grid_of(size, len(some.curves), 150 if size.is_wide else 130, _COLUMNS)
    lowest = min(float(curve.mean.min()) for one in networks.values() for curve in one.curves)
    for place, axes in enumerate(grid):
        for number, (name, curves) in enumerate(networks.items()):
            curve, look = curves.curves[place], number % len(_COLOURS)
            levels, mean = np.array([0.0, *curve.levels]), np.append(curves.clean, curve.mean)
            if number == 0 and curve.standard_deviation is not None:
                spread = np.append(0.0, curve.standard_deviation)
                axes.fill_between(levels, mean - spread, mean + spread, color=BAND, linewidth=0)
            axes.plot(levels, mean, color=_COLOURS[look], linestyle=_DASHES[look], linewidth=1.6, label=name)
        axes.set(
            title=some.curves[place].name,
            xlabel=level_label(some.curves[place]),
            ylabel="accuracy",
            ylim=(max(lowest - 0.04, -0.02), 1.03),
        )
    grid[0].legend(loc="best", labelcolor=MUTED)
    return figure
