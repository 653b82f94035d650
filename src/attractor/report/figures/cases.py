"""Series of single cases, side by side."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attractor.report.layout import grid_of
from attractor.report.series import envelope
from attractor.report.style import ALERT, MEASURED, MODEL, MUTED, TEST, VALIDATION, Size

_COLOURS = (MODEL, TEST, VALIDATION, ALERT, MUTED)
_COLUMNS = 3


class DrawnCase(NamedTuple):
    """A series with what stands above it.

    Args:
        title: short.
        values: scaled, shape (time, variables); NaN is missing.
    """

    title: str
    values: Float[np.ndarray, "time variables"]


def cases_figure(cases: Sequence[DrawnCase], size: Size) -> Figure:
    """One panel a case, on one vertical scale."""
    figure, grid = grid_of(size, len(cases), 120 if size.is_wide else 110, _COLUMNS)
    finite = np.concatenate([one.values[np.isfinite(one.values)] for one in cases] or [np.zeros(1)])
    low, high = np.percentile(finite, (0.2, 99.8)) if len(finite) else (-1.0, 1.0)
    margin = 0.06 * (high - low) or 1.0
    for axes, case in zip(grid, cases, strict=True):
        draw_variables(axes, case.values, size.bins // 3)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set(title=case.title, xlabel="step", ylabel="scaled", ylim=(low - margin, high + margin))
    return figure


def draw_variables(axes: Axes, values: Float[np.ndarray, "time variables"], bins: int) -> None:
    """All variables of a series as lines; the first five have colours of their own.

    Args:
        axes: where.
        values: NaN leaves a gap.
        bins: of an envelope, where the series is long.
    """
    steps = np.arange(len(values), dtype=float)
    for variable in reversed(range(values.shape[1])):
        own = variable < len(_COLOURS)
        colour, width = (_COLOURS[variable], 1.3) if own else (MEASURED, 0.9)
        axes.plot(*envelope(steps, values[:, variable], bins), color=colour, linewidth=width)
        alone = _alone(values[:, variable])
        if len(alone):
            axes.plot(steps[alone], values[alone, variable], ".", color=colour, markersize=3)
    axes.margins(x=0.02)


def _alone(values: np.ndarray) -> np.ndarray:
    """Places of values between two missing ones, which no line would show."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])
