"""Figures of a classifier by class: who is taken for whom, precision and recall, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from attractor.audit.curves_page import draw_curves
from attractor.classification.group_memory import GroupStudy
from attractor.classification.label_sets import LabelSets
from attractor.classification.robustness_study import RobustnessStudy
from attractor.classification.suspects import Suspects
from attractor.errors import printable
from attractor.report.style import (
    Hue,
    Size,
    envelope,
    grid_of,
    legend_above,
    mark_point,
    panels,
    powers_of_ten,
    replica_style,
    segments,
)
from attractor.report.wording import shortened

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
        colour = Hue.MODEL if true == predicted else Hue.ALERT
        corner = (predicted - 0.46, true - 0.46)
        axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=colour, alpha=strength, linewidth=0))
        if width / columns >= _LEAST_CELL:
            ink = Hue.CARD if strength > _DARK else Hue.INK
            axes.text(predicted, true, str(confusion[true, predicted]), color=ink, ha="center", va="center")
    axes.set(
        xlim=(-0.5, columns - 0.5), ylim=(count - 0.5, -0.5), xlabel="predicted class", ylabel="true class"
    )
    axes.xaxis.set_label_coords(0.0, -34.0 / height)
    axes.xaxis.label.set_horizontalalignment("left")
    _class_ticks(axes, classes, width / columns)
    axes.set_yticks(range(count), [shortened(name, _LONGEST_NAME) for name in classes])
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return figure


def class_scores_figure(rows: Sequence[Mapping[str, Any]], size: Size) -> Figure:
    """Recall and precision of every class with their 95 % intervals."""
    figure, (axes,) = panels(size, [220 if size.is_wide else 190])
    places = np.arange(len(rows), dtype=float)
    for name, colour, shift in (("recall", Hue.MODEL, -0.12), ("precision", Hue.TEST, 0.12)):
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
    ends = np.array([one["interval"] or (np.nan, np.nan) for one in bins], float)
    left.plot([0, 1], [0, 1], color=Hue.MUTED, linewidth=1.0, linestyle=(0, (4, 3)), label="calibrated")
    left.plot(*segments(confidence, ends), color=Hue.MODEL, linewidth=1.6)
    left.plot(confidence, accuracy, "o", color=Hue.MODEL, markersize=6, label="cases in a bin")
    left.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.04))
    right.bar((low + high) / 2, cases, width=0.92 * (high - low), color=Hue.MEASURED)
    right.set(xlabel="confidence", ylabel="cases", xlim=(0, 1.02))
    legend_above(left)
    return figure


def _class_ticks(axes: Axes, classes: Sequence[str], room: float) -> None:
    """Names of classes below the axis, as many as there is room for, in CSS pixels a class."""
    names = [shortened(name, _LONGEST_NAME) for name in classes]
    longest = max(map(len, names))
    step = max(1, -(-int(7 * longest + 8) // max(int(room), 1)))
    axes.set_xticks(range(0, len(names), step), names[::step])


_BINS = 40


def epochs_figure(training: Mapping[str, Any], chosen: int, size: Size) -> Figure:
    """Left: loss in training. Right: cross-entropy in validation, if any, with the epoch that was kept."""
    names = {"loss": "training loss"}
    if training.get("judged", True):
        names["validation"] = "validation loss"
    figure, grid = grid_of(size, len(names), 210 if size.is_wide else 180, 2)
    history = training["history"]
    epochs = np.array([entry["step"] for entry in history], float) / training["steps_per_epoch"]
    replicas = range(len(training["scores"]))
    for axes, (name, label) in zip(grid, names.items(), strict=True):
        curves = np.array([entry[name] for entry in history], float)
        if _spans_decades(curves):
            powers_of_ten(axes, "y")
        for number, replica in enumerate(sorted(replicas, key=lambda replica: replica == chosen)):
            look = replica_style(replica, chosen, number == 0, "replica")
            axes.plot(epochs, curves[:, replica], **look)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(xlabel="epoch", ylabel=label)
        if name == "validation":
            _mark(
                axes, epochs, curves[:, chosen], training["best_steps"][chosen] / training["steps_per_epoch"]
            )
    legend_above(grid[0])
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
        top.fill_between(epochs, *ends, color=Hue.BAND, linewidth=0, label=label)
    top.plot(epochs, np.median(shown, axis=1), color=Hue.MODEL, linewidth=1.8, label="median")
    top.plot(epochs, shown.min(axis=1), color=Hue.ALERT, linewidth=1.2, label="least")
    top.axhline(1.0, color=Hue.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    size_share = weights.sum(axis=1) ** 2 / np.square(weights).sum(axis=1) / weights.shape[1]
    middle.plot(epochs, size_share, color=Hue.MODEL, linewidth=1.6)
    bottom.plot(epochs, strengths, color=Hue.TEST, linewidth=1.6)
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
    kinds = [(~apart, Hue.MEASURED, "like most"), (apart, Hue.ALERT, "stands apart")]
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


def _mark(axes: Axes, epochs: np.ndarray, values: Sequence[float] | np.ndarray, best: float) -> None:
    """A dot on the epoch whose weights were kept."""
    at = int(np.argmin(np.abs(epochs - best)))
    if np.isfinite(values[at]):
        mark_point(axes, float(epochs[at]), float(values[at]), f"{values[at]:.3g}")


_GROUP_ROW = 40


def shares_figure(
    shares: Mapping[str, float | int],
    errors: Mapping[str, float | int],
    drops: Mapping[str, float | int],
    size: Size,
) -> Figure:
    """Left: share of what the variables tell. Right: accuracy that is lost without the group."""
    names = list(shares)
    figure, (left, right) = grid_of(size, 2, _GROUP_ROW * len(names) + 10, 2)
    values, spread = (100 * np.array([part[name] for name in names]) for part in (shares, errors))
    lost = 100 * np.array([drops[name] for name in names])
    places = np.arange(len(names), dtype=float)
    left.barh(places, values, height=0.36, color=Hue.MODEL)
    if spread.any():
        ends = np.column_stack([values - spread, values + spread])
        left.plot(*segments(places, ends, upright=False), color=Hue.INK, linewidth=1.2)
    right.barh(places, lost, height=0.36, color=Hue.TEST)
    left.set(xlabel="share of the information [%]")
    right.set(xlabel="accuracy lost without it [points]")
    for axes in (left, right):
        axes.axvline(0.0, color=Hue.MUTED, linewidth=0.8)
        _names_above(axes, names)
    return figure


def time_scales_figure(scales: Mapping[str, Sequence[float | int]], size: Size) -> Figure:
    """For every group the range of its time scales: 80 % of them thin, half of them thick, the median."""
    names = [name for name, row in scales.items() if np.isfinite(row).all()]
    figure, (axes,) = panels(size, [_GROUP_ROW * max(len(names), 1) + 10])
    powers_of_ten(axes, "x")
    rows = np.array([scales[name] for name in names], float).reshape(len(names), 5)
    places = np.arange(len(names), dtype=float)
    axes.plot(*segments(places, rows[:, [0, 4]], upright=False), color=Hue.MODEL, linewidth=1.4)
    axes.plot(
        *segments(places, rows[:, [1, 3]], upright=False), color=Hue.MODEL, linewidth=5, solid_capstyle="butt"
    )
    axes.plot(rows[:, 2], places, "o", color=Hue.TEST, markersize=7)
    axes.xaxis.set_major_formatter("{x:g}")
    if rows.size and rows.max() < 100 * rows.min():
        axes.xaxis.set_minor_formatter("{x:g}")
    axes.set(xlabel="time scale [steps]")
    _names_above(axes, names)
    return figure


def _names_above(axes: Axes, names: Sequence[str]) -> None:
    """The name of a row above its bar, where long names have room."""
    axes.set(ylim=(len(names) - 0.45, -0.75), yticks=[])
    for place, name in enumerate(names):
        axes.text(
            0.0,
            place - 0.3,
            name,
            color=Hue.INK,
            ha="left",
            va="bottom",
            transform=axes.get_yaxis_transform(),
        )


_COLOURS = (Hue.MODEL, Hue.TEST, Hue.VALIDATION, Hue.ALERT, Hue.MUTED)
_COLUMNS = 3


class DrawnCase(NamedTuple):
    """A series with what stands above it.

    Args:
        title: short.
        values: scaled, shape (time, variables); NaN is missing.
    """

    title: str
    values: Float[np.ndarray, "time variables"]


def cases_figure(cases: Sequence[DrawnCase], size: Size) -> Figure:
    """One panel a case, on one vertical scale."""
    figure, grid = grid_of(size, len(cases), 120 if size.is_wide else 110, _COLUMNS)
    finite = np.concatenate([one.values[np.isfinite(one.values)] for one in cases] or [np.zeros(1)])
    low, high = np.percentile(finite, (0.2, 99.8)) if len(finite) else (-1.0, 1.0)
    margin = 0.06 * (high - low) or 1.0
    for axes, case in zip(grid, cases, strict=True):
        draw_variables(axes, case.values, size.bins // 3)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.set(title=case.title, xlabel="step", ylabel="scaled", ylim=(low - margin, high + margin))
    return figure


def draw_variables(axes: Axes, values: Float[np.ndarray, "time variables"], bins: int) -> None:
    """All variables of a series as lines; the first five have colours of their own.

    Args:
        axes: where.
        values: NaN leaves a gap.
        bins: of an envelope, where the series is long.
    """
    steps = np.arange(len(values), dtype=float)
    for variable in reversed(range(values.shape[1])):
        own = variable < len(_COLOURS)
        colour, width = (_COLOURS[variable], 1.3) if own else (Hue.MEASURED, 0.9)
        axes.plot(*envelope(steps, values[:, variable], bins), color=colour, linewidth=width)
        alone = _alone(values[:, variable])
        if len(alone):
            axes.plot(steps[alone], values[alone, variable], ".", color=colour, markersize=3)
    axes.margins(x=0.02)


def _alone(values: np.ndarray) -> np.ndarray:
    """Places of values between two missing ones, which no line would show."""
    known = np.concatenate([[False], np.isfinite(values), [False]])
    return np.flatnonzero(known[1:-1] & ~known[:-2] & ~known[2:])


def draw_suspects(suspects: Suspects, axes: Axes) -> None:
    """Mean losses in order: a step between a few cases and the others is what to look for."""
    ranks = np.arange(1, len(suspects) + 1)
    for chosen, colour, name in (
        (suspects.apart, Hue.ALERT, "stand apart"),
        (~suspects.apart, Hue.MODEL, "others"),
    ):
        if chosen.any():
            axes.plot(ranks[chosen], suspects.mean_losses[chosen], ".", color=colour, label=name)
    axes.set(xlabel="rank", ylabel="mean loss")
    if len(suspects):
        axes.legend()


def draw_sets(sets: LabelSets, axes: Axes) -> None:
    """How many labels the sets hold: the fewer, the more is known."""
    sizes, counts = np.unique(sets.sizes, return_counts=True)
    axes.bar(sizes, counts, color=Hue.MODEL)
    axes.set(xlabel="labels in a set", ylabel="cases", xticks=sizes)


def draw_groups(study: GroupStudy, axes: Axes) -> None:
    """What every group contributes, with standard errors."""
    names = list(study.shares)
    shares, errors = (np.array([table[name] for name in names]) for table in (study.shares, study.errors))
    places = np.arange(len(names))
    axes.barh(places, shares, xerr=errors, color=Hue.MODEL)
    axes.set(xlabel="share of what all groups gain", yticks=places)
    axes.set_yticklabels([printable(name) for name in names], parse_math=False)
    axes.invert_yaxis()


def draw_robustness(study: RobustnessStudy, axes: Axes) -> None:
    """Accuracy under perturbations."""
    draw_curves(study.curves, axes)
