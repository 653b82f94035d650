"""A section of a page about groups of variables; it takes plain numbers, wherever they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .analysis import Picture, Section, Sheet
from .figures.memories import shares_figure, time_scales_figure
from .wording import significant

MOST_GROUPS = 40
"""More groups than this are in the table only."""


@dataclass(frozen=True)
class GroupPage:
    """What is known of groups.

    Args:
        shares: of what all groups together tell, by the name of a group; they add to 1.
        time_scales: quantiles (10, 25, 50, 75, 90 %) of the time scale in steps, by the name of a memory.
        errors: standard errors of the shares; empty if they are exact.
        accuracy_drops: accuracy lost without the group.
        cases: over which the shares are means.
    """

    shares: Mapping[str, float | int]
    time_scales: Mapping[str, Sequence[float | int]]
    errors: Mapping[str, float | int]
    accuracy_drops: Mapping[str, float | int]
    cases: int


def group_section(page: GroupPage) -> Section:
    """Contributions and time scales, in figures and numbers."""
    order = sorted(page.shares, key=lambda name: -page.shares[name])
    first = order[:MOST_GROUPS]
    pictures = [_time_scales(page, first)] if page.time_scales else []
    if first:
        pictures.insert(0, _shares(page, first))
    lead = (
        "The network keeps a memory of its own for every group of variables and a joint one. "
        + ("" if order else "All groups together tell less than none, so that no share can be given. ")
        + ("" if len(order) <= MOST_GROUPS else f"Of {len(order)} groups the first {MOST_GROUPS} are drawn.")
    )
    return Section("groups", "Groups of variables", lead, tuple(pictures), (_sheet(page, order),))


def _shares(page: GroupPage, names: Sequence[str]) -> Picture:
    def chosen(values: Mapping[str, float | int]) -> dict[str, float | int]:
        return {name: values.get(name, 0.0) for name in names}

    thin = " The thin line is plus and minus one standard error." if any(page.errors.values()) else ""
    return Picture(
        name="shares",
        title="What the groups contribute",
        caption=(
            "Left: Shapley values. A coalition of groups is worth the mean log-probability of the true class "
            f"when all other variables stand at their mean, over {page.cases} test cases; the shares add to "
            f"100 %, and a group that misleads has a negative one.{thin} Right: points of accuracy that are "
            "lost when this group alone stands at its mean; groups that can replace each other lose little."
        ),
        plot=lambda size: shares_figure(
            chosen(page.shares), chosen(page.errors), chosen(page.accuracy_drops), size
        ),
    )


def _time_scales(page: GroupPage, first: Sequence[str]) -> Picture:
    others = [name for name in page.time_scales if name not in page.shares]
    scales = {name: page.time_scales[name] for name in [*first, *others] if name in page.time_scales}
    if not first:
        scales = dict(page.time_scales)
    return Picture(
        name="time-scales",
        title="How long the memories last",
        caption=(
            "A memory that keeps the share z of its old value at a step forgets with the time scale "
            "-1 / log z. The thin line holds 80 % of the units and steps of the test cases, the thick one "
            "half of them, the dot is the median. Steps at which a group was not observed do not count."
        ),
        plot=lambda size: time_scales_figure(scales, size),
    )


def _sheet(page: GroupPage, order: Sequence[str]) -> Sheet:
    names = [*order, *(name for name in page.time_scales if name not in order)]
    rows = tuple(
        (
            name,
            _percent(page.shares.get(name)),
            _percent(page.accuracy_drops.get(name)),
            significant(float(page.time_scales.get(name, [np.nan] * 5)[2])),
        )
        for name in names
    )
    header = ("group", "share [%]", "accuracy lost [points]", "median time scale [steps]")
    return Sheet("In numbers", header, rows)


def _percent(value: float | int | None) -> str:
    return "—" if value is None else f"{100 * value:.1f}"
