"""What is said about a classifier on cases that were held back: plain facts for the card of a run."""

from collections.abc import Iterable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int

from attractor.data import Sequences
from attractor.errors import InputDataError

from .classifier import SequenceClassifier
from .classifier_metrics import (
    auc_interval,
    average_precision,
    bootstrap_interval,
    brier_score,
    calibration_by_chance,
    calibration_error,
    confusion_matrix,
    log_loss,
    roc_auc,
    share_interval,
)
from .decision import void_options
from .reading import bare_cell

RELIABILITY_BINS = 10

Facts = dict[str, Any]


def assess_classifier(
    model: SequenceClassifier,
    data: Sequences,
    seed: int = 0,
    groups: Int[np.ndarray, " cases"] | None = None,
) -> Facts:
    """Metrics of a fitted classifier on labelled cases.

    Args:
        model: fitted.
        data: cases that it was not trained on.
        seed: of the bootstrap.
        groups: what every case belongs to; None where every case stands for itself.

    Returns:
        The facts of `assess_probabilities`.

    Raises:
        InputDataError: cases without labels, or of unknown classes.
    """
    labels = model.labels_of(data)
    names = [str(name) for name in model.classes_]
    return assess_probabilities(model.predict_proba(data), labels, names, seed, groups)


def assess_probabilities(
    probabilities: Float[np.ndarray, "cases classes"],
    labels: Int[np.ndarray, " cases"],
    classes: Sequence[str],
    seed: int = 0,
    groups: Int[np.ndarray, " cases"] | None = None,
) -> Facts:
    """Metrics of probabilities against the true labels, as plain numbers, lists and dictionaries.

    Intervals are of 95 %, see `share_interval`, `auc_interval` and `bootstrap_interval`; None where there are
    too few cases, or groups of cases, for one. They tell how much another draw of test cases, or of their
    groups, would change, not how much another training would.

    Args:
        probabilities: of the classes.
        labels: true classes, as positions.
        classes: their names.
        seed: of the bootstrap.
        groups: what every case belongs to; None where every case stands for itself.

    Returns:
        `cases`, `groups` (how many; None where every case stands for itself), `accuracy`,
        `accuracy_interval`, `balanced_accuracy` (mean recall of the classes that occur), `macro_f1` (mean
        over the classes that occur or were predicted), `log_loss`, `brier`, `calibration_error`, `confusion`
        (rows are true classes), `per_class`, `reliability`, and for two classes `roc_auc` and
        `average_precision` of the second one with their intervals; `calibration_chance`: what the calibration
        error of so many cases stays below where the probabilities are right.

    Raises:
        InputDataError: no case, or probabilities and labels of different numbers.
    """
    if not len(labels) or probabilities.shape != (len(labels), len(classes)):
        raise InputDataError(
            f"probabilities of shape {probabilities.shape} for {len(labels)} labels and {len(classes)} "
            "classes; expected one row per case and one column per class"
        )
    predicted = probabilities.argmax(axis=1)
    confusion, right = confusion_matrix(labels, predicted, len(classes)), predicted == labels
    rows = per_class(labels, predicted, classes, groups)
    return {
        "cases": len(labels),
        "groups": None if groups is None else len(np.unique(groups)),
        "accuracy": float(right.mean()),
        "accuracy_interval": _listed(share_interval(right, groups)),
        "balanced_accuracy": _mean(row["recall"] for row in rows),
        "macro_f1": _mean(row["f1"] for row in rows if row["support"] or row["predicted"]),
        "log_loss": log_loss(probabilities, labels),
        "brier": brier_score(probabilities, labels),
        "calibration_error": calibration_error(probabilities, labels),
        "calibration_chance": calibration_by_chance(probabilities, seed),
        "confusion": confusion.tolist(),
        "per_class": rows,
        "reliability": reliability(probabilities, labels, groups=groups),
        **(_ranking(probabilities[:, 1], labels, seed, groups) if len(classes) == 2 else {}),
    }


def per_class(
    labels: Int[np.ndarray, " cases"],
    predicted: Int[np.ndarray, " cases"],
    classes: Sequence[str],
    groups: Int[np.ndarray, " cases"] | None = None,
) -> list[Facts]:
    """Precision, recall and F1 of every class, with its support and with intervals.

    What is undefined is None: the recall of a class without a case, the precision of one never predicted. F1
    is then 0, as is usual.

    Args:
        labels: true classes, as positions.
        predicted: the same as a classifier has them.
        classes: their names.
        groups: what every case belongs to; None where every case stands for itself.
    """
    rows = []
    for position, name in enumerate(classes):
        own, said = labels == position, predicted == position
        hits, support, named = int((own & said).sum()), int(own.sum()), int(said.sum())
        rows.append({
            "name": name,
            "support": support,
            "predicted": named,
            "precision": hits / named if named else None,
            "precision_interval": _interval_within(own, said, groups),
            "recall": hits / support if support else None,
            "recall_interval": _interval_within(said, own, groups),
            "f1": 2 * hits / (support + named) if support + named else 0.0,
        })
    return rows


def _interval_within(hits: np.ndarray, some: np.ndarray, groups: np.ndarray | None) -> list[float] | None:
    """The interval of the share of hits among some of the cases."""
    return _listed(share_interval(hits[some], None if groups is None else groups[some]))


def reliability(
    probabilities: Float[np.ndarray, "cases classes"],
    labels: Int[np.ndarray, " cases"],
    bins: int = RELIABILITY_BINS,
    groups: Int[np.ndarray, " cases"] | None = None,
) -> list[Facts]:
    """Confidence and accuracy of the cases in bins of confidence; empty bins are left out.

    Args:
        probabilities: of the classes.
        labels: true classes.
        bins: of equal width.
        groups: what every case belongs to; None where every case stands for itself.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    position = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "from": one / bins,
            "to": (one + 1) / bins,
            "cases": int(inside.sum()),
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(right[inside].mean()),
            "interval": _interval_within(right, inside, groups),
        }
        for one in range(bins)
        if (inside := position == one).any()
    ]


def training_facts(model: SequenceClassifier) -> Facts:
    """How the training went, from a model that was just fitted.

    Returns:
        `history` (one entry per epoch), `scores` and `best_steps` of the replicas, `judged` (whether these
        two mean anything), `seconds`, `warnings`, `steps_per_epoch`, `parameters`.
    """
    trained, cases = model.trained_, len(model.training_ids_)
    return {
        "history": trained.history,
        "scores": np.asarray(trained.scores, float).tolist(),
        "best_steps": np.asarray(trained.steps, int).tolist(),
        "judged": trained.judged,
        "seconds": float(trained.seconds),
        "warnings": [*trained.warnings, *_unfinished(model), *_void(model)],
        "steps_per_epoch": -(-cases // min(model.training.batch_size, cases)),
        "parameters": parameter_count(model),
    }


def _unfinished(model: SequenceClassifier) -> list[str]:
    """A training that would have gone on learning, where its result counts."""
    if not (model.trained_.still_falling and model.share_):
        return []
    epochs = len(model.trained_.history)
    return [
        f"validation was still falling after {epochs} epochs: give it more of them (--epochs {3 * epochs})"
    ]


def _void(model: SequenceClassifier) -> list[str]:
    found = void_options(model.decision, model.noise, model.labels)
    return [found] if found else []


def parameter_count(model: SequenceClassifier) -> int:
    """Numbers in the weights of one replica that have a say."""
    network = model.network()
    branch = network.convolutions
    own = None if model.decision.is_without_network else (bare_cell(network), network.readout)
    trained = own, None if branch is None else (branch.weight, branch.bias)
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(trained, eqx.is_inexact_array)))


def _ranking(scores: np.ndarray, labels: np.ndarray, seed: int, groups: np.ndarray | None) -> Facts:
    """How well the second class is told apart; nothing where only one of the classes occurs."""
    if len(np.unique(labels)) < 2:
        return {}
    area, precision = roc_auc(labels, scores), average_precision(labels, scores)
    drawn = bootstrap_interval(average_precision, labels, scores, seed, groups=groups)
    if groups is None:
        ends = auc_interval(area, int(np.sum(labels == 1)), int(np.sum(labels == 0)))
    else:
        ends = bootstrap_interval(roc_auc, labels, scores, seed, groups=groups)
    return {
        "roc_auc": area,
        "roc_auc_interval": _listed(ends),
        "average_precision": precision,
        "average_precision_interval": _listed(drawn),
    }


def _mean(values: Iterable[float | None]) -> float:
    return float(np.mean([value for value in values if value is not None]))


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)
