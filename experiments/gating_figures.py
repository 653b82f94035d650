"""Figures about random gated networks: memory, hysteresis, dimension, and spectra side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from matplotlib.figure import Figure

from attractor.report.style import Hue, Size, grid_of, legend_above, panels

_COLOURS = (Hue.MEASURED, Hue.MODEL, Hue.TEST, Hue.VALIDATION)

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Abscissa and values by label; values of shape (points,) or (seeds, points)."""


def curves_figure(curves: Curves, axis: tuple[str, str], size: Size) -> Figure:
    """Curves with a band from the smallest to the largest seed.

    Args:
        curves: to draw.
        axis: labels of the horizontal and the vertical axis.
        size: screen to draw for.
    """
    figure, (axes,) = panels(size, [240 if size.is_wide else 210])
    for colour, (name, (places, values)) in zip(_COLOURS, curves.items(), strict=False):
        rows = np.atleast_2d(values)
        if len(rows) > 1:
            axes.fill_between(places, rows.min(axis=0), rows.max(axis=0), color=Hue.BAND, linewidth=0)
        axes.plot(places, rows.mean(axis=0), color=colour, linewidth=1.6, label=name)
    axes.axhline(0.0, color=Hue.INK, linewidth=0.6)
    axes.set(xlabel=axis[0], ylabel=axis[1])
    axes.margins(x=0.0)
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


def hysteresis_figure(
    scan: tuple[np.ndarray, np.ndarray],
    theory: Sequence[tuple[np.ndarray, np.ndarray]],
    label: str,
    size: Size,
) -> Figure:
    """Activity on the way up and down with the branches of theory.

    Args:
        scan: values of the parameter, and mean squares of the activity of shape (2, seeds, points).
        theory: gains and variances of the branches, the stable one first.
        label: of the parameter.
        size: screen to draw for.
    """
    figure, (axes,) = panels(size, [300 if size.is_wide else 240])
    values, variance = scan
    for way, (name, marker, colour) in enumerate((("upwards", "^", Hue.MODEL), ("downwards", "v", Hue.TEST))):
        for place, row in enumerate(variance[way]):
            axes.plot(
                values,
                row,
                linestyle="",
                marker=marker,
                markersize=5,
                color=colour,
                alpha=0.75,
                label=name if place == 0 else None,
            )
    for place, (gains, heights) in enumerate(theory):
        style: Any = "-" if place == 0 else (0, (4, 3))
        name = "theory, chaos" if place == 0 else "theory, unstable"
        axes.plot(gains, heights, color=Hue.INK, linewidth=1.4, linestyle=style, label=name)
    room = 0.02 * float(np.ptp(values))
    axes.set(
        xlabel=label,
        ylabel="mean square activity",
        xlim=(values.min() - room, values.max() + room),
        ylim=(-0.01, 1.15 * max(float(variance.max()), 0.02)),
    )
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


def spectra_figure(
    spectra: Mapping[str, tuple[Complex[np.ndarray, " states"], Sequence[np.ndarray]]], size: Size
) -> Figure:
    """Eigenvalues of random networks with the boundary that theory gives, a panel each.

    Args:
        spectra: eigenvalues and curves, by name.
        size: screen to draw for.
    """
    figure, grid = grid_of(size, len(spectra), 230, 2)
    for axes, (name, (values, curves)) in zip(grid, spectra.items(), strict=True):
        axes.scatter(np.real(values), np.imag(values), s=4, color=Hue.MEASURED, linewidths=0)
        for curve in curves:
            axes.plot(np.real(curve), np.imag(curve), color=Hue.ALERT, linewidth=1.4)
        axes.set(
            title=name, xlabel="real part", ylabel="imaginary part", aspect="equal", adjustable="datalim"
        )
    return figure


def dimension_figure(
    values: Float[np.ndarray, " values"], rows: Mapping[str, np.ndarray], label: str, size: Size
) -> Figure:
    """Shares of N over a parameter, mean and spread over seeds.

    Args:
        values: of the parameter.
        rows: shares of shape (values, seeds), by name.
        label: of the parameter.
        size: screen to draw for.
    """
    figure, (axes,) = panels(size, [220])
    for colour, (name, shares) in zip(_COLOURS[1:], rows.items(), strict=False):
        spread = shares.std(axis=1, ddof=1) if shares.shape[1] > 1 else np.zeros(len(values))
        axes.errorbar(
            values,
            shares.mean(axis=1),
            spread,
            color=colour,
            marker="o",
            markersize=4,
            linewidth=1.4,
            label=name,
        )
    axes.set(xlabel=label, ylabel="dimension as a share of N")
    axes.set_ylim(bottom=0.0)
    legend_above(axes)
    return figure
