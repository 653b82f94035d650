"""Figures of a certificate: how fast differences vanish, and the set that it speaks for."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from attractor.certify import Certificate
from attractor.certify.stability.certificate import Contraction
from attractor.report.layout import panels
from attractor.report.style import BAND, MEASURED, MODEL, TEST, Size, legend_above, powers_of_ten

_LEAST = 1e-6


def contraction_figure(
    certificate: Certificate, simulated: Contraction, sampling_time: float, size: Size
) -> Figure:
    """The proved bound over time, and what simulated pairs do below it."""
    figure, (axes,) = panels(size, [240 if size.is_wide else 210])
    powers_of_ten(axes, "y")
    times = np.arange(len(simulated.largest)) * sampling_time
    bound = certificate.rate ** np.arange(len(times), dtype=float)
    for values, colour, width, label in (
        (bound, MODEL, 2.2, "proved bound" if size.is_wide else "proved"),
        (simulated.largest, TEST, 1.4, "slowest simulated pair" if size.is_wide else "slowest"),
        (simulated.typical, MEASURED, 1.4, "median pair" if size.is_wide else "median"),
    ):
        axes.plot(
            times, np.where(values > _LEAST, values, np.nan), color=colour, linewidth=width, label=label
        )
    axes.axhline(0.01, color=MEASURED, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set(xlabel="time [s]", ylabel="difference, share of the first", ylim=(_LEAST, 2.0))
    axes.margins(x=0.0)
    legend_above(axes)
    return figure


def box_figure(certificate: Certificate, visited: Float[np.ndarray, "2 states"] | None, size: Size) -> Figure:
    """For every state the start box, the box that trajectories stay in, and where the data have been."""
    figure, (axes,) = panels(size, [200])
    places = np.arange(len(certificate.low))
    starts = _finite(certificate.start_low, certificate.start_high)
    held = _finite(certificate.low, certificate.high)
    axes.bar(places, starts[1] - starts[0], bottom=starts[0], width=0.82, color=BAND, label="start box")
    axes.bar(places, held[1] - held[0], bottom=held[0], width=0.5, color=MODEL, alpha=0.55, label="stays in")
    if visited is not None:
        heights = visited[1] - visited[0]
        axes.bar(
            places,
            heights,
            bottom=visited[0],
            width=0.2,
            color=TEST,
            label="visited by the data" if size.is_wide else "data",
        )
    axes.set(xlabel="state", ylabel="value", xticks=places[:: max(1, len(places) // 16)])
    legend_above(axes)
    return figure


def _finite(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends that can be drawn; a set without ends is drawn from -1 to 1."""
    return np.where(np.isfinite(low), low, -1.0), np.where(np.isfinite(high), high, 1.0)
