"""Figures of a phase diagram: outcomes with the lines of theory, exponents, relaxation times."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from attractor.report.layout import grid_of, panels
from attractor.report.style import ALERT, INK, MODEL, MUTED, TEST, VALIDATION, Size, power_label
from attractor.theory.phase import Outcome, PhaseDiagram, Placement

_LEGEND_ROW = 1.5
"""Of the font size."""
_BAR = 40.0
_HEIGHTS = (430, 270)
_FAINTEST = 0.1
_BANDS = 8

_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.44
_DIAMOND = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]]) * 0.26
_TRIANGLE = np.array([[-1, -0.8], [1, -0.8], [0, 1]]) * 0.44
_BAR_SHAPE = np.array([[-1, -0.22], [1, -0.22], [1, 0.22], [-1, 0.22]]) * 0.4
_TALL = _BAR_SHAPE[:, ::-1]

_LOOKS: dict[Outcome, tuple[np.ndarray, str, str, str]] = {
    Outcome.SETTLES: (_DIAMOND, MODEL, "D", "settles"),
    Outcome.CHAOTIC: (_SQUARE, TEST, "s", "chaotic"),
    Outcome.START_DECIDES: (_TRIANGLE, ALERT, "^", "the start decides"),
    Outcome.UNDECIDED: (_BAR_SHAPE, MUTED, "_", "undecided"),
    Outcome.DIVERGED: (_TALL, INK, "|", "diverged"),
}
"""Shape in units of a cell, colour, marker of the legend, and short name: shape alone tells them apart."""

_DASHES: dict[str, Any] = {"zero": "-", "fold": (0, (1.2, 1.6)), "chaos": (0, (5, 2)), "marginal": "-."}


def phase_figure(diagram: PhaseDiagram, marks: Sequence[Placement], size: Size) -> Figure:
    """A mark for every simulated point, the lines of theory, and where networks of the user sit."""
    figure, (axes,) = panels(size, [_HEIGHTS[not size.is_wide]])
    outcomes = diagram.outcomes
    handles = []
    for outcome, (shape, colour, marker, name) in _LOOKS.items():
        if np.any(outcomes == outcome):
            axes.add_patch(_marks(diagram, outcomes == outcome, shape, colour))
            handles.append(_marker(marker, colour, name))
    for line in diagram.theory.lines:
        axes.plot(line.x, line.y, color=INK, linewidth=1.8, linestyle=_DASHES[line.name])
        handles.append(
            Line2D([], [], color=INK, linewidth=1.8, linestyle=_DASHES[line.name], label=line.label)
        )
    if marks:
        places = [mark.x for mark in marks], [mark.y for mark in marks]
        axes.plot(*places, "*", color=VALIDATION, markeredgecolor=INK, markersize=15, linestyle="none")
        handles.append(_marker("*", VALIDATION, "marked network"))
    _frame(axes, diagram)
    _legend(figure, axes, handles, size)
    return figure


def _marks(diagram: PhaseDiagram, chosen: np.ndarray, shape: np.ndarray, colour: str) -> PathPatch:
    """One path of many closed shapes, which an SVG holds in a tenth of the room of as many markers."""
    plan = diagram.plan
    cell = np.array([plan.x.values[1] - plan.x.values[0], plan.y.values[1] - plan.y.values[0]])
    corners = plan.points[chosen.ravel()][:, None] + cell * np.vstack([shape, shape[:1]])
    codes = [Path.MOVETO, *[Path.LINETO] * (len(shape) - 1), Path.CLOSEPOLY]
    path = Path(corners.reshape(-1, 2), codes * len(corners))
    return PathPatch(path, facecolor=colour, linewidth=0)


def _marker(marker: str, colour: str, label: str) -> Line2D:
    return Line2D(
        [], [], marker=marker, color=colour, linestyle="none", markersize=7, markeredgewidth=2, label=label
    )


def _frame(axes: Axes, diagram: PhaseDiagram) -> None:
    plan = diagram.plan
    edges = [(axis.values[1] - axis.values[0]) / 2 for axis in (plan.x, plan.y)]
    axes.set(
        xlim=(plan.x.low - edges[0], plan.x.high + edges[0]),
        ylim=(plan.y.low - edges[1], plan.y.high + edges[1]),
        xlabel=plan.x.label,
        ylabel=plan.y.label,
    )
    axes.grid(visible=False)


def _legend(figure: Figure, axes: Axes, handles: list[Line2D], size: Size) -> None:
    """Above the panel, row by row, with as much room as it takes."""
    columns = 4 if size.is_wide else 2
    rows = -(-len(handles) // columns)
    _make_room_above(figure, _LEGEND_ROW * size.font * (rows - 1))
    # matplotlib fills columns first; a reader expects rows
    ordered = [handles[k] for column in range(columns) for k in range(column, len(handles), columns)]
    box = axes.get_position()
    axes.legend(
        handles=ordered,
        loc="lower left",
        bbox_to_anchor=(0.0 if size.is_wide else -box.x0 / box.width, 1.0),
        ncols=columns,
        labelcolor=MUTED,
        labelspacing=0.35,
    )


def _make_room_above(figure: Figure, pixels: float) -> None:
    width, height = figure.get_size_inches()
    taller = height + pixels / 72.0
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, box.y0 * height / taller, box.width, box.height * height / taller))
    figure.set_size_inches(width, taller)


def exponent_figure(diagram: PhaseDiagram, size: Size) -> Figure:
    """The largest exponent from both starts, in bands of colour."""
    figure, grid = grid_of(size, 2, _HEIGHTS[1], 2)
    finite = diagram.exponent[np.isfinite(diagram.exponent)]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 1.0)
    locator = MaxNLocator(_BANDS, steps=[1, 2, 5, 10])
    levels = np.asarray(locator.tick_values(min(ends[0], 0.0), max(ends[1], 0.0)))
    for axes, exponents, start in zip(grid, diagram.exponent, ("large", "small"), strict=True):
        _bands(axes, diagram, exponents, levels)
        axes.set_title(f"from the {start} start")
    _bar(figure, _shades(levels), [f"{level:g}" for level in levels], size)
    return figure


def relaxation_figure(diagram: PhaseDiagram, size: Size) -> Figure:
    """Relaxation times that theory gives, in bands of decades."""
    theory = diagram.theory
    figure, (axes,) = panels(size, [_HEIGHTS[not size.is_wide]])
    finite = theory.log_relaxation[np.isfinite(theory.log_relaxation)]
    low, high = np.floor(finite.min()), np.ceil(finite.max())
    decades = np.ceil(max(high - low, 1.0) / _BANDS)
    levels = np.arange(low, max(high, low + 1) + decades, decades)
    shades = _shades(levels - levels[0])
    values = np.ma.masked_invalid(theory.log_relaxation)
    axes.contourf(theory.map_x, theory.map_y, values, levels=levels, colors=shades)
    for line in theory.lines:
        axes.plot(line.x, line.y, color=INK, linewidth=1.8, linestyle=_DASHES[line.name])
    _frame(axes, diagram)
    _bar(figure, shades, [power_label(10.0 ** float(level)) for level in levels], size)
    return figure


def _bands(axes: Axes, diagram: PhaseDiagram, values: np.ndarray, levels: np.ndarray) -> None:
    plan = diagram.plan
    masked = np.ma.masked_invalid(values)
    axes.contourf(plan.x.values, plan.y.values, masked, levels=levels, colors=_shades(levels))
    for line in diagram.theory.lines:
        axes.plot(line.x, line.y, color=INK, linewidth=1.2, linestyle=_DASHES[line.name])
    _frame(axes, diagram)


def _shades(levels: np.ndarray) -> list[tuple[str, float]]:
    """Orange above zero and blue below, the stronger the farther."""
    middles = (levels[:-1] + levels[1:]) / 2
    farthest = np.abs(middles).max()
    strengths = 1 - (1 - _FAINTEST) * (1 - np.abs(middles) / farthest)
    return [(TEST if m > 0 else MODEL, float(s)) for m, s in zip(middles, strengths, strict=True)]


def _bar(figure: Figure, shades: Sequence[tuple[str, float]], labels: Sequence[str], size: Size) -> None:
    """The bands with their ends, above everything."""
    _make_room_above(figure, _BAR)
    left, top = figure.axes[0].get_position().x0, figure.get_figheight() * 72
    box = (left, 1 - 12 / top, (0.5 if size.is_wide else 0.94 - left), 11 / top)
    axes = figure.add_axes(box)
    for place, colour in enumerate(shades):
        axes.add_patch(Rectangle((place, 0), 1, 1, facecolor=colour, linewidth=0))
    every = 1 if size.is_wide else -(-len(labels) // 6)
    places = range(0, len(labels), every)
    axes.set_xticks(list(places), [labels[place] for place in places])
    axes.set(xlim=(0, len(shades)), ylim=(0, 1), yticks=[])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
