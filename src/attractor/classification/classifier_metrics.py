"""Metrics of a classifier, each in its usual definition, and the temperature that calibrates it."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.optimize import minimize_scalar, root_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata
from scipy.stats import t as student

from attractor.errors import InputDataError

_NORMAL_95 = 1.959963984540054
_SMALLEST, _TINY = 1e-15, 1e-9

Labels = Int[np.ndarray, " cases"]
Probabilities = Float[np.ndarray, "cases classes"]
Interval = tuple[float, float]


def wilson_interval(successes: float | int, trials: float | int) -> Interval | None:
    """95 % interval of a share, after Wilson 1927; None without a trial.

    Unlike the textbook interval it stays in [0, 1] and is right near both ends, where classifiers live.

    Args:
        successes: how often it happened; a fraction where cases count less than one.
        trials: how often it could have.
    """
    if not trials:
        return None
    share, square = successes / trials, _NORMAL_95**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    spread = np.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    reach = _NORMAL_95 * spread / (1 + square / trials)
    return float(max(middle - reach, 0.0)), float(min(middle + reach, 1.0))


def grouped_error(values: Num[np.ndarray, " cases"], groups: Int[np.ndarray, " cases"]) -> float:
    """The standard error of a mean over cases that come in groups, of which the groups are what is drawn.

    sqrt(G / (G - 1) sum_g (sum over the cases of g of (value - mean))^2) / N, with G groups and N cases: the
    linearised variance of a ratio (Cochran 1977, section 6.3). Infinite for a single group.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(codes, values - np.mean(values))
    count = len(sums)
    if count < 2:
        return np.inf
    return float(np.sqrt(count / (count - 1) * np.square(sums).sum()) / len(values))


def share_interval(
    hits: Bool[np.ndarray, " cases"], groups: Int[np.ndarray, " cases"] | None = None
) -> Interval | None:
    """95 % interval of the share of the cases that are hits; None without a case, or of a single group.

    Cases that stand for themselves get Wilson's. Where they come in groups (patients, recordings), Wilson's
    of as many independent cases as would have the standard error over groups, at the reach of Student's t
    (Korn and Graubard 1998). Where every case is a hit, or none, a group counts as one case; a single group
    says nothing of others.

    Args:
        hits: whether each case is one.
        groups: what each belongs to; None where every case stands for itself.
    """
    cases, found = len(hits), int(np.sum(hits))
    if groups is None or not cases:
        return wilson_interval(found, cases)
    count = len(np.unique(groups))
    if count < 2:
        return None
    share = found / cases
    error = grouped_error(np.asarray(hits, float), groups)
    independent = share * (1 - share) / error**2 if error and 0 < found < cases else count
    independent *= (_NORMAL_95 / float(student.ppf(0.975, count - 1))) ** 2
    independent = min(max(independent, 1e-9), cases)
    return wilson_interval(share * independent, independent)


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


def auc_interval(area: float, positive: int, negative: int) -> Interval:
    """95 % interval of an area under the receiver operating characteristic, for independent cases.

    All areas A from which the one that was found is no more than 1.96 sqrt(V(A)) away, with
    V(A) = A (1 - A) (1 + n ((1 - A) / (2 - A) + A / (1 + A))) / (m1 m0) and n = (m1 + m0) / 2 - 1, of m1
    positive and m0 negative cases (Newcombe 2006, method 5, after Hanley and McNeil 1982). Unlike a bootstrap
    it has a width where all pairs are in order.

    Args:
        area: that was found.
        positive: cases to be found.
        negative: other cases.
    """
    extra = (positive + negative) / 2 - 1

    def beyond(true: float) -> float:
        spread = 1 + extra * ((1 - true) / (2 - true) + true / (1 + true))
        variance = true * (1 - true) * spread / (positive * negative)
        return (area - true) ** 2 - _NORMAL_95**2 * variance

    # At an end of the scale the variance vanishes: the root there is none.
    inside = min(max(area, _TINY), 1 - _TINY)
    low = 0.0 if area <= 0 else float(root_scalar(beyond, bracket=(0.0, inside)).root)
    high = 1.0 if area >= 1 else float(root_scalar(beyond, bracket=(inside, 1.0)).root)
    return low, high


FEWEST = 10
"""Cases of each kind, or groups of them, below which a bootstrap is no interval."""


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    positive: Int[np.ndarray, " cases"],
    scores: Float[np.ndarray, " cases"],
    seed: int = 0,
    draws: int = 1000,
    groups: Int[np.ndarray, " cases"] | None = None,
) -> Interval | None:
    """95 % percentile interval of a metric over cases drawn again, each kind for itself.

    Drawing positive and negative cases apart keeps both in every draw. Where cases come in groups, whole
    groups are drawn, and draws without one of the kinds do not count. None where there are fewer than ten
    cases of a kind, or fewer than ten groups, or where all draws agree: that is no interval.

    Args:
        metric: `metric(positive, scores)`.
        positive: 1 for the cases to be found, 0 for the others.
        scores: of the cases.
        seed: of the draws.
        draws: how many.
        groups: what every case belongs to; None where every case stands for itself.
    """
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(positive == kind) for kind in (0, 1)]
    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1]
        kinds = [np.flatnonzero(codes == code) for code in range(int(codes.max(initial=-1)) + 1)]
    if (len(kinds) if groups is not None else min(map(len, kinds))) < FEWEST:
        return None
    values = []
    for _ in range(draws):
        if groups is None:
            chosen = np.concatenate([rng.choice(kind, len(kind)) for kind in kinds])
        else:
            chosen = np.concatenate([kinds[one] for one in rng.integers(len(kinds), size=len(kinds))])
        if len(np.unique(positive[chosen])) == 2:
            values.append(metric(positive[chosen], scores[chosen]))
    low, high = np.percentile(values, (2.5, 97.5)) if values else (0.0, 0.0)
    return (float(low), float(high)) if low < high else None


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


def calibration_by_chance(
    probabilities: Float[np.ndarray, "cases classes"], seed: int = 0, draws: int = 400
) -> float:
    """What the calibration error stays below in 95 % of draws of labels from the probabilities themselves.

    Few cases have a calibration error even where every probability is right; only one beyond this shows that
    some are not (consistency resampling, Broecker and Smith 2007).

    Args:
        probabilities: of the classes.
        seed: of the draws.
        draws: how many.
    """
    rng, ends = np.random.default_rng(seed), np.cumsum(probabilities, axis=1)
    ends[:, -1] = 1.0  # whatever rounding made of it
    found = []
    for _ in range(draws):
        labels = (rng.random((len(ends), 1)) > ends).sum(axis=1)
        found.append(calibration_error(probabilities, labels))
    return float(np.quantile(found, 0.95))


def probabilities_of(
    logits: Float[np.ndarray, "cases classes"], temperature: float | int
) -> Float[np.ndarray, "cases classes"]:
    """softmax(logits / T), in float64."""
    return softmax(np.asarray(logits, float) / temperature, axis=1)
