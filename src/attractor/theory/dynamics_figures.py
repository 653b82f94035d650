"""Figures of the dynamics of a network: exponents, the principal plane, eigenvalues, time scales."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.dynamics import FixedPoints, LyapunovSpectrum, Portrait
from attractor.dynamics.dynamics_pictures import (
    draw_exponents,
    draw_plane,
    draw_points_of,
    draw_unit_circle,
    finite_exponents,
)
from attractor.report.style import Hue, Size, legend_above, panels, powers_of_ten
from attractor.theory import DynamicsStudy, SpectralCurve
from attractor.theory.mean_field.correlators import CorrelatorSolution
from attractor.theory.mean_field.mean_field_solution import MeanFieldSolution
from attractor.theory.phase.critical_lines import TheoryLine
from attractor.theory.phase.hysteresis import HysteresisScan
from attractor.theory.regimes.regime_position import NetworkPosition

FEWEST = 30
"""States below which a network is not compared with a large random one."""


def exponents_figure(
    driven: LyapunovSpectrum, resting: LyapunovSpectrum | None, bound: float | None, size: Size
) -> Figure:
    """Exponents a step with their 95 % intervals, and what a certificate proves about the largest."""
    figure, (axes,) = panels(size, [260 if size.is_wide else 220])
    if resting is not None:
        values = finite_exponents(resting)
        axes.plot(
            np.arange(1, len(values) + 1),
            values,
            color=Hue.MEASURED,
            marker="o",
            markersize=3,
            linewidth=1,
            label="inputs held",
        )
    draw_exponents(driven, axes)
    if bound is not None and np.isfinite(bound):
        axes.axhline(bound, color=Hue.ALERT, linewidth=1.4, linestyle="--", label="proved bound")
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


def portrait_figure(plane: Portrait, points: FixedPoints, size: Size) -> Figure:
    """The path in its principal plane, the drift with the input held, and the fixed points."""
    figure, (axes,) = panels(size, [420 if size.is_wide else 300])
    draw_plane(plane, axes, 0.9 if size.is_wide else 0.6)
    draw_points_of(plane, points, axes)
    legend_above(axes, 5 if size.is_wide else 2)
    return figure


def draw_study(study: DynamicsStudy, axes: Axes) -> None:
    """The path of a study in its principal plane, with the fixed points."""
    draw_plane(study.plane, axes)
    draw_points_of(study.plane, study.points, axes)
    axes.legend()


def is_large(curve: SpectralCurve) -> bool:
    """Whether a network has so many units that the boundary of a large random one says something."""
    return len(curve.levels) >= FEWEST


def eigenvalue_figure(curve: SpectralCurve, size: Size) -> Figure:
    """Eigenvalues at one state, the boundary of a random network with the same units, and the unit circle."""
    figure, (axes,) = panels(size, [420 if size.is_wide else 300])
    draw_curve(curve, axes)
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


def draw_curve(curve: SpectralCurve, axes: Axes) -> None:
    """The same in any axes."""
    if not curve.spectrum.continuous:
        draw_unit_circle(axes)
    for index, line in enumerate(curve.boundary.curves if is_large(curve) else ()):
        label = "random network" if index == 0 else None
        axes.fill(
            np.real(line), np.imag(line), facecolor=Hue.BAND, edgecolor=Hue.MODEL, linewidth=1.4, label=label
        )
    values = curve.spectrum.values[0]
    axes.scatter(np.real(values), np.imag(values), s=9, color=Hue.MEASURED, zorder=2, label="eigenvalues")
    far = np.array([outlier.value for outlier in curve.outliers])
    if len(far):
        axes.scatter(
            np.real(far), np.imag(far), s=40, marker="X", color=Hue.ALERT, zorder=3, label="outliers"
        )
    axes.set(xlabel="real part", ylabel="imaginary part", aspect="equal", adjustable="datalim")


def position_figure(network: NetworkPosition, size: Size) -> Figure:
    """The network in the plane of its gains, and the lines of theory where it has a reset gate."""
    figure, (axes,) = panels(size, [300 if size.is_wide else 250])
    gain, height = network.position.modes.gain, network.position.parameters.reset_gain or 0.0
    lines = network.lines
    if lines is None:
        axes.axvline(
            network.position.modes.edge_gain, color=Hue.INK, linewidth=1.6, label="zero loses stability"
        )
    else:
        axes.plot(lines.zero, lines.reset_gains, color=Hue.INK, linewidth=1.6, label="zero loses stability")
        axes.plot(lines.fold, lines.reset_gains, color=Hue.MUTED, linestyle=":", label="fixed points appear")
        axes.plot(lines.chaos, lines.reset_gains, color=Hue.TEST, linestyle="--", label="chaos appears")
    axes.scatter([gain], [height], marker="*", s=160, color=Hue.ALERT, zorder=3, label="this network")
    axes.set(xlabel="gain of the candidate", ylabel="gain of the reset gate")
    axes.set_xlim(left=0.0)
    if lines is None:
        axes.set(ylabel="", yticks=[])
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


def time_scale_figure(scales: Float[np.ndarray, "..."], unit: str, size: Size) -> Figure:
    """How many modes forget in which time, over the states of a path."""
    figure, (axes,) = panels(size, [200])
    powers_of_ten(axes, "x")
    known = scales[np.isfinite(scales) & (scales > 0)]
    share = np.full(len(known), 1.0 / max(scales.size, 1))
    edges = np.geomspace(known.min() * 0.99, known.max() * 1.01, 40) if len(known) else [0.1, 1.0]
    axes.hist(known, bins=edges, weights=share, color=Hue.MODEL)
    axes.set(xlabel=f"time to fall by a factor e [{unit}]", ylabel="share of modes")
    return figure


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
