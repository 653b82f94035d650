"""A page that holds robustness curves of several networks beside each other."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from attractor.audit import RobustnessCurve, RobustnessCurves
from attractor.audit.curves_page import level_label
from attractor.report.page import Page, PageFigure, PageTable, Section, Tile
from attractor.report.style import Hue, Size, grid_of

_CLEAR = 0.01
"""A gain in mean accuracy that is called good."""

Networks = Mapping[str, RobustnessCurves]
"""Curves by the name of the network; all of the same perturbations, levels and cases."""


def compared_contents(tasks: Mapping[str, Networks]) -> Page:
    """What the page shows.

    Args:
        tasks: for every task its networks, the one that the page is about first.
    """
    first = next(iter(tasks.values()))
    own = next(iter(first))
    gains = {name: _mean(first[own]) - _mean(curves) for name, curves in first.items() if name != own}
    best = min(gains, key=lambda name: gains[name])
    return Page(
        kind="Robustness",
        verdict=(
            f"{own}: {100 * _mean(first[own]):.1f} % right on average over all perturbations and levels, "
            f"{100 * gains[best]:+.1f} points against {best}, the best of the others."
        ),
        tone="good" if gains[best] >= _CLEAR else "fair",
        meaning="The higher the curve, the less the perturbations cost.",
        steps=(),
        tiles=tuple(
            Tile(name, f"{100 * _mean(curves):.1f}", "%", f"clean {100 * curves.clean:.1f} %")
            for name, curves in first.items()
        ),
        sections=tuple(
            _section(place, name, networks) for place, (name, networks) in enumerate(tasks.items())
        ),
    )


def _mean(curves: RobustnessCurves) -> float:
    """Accuracy over all perturbations, each with the same weight."""
    return float(np.mean([curve.mean.mean() for curve in curves.curves]))


def _section(place: int, name: str, networks: Networks) -> Section:
    some = next(iter(networks.values()))
    figure = PageFigure(
        name=f"curves-{place}",
        title="Accuracy under perturbations",
        caption=(
            f"The lines are means of {len(some.seeds)} trainings, the band is one deviation of the first "
            f"network. {some.cases} cases; the worst inputs (fgsm, pgd) were looked for on fewer where the "
            "line does not start at the clean accuracy."
        ),
        plot=lambda size: compared_figure(networks, size),
    )
    rows = tuple(
        (curve.name, f"{level:g}", *(_entry(one.curve(curve.name), at) for one in networks.values()))
        for curve in some.curves
        for at, level in enumerate(curve.levels)
    )
    clean = ("none", "", *(f"{100 * one.clean:.1f}" for one in networks.values()))
    table = PageTable("Accuracy, percent", ("perturbation", "level", *networks), (clean, *rows))
    meanings = tuple((curve.name, curve.meaning) for curve in some.curves)
    lead = "Each panel disturbs the same cases in one way, stronger to the right."
    levels = PageTable("What a level is", ("perturbation", "level"), meanings)
    return Section(f"task-{place}", name, lead, (figure,), (table, levels))


def _entry(curve: RobustnessCurve, level: int) -> str:
    spread = "" if curve.standard_deviation is None else f" ± {100 * curve.standard_deviation[level]:.1f}"
    return f"{100 * curve.mean[level]:.1f}{spread}"


_COLUMNS = 3
_COLOURS = (Hue.MODEL, Hue.ALERT, Hue.TEST, Hue.MEASURED, Hue.VALIDATION, Hue.INK)
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
                axes.fill_between(levels, mean - spread, mean + spread, color=Hue.BAND, linewidth=0)
            axes.plot(levels, mean, color=_COLOURS[look], linestyle=_DASHES[look], linewidth=1.6, label=name)
        axes.set(
            title=some.curves[place].name,
            xlabel=level_label(some.curves[place]),
            ylabel="accuracy",
            ylim=(max(lowest - 0.04, -0.02), 1.03),
        )
    grid[0].legend(loc="best", labelcolor=Hue.MUTED)
    return figure
