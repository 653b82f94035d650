"""Figures of a classifier by class: who is taken for whom, precision and recall, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attractor.report.layout import grid_of, panels
from attractor.report.style import ALERT, CARD, INK, MEASURED, MODEL, MUTED, TEST, Size, legend_above

_WIDEST_CELL = 74.0
_LEAST_CELL = 17.0
_ROW = 30
_LEAST_HEIGHT = 90
_LONGEST_NAME = 9
_DARK = 0.55


def confusion_figure(
    confusion: Int[np.ndarray, "true predicted"], classes: Sequence[str], size: Size
) -> Figure:
    """A square for every pair of classes, as strong as the share of the true class that it holds."""
    count = len(classes)
    height = max(_ROW * count, _LEAST_HEIGHT)
    figure, (axes,) = panels(size, [height])
    width = axes.get_position().width * size.width
    columns = max(count, int(width / _WIDEST_CELL))
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    for true, predicted in np.argwhere(confusion):
        strength = 0.08 + 0.92 * float(shares[true, predicted])
        colour = MODEL if true == predicted else ALERT
        corner = (predicted - 0.46, true - 0.46)
        axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=colour, alpha=strength, linewidth=0))
        if width / columns >= _LEAST_CELL:
            ink = CARD if strength > _DARK else INK
            axes.text(predicted, true, str(confusion[true, predicted]), color=ink, ha="center", va="center")
    axes.set(
        xlim=(-0.5, columns - 0.5), ylim=(count - 0.5, -0.5), xlabel="predicted class", ylabel="true class"
    )
    axes.xaxis.set_label_coords(0.0, -34.0 / height)
    axes.xaxis.label.set_horizontalalignment("left")
    _class_ticks(axes, classes, width / columns)
    axes.set_yticks(range(count), [_short(name) for name in classes])
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return figure


def class_scores_figure(rows: Sequence[Mapping[str, Any]], size: Size) -> Figure:
    """Recall and precision of every class with their 95 % intervals."""
    figure, (axes,) = panels(size, [220 if size.is_wide else 190])
    places = np.arange(len(rows), dtype=float)
    for name, colour, shift in (("recall", MODEL, -0.12), ("precision", TEST, 0.12)):
        values = np.array([np.nan if row[name] is None else row[name] for row in rows], float)
        ends = np.array([row[f"{name}_interval"] or (np.nan, np.nan) for row in rows], float)
        axes.plot(*segments(places + shift, ends), color=colour, linewidth=1.6)
        axes.plot(places + shift, values, "o", color=colour, markersize=6, label=name)
    axes.set(ylabel="share", ylim=(-0.02, 1.04), xlim=(-0.5, len(rows) - 0.5), xlabel="class")
    width = axes.get_position().width * size.width
    _class_ticks(axes, [row["name"] for row in rows], width / len(rows))
    axes.grid(visible=False, axis="x")
    legend_above(axes)
    return figure


def reliability_figure(bins: Sequence[Mapping[str, Any]], size: Size) -> Figure:
    """Left: accuracy over confidence, which should follow the diagonal. Right: how many cases stand there."""
    figure, (left, right) = grid_of(size, 2, 220 if size.is_wide else 190, 2)
    low, high, cases, confidence, accuracy = (
        np.array([one[name] for one in bins], float)
        for name in ("from", "to", "cases", "confidence", "accuracy")
    )
    ends = np.array([one["interval"] for one in bins], float)
    left.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), label="calibrated")
    left.plot(*segments(confidence, ends), color=MODEL, linewidth=1.6)
    left.plot(confidence, accuracy, "o", color=MODEL, markersize=6, label="cases in a bin")
    left.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.04))
    right.bar((low + high) / 2, cases, width=0.92 * (high - low), color=MEASURED)
    right.set(xlabel="confidence", ylabel="cases", xlim=(0, 1.02))
    legend_above(left)
    return figure


def segments(places: np.ndarray, ends: np.ndarray, *, upright: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Lines from one end to the other at every place, as one path with gaps.

    Args:
        places: shape (lines,).
        ends: shape (lines, 2).
        upright: the ends are vertical coordinates; False makes them horizontal ones.
    """
    gap = np.full(len(places), np.nan)
    along = np.column_stack([ends, gap]).ravel()
    across = np.column_stack([places, places, gap]).ravel()
    return (across, along) if upright else (along, across)


def _class_ticks(axes: Axes, classes: Sequence[str], room: float) -> None:
    """Names of classes below the axis, as many as there is room for, in CSS pixels a class."""
    names = [_short(name) for name in classes]
    longest = max(map(len, names))
    step = max(1, -(-int(7 * longest + 8) // max(int(room), 1)))
    axes.set_xticks(range(0, len(names), step), names[::step])


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
