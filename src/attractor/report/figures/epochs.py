"""Training in epochs: losses of all replicas, and what became of the weights of the cases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attractor.report.layout import grid_of, panels
from attractor.report.style import (
    ALERT,
    BAND,
    CARD,
    INK,
    MEASURED,
    MODEL,
    MUTED,
    TEST,
    Size,
    legend_above,
    powers_of_ten,
)

_BINS = 40


def epochs_figure(training: Mapping[str, Any], chosen: int, size: Size) -> Figure:
    """Left: loss in training. Right: cross-entropy in validation, with the epoch that was kept."""
    figure, (left, right) = grid_of(size, 2, 210 if size.is_wide else 180, 2)
    history = training["history"]
    epochs = np.array([entry["step"] for entry in history], float) / training["steps_per_epoch"]
    replicas = range(len(training["scores"]))
    for axes, name in ((left, "loss"), (right, "validation")):
        curves = np.array([entry[name] for entry in history], float)
        if _spans_decades(curves):
            powers_of_ten(axes, "y")
        for number, replica in enumerate(sorted(replicas, key=lambda replica: replica == chosen)):
            look = _look(replica, chosen, is_first=number == 0)
            axes.plot(epochs, curves[:, replica], **look)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel="validation loss")
    best = training["best_steps"][chosen] / training["steps_per_epoch"]
    _mark(right, epochs, np.array([entry["validation"][chosen] for entry in history], float), best)
    legend_above(left)
    return figure


def weights_figure(
    weights: Float[np.ndarray, "epochs cases"], strengths: Float[np.ndarray, " epochs"], size: Size
) -> Figure:
    """Quantiles of the weights, effective sample size and strength after every epoch."""
    figure, (top, middle, bottom) = panels(size, (190, 70, 70), share=True)
    epochs = np.arange(1, len(weights) + 1)
    shown = np.maximum(weights, 1e-6)
    powers_of_ten(top, "y")
    for low, high, label in ((5, 95, "90 % of the cases"), (25, 75, "half of them")):
        ends = np.percentile(shown, (low, high), axis=1)
        top.fill_between(epochs, *ends, color=BAND, linewidth=0, label=label)
    top.plot(epochs, np.median(shown, axis=1), color=MODEL, linewidth=1.8, label="median")
    top.plot(epochs, shown.min(axis=1), color=ALERT, linewidth=1.2, label="least")
    top.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    size_share = weights.sum(axis=1) ** 2 / np.square(weights).sum(axis=1) / weights.shape[1]
    middle.plot(epochs, size_share, color=MODEL, linewidth=1.6)
    bottom.plot(epochs, strengths, color=TEST, linewidth=1.6)
    top.set_ylabel("weight")
    middle.set(ylabel="ESS / N", ylim=(0, 1.05))
    bottom.set(ylabel="strength", xlabel="epoch", xlim=(1, max(len(weights), 2)))
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(top)
    return figure


def totals_figure(
    totals: Float[np.ndarray, " cases"], apart: Bool[np.ndarray, " cases"], size: Size
) -> Figure:
    """How the losses of the cases are distributed; those in the upper hump are coloured."""
    figure, (axes,) = panels(size, [170])
    roots = np.sqrt(totals)
    edges = np.linspace(0, roots.max(initial=1e-9) * 1.001, _BINS + 1)
    kinds = [(~apart, MEASURED, "like most"), (apart, ALERT, "stands apart")]
    present = [kind for kind in kinds if kind[0].any()]
    axes.hist(
        [roots[chosen] for chosen, _, _ in present],
        bins=list(edges),
        stacked=True,
        color=[colour for _, colour, _ in present],
        label=[label for _, _, label in present],
    )
    axes.set(xlabel="root of the loss added over all epochs", ylabel="training cases")
    axes.margins(x=0.0)
    legend_above(axes)
    return figure


def _spans_decades(values: np.ndarray) -> bool:
    """Whether a logarithmic axis shows more than a linear one."""
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() > 20 * finite.min())


def _look(replica: int, chosen: int, *, is_first: bool) -> dict[str, Any]:
    if replica == chosen:
        return {"color": MODEL, "linewidth": 1.8, "label": f"replica {replica}, kept"}
    return {"color": MEASURED, "linewidth": 1.2, "label": "other replicas" if is_first else None}


def _mark(axes: Axes, epochs: np.ndarray, values: Sequence[float] | np.ndarray, best: float) -> None:
    """A dot on the epoch whose weights were kept."""
    at = int(np.argmin(np.abs(epochs - best)))
    if np.isfinite(values[at]):
        point = (epochs[at], values[at])
        axes.plot(*point, "o", markersize=8, color=MODEL, markeredgecolor=CARD, markeredgewidth=2)
        axes.annotate(f"{point[1]:.3g}", point, (0, 9), textcoords="offset points", color=INK, ha="center")
