"""What results of mean-field theory and of scans look like in one pair of axes."""

import numpy as np
from matplotlib.axes import Axes

from attractor.report.style import Hue

from .mean_field.correlators import CorrelatorSolution
from .mean_field.mean_field_solution import MeanFieldSolution
from .phase.critical_lines import TheoryLine
from .phase.diagram import HysteresisScan


def draw_correlators(solution: CorrelatorSolution, axes: Axes) -> None:
    """Correlation functions over the lag: they stay up at a fixed point, and fall in chaos."""
    for values, colour, name in (
        (solution.state, Hue.MODEL, "state"),
        (solution.activity, Hue.TEST, "activity"),
    ):
        axes.plot(solution.lags, values, color=colour, label=name)
    axes.set(xlabel="lag", ylabel="correlation")
    axes.legend()


def draw_solution(solution: MeanFieldSolution, axes: Axes) -> None:
    """Its correlation functions."""
    draw_correlators(solution.correlators, axes)


def draw_hysteresis(scan: HysteresisScan, axes: Axes) -> None:
    """Exponents of all seeds, on the way up and on the way down."""
    for exponents, colour, name in zip(scan.exponent, (Hue.MODEL, Hue.TEST), ("up", "down"), strict=True):
        axes.plot(scan.axis.values, exponents.T, ".-", color=colour, linewidth=1.0)
        axes.plot([], [], color=colour, label=f"on the way {name}")
    axes.axhline(0.0, color=Hue.INK, linewidth=0.8)
    axes.set(xlabel=scan.axis.label, ylabel="exponent")
    axes.legend()


def draw_line(line: TheoryLine, axes: Axes) -> None:
    """A critical line in the plane of its parameters."""
    axes.plot(np.asarray(line.x), np.asarray(line.y), color=Hue.INK, label=line.label)
    axes.legend()
