"""Figures of an audit: accuracy under perturbations, fragility over time, margins."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attractor.audit import RobustnessCurve, RobustnessCurves
from attractor.classification.robustness_study import Fragility
from attractor.report.layout import grid_of, panels
from attractor.report.style import (
    ALERT,
    BAND,
    MEASURED,
    MODEL,
    MUTED,
    TEST,
    Size,
    legend_above,
    powers_of_ten,
)

from .cases import draw_variables

_COLUMNS = 3
_BINS = 40


def curves_figure(curves: RobustnessCurves, size: Size) -> Figure:
    """One panel a perturbation, on one vertical scale: mean and spread over the draws."""
    figure, grid = grid_of(size, len(curves.curves), 140 if size.is_wide else 120, _COLUMNS)
    lowest = min(float((curve.mean - _spread(curve)).min()) for curve in curves.curves)
    low = max(min(lowest, curves.clean) - 0.04, -0.02)
    for axes, curve in zip(grid, curves.curves, strict=True):
        levels = np.array([0.0, *curve.levels])
        mean, spread = np.append(curves.clean, curve.mean), np.append(0.0, _spread(curve))
        axes.fill_between(levels, mean - spread, mean + spread, color=BAND, linewidth=0)
        axes.plot(levels, mean, "o-", color=MODEL, linewidth=1.8, markersize=4)
        axes.axhline(curves.clean, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set(title=curve.name, xlabel=level_label(curve), ylabel="accuracy", ylim=(low, 1.03))
    return figure


def fragility_figure(fragility: Fragility, size: Size) -> Figure:
    """Above: an example. Below: how sharply the loss bends in the state after every step."""
    figure, (top, bottom) = panels(size, (150, 150))
    draw_variables(top, fragility.values, size.bins)
    length = len(fragility.values)
    steps = np.arange(length + 1)
    own = fragility.trace[fragility.example, : length + 1]
    with np.errstate(all="ignore"):
        typical = np.nanmedian(fragility.trace[:, : length + 1], axis=0)
    if min(own.min(), typical.min()) > 0:
        powers_of_ten(bottom, "y")
    bottom.plot(steps, typical, color=MEASURED, linewidth=2.6, label="median of the cases")
    bottom.plot(steps, own, color=MODEL, linewidth=1.8, label="this case, trace")
    largest = fragility.largest[fragility.example, : length + 1]
    bottom.plot(
        steps, largest, color=TEST, linewidth=1.2, label="largest eigenvalue" if size.is_wide else "largest"
    )
    top.set(ylabel="scaled", xlabel="step", xlim=(0, length))
    bottom.set(ylabel="curvature", xlabel="step")
    bottom.set_xlim(0, length)
    for axes in (top, bottom):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(bottom)
    return figure


def margins_figure(margins: Float[np.ndarray, " cases"], size: Size) -> Figure:
    """How clear the decisions are; cases on the left of zero are classified wrongly."""
    figure, (axes,) = panels(size, [170])
    edges = _edges_with_zero(margins)
    for chosen, colour, label in ((margins > 0, MODEL, "right"), (margins <= 0, ALERT, "wrong")):
        if chosen.any():
            axes.hist(margins[chosen], bins=list(edges), color=colour, label=label)
    axes.axvline(0.0, color=MUTED, linewidth=1.0)
    axes.set(xlabel="score of the true class less the best other", ylabel="cases")
    legend_above(axes)
    return figure


def _spread(curve: RobustnessCurve) -> np.ndarray:
    return np.zeros(len(curve.levels)) if curve.standard_deviation is None else curve.standard_deviation


def level_label(curve: RobustnessCurve) -> str:
    """The label of the axis of the levels."""
    return {
        "unit of the inputs": "level [scaled]",
        "probability": "probability",
        "steps": "level [steps]",
    }.get(curve.unit, f"level [{curve.unit}]")


def _edges_with_zero(values: np.ndarray) -> np.ndarray:
    """Edges of bins of which zero is one, so that no bin holds right and wrong cases."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    width = (high - low) / _BINS or 1.0
    return width * np.arange(np.floor(low / width), np.ceil(high / width) + 1)
