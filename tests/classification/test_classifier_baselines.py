"""Simple classifiers beside the one that is judged, and what is attainable."""

from dataclasses import replace

import numpy as np
import pytest
from labelled_ramps import ramps

from attractor.classification.baselines import (
    FREQUENT,
    SUMMARY,
    attainable_accuracy,
    besides,
    compare,
    sign_flip,
    simple_predictions,
    summary_features,
)
from attractor.data import Sequences

DRAW = np.random.default_rng(0)


def test_summary_statistics_are_what_they_are_called():
    series = np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 4.0], [3.0, 6.0]])
    found = summary_features(Sequences(series[None], np.array([4]), ("a", "b"))).reshape(-1, 2)
    first = dict(zip(("mean", "deviation"), found[:2, 0], strict=True))
    assert first == {"mean": 3.0, "deviation": pytest.approx(np.sqrt(2.0))}
    np.testing.assert_allclose(found[4:9, 0], [1, 2.5, 3, 3.5, 5])
    np.testing.assert_allclose(found[9:11, 0], [1, 3])
    np.testing.assert_allclose(found[11, 0], 2.0)
    np.testing.assert_allclose(found[14:18, 0].sum(), 1.0)
    np.testing.assert_allclose(found[-1], [0, 0.25])
    assert found[0, 1] == 4.0  # the mean of what was measured


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_and_constant_series_have_finite_statistics(length):
    flat = Sequences(np.ones((3, length, 2)), np.full(3, length), ("a", "b"))
    assert np.isfinite(summary_features(flat)).all()
    gone = Sequences(np.full((1, length, 1), np.nan), np.array([length]), ("a",))
    assert np.isfinite(summary_features(gone)).all()


def test_the_simple_ones_say_what_they_can():
    training, test = ramps(cases=40), ramps(cases=30, seed=1)
    found = simple_predictions(training, test)
    labels = np.asarray(test.labels)
    assert (found[SUMMARY] == labels).mean() > 0.9
    assert len(set(found[FREQUENT])) == 1


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1e300])
def test_the_unit_of_a_variable_does_not_matter_to_the_simple_ones(size):
    """In small units nothing was left but the most frequent class, beside which any model shines."""
    training, test = ramps(cases=40), ramps(cases=30, seed=1)
    usual = simple_predictions(training, test)[SUMMARY]
    parts = (replace(part, values=size * part.values) for part in (training, test))
    np.testing.assert_array_equal(simple_predictions(*parts)[SUMMARY], usual)


def test_the_neighbour_of_a_case_is_none_of_its_relatives():
    """Ten windows of each recording vouched for one another: all was attainable of labels by lot."""
    draw = np.random.default_rng(1)
    recordings = np.repeat(np.arange(60), 10)
    points = draw.normal(size=(60, 2))[recordings] + 1e-3 * draw.normal(size=(600, 2))
    labels = draw.permutation(np.arange(60) % 2)[recordings]
    assert attainable_accuracy(points, labels) == 1.0
    assert attainable_accuracy(points, labels, related=recordings) < 0.8
    assert attainable_accuracy(points, labels, related=np.zeros(600, int)) == 1.0


def test_series_without_any_difference_are_no_error():
    flat = Sequences(np.ones((6, 4, 1)), np.full(6, 4), ("a",), np.arange(6) % 2, ("no", "yes"))
    assert simple_predictions(flat, flat)[SUMMARY].shape == (6,)


def test_beside_one_another_only_the_cases_count_on_which_they_differ():
    labels = np.zeros(40, int)
    model, same, worse = labels.copy(), labels.copy(), labels.copy()
    same[:3], model[3:6] = 1, 1
    worse[10:30] = 1
    first, second = compare(model, labels, {"same": same, "worse": worse})
    assert (first.only_model, first.only_other) == (3, 3)
    assert not first.is_beaten
    assert second.is_beaten
    assert second.p_value < 1e-3
    assert second.accuracy == 0.5
    assert besides([vars(first) | {"interval": list(first.interval)}]) == [first]


@pytest.mark.parametrize("overlap", [0.5, 1.0, 2.0])
def test_what_is_attainable_is_near_the_truth_where_that_is_known(overlap):
    """Two Gaussians in the plane, whose least error is the tail of a normal distribution."""
    from scipy.stats import norm

    labels = np.arange(1500) % 2
    points = DRAW.normal(size=(1500, 2))
    points[:, 0] += (2 * labels - 1) / overlap
    truth = norm.cdf(1 / overlap)
    assert attainable_accuracy(points, labels) == pytest.approx(truth, abs=0.04)


def test_classes_apart_are_attainable_and_one_class_is_certain():
    labels = np.arange(40) % 2
    assert attainable_accuracy(labels[:, None] + 0.01 * DRAW.normal(size=(40, 1)), labels) == 1.0
    assert attainable_accuracy(np.ones((4, 1)), np.zeros(4, int)) == 1.0


def test_signs_that_are_flipped_case_by_case_are_the_test_of_mcnemar():
    from scipy.stats import binomtest

    for first, second in ((7, 1), (3, 3), (15, 1), (0, 0), (40, 21)):
        differences = np.array([1] * first + [-1] * second + [0] * 9)
        expected = binomtest(first, first + second).pvalue if first + second else 1.0
        assert sign_flip(differences) == pytest.approx(expected)
        assert sign_flip(differences, np.arange(len(differences))) == pytest.approx(expected)


def test_signs_that_are_flipped_group_by_group_are_all_tried():
    from itertools import product

    rng = np.random.default_rng(3)
    differences, groups = rng.integers(-1, 2, 60), np.arange(60) // 7
    sums = np.bincount(groups, differences)
    totals = [abs(np.dot(signs, sums)) for signs in product((-1, 1), repeat=len(sums))]
    expected = np.mean(np.array(totals) >= abs(sums.sum()))
    assert sign_flip(differences, groups) == pytest.approx(expected)


def test_three_subjects_cannot_show_that_one_classifier_is_better():
    labels, subjects = np.zeros(60, int), np.arange(60) // 20
    worse = np.ones(60, int)
    (found,) = compare(labels, labels, {"worse": worse}, subjects)
    assert found.p_value == 0.25
    assert not found.is_beaten
    (alone,) = compare(labels, labels, {"worse": worse})
    assert alone.is_beaten


def test_the_lead_of_a_classifier_has_an_upper_end():
    """Of 1000 cases 30 against 24: the lead of 0.6 points may be 2.0 points."""
    right, other = np.zeros(1000, int), np.zeros(1000, int)
    right[:24], other[24:54] = 1, 1
    (found,) = compare(right, np.zeros(1000, int), {"other": other})
    assert found.ahead == pytest.approx(0.006 + 1.96 * np.sqrt(54) / 1000, abs=2e-4)
    assert not found.is_beaten
