"""From the run folder of a classifier to its report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attractor.classification import SequenceClassifier
from attractor.classification.baselines import besides, judged
from attractor.classification.classifier_cases_page import (
    GroupPage,
    data_section,
    group_section,
    suspects_section,
)
from attractor.classification.classifier_figures import (
    class_scores_figure,
    confusion_figure,
    epochs_figure,
    reliability_figure,
    weights_figure,
)
from attractor.classification.label_sets import assumption
from attractor.data.labelled_sequences import name_some
from attractor.errors import RunFolderError
from attractor.folders import facts_of
from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile
from attractor.report.publishing import PAGES, PageKind, publish
from attractor.report.wording import count, digests, duration, in_words, significant
from attractor.runs import REPORT, Run, check_judged, load_run

_PARTS = ("data", "metrics", "training", "groups", "suspects", "examples")
Facts = Mapping[str, Any]


def write_classifier_report(folder: Path, cell: Callable[..., Any] | None = None) -> Path:
    """Write `report.html` into a run folder.

    Args:
        folder: a finished run of `SequenceClassifier`, saved with what a report shows.
        cell: the class of a cell of the user's own.

    Raises:
        RunFolderError: the folder is missing, damaged or foreign, or was saved without what a report shows.
    """
    run = load_run(folder)
    check_judged(folder, run)
    model = SequenceClassifier.load(folder, cell)
    if not all(part in run.card for part in _PARTS):
        raise RunFolderError(
            f"{folder} holds a classifier that was saved without its scores, so there is nothing to report "
            "on. `attractor classify` saves them; from Python, with ClassifierRoles of your cases: card, "
            "arrays = run_contents(model, roles, {}); model.save(folder, card=card, evaluation=arrays, "
            "overwrite=True), with run_contents of attractor.classification.classifier_study"
        )
    command = str(run.card.get("command", "SequenceClassifier(...).fit(...) from Python"))
    with facts_of(folder / "card.json"):
        about = About(folder.name, command, run.origin, str(run.card["data"].get("source") or ""))
        return publish(ClassifierRun(model, run), folder, about)


@dataclass(frozen=True, eq=False)
class ClassifierRun:
    """A trained classifier with the card and the arrays of its run."""

    model: SequenceClassifier
    run: Run


PAGES.register(
    ClassifierRun,
    PageKind(REPORT, "attractor.classification.classifier_page:classifier_page"),
    source=__name__,
)


def classifier_page(result: ClassifierRun, about: About) -> Page:
    """What the page says.

    Args:
        result: a run.
        about: its name and origin.
    """
    model, run = result.model, result.run
    card = run.card
    scores = card["metrics"]["test"]
    sections = [_scores(scores, judged=model.judged_), _calibration(scores, model), _training(model, card)]
    sections.append(suspects_section(model, run))
    if card["groups"] is not None:
        sections.append(group_section(_group_page(card["groups"])))
    sections += [data_section(model, run), _model_card(model, card)]
    found = judged(scores, model.decision.said)
    return Page(
        kind="Sequence classifier",
        verdict=found.said,
        tone=found.tone,
        meaning=found.meaning,
        steps=(
            Step("See how it stands noise, gaps and drift:", f"attractor robustness {about.run} TEST.npz"),
            Step("Look at the labels that look wrong:", f"attractor suspects {about.run}"),
        ),
        tiles=_tiles(scores, card["training"]),
        sections=tuple(sections),
    )


def _tiles(scores: Facts, training: Facts) -> tuple[Tile, ...]:
    time, unit = duration(training["seconds"])
    if "roc_auc" in scores:
        third = Tile("AUC-ROC", f"{scores['roc_auc']:.3f}", "", _under(scores["roc_auc_interval"], scores))
    else:
        third = Tile("Macro F1", f"{scores['macro_f1']:.3f}", "", "mean over the classes")
    ends = scores["accuracy_interval"] and [100 * end for end in scores["accuracy_interval"]]
    return (
        Tile("Accuracy", f"{100 * scores['accuracy']:.1f}", "%", _under(ends, scores, 1)),
        Tile("Balanced", f"{100 * scores['balanced_accuracy']:.1f}", "%", "mean recall of the classes"),
        third,
        Tile("Calibration error", f"{100 * scores['calibration_error']:.1f}", "points", _by_chance(scores)),
        Tile("Training", time, unit, f"{count(training['parameters'])} trained numbers"),
    )


def _under(ends: list[float] | None, scores: Facts, digits: int = 3) -> str:
    """What stands below a number: its interval, or that there is none."""
    if ends is None:
        return _no_interval(scores)
    return f"95 % interval {_interval(ends, digits)}"


def _no_interval(scores: Facts) -> str:
    if scores.get("groups") == 1:
        return "one group allows no interval"
    return f"too few {'cases' if scores.get('groups') is None else 'groups'} for an interval"


def _by_chance(scores: Facts) -> str:
    """What stands below the calibration error: how much of it is nothing but few cases."""
    if "calibration_chance" not in scores:  # of a run that was saved by an earlier version
        return "confidence off by"
    return f"by chance alone up to {100 * scores['calibration_chance']:.1f}"


def _scores(scores: Facts, *, judged: bool) -> Section:
    confusion = np.array(scores["confusion"], int)
    names, rows = [row["name"] for row in scores["per_class"]], scores["per_class"]
    figures = (
        PageFigure(
            name="confusion",
            title="Confusion matrix",
            caption=(
                "Rows are true classes, columns what the network said. Blue squares on the diagonal are "
                "right, red ones are confusions; the stronger, the larger the share of the true class."
            ),
            plot=lambda size: confusion_figure(confusion, names, size),
        ),
        PageFigure(
            name="class-scores",
            title="Precision and recall by class",
            caption=(
                "Recall: share of the cases of a class that were found. Precision: share of those named so "
                "that are. Lines are 95 % intervals: long ones belong to classes with few cases."
            ),
            plot=lambda size: class_scores_figure(rows, size),
        ),
    )
    lead = f"All figures are of the test cases{_unseen(scores, judged=judged)}. {_whose(scores)}"
    doubted = scores.get("doubted", ())
    if doubted:
        lead += (
            f" Of {count(len(doubted))} of them ({name_some(list(doubted))}) the model says another class as "
            "surely as of cases that have it: look at their labels, for no classifier can be right about a "
            "wrong one."
        )
    tables = (_figures(scores), *_beside(scores), _per_class(rows))
    return Section("scores", "Scores", lead, figures, tables)


def _beside(scores: Facts) -> tuple[PageTable, ...]:
    rows = [
        (
            one.name,
            f"{one.accuracy:.4f}",
            _interval(one.interval and list(one.interval), 4),
            count(one.only_model),
            count(one.only_other),
            f"{one.p_value:.2g}",
        )
        for one in besides(scores.get("beside", ()))
    ]
    if not rows:
        return ()
    header = ("classifier", "accuracy", "95 % interval", "only the model right", "only it right", "p")
    caption = (
        "Simple classifiers, fitted on the training cases and scored on the same test cases; p is that of "
        f"equal skill, from the cases on which only one of the two is right ({_test(scores)}). From how "
        f"often nearest neighbours disagree, about {100 * scores['attainable']:.0f} % seems attainable: a "
        "rough estimate, too low where cases are few (Cover and Hart 1967)."
    )
    return (PageTable("Beside simple classifiers", header, tuple(rows), caption),)


def _figures(scores: Facts) -> PageTable:
    rows = []
    for name, words in (
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced accuracy"),
        ("macro_f1", "macro F1"),
        ("roc_auc", "AUC-ROC"),
        ("average_precision", "average precision"),
        ("log_loss", "log loss [nat]"),
        ("brier", "Brier score"),
        ("calibration_error", "expected calibration error"),
    ):
        if name in scores:
            known = f"{name}_interval" in scores
            rows.append((
                words,
                f"{scores[name]:.4f}",
                _interval(scores[f"{name}_interval"], 4) if known else "",
            ))
    caption = (
        "Intervals show what another draw of test cases, or of their groups, would change: Wilson's for "
        "accuracy, Newcombe's for the AUC-ROC of independent cases, the bootstrap for other areas; a dash "
        "where there are too few for one, or all are of one group. They do not show what another seed of the "
        "training would change."
    )
    if "calibration_chance" in scores:
        caption += (
            f" Of {count(scores['cases'])} independent cases whose probabilities are right the calibration "
            f"error is up to {scores['calibration_chance']:.4f} by chance."
        )
    return PageTable("In numbers", ("figure", "value", "95 % interval"), tuple(rows), caption)


def _unseen(scores: Facts, *, judged: bool) -> str:
    if learned := scores.get("learned_cases", 0):
        return f", {count(learned)} of which were learned from"
    return f", which {'training and validation' if judged else 'training'} never saw"


def _whose(scores: Facts) -> str:
    """Of what kind of new cases the intervals are."""
    if scores.get("groups") == 1:
        return "They are all of one group, which allows no interval: test on more groups."
    if scores.get("groups") is None:
        return (
            "Intervals take them as independent: if several are of one subject or recording, they are too "
            "narrow; name the groups (--weight-groups)."
        )
    return (
        f"They come from {count(scores['groups'])} groups, and intervals and p-values are those of another "
        "draw of groups."
    )


def _test(scores: Facts) -> str:
    return "McNemar's exact test" if scores.get("groups") is None else "signs flipped group by group, exact"


def _per_class(rows: list[Facts]) -> PageTable:
    header = ("class", "cases", "recall", "95 % interval", "precision", "95 % interval", "F1")
    body = tuple(
        (
            row["name"],
            count(row["support"]),
            *(
                text
                for name in ("recall", "precision")
                for text in (_share(row[name]), _interval(row[f"{name}_interval"], 3))
            ),
            f"{row['f1']:.3f}",
        )
        for row in rows
    )
    return PageTable("By class", header, body, _NO_SHARE)


_NO_SHARE = "A dash: no case of the class, or it was never named; of an interval: all are of one group, too."


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _interval(ends: list[float] | None, digits: int) -> str:
    return "—" if ends is None else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _calibration(scores: Facts, model: SequenceClassifier) -> Section:
    figure = PageFigure(
        name="reliability",
        title="Reliability",
        caption=(
            "A point below the dashed line: the network is surer than it is right; above: it is more often "
            "right than it says. Lines are 95 % intervals. Right: how many cases stand in each bin."
        ),
        plot=lambda size: reliability_figure(scores["reliability"], size),
        facts=(
            (f"{100 * scores['calibration_error']:.1f} points", "expected calibration error"),
            (f"{model.temperature_:.3f}", f"temperature, {_judged_by(model)}"),
        ),
    )
    lead = "Whether a probability means what it says: of cases with 80 % confidence, 80 % should be right."
    return Section("calibration", "Calibration", lead, (figure,), _label_sets(scores, model))


def _judged_by(model: SequenceClassifier) -> str:
    if model.calibration_ is None:
        return "for no case was kept to choose another"
    return f"from {'fits without each case' if model.calibration_.left_out else 'validation'}"


def _label_sets(scores: Facts, model: SequenceClassifier) -> tuple[PageTable, ...]:
    if not scores.get("label_sets") or model.calibration_ is None:
        return ()
    rows = tuple(_sets_row(one, len(model.classes_)) for one in scores["label_sets"])
    header = ("asked", "stated", "held on test", "95 % interval", "labels in a set", "sets of one label")
    known = model.calibration_
    cases, grouped = count(len(known.labels)), known.groups is not None
    of = f" of {count(known.units)} groups" if grouped else ""
    by = f"cases{of}, each judged by a fit without it" if known.left_out else f"validation cases{of}"
    is_short = grouped or any(one.get("objection") for one in scores["label_sets"])
    limit = f"Above {100 * known.highest:.1f} % no label can be excluded by so few. " if is_short else ""
    caption = (
        f"Sets of labels that cannot be excluded (conformal prediction), calibrated by {cases} {by}. "
        f"No set is empty, so that more is held than asked where one label alone is right so often. {limit}"
        f"{assumption(grouped=grouped, left_out=known.left_out)} `attractor predict --coverage 0.9` writes "
        "them."
    )
    return (PageTable("Sets that hold the true label", header, rows, caption),)


def _sets_row(one: Facts, classes: int) -> tuple[str, ...]:
    """One coverage; where too few cases calibrate it, all sets hold all labels, which is no merit."""
    asked = f"{100 * one['coverage']:g} %"
    if one.get("objection"):
        return asked, "—", "—", "—", f"all {classes}: too few calibrate", "0.0 %"
    ends = one["interval"] and [100 * end for end in one["interval"]]
    return (
        asked,
        f"{100 * one['stated']:.1f} %",
        f"{100 * one['measured']:.1f} %",
        f"{_interval(ends, 1)} %" if ends else "—",
        f"{one['mean_size']:.2f} of {classes}",
        f"{100 * one['single']:.1f} %",
    )


def _training(model: SequenceClassifier, card: Facts) -> Section:
    training, decision = card["training"], model.decision
    is_judged, figures = training.get("judged", True), []
    if training["history"]:
        figures.append(
            PageFigure(
                name="epochs",
                title="Training curves",
                caption=(
                    "Left: mean weighted loss in training, with noise and dropout on. Right: cross-entropy "
                    "of the validation cases; the dot marks the weights that were kept. A right line that "
                    "rises while the left one falls shows overfitting."
                )
                if is_judged
                else "Mean weighted loss in training, with noise and dropout on; nothing was validated.",
                plot=lambda size: epochs_figure(training, model.chosen_, size),
            )
        )
    history = model.case_history_
    if history.strengths.any():
        reweighting = model.labels.asked_reweighting
        weights = history.weights_over_time(reweighting.memory if reweighting else 1.0)
        figures.append(_weights(weights, history.strengths))
    lead = decision.said
    if training["history"]:
        lead += " Every line is one network; the kept one is blue."
    if model.labels.reweighting is None:
        lead += " All cases weighed alike."
    elif history.left_out:
        lead += " Cases with improbable labels counted less in the ridge regression."
    if training["warnings"]:
        lead += " Remarks: " + "; ".join(training["warnings"])
    return Section("training", "Training", lead.strip(), tuple(figures))


def _weights(weights: np.ndarray, strengths: np.ndarray) -> PageFigure:
    left = weights[-1].sum() ** 2 / np.square(weights[-1]).sum()
    return PageFigure(
        name="weights",
        title="Weights of the training cases",
        caption=(
            "A weight of 1 is that of equal weights. Cases whose loss stays high fade out: the red line is "
            "the least weight. ESS / N is the share of the cases that still count; the strength decides how "
            "fast weights part. Shown before caps, shared weights and the balance of classes."
        ),
        plot=lambda size: weights_figure(weights, strengths, size),
        facts=(
            (f"{left:.0f} of {weights.shape[1]}", "effective cases at the end"),
            (f"{100 * np.mean(weights[-1] < 0.1):.1f} %", "of the cases below a tenth of an equal weight"),
        ),
    )


def _group_page(facts: Facts) -> GroupPage:
    return GroupPage(
        shares=facts["shares"],
        time_scales=facts["time_scales"],
        errors=facts["errors"],
        accuracy_drops=facts["accuracy_drops"],
        cases=facts["cases"],
    )


def _kept_step(training: Facts, *, best: bool, replica: int) -> str:
    if not training["history"]:
        return "none, no network was trained"
    return str(training["best_steps"][replica]) if best else "the last"


def _model_card(model: SequenceClassifier, card: Facts) -> Section:
    training = card["training"]
    best = model.training.keep == "best" and training.get("judged", True)
    outcome = {
        "chosen replica": f"{model.chosen_} of {card['replicas']}",
        "kept step": _kept_step(training, best=best, replica=model.chosen_),
        "time": f"{training['seconds']:.1f} s",
        "temperature": significant(model.temperature_),
        "share of the recurrent network": significant(model.share_),
        **digests(card),
    }
    tables = (
        PageTable("Options", ("option", "value"), tuple(in_words(card["options"]).items())),
        PageTable("Outcome", ("what", "value"), tuple(outcome.items())),
        PageTable("Made with", ("what", "version"), tuple(in_words(card["made_with"]).items())),
    )
    return Section("card", "Model card", "What it takes to make this model again.", tables=tables)
