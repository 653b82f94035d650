"""Figures of groups of variables: what they contribute and how long they remember."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.report.layout import grid_of, panels
from attractor.report.style import INK, MODEL, MUTED, TEST, Size, powers_of_ten

from .class_scores import segments

_ROW = 40


def shares_figure(
    shares: Mapping[str, float | int],
    errors: Mapping[str, float | int],
    drops: Mapping[str, float | int],
    size: Size,
) -> Figure:
    """Left: share of what the variables tell. Right: accuracy that is lost without the group."""
    names = list(shares)
    figure, (left, right) = grid_of(size, 2, _ROW * len(names) + 10, 2)
    values, spread = (100 * np.array([part[name] for name in names]) for part in (shares, errors))
    lost = 100 * np.array([drops[name] for name in names])
    places = np.arange(len(names), dtype=float)
    left.barh(places, values, height=0.36, color=MODEL)
    if spread.any():
        ends = np.column_stack([values - spread, values + spread])
        left.plot(*segments(places, ends, upright=False), color=INK, linewidth=1.2)
    right.barh(places, lost, height=0.36, color=TEST)
    left.set(xlabel="share of the information [%]")
    right.set(xlabel="accuracy lost without it [points]")
    for axes in (left, right):
        axes.axvline(0.0, color=MUTED, linewidth=0.8)
        _names_above(axes, names)
    return figure


def time_scales_figure(scales: Mapping[str, Sequence[float | int]], size: Size) -> Figure:
    """For every group the range of its time scales: 80 % of them thin, half of them thick, the median."""
    names = [name for name, row in scales.items() if np.isfinite(row).all()]
    figure, (axes,) = panels(size, [_ROW * max(len(names), 1) + 10])
    powers_of_ten(axes, "x")
    rows = np.array([scales[name] for name in names], float).reshape(len(names), 5)
    places = np.arange(len(names), dtype=float)
    axes.plot(*segments(places, rows[:, [0, 4]], upright=False), color=MODEL, linewidth=1.4)
    axes.plot(
        *segments(places, rows[:, [1, 3]], upright=False), color=MODEL, linewidth=5, solid_capstyle="butt"
    )
    axes.plot(rows[:, 2], places, "o", color=TEST, markersize=7)
    axes.xaxis.set_major_formatter("{x:g}")
    if rows.size and rows.max() < 100 * rows.min():
        axes.xaxis.set_minor_formatter("{x:g}")
    axes.set(xlabel="time scale [steps]")
    _names_above(axes, names)
    return figure


def _names_above(axes: Axes, names: Sequence[str]) -> None:
    """The name of a row above its bar, where long names have room."""
    axes.set(ylim=(len(names) - 0.45, -0.75), yticks=[])
    for place, name in enumerate(names):
        axes.text(
            0.0, place - 0.3, name, color=INK, ha="left", va="bottom", transform=axes.get_yaxis_transform()
        )
