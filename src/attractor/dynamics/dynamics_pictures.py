"""What results of this room look like in one pair of axes, on pages and in notebooks."""

from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attractor.report.style import Hue

from .equilibria.fixed_point_curve import Branch
from .equilibria.points import FixedPoints, PointKind
from .equilibria.search import FixedPointCount
from .jacobians import JacobianNorms, JacobianSpectrum
from .lyapunov.covariant import CovariantVectors
from .lyapunov.lyapunov_spectrum import LyapunovSpectrum
from .trajectory import Portrait

LOOKS: dict[PointKind, tuple[str, str, str]] = {
    PointKind.ATTRACTING: ("o", Hue.MODEL, "attracting"),
    PointKind.SADDLE: ("X", Hue.ALERT, "saddle"),
    PointKind.REPELLING: ("s", Hue.TEST, "repelling"),
    PointKind.MARGINAL: ("D", Hue.VALIDATION, "marginal"),
}
"""Marker, colour and name of every kind of fixed point."""

_JUMP = 0.1
"""A step of this share of the width of a path is a jump, which no line should hide."""


def draw_exponents(spectrum: LyapunovSpectrum, axes: Axes) -> None:
    """Exponents a step with their 95 % intervals."""
    values = finite_exponents(spectrum)
    low, high = spectrum.interval()[:, : len(values)]
    ranks = np.arange(1, len(values) + 1)
    # One exponent has no width to fill.
    axes.vlines(ranks, low, high, color=Hue.BAND, linewidth=6)
    axes.fill_between(ranks, low, high, color=Hue.BAND, linewidth=0, label="95 % interval")
    look: dict[str, Any] = {"color": Hue.MODEL, "marker": "o", "markersize": 4, "linewidth": 1.4}
    axes.plot(ranks, values, label="along the data", **look)
    axes.axhline(0.0, color=Hue.INK, linewidth=0.8)
    axes.set(xlabel="exponent", ylabel="growth of logarithms a step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def finite_exponents(spectrum: LyapunovSpectrum) -> Float[np.ndarray, " finite"]:
    """Exponents per step but those of -inf, which come last."""
    values = spectrum.per_step
    return values[np.isfinite(values)]


def draw_plane(plane: Portrait, axes: Axes, density: float = 0.9) -> None:
    """The path in its principal plane, and the drift with the input held.

    Args:
        plane: of the path.
        axes: to draw into.
        density: of the lines of the drift.
    """
    side = round(len(plane.grid) ** 0.5)
    x, y = (plane.grid[:, axis].reshape(side, side) for axis in (0, 1))
    u, v = (plane.drift[:, axis].reshape(side, side) for axis in (0, 1))
    axes.streamplot(x, y, u, v, color=Hue.MUTED, density=density, linewidth=0.4, arrowsize=0.6)
    _draw_path(axes, plane.path)
    axes.set(
        xlabel=f"first component ({100 * plane.shares[0]:.0f} % of the variance)",
        ylabel=f"second ({100 * plane.shares[1]:.0f} %)" if len(plane.shares) > 1 else "second",
        xlim=(x.min(), x.max()),
        ylim=(y.min(), y.max()),
    )
    axes.grid(visible=False)


def _draw_path(axes: Axes, path: Float[np.ndarray, "time 2"]) -> None:
    """A line where steps are short, dots where the state jumps to and fro."""
    width = np.ptp(path, axis=0).max()
    jumps = np.median(np.linalg.norm(np.diff(path, axis=0), axis=1)) > _JUMP * width
    look: dict[str, Any] = {"marker": ".", "markersize": 2, "linestyle": ""} if jumps else {"linewidth": 0.7}
    axes.plot(*path.T, color=Hue.VALIDATION, label="path under the data", **look)


def draw_points_of(plane: Portrait, points: FixedPoints, axes: Axes) -> None:
    """Where fixed points fall in a plane, by their kinds."""
    projected = plane.project(points.states)
    for kind, (marker, colour, name) in LOOKS.items():
        chosen = [point for point, own in zip(projected, points.kinds, strict=True) if own is kind]
        if chosen:
            axes.scatter(*np.transpose(chosen), marker=marker, color=colour, s=46, zorder=3, label=name)


def draw_points(points: FixedPoints, axes: Axes) -> None:
    """The eigenvalues of every fixed point, by its kind, with the unit circle."""
    draw_unit_circle(axes)
    for kind, (marker, colour, name) in LOOKS.items():
        chosen = [index for index, own in enumerate(points.kinds) if own is kind]
        if chosen:
            _scatter(axes, points.eigenvalues[chosen].ravel(), marker=marker, color=colour, label=name, s=18)
    _complex_plane(axes)
    axes.legend()


def draw_spectrum(spectrum: JacobianSpectrum, axes: Axes) -> None:
    """Eigenvalues at all states, with the unit circle where they are factors of a step."""
    if not spectrum.continuous:
        draw_unit_circle(axes)
    _scatter(axes, spectrum.values.ravel(), color=Hue.MODEL, label="eigenvalues", s=9)
    _complex_plane(axes)
    axes.legend()


def draw_unit_circle(axes: Axes) -> None:
    """Inside of it a mode of a step dies out."""
    turn = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    dashes = (0, (4, 3))
    axes.plot(
        np.real(turn), np.imag(turn), color=Hue.MUTED, linewidth=0.9, linestyle=dashes, label="unit circle"
    )


def _scatter(axes: Axes, values: Complex[np.ndarray, " values"], **look: Any) -> None:
    axes.scatter(np.real(values), np.imag(values), zorder=2, **look)


def _complex_plane(axes: Axes) -> None:
    axes.set(xlabel="real part", ylabel="imaginary part", aspect="equal", adjustable="datalim")


def draw_branch(branch: Branch, axes: Axes) -> None:
    """The first state along the parameter: stable points in blue, unstable ones in orange, bifurcations."""
    stable = branch.unstable == 0
    for chosen, colour, name in ((stable, Hue.MODEL, "stable"), (~stable, Hue.TEST, "unstable")):
        if chosen.any():
            line = np.where(chosen, branch.states[:, 0], np.nan)
            axes.plot(branch.parameters, line, ".-", color=colour, label=name, markersize=3)
    for one in branch.bifurcations:
        axes.plot(one.parameter, one.state[0], "X", color=Hue.ALERT, markersize=8)
        axes.annotate(str(one.kind).split(":")[0], (one.parameter, one.state[0]), color=Hue.INK)
    axes.set(xlabel="parameter", ylabel="first state")
    if len(branch):
        axes.legend()


def draw_count(count: FixedPointCount, axes: Axes) -> None:
    """Distinct points that were found after so many starts: a count that still grows is not finished."""
    starts, found = zip(*count.history, strict=True) if count.history else ((), ())
    axes.plot(starts, found, "o-", color=Hue.MODEL)
    axes.set(xlabel="starts", ylabel="distinct fixed points", xscale="log")


def draw_norms(norms: JacobianNorms, axes: Axes) -> None:
    """The norm of the Jacobian of every step; below 1 nearby trajectories approach each other."""
    axes.plot(norms.norms, color=Hue.MODEL, linewidth=1.2)
    axes.axhline(1.0, color=Hue.MUTED, linewidth=0.9, linestyle="--")
    axes.set(xlabel="step", ylabel="norm of the Jacobian")


def draw_covariant(vectors: CovariantVectors, axes: Axes) -> None:
    """How the growth along every vector averages to its exponent."""
    steps = np.arange(1, len(vectors.growth) + 1)
    means = np.cumsum(vectors.growth, axis=0) / steps[:, None]
    axes.plot(vectors.first_step + steps, means)
    axes.set(xlabel="step", ylabel="mean growth so far, a step")
