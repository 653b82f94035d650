"""Metrics of a classifier, each in its usual definition, and the temperature that calibrates it."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, Num
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata

from attractor.errors import InputDataError

_NORMAL_95 = 1.959963984540054
_SMALLEST = 1e-15

Labels = Int[np.ndarray, " cases"]
Probabilities = Float[np.ndarray, "cases classes"]
Interval = tuple[float, float]


def wilson_interval(successes: int, trials: int) -> Interval | None:
    """95 % interval of a share, after Wilson 1927; None without a trial.

    Unlike the textbook interval it stays in [0, 1] and is right near both ends, where classifiers live.

    Args:
        successes: how often it happened.
        trials: how often it could have.
    """
    if not trials:
        return None
    share, square = successes / trials, _NORMAL_95**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    spread = np.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    reach = _NORMAL_95 * spread / (1 + square / trials)
    return float(max(middle - reach, 0.0)), float(min(middle + reach, 1.0))


def confusion_matrix(labels: Labels, predicted: Labels, classes: int) -> Int[np.ndarray, "true predicted"]:
    """How many cases of each class (rows) were given each class (columns)."""
    pairs = np.asarray(labels, np.int64) * classes + predicted  # labels may come in eight bits
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def log_loss(probabilities: Probabilities, labels: Labels) -> float:
    """Mean of -log p(true class), natural logarithm; probabilities below 1e-15 count as 1e-15."""
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, _SMALLEST)).mean())


def brier_score(probabilities: Probabilities, labels: Labels) -> float:
    """Mean squared distance of the probabilities from the truth, summed over the classes.

    Between 0 and 2; for two classes it is halved, as is usual, and lies between 0 and 1.
    """
    truth = np.eye(probabilities.shape[1])[labels]
    total = float(np.square(probabilities - truth).sum(axis=1).mean())
    return total / 2 if probabilities.shape[1] == 2 else total


def roc_auc(positive: Num[np.ndarray, " cases"], scores: Float[np.ndarray, " cases"]) -> float:
    """Area under the receiver operating characteristic: how often a positive case outscores a negative one.

    Args:
        positive: 1 for the cases to be found, 0 for the others; both must occur.
        scores: the higher, the more positive; equal scores count one half.

    Raises:
        InputDataError: one of the two kinds does not occur.
    """
    ones = int(np.sum(positive))
    zeros = len(positive) - ones
    if not (ones and zeros):
        raise InputDataError(f"{ones} positive and {zeros} negative cases: a ranking needs both")
    ranks = rankdata(scores)[np.asarray(positive, bool)].sum()
    return float((ranks - ones * (ones + 1) / 2) / (ones * zeros))


def average_precision(positive: Num[np.ndarray, " cases"], scores: Float[np.ndarray, " cases"]) -> float:
    """Area under precision over recall, as a sum of steps: sum of (R_n - R_{n-1}) P_n over the thresholds.

    Args:
        positive: 1 for the cases to be found, 0 for the others; a positive one must occur.
        scores: the higher, the more positive.

    Raises:
        InputDataError: no positive case.
    """
    if not np.any(positive):
        raise InputDataError("no positive case: precision over recall needs one")
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(np.asarray(positive)[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    recall, precision = found[ends] / found[-1], found[ends] / (ends + 1)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    positive: Int[np.ndarray, " cases"],
    scores: Float[np.ndarray, " cases"],
    seed: int = 0,
    draws: int = 1000,
) -> Interval:
    """95 % percentile interval of a metric over cases drawn again, each kind for itself.

    Drawing positive and negative cases apart keeps both in every draw.

    Args:
        metric: `metric(positive, scores)`.
        positive: 1 for the cases to be found, 0 for the others.
        scores: of the cases.
        seed: of the draws.
        draws: how many.
    """
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(positive == kind) for kind in (0, 1)]
    values = []
    for _ in range(draws):
        chosen = np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])
        values.append(metric(positive[chosen], scores[chosen]))
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


_WIDEST = 3.0


def fit_temperature(logits: Float[np.ndarray, "cases classes"], labels: Int[np.ndarray, " cases"]) -> float:
    """T > 0 for which softmax(logits / T) has the least cross-entropy on cases that were not trained on.

    Guo et al. 2017, arXiv 1706.04599. Few cases that are all right would call for T = 0 and certainty, so
    that, as in Platt's scaling, the target has one case more than the N there are, of all classes at once.

    Args:
        logits: of the validation cases.
        labels: their classes.
    """
    cases, classes = logits.shape
    target = (np.eye(classes)[labels] * cases + 1 / classes) / (cases + 1)

    def cost(log_temperature: float) -> float:
        return float(-(target * log_softmax(logits / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    best = minimize_scalar(cost, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(np.exp(best.x))


def calibration_error(
    probabilities: Float[np.ndarray, "cases classes"], labels: Int[np.ndarray, " cases"], bins: int = 15
) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins of confidence.

    Args:
        probabilities: of the classes.
        labels: true classes.
        bins: of equal width.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    position = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(position, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def probabilities_of(
    logits: Float[np.ndarray, "cases classes"], temperature: float | int
) -> Float[np.ndarray, "cases classes"]:
    """softmax(logits / T), in float64."""
    return softmax(np.asarray(logits, float) / temperature, axis=1)
