"""Figures of the dynamics of a network: exponents, the principal plane, eigenvalues, time scales."""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attractor.dynamics import FixedPoints, LyapunovSpectrum, PointKind, Portrait
from attractor.report.style import Hue, Size, legend_above, panels, powers_of_ten
from attractor.theory import SpectralCurve
from attractor.theory.regimes.regime_position import NetworkPosition

_LOOKS: dict[PointKind, tuple[str, str, str]] = {
    PointKind.ATTRACTING: ("o", Hue.MODEL, "attracting"),
    PointKind.SADDLE: ("X", Hue.ALERT, "saddle"),
    PointKind.REPELLING: ("s", Hue.TEST, "repelling"),
    PointKind.MARGINAL: ("D", Hue.VALIDATION, "marginal"),
}


FEWEST = 30
"""States below which a network is not compared with a large random one."""

_JUMP = 0.1
"""A step of this share of the width of a path is a jump, which no line should hide."""


def exponents_figure(
    driven: LyapunovSpectrum, resting: LyapunovSpectrum | None, bound: float | None, size: Size
) -> Figure:
    """Exponents a step with their 95 % intervals, and what a certificate proves about the largest."""
    figure, (axes,) = panels(size, [260 if size.is_wide else 220])
    if resting is not None:
        values = _finite(resting.per_step)
        axes.plot(
            _ranks(values),
            values,
            color=Hue.MEASURED,
            marker="o",
            markersize=3,
            linewidth=1,
            label="inputs held",
        )
    values = _finite(driven.per_step)
    low, high = driven.interval()[:, : len(values)]
    axes.fill_between(_ranks(values), low, high, color=Hue.BAND, linewidth=0, label="95 % interval")
    axes.plot(
        _ranks(values),
        values,
        color=Hue.MODEL,
        marker="o",
        markersize=4,
        linewidth=1.4,
        label="along the data",
    )
    axes.axhline(0.0, color=Hue.INK, linewidth=0.8)
    if bound is not None and np.isfinite(bound):
        axes.axhline(bound, color=Hue.ALERT, linewidth=1.4, linestyle="--", label="proved bound")
    axes.set(xlabel="exponent", ylabel="growth of logarithms a step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


def _finite(exponents: Float[np.ndarray, " count"]) -> Float[np.ndarray, " finite"]:
    return exponents[np.isfinite(exponents)]


def _ranks(values: np.ndarray) -> np.ndarray:
    return np.arange(1, len(values) + 1)


def portrait_figure(plane: Portrait, points: FixedPoints, size: Size) -> Figure:
    """The path in its principal plane, the drift with the input held, and the fixed points."""
    figure, (axes,) = panels(size, [420 if size.is_wide else 300])
    side = round(len(plane.grid) ** 0.5)
    x, y = (plane.grid[:, axis].reshape(side, side) for axis in (0, 1))
    u, v = (plane.drift[:, axis].reshape(side, side) for axis in (0, 1))
    axes.streamplot(
        x, y, u, v, color=Hue.MUTED, density=0.9 if size.is_wide else 0.6, linewidth=0.4, arrowsize=0.6
    )
    _draw_path(axes, plane.path)
    projected = plane.project(points.states)
    for kind, (marker, colour, name) in _LOOKS.items():
        chosen = [point for point, own in zip(projected, points.kinds, strict=True) if own is kind]
        if chosen:
            axes.scatter(*np.transpose(chosen), marker=marker, color=colour, s=46, zorder=3, label=name)
    axes.set(
        xlabel=f"first component ({100 * plane.shares[0]:.0f} % of the variance)",
        ylabel=_second(plane),
        xlim=(x.min(), x.max()),
        ylim=(y.min(), y.max()),
    )
    axes.grid(visible=False)
    legend_above(axes, 5 if size.is_wide else 2)
    return figure


def _draw_path(axes: Axes, path: Float[np.ndarray, "time 2"]) -> None:
    """A line where steps are short, dots where the state jumps to and fro."""
    width = np.ptp(path, axis=0).max()
    jumps = np.median(np.linalg.norm(np.diff(path, axis=0), axis=1)) > _JUMP * width
    look: dict[str, Any] = {"marker": ".", "markersize": 2, "linestyle": ""} if jumps else {"linewidth": 0.7}
    axes.plot(*path.T, color=Hue.VALIDATION, label="path under the data", **look)


def _second(plane: Portrait) -> str:
    return f"second ({100 * plane.shares[1]:.0f} %)" if len(plane.shares) > 1 else "second"


def is_large(curve: SpectralCurve) -> bool:
    """Whether a network has so many units that the boundary of a large random one says something."""
    return len(curve.levels) >= FEWEST


def eigenvalue_figure(curve: SpectralCurve, size: Size) -> Figure:
    """Eigenvalues at one state, the boundary of a random network with the same units, and the unit circle."""
    figure, (axes,) = panels(size, [420 if size.is_wide else 300])
    if not curve.spectrum.continuous:
        turn = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
        axes.plot(
            np.real(turn),
            np.imag(turn),
            color=Hue.MUTED,
            linewidth=0.9,
            linestyle=(0, (4, 3)),
            label="unit circle",
        )
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
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


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
