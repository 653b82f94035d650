"""The page of robustness curves: accuracy under perturbations of every strength."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile
from attractor.report.style import Hue, Size, grid_of

from .loss_curvature import WeightCurvature
from .robustness import RobustnessCurve, RobustnessCurves

_COLUMNS = 3
_CALM = 0.05


def curves_page(curves: RobustnessCurves, about: About) -> Page:
    """What the page says of curves alone; a study of a classifier says more.

    Args:
        curves: of `robustness_curves`.
        about: what was disturbed.
    """
    lowest = min(float(curve.mean.min()) for curve in curves.curves)
    return Page(
        kind="Robustness curves",
        verdict=(
            f"Right in {100 * curves.clean:.1f} % of {curves.cases} cases as they are, and in "
            f"{100 * lowest:.1f} % under the worst perturbation."
        ),
        tone="good" if curves.clean - lowest < _CALM else "fair",
        meaning="The flatter the curves, the less it matters that inputs are worse than in training.",
        steps=(Step("Train a classifier that noise hurts less:", "attractor classify ... --noise 0.05"),),
        tiles=(
            Tile("Clean accuracy", f"{100 * curves.clean:.1f}", "%", f"{curves.cases} cases"),
            Tile("Lowest", f"{100 * lowest:.1f}", "%", "over all perturbations and levels"),
        ),
        sections=(curves_section(curves),),
    )


def curves_section(curves: RobustnessCurves, remarks: Sequence[str] = ()) -> Section:
    """Accuracy under every perturbation, in figures and numbers.

    Args:
        curves: of `robustness_curves`.
        remarks: what to know about them.
    """
    figure = PageFigure(
        name="curves",
        title="Accuracy under perturbations",
        caption=(
            f"The line is the mean of {len(curves.seeds)} draws, the band one standard deviation over them; "
            "the dotted line is the accuracy without a perturbation. The flatter, the more robust. "
            + " ".join(remarks)
        ),
        plot=lambda size: curves_figure(curves, size),
    )
    accuracies = PageTable(
        "In numbers",
        ("perturbation", "level", "mean accuracy", "standard deviation"),
        tuple(row for curve in curves.curves for row in _rows(curve)),
    )
    meanings = PageTable(
        "What a level is", ("perturbation", "level"), tuple((one.name, one.meaning) for one in curves.curves)
    )
    lead = "Each panel disturbs the inputs of the same test cases in one way, stronger to the right."
    return Section("curves", "Perturbations", lead, (figure,), (meanings, accuracies))


def _rows(curve: RobustnessCurve) -> list[tuple[str, ...]]:
    spreads = [None] * len(curve.levels) if curve.standard_deviation is None else curve.standard_deviation
    return [
        (curve.name, f"{level:g}", f"{mean:.4f}", "—" if spread is None else f"{spread:.4f}")
        for level, mean, spread in zip(curve.levels, curve.mean, spreads, strict=True)
    ]


def curves_figure(curves: RobustnessCurves, size: Size) -> Figure:
    """One panel a perturbation, on one vertical scale: mean and spread over the draws."""
    figure, grid = grid_of(size, len(curves.curves), 140 if size.is_wide else 120, _COLUMNS)
    lowest = min(float((curve.mean - _spread(curve)).min()) for curve in curves.curves)
    low = max(min(lowest, curves.clean) - 0.04, -0.02)
    for axes, curve in zip(grid, curves.curves, strict=True):
        draw_curve(curve, axes, curves.clean)
        axes.set(title=curve.name, ylim=(low, 1.03))
    return figure


def draw_curve(curve: RobustnessCurve, axes: Axes, clean: float | None = None) -> None:
    """Mean and spread over the draws at every level.

    Args:
        curve: of one perturbation.
        axes: to draw into.
        clean: accuracy without a perturbation, if it is to be shown.
    """
    levels, mean, spread = np.array(curve.levels, float), curve.mean, _spread(curve)
    if clean is not None:
        levels, mean, spread = np.append(0.0, levels), np.append(clean, mean), np.append(0.0, spread)
        axes.axhline(clean, color=Hue.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.fill_between(levels, mean - spread, mean + spread, color=Hue.BAND, linewidth=0)
    axes.plot(levels, mean, "o-", color=Hue.MODEL, linewidth=1.8, markersize=4)
    axes.set(xlabel=level_label(curve), ylabel="accuracy")


def draw_curves(curves: RobustnessCurves, axes: Axes) -> None:
    """All means in one picture; the levels of each perturbation are shares of its largest."""
    for curve in curves.curves:
        levels = np.append(0.0, np.array(curve.levels, float) / (max(curve.levels) or 1.0))
        axes.plot(levels, np.append(curves.clean, curve.mean), "o-", markersize=3, label=curve.name)
    axes.axhline(curves.clean, color=Hue.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set(xlabel="level, share of the largest", ylabel="accuracy")
    if curves.curves:
        axes.legend(fontsize="small", ncols=2)


def draw_curvature(curvature: WeightCurvature, axes: Axes) -> None:
    """The largest eigenvalues of the Hessian with their errors."""
    ranks = np.arange(1, len(curvature.largest) + 1)
    axes.errorbar(ranks, curvature.largest, curvature.errors, fmt="o", color=Hue.MODEL, capsize=3)
    axes.set(xlabel="direction", ylabel="curvature of the loss", xticks=ranks)


def _spread(curve: RobustnessCurve) -> np.ndarray:
    return np.zeros(len(curve.levels)) if curve.standard_deviation is None else curve.standard_deviation


def level_label(curve: RobustnessCurve) -> str:
    """The label of the axis of the levels."""
    return {
        "unit of the inputs": "level [scaled]",
        "probability": "probability",
        "steps": "level [steps]",
    }.get(curve.unit, f"level [{curve.unit}]")
