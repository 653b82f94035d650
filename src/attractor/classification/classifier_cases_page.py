"""Sections about single cases: training labels that look wrong, and the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attractor.classification import SequenceClassifier, Suspects
from attractor.classification.classifier_figures import (
    DrawnCase,
    cases_figure,
    shares_figure,
    time_scales_figure,
    totals_figure,
)
from attractor.report.page import PageFigure, PageTable, Section
from attractor.report.wording import count, shortened, significant
from attractor.runs import Run

_DRAWN = 6
_SHORT = 12
_MOST = 0.5
_OVER_EPOCHS = (
    "Networks learn right labels first. A case whose loss stays high over the epochs has a wrong label, a "
    "broken record, or is rare and hard. Two humps call for a look at the upper one: as many of the highest "
    "losses are coloured as belong to it and to labels that were never learned; in a single hump none is."
)
_LEFT_OUT = (
    "What a fit without the case, and without its relatives, says against its label. As many of the highest "
    "losses are coloured as there are cases for which another class is as likely as it is on average for the "
    "cases that have it (confident learning, Northcutt, Jiang and Chuang 2021). Each has a wrong label or a "
    "broken record, or is rare and hard."
)
_COLOURS = "blue, orange, green, red and dark grey in this order, the others light grey"


def suspects_section(model: SequenceClassifier, run: Run) -> Section:
    """Cases whose labels look wrong: how many there are, the first ones, and their series."""
    suspects = model.suspects()
    found, ranked = int(suspects.apart.sum()), "cases" if suspects.left_out else "training cases"
    totals = PageFigure(
        name="totals",
        title="Losses of the cases" if suspects.left_out else "Losses of the training cases",
        caption=_LEFT_OUT if suspects.left_out else _OVER_EPOCHS,
        plot=lambda size: totals_figure(suspects.totals, suspects.apart, size),
        facts=((count(found), f"of {count(len(suspects))} {ranked} stand apart by their losses"),),
    )
    titles = [_title(suspects, place) for place in range(min(_DRAWN, len(suspects)))]
    drawn = PageFigure(
        name="suspects",
        title="The first suspects",
        caption=(
            "Scaled variables over the steps of the case. Above each: the given label and, behind the "
            f"arrow, the class that the network proposes instead. {variables_drawn(model.names_)}"
        ),
        plot=lambda size: cases_figure(_series(model, run, "suspects", titles), size),
    )
    lead = (
        "A ranking for people to look at, not a verdict: a list of good labels has a first one, too. "
        f"{suspects.scope}"
    )
    if suspects.apart.mean() > _MOST:
        lead += (
            " More than half of the labels look wrong here. That is more likely a network that has not "
            "learned the task yet than a file of wrong labels: train longer, or without reweighting."
        )
    return Section("suspects", "Suspect labels", lead, (totals, drawn), (_table(suspects, run),))


def data_section(model: SequenceClassifier, run: Run) -> Section:
    """How the cases were divided, an example of each class, and what the data doctor said."""
    facts = run.card["data"]
    labels = run.evaluation["examples.labels"]
    titles = [f"class {shortened(str(model.classes_[label]), _SHORT)}" for label in labels]
    examples = PageFigure(
        name="examples",
        title="An example of each class",
        caption=(
            "Training cases of median length, in scaled variables, on one vertical scale; at most nine "
            f"classes are drawn. {variables_drawn(model.names_)}"
        ),
        plot=lambda size: cases_figure(_series(model, run, "examples", titles), size),
    )
    tables = [_counts(facts)]
    if facts.get("findings"):
        rows = tuple((one["severity"], f"{one['message']} {one['advice']}") for one in facts["findings"])
        tables.append(PageTable("What the data doctor says", ("", "finding"), rows))
    return Section("data", "Data", facts["explanation"], (examples,), tuple(tables))


def _counts(facts: Mapping[str, Any]) -> PageTable:
    parts = list(facts["counts"])
    rows = [
        (name, *(count(facts["counts"][part][name]) for part in parts))
        for name in facts["counts"]["training"]
    ]
    rows += [
        ("all", *(count(sum(facts["counts"][part].values())) for part in parts)),
        ("steps", *("{} to {}".format(*facts["lengths"][part]) for part in parts)),
        ("missing values", *(f"{100 * facts['missing'][part]:.1f} %" for part in parts)),
    ]
    sources = " ".join(str(facts[name]) for name in ("source", "test_source") if facts.get(name))
    return PageTable("Cases", ("class", *parts), tuple(rows), f"Read from {sources}." if sources else "")


def _table(suspects: Suspects, run: Run) -> PageTable:
    rows = tuple(
        (
            suspects.ids[place],
            str(suspects.labels[place]),
            str(suspects.proposed[place]),
            f"{suspects.mean_losses[place]:.2g}",
            "yes" if suspects.apart[place] else "no",
            f"{suspects.weights[place]:.2g}",
        )
        for place in range(len(run.card["suspects"]))
    )
    header = ("case", "given label", "proposed", "mean loss", "stands apart", "weight")
    caption = "The command attractor suspects lists all of them. A weight of 1 is that of equal weights."
    return PageTable("The first suspects in numbers", header, rows, caption)


def _title(suspects: Suspects, place: int) -> str:
    given = shortened(str(suspects.labels[place]), _SHORT)
    proposed = shortened(str(suspects.proposed[place]), _SHORT)
    instead = f" → {proposed}?" if given != proposed else ""
    return f"{shortened(suspects.ids[place], _SHORT)}: {given}{instead}"


def _series(model: SequenceClassifier, run: Run, name: str, titles: Sequence[str]) -> list[DrawnCase]:
    values, lengths = (run.evaluation[f"{name}.{part}"] for part in ("values", "lengths"))
    scaled = model.scaling_.to_unit(values.astype(float))
    return [
        DrawnCase(title, np.asarray(scaled[place, : lengths[place]])) for place, title in enumerate(titles)
    ]


def variables_drawn(names: Sequence[str]) -> str:
    """Which variables a figure of series shows, in which colours."""
    listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"Variables: {listed}" + (f" ({_COLOURS})." if len(names) > 1 else ".")


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
    figures = [_time_scales(page, first)] if page.time_scales else []
    if first:
        figures.insert(0, _shares(page, first))
    lead = (
        "The network keeps a memory of its own for every group of variables and a joint one. "
        + ("" if order else "All groups together tell less than none, so that no share can be given. ")
        + ("" if len(order) <= MOST_GROUPS else f"Of {len(order)} groups the first {MOST_GROUPS} are drawn.")
    )
    return Section("groups", "Groups of variables", lead, tuple(figures), (_group_table(page, order),))


def _shares(page: GroupPage, names: Sequence[str]) -> PageFigure:
    def chosen(values: Mapping[str, float | int]) -> dict[str, float | int]:
        return {name: values.get(name, 0.0) for name in names}

    thin = " The thin line is plus and minus one standard error." if any(page.errors.values()) else ""
    return PageFigure(
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


def _time_scales(page: GroupPage, first: Sequence[str]) -> PageFigure:
    others = [name for name in page.time_scales if name not in page.shares]
    scales = {name: page.time_scales[name] for name in [*first, *others] if name in page.time_scales}
    if not first:
        scales = dict(page.time_scales)
    return PageFigure(
        name="time-scales",
        title="How long the memories last",
        caption=(
            "A memory that keeps the share z of its old value at a step forgets with the time scale -1 / "
            "log z. The thin line holds 80 % of the units and steps of the test cases, the thick one half "
            "of them, the dot is the median. Steps at which a group was not observed do not count."
        ),
        plot=lambda size: time_scales_figure(scales, size),
    )


def _group_table(page: GroupPage, order: Sequence[str]) -> PageTable:
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
    return PageTable("In numbers", header, rows)


def _percent(value: float | int | None) -> str:
    return "—" if value is None else f"{100 * value:.1f}"
