"""Figures of merit against closed forms, slow references and scikit-learn."""

import numpy as np
import pytest

from attractor.classification.classifier_metrics import (
    auc_interval,
    average_precision,
    bootstrap_interval,
    brier_score,
    calibration_by_chance,
    calibration_error,
    confusion_matrix,
    grouped_error,
    log_loss,
    roc_auc,
    share_interval,
    wilson_interval,
)
from attractor.errors import InputDataError

DRAW = np.random.default_rng(0)


def scored(cases=60, seed=0):
    """Labels 0 and 1 and scores with ties, better than chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, cases)
    return labels, np.round(labels + rng.normal(size=cases), 1)


def test_wilson_interval_at_its_ends_and_in_a_published_case():
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    low, high = wilson_interval(0, 20)
    assert low == 0
    assert high == pytest.approx(1.959964**2 / (20 + 1.959964**2), rel=1e-6)
    assert wilson_interval(20, 20)[1] == 1
    assert wilson_interval(0, 0) is None


def test_confusion_counts_true_rows_and_predicted_columns():
    found = confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 0]), 3)
    assert found.tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 0]]


def test_roc_auc_is_the_share_of_pairs_in_the_right_order():
    labels, scores = scored()
    gaps = scores[labels == 1][:, None] - scores[labels == 0][None]
    assert roc_auc(labels, scores) == pytest.approx(np.mean((gaps > 0) + 0.5 * (gaps == 0)), abs=1e-12)
    assert roc_auc(np.array([0, 1]), np.zeros(2)) == 0.5


def test_average_precision_of_a_ranking_by_hand():
    """Right, wrong, right: (1 + 2/3) / 2; all tied: the share of positive cases."""
    assert average_precision(np.array([1, 0, 1]), np.array([3.0, 2.0, 1.0])) == pytest.approx(5 / 6)
    assert average_precision(np.array([1, 0, 1, 0]), np.ones(4)) == pytest.approx(0.5)


def test_a_ranking_of_one_kind_is_refused():
    with pytest.raises(InputDataError, match="0 positive and 3 negative"):
        roc_auc(np.zeros(3, int), np.arange(3.0))
    with pytest.raises(InputDataError, match="no positive case"):
        average_precision(np.zeros(3, int), np.arange(3.0))


def test_losses_of_certain_and_of_even_probabilities():
    even, right = np.full((4, 4), 0.25), np.eye(4)
    labels = np.arange(4)
    assert log_loss(even, labels) == pytest.approx(np.log(4))
    assert brier_score(even, labels) == pytest.approx(0.75)
    assert log_loss(right, labels) == brier_score(right, labels) == 0
    assert brier_score(np.array([[1.0, 0.0]]), np.array([1])) == 1  # halved for two classes
    assert np.isfinite(log_loss(right, labels[::-1]))


def test_the_bootstrap_covers_the_figure_and_follows_its_seed():
    labels, scores = scored()
    found = bootstrap_interval(roc_auc, labels, scores, seed=3, draws=200)
    assert found[0] < roc_auc(labels, scores) < found[1]
    assert found == bootstrap_interval(roc_auc, labels, scores, seed=3, draws=200)
    assert found != bootstrap_interval(roc_auc, labels, scores, seed=4, draws=200)


def test_the_bootstrap_is_as_wide_as_theory_says():
    """Hanley and McNeil 1982: the standard error of an area A of n and m cases, for A = 0.76 and 200 each."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    scores = rng.normal(size=400) + labels
    area = roc_auc(labels, scores)
    pairs = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    error = np.sqrt((area * (1 - area) + 199 * sum(pairs)) / 200**2)
    low, high = bootstrap_interval(roc_auc, labels, scores)
    assert (high - low) / (2 * 1.96) == pytest.approx(error, rel=0.15)


@pytest.mark.peer
def test_scikit_learn_finds_the_same():
    metrics = pytest.importorskip("sklearn.metrics")
    labels, scores = scored()
    assert roc_auc(labels, scores) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
    expected = metrics.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)
    for classes in (2, 4):
        rng = np.random.default_rng(classes)
        probabilities = rng.dirichlet(np.ones(classes), 50)
        truth = rng.integers(0, classes, 50)
        expected = metrics.log_loss(truth, probabilities, labels=range(classes))
        assert log_loss(probabilities, truth) == pytest.approx(expected, rel=1e-9)
        given = probabilities[:, 1] if classes == 2 else probabilities
        expected = metrics.brier_score_loss(truth, given, labels=range(classes))
        assert brier_score(probabilities, truth) == pytest.approx(expected, rel=1e-9)


def clustered(seed, groups, cases=12, spread=0.2):
    """Hits of cases whose groups have shares of their own, about 0.7 on average."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), cases)
    return rng.random(len(codes)) < np.clip(0.7 + spread * rng.normal(size=groups), 0, 1)[codes], codes


@pytest.mark.parametrize("groups", [4, 8, 30])
def test_the_interval_of_a_share_over_groups_holds_the_truth(groups):
    """Of 400 draws about 95 % must hold it, which Wilson's of the cases does not."""
    truth = np.mean([clustered(seed, 500)[0].mean() for seed in range(20)])
    ends = [share_interval(*clustered(seed, groups)) for seed in range(400)]
    plain = [share_interval(clustered(seed, groups)[0]) for seed in range(400)]
    held, naive = (np.mean([low <= truth <= high for low, high in some]) for some in (ends, plain))
    assert held > 0.93
    assert naive < 0.86


def test_groups_of_one_case_are_nearly_independent_cases():
    hits = np.arange(200) % 4 > 0
    np.testing.assert_allclose(share_interval(hits, np.arange(200)), wilson_interval(150, 200), atol=0.003)
    assert share_interval(hits, np.zeros(200, int)) is None, "one group says nothing of others"
    low, high = share_interval(np.ones(40, bool), np.arange(40) // 10)
    assert high == 1.0
    assert low < 0.45, "four groups are four cases"
    assert share_interval(np.zeros(0, bool), np.zeros(0, int)) is None


def test_the_error_over_groups_is_that_of_their_sums():
    values, groups = np.array([1.0, 2, 3, 4, 5, 6]), np.array([0, 0, 1, 1, 2, 2])
    means = np.array([1.5, 3.5, 5.5])  # groups of one size: the error of the mean of their means
    assert grouped_error(values, groups) == pytest.approx(means.std(ddof=1) / np.sqrt(3))
    assert grouped_error(values, np.zeros(6, int)) == np.inf


def test_an_area_of_one_has_an_interval_with_a_width():
    low, high = auc_interval(1.0, 3, 3)
    assert high == 1.0
    assert 0.4 < low < 0.6
    assert auc_interval(0.0, 3, 3) == (0.0, pytest.approx(1 - low))
    assert auc_interval(1.0, 200, 200)[0] > 0.98


def test_the_interval_of_an_area_holds_the_truth():
    """Two normal distributions a standard deviation apart: the area is Phi(1 / sqrt 2)."""
    from scipy.stats import norm

    truth, held = norm.cdf(1 / np.sqrt(2)), []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 12)
        low, high = auc_interval(roc_auc(labels, rng.normal(size=24) + labels), 12, 12)
        held.append(low <= truth <= high)
    assert 0.93 < np.mean(held) <= 1.0


def test_a_bootstrap_that_cannot_vary_is_no_interval():
    labels, scores = np.repeat([0, 1], 20), np.arange(40.0)
    assert bootstrap_interval(roc_auc, labels, scores) is None
    few = np.repeat([0, 1], 3)
    assert bootstrap_interval(average_precision, few, DRAW.normal(size=6)) is None
    groups = np.arange(400) // 100
    mixed = np.arange(400) % 2
    assert bootstrap_interval(roc_auc, mixed, DRAW.normal(size=400), groups=groups) is None
    found = bootstrap_interval(roc_auc, mixed, DRAW.normal(size=400), groups=np.arange(400) // 10)
    assert found is not None
    assert found[0] < 0.5 < found[1]


@pytest.mark.parametrize("cases", [8, 80])
def test_a_right_classifier_stays_below_its_calibration_error_by_chance(cases):
    """Labels that are drawn from the probabilities: of 400 sets about 95 % must."""
    rng, below = np.random.default_rng(1), []
    for seed in range(400):
        probabilities = rng.dirichlet(np.ones(3), cases)
        labels = np.array([rng.choice(3, p=row) for row in probabilities])
        usual = calibration_by_chance(probabilities, seed, 100)
        below.append(calibration_error(probabilities, labels) <= usual)
    assert 0.92 <= np.mean(below) <= 0.98
    sure = np.tile([0.99, 0.01], (cases, 1))
    assert calibration_error(sure, np.ones(cases, int)) > calibration_by_chance(sure) + 0.5
