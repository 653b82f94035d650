"""Sets of labels: their coverage where it can be computed, their limits, and what they are calibrated by."""

import numpy as np
import pytest
from labelled_ramps import classifier, fitted, ramps

from attractor.classification import EpochSettings, SequenceClassifier
from attractor.classification.classifier_page import _sets_row
from attractor.classification.label_sets import Calibration
from attractor.errors import ConfigError, InputDataError

DRAW = np.random.default_rng(0)


def drawn(cases, classes=4, seed=0):
    """Logits of a fair classifier: labels are drawn from its own probabilities."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.normal(size=(cases, classes))
    gumbel = -np.log(-np.log(rng.uniform(size=logits.shape)))
    return logits, (logits + gumbel).argmax(axis=1)


@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.9, 0.95])
def test_the_coverage_holds_on_average_over_calibrations(coverage):
    """Forty calibrations of 50 cases each: the mean coverage is at least what was asked, and little more."""
    measured = []
    for seed in range(40):
        known, asked = drawn(50, seed=seed), drawn(500, seed=1000 + seed)
        measured.append(Calibration(*known).sets(asked[0], 1.0, coverage).assessed(asked[1])["measured"])
    error = np.std(measured) / np.sqrt(len(measured))
    assert np.mean(measured) > coverage - 3 * error
    assert np.mean(measured) < coverage + 1 / 51 + 0.02 + 3 * error


def test_a_wrong_temperature_costs_size_and_not_coverage():
    known, asked = drawn(2000), drawn(4000, seed=1)
    for temperature in (0.2, 1.0, 5.0):
        found = Calibration(*known).sets(asked[0], temperature, 0.9).assessed(asked[1])
        assert abs(found["measured"] - 0.9) < 0.03


def test_what_is_stated_is_what_the_most_likely_class_reaches_alone():
    """Of a classifier that is nearly always right, sets of one label hold it more often than was asked."""
    labels = np.arange(400) % 3
    logits = 6.0 * np.eye(3)[labels] + DRAW.normal(size=(400, 3))
    sets = Calibration(logits[:200], labels[:200]).sets(logits[200:], 1.0, 0.8)
    assert (sets.sizes >= 1).all()
    assert sets.stated > 0.97
    assert sets.assessed(labels[200:])["measured"] == pytest.approx(sets.stated, abs=0.03)


def test_too_few_cases_exclude_nothing():
    logits, labels = drawn(8)
    sets = Calibration(logits, labels).sets(logits, 1.0, 0.9)
    assert (sets.sizes == 4).all()
    assert sets.stated == 1.0
    row = sets.assessed(labels)
    assert "No label is excluded: 8 other cases say nothing of more than 88.9 %" in row["objection"]
    assert _sets_row(row, 4) == ("90 %", "—", "—", "—", "all 4: too few calibrate", "0.0 %")
    enough = Calibration(logits, labels).sets(logits, 1.0, 0.8).assessed(labels, np.zeros(8, int))
    assert enough["objection"] == ""
    assert enough["interval"] is None
    assert _sets_row(enough, 4)[3] == "—"


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 1.1])
def test_a_coverage_is_a_probability(coverage):
    with pytest.raises(ConfigError, match="expected a probability between 0 and 1"):
        Calibration(*drawn(20)).threshold(1.0, coverage)


def test_labels_of_other_cases_are_refused():
    logits, labels = drawn(20)
    with pytest.raises(InputDataError, match="19 labels for 20 sets"):
        Calibration(logits, labels).sets(logits, 1.0, 0.9).assessed(labels[1:])


def test_a_classifier_is_calibrated_by_cases_that_it_has_not_learned(tmp_path):
    model = fitted()
    sets = model.predict_sets(ramps(cases=12, seed=1), 0.8)
    assert sets.members.shape == (12, 2)
    assert sets.cases == len(ramps()) - len(model.training_ids_)
    model.save(tmp_path)
    again = SequenceClassifier.load(tmp_path).predict_sets(ramps(cases=12, seed=1), 0.8)
    np.testing.assert_array_equal(again.members, sets.members)
    assert again.stated == sets.stated


def test_sets_that_training_cases_calibrate_claim_no_proof():
    logits, labels = drawn(40)
    for left_out in (False, True):
        sets = Calibration(logits, labels, left_out).sets(logits, 1.0, 0.9)
        assert ("no proof" in sets.assumption) == left_out
        assert ("no proof" in str(sets)) == left_out


def test_without_validation_nothing_stops_a_training_early():
    """The validation of no cases is zero for ever, which looked as if nothing got better."""
    for patience in ("auto", 5):
        asked = EpochSettings(patience=patience)
        assert asked.of_steps(100, 2, 8, ends=False, judged=False).patience is None
        assert asked.of_steps(100, 2, 8, ends=False, judged=True).patience is not None


def test_without_validation_there_is_nothing_to_calibrate_by(tmp_path):
    model = classifier(training__validation_share=0.0).fit(ramps())
    model.save(tmp_path)
    for one in (model, SequenceClassifier.load(tmp_path)):
        with pytest.raises(ConfigError, match="validation_share above 0"):
            one.predict_sets(ramps(), 0.9)


def patients(groups, seed, cases=12, classes=2):
    """Logits and labels without information: all cases of a group have nearly the same ones."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), cases)
    logits = 3.0 * rng.normal(size=(groups, classes))[codes] + 0.1 * rng.normal(size=(len(codes), classes))
    return logits, rng.integers(0, classes, groups)[codes], codes


@pytest.mark.parametrize("groups", [2, 12, 25])
def test_groups_with_labels_of_their_own_do_not_break_the_coverage(groups):
    """A hundred draws of groups: new ones are held as often as stated, which cases alone get wrong."""
    held, alone = [], []
    for seed in range(100):
        logits, labels, codes = patients(groups, seed)
        asked, truth, _ = patients(40, 1000 + seed)
        sets = Calibration(logits, labels, groups=codes).sets(asked, 1.0, 0.9)
        held.append(sets.assessed(truth)["measured"])
        alone.append(Calibration(logits, labels).sets(asked, 1.0, 0.9).assessed(truth)["measured"])
        assert sets.groups == groups
    assert np.mean(held) > 0.9 - 3 * np.std(held) / 10
    if groups == 2:
        assert np.mean(held) == 1.0
        assert np.mean(alone) < 0.85, "the attack has no teeth"


def test_groups_of_one_case_are_cases():
    logits, labels = drawn(57)
    for coverage in (0.5, 0.8, 0.9, 0.97):
        found = [
            Calibration(logits, labels, groups=one).threshold(1.0, coverage) for one in (None, np.arange(57))
        ]
        assert found[0] == found[1]


def test_too_few_groups_exclude_nothing_and_say_of_what_they_speak():
    logits, labels, codes = patients(3, 0)
    sets = Calibration(logits, labels, groups=codes).sets(logits, 1.0, 0.9)
    assert (sets.sizes == 2).all()
    assert "36 other cases of 3 groups say nothing of more than 75.0 % of new groups" in str(sets)
    enough = Calibration(logits, labels, groups=codes).sets(logits, 1.0, 0.7)
    assert not enough.objection
    assert "cases of new groups" in str(enough)
    assert "for one new group it may hold far less often" in enough.assumption


def test_what_patients_have_in_common_is_no_reason_to_be_sure(tmp_path):
    """Twelve patients, windows that show the patient and nothing of the label: new patients must be held."""
    held, quick = [], {"readout__convolutions": 168, "training__validation_share": 0.0, "standardise": False}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(52), 8)
        series = rng.normal(size=(52, 1, 2))[groups] + 0.3 * rng.normal(size=(len(groups), 12, 2))
        labels = rng.permutation(np.arange(52) % 2)[groups]
        known = groups < 12
        model = classifier(**quick).fit(series[known], labels[known], weight_groups=groups[known])
        sets = model.predict_sets(series[~known], 0.9)
        held.append(sets.assessed(labels[~known], groups[~known])["measured"])
        assert (sets.groups, sets.cases) == (12, 96)
        assert sets.stated < 0.92
    assert np.mean(held) > 0.9 - 2.5 * np.std(held) / np.sqrt(len(held))
    assert np.mean(held) > 0.8
    model.save(tmp_path)
    again = SequenceClassifier.load(tmp_path).predict_sets(series[~known], 0.9)
    np.testing.assert_array_equal(again.members, sets.members)
    assert again.groups == 12


def test_validation_groups_count_and_not_their_cases():
    data = ramps(cases=24)
    groups = np.arange(24) // 6
    model = classifier().fit(data, weight_groups=groups)
    held = len(data) - len(model.training_ids_)
    assert model.calibration_.units == held // 6
    assert (model.predict_sets(data, 0.9).sizes == 2).all()
