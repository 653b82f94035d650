"""What results of this room look like in one pair of axes."""

import numpy as np
from matplotlib.axes import Axes

from attractor.audit.curves_page import draw_curves
from attractor.errors import printable
from attractor.report.style import Hue

from .group_memory import GroupStudy
from .label_sets import LabelSets
from .robustness_study import RobustnessStudy
from .suspects import Suspects


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
