"""What simple classifiers reach on the same cases, about how much anything could, and the verdict on that.

A score means little alone. Beside it stand the most frequent class, a ridge regression on summary statistics
of every variable, and the random convolutions that a network corrects; all are scored on the same test cases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import binomtest
from scipy.stats import t as student

from attractor.data import Scaling, Sequences
from attractor.data.preprocessing import is_constant, mean_and_deviation
from attractor.report.wording import count

from .classifier_metrics import grouped_error, share_interval
from .ridge import fit_ridge

ONE_GROUP = "all of one group, which allows no interval"
_ALONE = "One group shows nothing of others: test on more (subjects, recordings) before you use it."
_NOTHING = "Do not use it: nothing shows that it finds anything in the series that tells the classes apart."
FREQUENT = "the most frequent class"
SUMMARY = "a ridge regression on summary statistics"
CONVOLUTIONS = "random convolutions alone"

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
_BANDS = 4
_MOST_NEIGHBOURS = 2000
_LEAST_SPREAD = 1e-9
_FAR = 1e9
"""Standard deviations, beyond which values are cut: their fourth powers would be no numbers."""
_CHANCE = 0.05
_GOOD = 0.9
_LITTLE = 0.02


@dataclass(frozen=True)
class Beside:
    """A simple classifier beside the one that is judged, on the same test cases.

    Args:
        name: what it is.
        accuracy: share of the cases that it names rightly.
        interval: of 95 %, see `share_interval`; None where it is not known.
        only_model: cases that only the judged classifier names rightly.
        only_other: cases that only this one names rightly.
        p_value: of the two being equally good, see `sign_flip`.
        ahead: how much more often the judged classifier may be right at most, the upper end of the interval
            of 95 % of the difference; None where it is not known.
    """

    name: str
    accuracy: float
    interval: tuple[float, float] | None
    only_model: int
    only_other: int
    p_value: float
    ahead: float | None = None

    @property
    def is_beaten(self) -> bool:
        """Whether the judged classifier is clearly better."""
        return self.only_model > self.only_other and self.p_value < _CHANCE

    @property
    def is_better(self) -> bool:
        """Whether this one is clearly better."""
        return self.only_other > self.only_model and self.p_value < _CHANCE

    @property
    def does_as_well(self) -> bool:
        """Whether it is right at least as often, or the other one cannot be ahead by more than a little."""
        return self.only_other >= self.only_model or (self.ahead is not None and self.ahead <= _LITTLE)


def compare(
    predicted: Int[np.ndarray, " cases"],
    labels: Int[np.ndarray, " cases"],
    others: dict[str, Int[np.ndarray, " cases"]],
    groups: Int[np.ndarray, " cases"] | None = None,
) -> list[Beside]:
    """Simple classifiers beside a classifier, on the same cases.

    Args:
        predicted: by the classifier that is judged.
        labels: true classes.
        others: what the simple ones predict, by name.
        groups: what every case belongs to; None where every case stands for itself.
    """
    return [_beside(name, predicted == labels, own == labels, groups) for name, own in others.items()]


def _beside(
    name: str, right: Bool[np.ndarray, " cases"], other: Bool[np.ndarray, " cases"], groups: np.ndarray | None
) -> Beside:
    first, second = int((right & ~other).sum()), int((other & ~right).sum())
    difference = right.astype(float) - other
    codes = np.arange(len(right)) if groups is None else groups
    count = len(np.unique(codes))
    reach = float(student.ppf(0.975, count - 1)) * grouped_error(difference, codes) if count > 1 else np.inf
    ahead = float(difference.mean()) + reach
    return Beside(
        name=name,
        accuracy=float(other.mean()),
        interval=share_interval(other, groups),
        only_model=first,
        only_other=second,
        p_value=sign_flip(difference.astype(int), groups),
        ahead=ahead if np.isfinite(ahead) else None,
    )


def sign_flip(
    differences: Int[np.ndarray, " cases"], groups: Int[np.ndarray, " cases"] | None = None
) -> float:
    """How probable so unequal numbers are of two classifiers that are equally good, both ways.

    Under that hypothesis which of the two is which does not matter, case by case, or where cases come in
    groups group by group: every sign of a sum may be flipped. The distribution over all flips is computed
    exactly. For cases that stand for themselves this is the test of McNemar 1947; G groups say nothing below
    2 to the power 1 - G.

    Args:
        differences: 1 where only the first classifier is right, -1 where only the other, else 0.
        groups: what every case belongs to; None where every case stands for itself.
    """
    codes = np.arange(len(differences)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.abs(np.bincount(codes, differences).astype(int))
    sums = sums[sums > 0]
    if not len(sums):
        return 1.0
    found = abs(int(differences.sum()))
    if sums.max() == 1:
        return float(binomtest((found + len(sums)) // 2, len(sums)).pvalue)
    chances = np.ones(1)  # of every sum from minus to plus what all together make, in steps of 2
    for one in sums:
        wider = np.zeros(len(chances) + one)
        wider[: len(chances)] += chances / 2
        wider[one:] += chances / 2
        chances = wider
    reached = 2 * np.arange(len(chances)) - int(sums.sum())
    return float(min(chances[np.abs(reached) >= found].sum(), 1.0))


def simple_predictions(training: Sequences, test: Sequences) -> dict[str, Int[np.ndarray, " cases"]]:
    """What the most frequent class and the ridge regression on summary statistics say of test cases.

    Args:
        training: labelled cases to fit on.
        test: of the same variables.
    """
    labels, classes = np.asarray(training.labels), len(training.classes)
    known, asked = (summary_features(sized(part, training)) for part in (training, test))
    centre, spread = known.mean(axis=0), known.std(axis=0)
    used = spread > _LEAST_SPREAD
    rows, unseen = ((part[:, used] - centre[used]) / spread[used] for part in (known, asked))
    if not used.any():
        rows, unseen = np.zeros((len(known), 1)), np.zeros((len(asked), 1))
    fitted = fit_ridge(rows, 2.0 * np.eye(classes)[labels] - 1.0)
    frequent = np.full(len(test), np.bincount(labels, minlength=classes).argmax())
    return {FREQUENT: frequent, SUMMARY: (unseen @ fitted.weight + fitted.bias).argmax(axis=1)}


def sized(data: Sequences, training: Sequences) -> Sequences:
    """Cases in the scale of training cases, so that the unit of a variable does not matter.

    Args:
        data: the cases.
        training: of the same variables in the same order; a variable at rest, or without a value, keeps its
            unit.
    """
    columns = [training.values[:, :, position] for position in range(len(training.names))]
    known = [column[~np.isnan(column)] for column in columns]
    found = [(0.0, 1.0) if not len(one) or is_constant(one) else mean_and_deviation(one) for one in known]
    middle, size = np.array(found).T
    return replace(data, values=np.clip(Scaling(middle, size).to_unit(data.values), -_FAR, _FAR))


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
    features: Float[np.ndarray, "cases features"],
    labels: Int[np.ndarray, " cases"],
    seed: int = 0,
    related: Int[np.ndarray, " cases"] | None = None,
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
        related: what every case belongs to: the neighbour of a case is none of its relatives, such as other
            windows of its recording. None where every case stands for itself.
    """
    classes = len(np.unique(labels))
    if classes < 2:
        return 1.0
    if len(labels) > _MOST_NEIGHBOURS:
        some = np.random.default_rng(seed).choice(len(labels), _MOST_NEIGHBOURS, replace=False)
        features, labels = features[some], labels[some]
        related = None if related is None else related[some]
    rows = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), _LEAST_SPREAD)
    squares = (rows**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * rows @ rows.T
    codes = np.arange(len(labels)) if related is None else related
    distances[codes[:, None] == codes] = np.inf
    judged = np.isfinite(distances.min(axis=1))
    if not judged.any():
        return 1.0  # all are relatives, which say nothing
    error = float((labels[distances.argmin(axis=1)] != labels)[judged].mean())
    ratio = classes / (classes - 1)
    return 1.0 - (1.0 - np.sqrt(max(1.0 - ratio * error, 0.0))) / ratio


def besides(facts: Iterable[dict[str, Any]]) -> list[Beside]:
    """Back from the plain facts of a card."""
    return [Beside(**{**one, "interval": one["interval"] and tuple(one["interval"])}) for one in facts]


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


def judged(scores: Mapping[str, Any], decides: str = "") -> Judgement:
    """A verdict on the scores of a test: what simple classifiers reach is no skill of a network.

    Args:
        scores: as `classifier_study.scores_on_test` gives them.
        decides: a sentence about the part that decides, see `Decision.said`.
    """
    right, cases = f"{100 * scores['accuracy']:.1f} %", count(scores["cases"])
    ends = _in_brackets(scores)
    if learned := scores.get("learned_cases", 0):
        return Judgement(
            f"{learned} of the {cases} test cases were learned from: right in {right} of them all{ends} says "
            f"little of new cases.{f' {decides}' if decides else ''}",
            "Take them out of one file, and train again: a model is not judged by what it has seen.",
            "poor",
        )
    said = f"Right in {right} of {cases} cases it has never seen{ends}"
    decides = f" {decides}" if decides else ""
    others = {one.name: one for one in besides(scores.get("beside", ()))}
    ahead = max((one for one in others.values() if one.is_better), key=_accuracy, default=None)
    if ahead is not None:
        return Judgement(
            f"Clearly better than this model: {ahead.name}, right in {100 * ahead.accuracy:.1f} % of {cases} "
            f"unseen cases, this model in {right}{ends}; {_chance(ahead)}.{decides}",
            f"Do not use it: take {ahead.name}.",
            "poor",
        )
    usual, is_better = _usual(scores, others.get(FREQUENT))
    always = f"always naming the most frequent class ({100 * usual:.1f} %)"
    if not is_better:
        return Judgement(
            f"{said}. That is not clearly better than {always}.{decides}",
            _ALONE if scores.get("groups") == 1 else _NOTHING,
            "poor",
        )
    simple = others.get(SUMMARY)
    if simple is not None and not simple.is_beaten:
        return _unbeaten(simple, (right, cases, ends), decides)
    beside = "" if simple is None else f"{100 * simple.accuracy:.1f} % for {SUMMARY} and "
    verdict = f"{said}, against {beside}{always}.{decides}"
    if scores["balanced_accuracy"] >= _GOOD or scores["accuracy"] >= scores.get("attainable", 2.0):
        return Judgement(
            verdict, "Of new cases like those of the test, about so many are named rightly.", "good"
        )
    return Judgement(
        verdict, "It has learned something, but misses some classes often: see below which ones.", "fair"
    )


def _unbeaten(simple: Beside, found: tuple[str, str, str], decides: str) -> Judgement:
    """What is said where the simple classifier may be as good."""
    (right, cases, ends), own = found, f"{100 * simple.accuracy:.1f} %"
    if simple.does_as_well:
        return Judgement(
            f"{SUMMARY[0].upper()}{SUMMARY[1:]} does as well: right in {own} of {cases} unseen cases, this "
            f"model in {right}{ends}.{decides}",
            "Nothing speaks for the larger model on these cases: take the simple one, or test on more cases.",
            "fair",
        )
    return Judgement(
        f"Right in {right} of {cases} cases it has never seen{ends}, against {own} for {SUMMARY}: not shown "
        f"to be better, {_chance(simple)}.{decides}",
        "It may be better than the simple model or as good: test on more cases before you choose.",
        "fair",
    )


def _usual(scores: Mapping[str, Any], frequent: Beside | None) -> tuple[float, bool]:
    """How often the most frequent class of training is right, and whether the model clearly beats it."""
    if frequent is not None:
        return frequent.accuracy, frequent.is_beaten
    usual = max(row["support"] for row in scores["per_class"]) / scores["cases"]
    interval = scores["accuracy_interval"]
    return usual, interval is not None and interval[0] > usual


def _in_brackets(scores: Mapping[str, Any]) -> str:
    interval, groups = scores["accuracy_interval"], scores.get("groups")
    if interval is None:
        return f" ({ONE_GROUP})" if groups == 1 else ""
    learned = scores.get("learned_groups", 0)
    whose = "" if groups is None else f" for new groups, by {count(groups)} of them"
    if learned and groups is not None:
        whose = f" over {count(groups)} groups, of which {count(learned)} were trained on: none for new ones"
    return f" (95 % interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f} %{whose})"


def _accuracy(one: Beside) -> float:
    return one.accuracy


def _chance(one: Beside) -> str:
    return f"p = {one.p_value:.2g}"
