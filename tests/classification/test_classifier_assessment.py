"""What is said about probabilities: facts by hand and against scikit-learn."""

import json

import numpy as np
import pytest

from attractor.classification.baselines import FREQUENT, compare, judged
from attractor.classification.classifier_assessment import assess_probabilities, per_class, reliability
from attractor.classification.classifier_figures import reliability_figure
from attractor.classification.classifier_page import _by_chance, _under, _whose
from attractor.cli.classify_commands import _show_scores
from attractor.errors import InputDataError
from attractor.report.style import WIDE

CLASSES = ("a", "b", "c")


def drawn(classes=3, cases=80, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, cases)
    probabilities = rng.dirichlet(np.ones(classes), cases) + np.eye(classes)[labels] * 0.5
    return probabilities / probabilities.sum(axis=1, keepdims=True), labels


def test_facts_of_four_cases_by_hand():
    """Predicted a, a, b, b; true a, b, b, b."""
    probabilities = np.array([[0.9, 0.1, 0.0], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0]])
    facts = assess_probabilities(probabilities, np.array([0, 1, 1, 1]), CLASSES)
    assert facts["accuracy"] == 0.75
    assert facts["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert facts["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert facts["confusion"] == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    a, b, c = facts["per_class"]
    assert (a["precision"], a["recall"], a["support"]) == (0.5, 1.0, 1)
    assert (b["precision"], b["recall"], b["f1"]) == (1.0, pytest.approx(2 / 3), pytest.approx(4 / 5))
    assert (c["precision"], c["recall"], c["recall_interval"], c["f1"]) == (None, None, None, 0.0)
    assert "roc_auc" not in facts


def test_facts_are_plain_json():
    probabilities, labels = drawn(2)
    facts = assess_probabilities(probabilities, labels, ("no", "yes"))
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["roc_auc_interval"][0] < facts["roc_auc"] < facts["roc_auc_interval"][1]
    assert facts["average_precision_interval"][0] < facts["average_precision"]


def test_two_classes_of_which_one_occurs_have_no_area():
    facts = assess_probabilities(np.full((3, 2), 0.5), np.zeros(3, int), ("no", "yes"))
    assert "roc_auc" not in facts
    assert facts["balanced_accuracy"] == 1


def test_reliability_counts_every_case_once_and_leaves_empty_bins_out():
    probabilities, labels = drawn()
    bins = reliability(probabilities, labels)
    assert sum(one["cases"] for one in bins) == len(labels)
    right = sum(one["accuracy"] * one["cases"] for one in bins)
    assert right == pytest.approx((probabilities.argmax(axis=1) == labels).sum())
    for one in bins:
        assert one["from"] <= one["confidence"] <= one["to"]
        assert one["interval"][0] <= one["accuracy"] <= one["interval"][1]
    (certain,) = reliability(np.eye(3), np.arange(3))
    assert (certain["to"], certain["cases"]) == (1.0, 3)


@pytest.mark.parametrize("shape", [(0, 3), (4, 2)], ids=["no case", "a class too few"])
def test_cases_that_do_not_fit_are_refused(shape):
    with pytest.raises(InputDataError, match="one row per case and one column per class"):
        assess_probabilities(np.full(shape, 0.5), np.zeros(shape[0], int), CLASSES)


def test_a_single_group_allows_no_interval_and_is_said_to():
    probabilities, labels = drawn(cases=8)
    facts = assess_probabilities(probabilities, labels, CLASSES, groups=np.zeros(8, int))
    assert facts["accuracy_interval"] is None
    assert 0.0 < facts["calibration_chance"] < 1.0
    beside = compare(probabilities.argmax(axis=1), labels, {FREQUENT: np.zeros(8, int)}, np.zeros(8, int))
    found = judged({**facts, "beside": [vars(one) for one in beside]})
    assert "all of one group, which allows no interval" in found.said
    assert "One group shows nothing of others" in found.meaning
    assert _under(None, facts) == "one group allows no interval"
    assert _by_chance(facts).startswith("by chance alone up to ")
    assert "one group" in _whose(facts)
    _show_scores(facts)
    reliability_figure(facts["reliability"], WIDE)


@pytest.mark.peer
def test_scikit_learn_finds_the_same():
    metrics = pytest.importorskip("sklearn.metrics")
    probabilities, labels = drawn()
    predicted = probabilities.argmax(axis=1)
    facts = assess_probabilities(probabilities, labels, CLASSES)
    assert facts["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted))
    assert facts["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert facts["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()
    expected = metrics.precision_recall_fscore_support(labels, predicted)
    rows = per_class(labels, predicted, CLASSES)
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[name] for row in rows] == pytest.approx(values.tolist()), name
