"""Sections about single cases: training labels that look wrong, and the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from attractor.classification import SequenceClassifier, Suspects
from attractor.runs import Run

from .analysis import Picture, Section, Sheet
from .figures.cases import DrawnCase, cases_figure
from .figures.epochs import totals_figure
from .wording import count

_DRAWN = 6
_SHORT = 12
_MOST = 0.5
_COLOURS = "blue, orange, green, red and dark grey in this order, the others light grey"


def suspects_section(model: SequenceClassifier, run: Run) -> Section:
    """Training cases whose labels look wrong: how many there are, the first ones, and their series."""
    suspects, classes = model.suspects(), [str(name) for name in model.classes_]
    found = int(suspects.apart.sum())
    totals = Picture(
        name="totals",
        title="Losses of the training cases",
        caption=(
            "Networks learn right labels first. A case whose loss stays high over the epochs has a wrong "
            "label, a broken record, or is rare and hard. Two humps call for a look at the upper one; in a "
            "single hump nothing is coloured."
        ),
        plot=lambda size: totals_figure(suspects.totals, suspects.apart, size),
        facts=((count(found), f"of {count(len(suspects))} training cases stand apart by their losses"),),
    )
    titles = [_title(suspects, place, classes) for place in range(min(_DRAWN, len(suspects)))]
    drawn = Picture(
        name="suspects",
        title="The first suspects",
        caption=(
            "Scaled variables over the steps of the case. Above each: the given label and, behind the "
            f"arrow, the class that the network proposes instead. {_variables(model.names_)}"
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
    return Section("suspects", "Suspect labels", lead, (totals, drawn), (_table(suspects, classes, run),))


def data_section(model: SequenceClassifier, run: Run) -> Section:
    """How the cases were divided, an example of each class, and what the data doctor said."""
    facts = run.card["data"]
    labels = run.evaluation["examples.labels"]
    titles = [f"class {_short(str(model.classes_[label]))}" for label in labels]
    examples = Picture(
        name="examples",
        title="An example of each class",
        caption=(
            "Training cases of median length, in scaled variables, on one vertical scale; at most nine "
            f"classes are drawn. {_variables(model.names_)}"
        ),
        plot=lambda size: cases_figure(_series(model, run, "examples", titles), size),
    )
    sheets = [_counts(facts)]
    if facts.get("findings"):
        rows = tuple((one["severity"], f"{one['message']} {one['advice']}") for one in facts["findings"])
        sheets.append(Sheet("What the data doctor says", ("", "finding"), rows))
    return Section("data", "Data", facts["explanation"], (examples,), tuple(sheets))


def _counts(facts: Mapping[str, Any]) -> Sheet:
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
    return Sheet("Cases", ("class", *parts), tuple(rows), f"Read from {sources}." if sources else "")


def _table(suspects: Suspects, classes: Sequence[str], run: Run) -> Sheet:
    rows = tuple(
        (
            suspects.ids[place],
            classes[int(suspects.labels[place])],
            classes[int(suspects.proposed[place])],
            f"{suspects.mean_losses[place]:.2g}",
            "yes" if suspects.apart[place] else "no",
            f"{suspects.weights[place]:.2g}",
        )
        for place in range(len(run.card["suspects"]))
    )
    header = ("case", "given label", "proposed", "mean loss", "stands apart", "weight")
    caption = "The command attractor suspects lists all of them. A weight of 1 is that of equal weights."
    return Sheet("The first suspects in numbers", header, rows, caption)


def _title(suspects: Suspects, place: int, classes: Sequence[str]) -> str:
    given = _short(classes[int(suspects.labels[place])])
    proposed = _short(classes[int(suspects.proposed[place])])
    instead = f" → {proposed}?" if given != proposed else ""
    return f"{_short(suspects.ids[place])}: {given}{instead}"


def _series(model: SequenceClassifier, run: Run, name: str, titles: Sequence[str]) -> list[DrawnCase]:
    values, lengths = (run.evaluation[f"{name}.{part}"] for part in ("values", "lengths"))
    scaled = model.scaling_.to_unit(values.astype(float))
    return [
        DrawnCase(title, np.asarray(scaled[place, : lengths[place]])) for place, title in enumerate(titles)
    ]


def _variables(names: Sequence[str]) -> str:
    listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"Variables: {listed}" + (f" ({_COLOURS})." if len(names) > 1 else ".")


def _short(name: str) -> str:
    return name if len(name) <= _SHORT else name[: _SHORT - 1] + "…"
