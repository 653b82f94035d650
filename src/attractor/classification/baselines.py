"""What simple classifiers reach on the same cases, about how much anything could, and the verdict on that.

A score means little alone. Beside it stand the most frequent class, a ridge regression on summary statistics
of every variable, and the random convolutions that a network corrects; all are scored on the same test cases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binomtest

from attractor.data import Sequences
from attractor.report.wording import count

from .classifier_metrics import wilson_interval
from .ridge import fit_ridge

FREQUENT = "the most frequent class"
SUMMARY = "a ridge regression on summary statistics"
CONVOLUTIONS = "random convolutions alone"

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_BANDS = 4
_MOST_NEIGHBOURS = 2000
_LEAST_SPREAD = 1e-9
_CHANCE = 0.05
_GOOD = 0.9


@dataclass(frozen=True)
class Beside:
    """A simple classifier beside the one that is judged, on the same test cases.

    Args:
        name: what it is.
        accuracy: share of the cases that it names rightly.
        interval: of 95 %, Wilson's.
        only_model: cases that only the judged classifier names rightly.
        only_other: cases that only this one names rightly.
        p_value: of the two being equally good, by the exact test of these two numbers (McNemar 1947).
    """

    name: str
    accuracy: float
    interval: tuple[float, float]
    only_model: int
    only_other: int
    p_value: float

    @property
    def is_beaten(self) -> bool:
        """Whether the judged classifier is clearly better."""
        return self.only_model > self.only_other and self.p_value < _CHANCE


def compare(
    predicted: Int[np.ndarray, " cases"],
    labels: Int[np.ndarray, " cases"],
    others: dict[str, Int[np.ndarray, " cases"]],
) -> list[Beside]:
    """Simple classifiers beside a classifier, on the same cases.

    Args:
        predicted: by the classifier that is judged.
        labels: true classes.
        others: what the simple ones predict, by name.
    """
    return [_beside(name, predicted == labels, own == labels) for name, own in others.items()]


def _beside(name: str, right: np.ndarray, other: np.ndarray) -> Beside:
    first, second = int((right & ~other).sum()), int((other & ~right).sum())
    chance = float(binomtest(first, first + second).pvalue) if first + second else 1.0
    interval = wilson_interval(int(other.sum()), len(other)) or (0.0, 1.0)
    return Beside(name, float(other.mean()), interval, first, second, chance)


def simple_predictions(training: Sequences, test: Sequences) -> dict[str, Int[np.ndarray, " cases"]]:
    """What the most frequent class and the ridge regression on summary statistics say of test cases.

    Args:
        training: labelled cases to fit on.
        test: of the same variables.
    """
    labels, classes = np.asarray(training.labels), len(training.classes)
    known, asked = (summary_features(part) for part in (training, test))
    centre, spread = known.mean(axis=0), known.std(axis=0)
    used = spread > _LEAST_SPREAD
    rows, unseen = ((part[:, used] - centre[used]) / spread[used] for part in (known, asked))
    if not used.any():
        rows, unseen = np.zeros((len(known), 1)), np.zeros((len(asked), 1))
    fitted = fit_ridge(rows, 2.0 * np.eye(classes)[labels] - 1.0)
    frequent = np.full(len(test), np.bincount(labels, minlength=classes).argmax())
    return {FREQUENT: frequent, SUMMARY: (unseen @ fitted.weight + fitted.bias).argmax(axis=1)}


def summary_features(data: Sequences) -> Float[np.ndarray, "cases features"]:
    """Statistics of every variable of every case: moments, quantiles, ends, differences, spectrum, gaps."""
    return np.array([_summary(data.one(case)) for case in range(len(data))])


def _summary(series: Float[np.ndarray, "time variables"]) -> Float[np.ndarray, " features"]:
    missing = np.isnan(series)
    known = np.where(missing, np.where(missing.all(axis=0), 0.0, _means(series)), series)
    steps = np.diff(known, axis=0) if len(known) > 1 else np.zeros_like(known)
    centred = known - known.mean(axis=0)
    deviation = np.maximum(known.std(axis=0), _LEAST_SPREAD)
    shape = [np.mean((centred / deviation) ** power, axis=0) for power in (3, 4)]
    moved = [np.abs(steps).mean(axis=0), steps.std(axis=0), np.abs(steps).max(axis=0)]
    rows = [known.mean(axis=0), deviation, *shape, *np.quantile(known, _QUANTILES, axis=0)]
    rows += [known[0], known[-1], *moved, *_bands(centred), missing.mean(axis=0)]
    return np.nan_to_num(np.concatenate(rows))


def _means(series: np.ndarray) -> np.ndarray:
    counts = np.maximum((~np.isnan(series)).sum(axis=0), 1)
    return np.nansum(series, axis=0) / counts


def _bands(centred: np.ndarray) -> list[np.ndarray]:
    """Shares of the power in bands of frequency whose width doubles."""
    power = np.abs(np.fft.rfft(centred, axis=0))[1:] ** 2
    if not len(power):
        return [np.zeros(centred.shape[1])] * _BANDS
    ends = (len(power) * 0.5 ** np.arange(_BANDS, -1, -1)).round().astype(int)
    ends[0] = 0
    whole = np.maximum(power.sum(axis=0), _LEAST_SPREAD)
    return [power[low:high].sum(axis=0) / whole for low, high in pairwise(ends)]


def attainable_accuracy(
    features: Float[np.ndarray, "cases features"], labels: Int[np.ndarray, " cases"], seed: int = 0
) -> float:
    """About the best accuracy that anything could reach, from how often nearest neighbours disagree.

    With ever more cases the error e of the nearest neighbour and the least possible error r obey
    r >= (K - 1) / K (1 - sqrt(1 - K e / (K - 1))) for K classes (Cover and Hart 1967). With few cases
    neighbours are far away and e is too large, so that the truth may well be higher: a rough estimate, no
    bound.

    Args:
        features: of labelled cases, in which distance means something.
        labels: their classes.
        seed: which cases are looked at where there are many.
    """
    classes = len(np.unique(labels))
    if classes < 2:
        return 1.0
    if len(labels) > _MOST_NEIGHBOURS:
        some = np.random.default_rng(seed).choice(len(labels), _MOST_NEIGHBOURS, replace=False)
        features, labels = features[some], labels[some]
    rows = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), _LEAST_SPREAD)
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    np.fill_diagonal(distances, np.inf)
    error = float((labels[distances.argmin(axis=1)] != labels).mean())
    ratio = classes / (classes - 1)
    return 1.0 - (1.0 - np.sqrt(max(1.0 - ratio * error, 0.0))) / ratio


def besides(facts: Iterable[dict[str, Any]]) -> list[Beside]:
    """Back from the plain facts of a card."""
    return [Beside(**{**one, "interval": tuple(one["interval"])}) for one in facts]


@dataclass(frozen=True)
class Judgement:
    """What is said first.

    Args:
        said: the finding.
        meaning: what follows from it.
        tone: how good it is.
    """

    said: str
    meaning: str
    tone: Literal["good", "fair", "poor"]


def judged(scores: Mapping[str, Any], *, left_out: bool = False) -> Judgement:
    """A verdict on the scores of a test: what simple classifiers reach is no skill of a network.

    Args:
        scores: as `classifier_study.scores_on_test` gives them.
        left_out: whether validation left the recurrent network out.
    """
    low, high = scores["accuracy_interval"]
    usual = max(row["support"] for row in scores["per_class"]) / scores["cases"]
    always = f"always naming the most frequent class ({100 * usual:.1f} %)"
    right, cases = f"{100 * scores['accuracy']:.1f} %", count(scores["cases"])
    ends = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %"
    said = f"Right in {right} of {cases} cases it has never seen ({ends})"
    alone = " Random convolutions decide alone: the recurrent network did not help in validation."
    alone = alone if left_out else ""
    if low <= usual:
        return Judgement(
            f"{said}. That is not clearly better than {always}.{alone}",
            "Do not use it: it has found nothing in the series that tells the classes apart.",
            "poor",
        )
    simple = next((one for one in besides(scores.get("beside", ())) if one.name == SUMMARY), None)
    if simple is not None and not simple.is_beaten:
        return Judgement(
            f"{SUMMARY[0].upper()}{SUMMARY[1:]} does as well: right in {100 * simple.accuracy:.1f} % of "
            f"{cases} unseen cases, this model in {right} ({ends}).{alone}",
            "Nothing speaks for the larger model on these cases: take the simple one, or test on more cases.",
            "fair",
        )
    beside = "" if simple is None else f"{100 * simple.accuracy:.1f} % for {SUMMARY} and "
    verdict = f"{said}, against {beside}{always}.{alone}"
    if scores["balanced_accuracy"] >= _GOOD or scores["accuracy"] >= scores.get("attainable", 2.0):
        return Judgement(
            verdict, "Of new cases like those of the test, about so many are named rightly.", "good"
        )
    return Judgement(
        verdict, "It has learned something, but misses some classes often: see below which ones.", "fair"
    )
