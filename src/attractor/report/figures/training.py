"""Training curves: the loss and the validation FIT of every seed."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.report.contents import TrainingPage
from attractor.report.layout import grid_of
from attractor.report.series import envelope
from attractor.report.style import CARD, INK, MEASURED, MODEL, Size, legend_above, powers_of_ten

# Early FIT values are far below zero; they would flatten the part that matters.
_SHOWN_BELOW_BEST = 30.0


def training_figure(page: TrainingPage, size: Size) -> Figure:
    """Left: loss on the training windows, logarithmic. Right: FIT of the free run on validation data."""
    figure, (left, right) = grid_of(size, 2, 210 if size.is_wide else 170, 2)
    powers_of_ten(left, "y")
    for number, run in enumerate(sorted(page.runs, key=lambda run: run.seed == page.chosen_seed)):
        look = _look(run.seed == page.chosen_seed, run.seed, number == 0)
        loss = np.where(run.training_loss > 0, run.training_loss, np.nan)
        left.plot(*envelope(run.loss_steps, loss, size.bins // 2), **look)
        right.plot(*envelope(run.validation_steps, run.validation_fit, size.bins // 2), **look)
    left.set(xlabel="optimiser step", ylabel="training loss [scaled units²]")
    right.set(xlabel="optimiser step", ylabel="validation FIT [%]")
    _mark_choice(right, page)
    legend_above(left)
    return figure


def _look(is_chosen: bool, seed: int, is_first: bool) -> dict:
    if is_chosen:
        return {"color": MODEL, "linewidth": 1.8, "label": f"seed {seed}, kept"}
    return {"color": MEASURED, "linewidth": 1.2, "label": "other seeds" if is_first else None}


def _mark_choice(axes: Axes, page: TrainingPage) -> None:
    """A dot on the checkpoint that was kept, and a scale that shows the neighbourhood of the best."""
    every = np.concatenate([run.validation_fit for run in page.runs] or [np.empty(0)])
    finite = every[np.isfinite(every)]
    if not len(finite):
        return
    best = finite.max()
    low = max(finite.min(), best - _SHOWN_BELOW_BEST)
    margin = max(0.06 * (best - low), 0.1)
    axes.set_ylim(low - margin, best + 3 * margin)
    for run in page.runs:
        if run.seed == page.chosen_seed and len(run.validation_steps):
            at = int(np.argmin(np.abs(run.validation_steps - page.chosen_step)))
            point = (run.validation_steps[at], run.validation_fit[at])
            axes.plot(*point, "o", markersize=8, color=MODEL, markeredgecolor=CARD, markeredgewidth=2)
            axes.annotate(
                f"{point[1]:.1f} %", point, (4, 9), textcoords="offset points", color=INK, ha="right"
            )
