"""The doctor for labelled series: each finding on data made to have it, none on sound data."""

from dataclasses import replace

import numpy as np
import pytest

from attractor.data import (
    Finding,
    Sequences,
    Severity,
    compare_sequences,
    examine_sequences,
    shared_stretches,
)
from attractor.data.telling_constants import check_telling
from attractor.data.wild_values import check_wild

NAN = np.nan


def sound(cases=60, seed=0, names=("u", "y")):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(rng.integers(5, 30), 2)) for _ in range(cases)]
    return Sequences.from_arrays(arrays, np.array(["a", "b", "c"])[np.arange(cases) % 3], names)


def codes(findings):
    return [finding.code for finding in findings]


def the(code, findings):
    (found,) = [finding for finding in findings if finding.code == code]
    return found


def relabelled(data, labels):
    return data.relabelled(np.array(data.classes)[labels])


def test_sound_data_get_no_remark():
    assert examine_sequences(sound()) == []
    assert compare_sequences(sound(), sound(seed=1)) == []


def test_small_absent_and_unbalanced_classes():
    few = sound().select([*range(0, 60, 3), 1])
    findings = examine_sequences(few)
    assert sorted(finding.message for finding in findings if finding.code == "few-cases") == [
        "class 'b' has 1 case",
        "class 'c' has no cases",
    ]
    assert the("imbalance", findings).numbers == {"ratio": 20}
    single = examine_sequences(sound().select(range(0, 60, 3)))
    assert codes(single) == ["one-class"]
    assert single[0].severity is Severity.ERROR


def test_variables_that_say_nothing_or_little():
    values = np.random.default_rng(0).normal(size=(30, 5, 4))
    values[:, :, 0] = 3.0
    values[:, :, 1] = NAN
    values[:15, 2:, 2] = NAN
    values[:, :, 3] *= 1e6
    data = Sequences.from_arrays(values, np.arange(30) % 2, ["still", "gone", "gaps", "huge"])
    findings = examine_sequences(data)
    assert findings[0].severity is Severity.ERROR
    assert (the("all-missing", findings).signal, the("constant", findings).signal) == ("gone", "still")
    assert the("missing", findings).numbers == {"gone": 1.0, "gaps": pytest.approx(0.3)}
    assert "32.5% of the values are missing, in 2 of 4" in the("missing", findings).message
    assert the("scales", findings).signal == "gaps, huge"


def test_one_recording_under_two_labels():
    data = sound()
    twice = data.select([*range(60), 7, 8])
    labels = twice.labels.copy()
    labels[60] = (labels[60] + 1) % 3
    findings = examine_sequences(relabelled(twice, labels))
    torn = the("contradicting-labels", findings)
    assert torn.numbers == {"recordings": 1}
    assert "case 7 is 'b', case 7 is 'c'" in torn.message
    assert "1 case(s) repeat another one: case 8 = case 8" in the("repeated-cases", findings).message


def test_the_start_of_a_case_is_not_its_twin():
    data = sound(6)
    prefix = Sequences.from_arrays([data.one(0), data.one(0)[:-1], data.one(1)], ["a", "b", "a"])
    assert "contradicting-labels" not in codes(examine_sequences(prefix))


def test_empty_cases_are_no_twins():
    values = np.random.default_rng(0).normal(size=(20, 5, 1))
    values[[3, 8]] = NAN
    findings = examine_sequences(Sequences.from_arrays(values, np.arange(20) % 2))
    assert "case 3, case 8" in the("empty-cases", findings).message
    assert "repeated-cases" not in codes(findings)


def test_lengths_that_tell_the_class():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    arrays = [rng.normal(size=(10 + 5 * label + rng.integers(0, 4), 1)) for label in labels]
    found = the("length-tells-class", examine_sequences(Sequences.from_arrays(arrays, labels)))
    # Ten ranges of length, of which one or two lie across the border of two classes.
    assert found.numbers["accuracy"] > 0.9
    assert found.numbers["guess"] == pytest.approx(1 / 3)
    assert "length-tells-class" not in codes(
        examine_sequences(Sequences.from_arrays(arrays, rng.permutation(labels)))
    )


def test_test_cases_that_training_has():
    train, test = sound(), sound(seed=1)
    arrays = [test.one(0), train.one(5).astype(np.float32), train.one(9)]
    leaking = Sequences.from_arrays(arrays, ["a", "b", "c"], ["u", "y"])
    found = the("leak", compare_sequences(train, leaking))
    assert found.numbers == {"cases": 2}
    assert "case 1 = case 5, case 2 = case 9" in found.message


def test_test_variables_are_matched_by_name_before_they_are_compared():
    train = sound()
    turned = Sequences.from_arrays([train.one(4)[:, ::-1]], ["a"], ["y", "u"])
    assert "leak" in codes(compare_sequences(train, turned))


def test_other_units_and_unseen_classes():
    train = sound()
    test = Sequences.from_arrays([train.one(0) * [1, 1000]], ["a"], ["u", "y"])
    found = the("range-mismatch", compare_sequences(train, test))
    assert found.signal == "y"
    findings = compare_sequences(train.select(range(1, 60, 3)), sound(seed=1).select([0, 1]))
    unseen = the("unseen-class", findings)
    assert unseen.severity is Severity.ERROR
    assert "classes without a training case: a; the test has 1 cases" in unseen.message


def test_unlabelled_cases_are_examined_as_far_as_possible():
    values = np.zeros((3, 4, 1))
    assert set(codes(examine_sequences(Sequences.from_arrays(values)))) == {"constant", "equal-by-chance"}


def coins(cases=60, steps=3, seed=0):
    """Series of a few heads and tails, whose labels say nothing of them."""
    rng = np.random.default_rng(seed)
    return Sequences.from_arrays(
        rng.integers(0, 2, (cases, steps, 1)).astype(float), rng.integers(0, 2, cases)
    )


def test_short_series_of_two_values_are_equal_by_chance_and_no_label_of_them_is_called_wrong():
    findings = examine_sequences(coins())
    assert codes(findings) == ["equal-by-chance"]
    assert findings[0].severity is Severity.NOTE
    assert "60 of 60 cases" in findings[0].message
    assert "Nothing speaks against these labels" in findings[0].advice
    assert "leak" not in codes(compare_sequences(coins(), coins(seed=1)))
    values = np.zeros((12, 5, 1))
    values[:, 2] = np.arange(12)[:, None] // 2 + 1.0
    pulses = examine_sequences(Sequences.from_arrays(values, np.arange(12) % 2))
    assert "contradicting-labels" not in codes(pulses)


def test_values_that_single_precision_cannot_tell_apart_are_different():
    """All cases were one, and half of their labels wrong, far from zero and near it."""
    noise = np.random.default_rng(0).normal(size=(20, 12, 1))
    for values in (1e9 + noise, 1e-60 * noise, 1e300 * noise):
        assert examine_sequences(Sequences.from_arrays(values, np.arange(20) % 2)) == []
    twice = np.concatenate([noise, noise[3:4].astype(np.float32), noise[4:5]]) * 2.0**-200
    found = the("contradicting-labels", examine_sequences(Sequences.from_arrays(twice, np.arange(22) % 2)))
    assert found.numbers == {"recordings": 2}


def test_a_wild_value_is_named_and_no_scale_is_told_by_it():
    data = sound()
    values = data.values.copy()
    values[7, 3, 0] = 1e8
    wild = Sequences(values, data.lengths, data.names, data.labels, data.classes)
    findings = examine_sequences(wild)
    assert codes(findings) == ["wild-values"]
    assert findings[0].signal == "u"
    assert "case 7, step 3, variable 'u': 1e+08" in findings[0].message
    assert "make it NaN" in findings[0].advice
    far = compare_sequences(data, wild)
    assert "case 7, step 3, variable 'u': 1e+08" in the("far-values", far).message


@pytest.mark.parametrize("draw", ["lognormal", "pulses", "switch", "alarm"])
def test_heavy_tails_pulses_and_switches_are_not_wild(draw):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 50, 1))
    values = {
        "lognormal": np.exp(1.5 * noise),
        "pulses": np.where(rng.random(noise.shape) < 0.01, 15.0, noise),
        "switch": (noise > 0).astype(float),
        "alarm": np.where(rng.random(noise.shape) < 0.002, 100.0, 0.0),
    }[draw]
    assert check_wild(Sequences.from_arrays(values)) == []


def test_errors_of_several_sizes_are_wild_together():
    """As in records of acidity: 735, 73.5 and 0.7 where 7.35 was meant, with no gap between them."""
    values = 7.4 + 0.1 * np.random.default_rng(0).normal(size=(40, 50, 1))
    values[3, 4:8, 0] = 735, 735, 187, 73.5
    (found,) = check_wild(Sequences.from_arrays(values))
    assert found.numbers == {"count": 4}
    assert "20 times as far from the middle as 98% of the others" in found.message


@pytest.mark.parametrize("share", [0.005, 0.05, 0.3])
def test_codes_of_missing_values_are_wild_however_many_there_are(share):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 50, 1))
    coded = np.where(rng.random(noise.shape) < share, -999.0, noise)
    (found,) = check_wild(Sequences.from_arrays(coded))
    assert found.numbers == {"count": int(np.sum(coded == -999))}
    assert "-999" in found.advice
    assert check_wild(Sequences.from_arrays(np.where(noise > 1, 99.0, 50 + 20 * noise))) == []


def test_windows_beside_a_wild_value_are_still_found():
    walk = np.random.default_rng(0).normal(size=(200, 1)).cumsum(axis=0)
    values = np.array([walk[first : first + 60] for first in (0, 40, 80, 120)])
    values[2, 5] = 1e9
    assert shared_stretches(Sequences.from_arrays(values)).recording_count == 1


def told(column, labels, groups=None, steps=6):
    values = np.random.default_rng(0).normal(size=(len(labels), steps, 2))
    values[:, :, 1] = np.asarray(column, float)[:, None]
    data = Sequences.from_arrays(values, labels, ("x", "code"))
    data = data if groups is None else data.grouped(groups)
    return [one for one in examine_sequences(data) if one.code == "tells-class"]


def test_a_constant_that_tells_the_class_is_a_question_of_fact():
    labels, rng = np.arange(40) % 2, np.random.default_rng(0)
    (found,) = told(3 * labels + 1, labels)
    assert found.signal == "code"
    assert "'code' tells the class by itself: it is constant in every case" in found.message
    assert "each of its 2 values goes with one class in all 40 cases" in found.message
    assert found.advice.startswith("Is its value known before the class is?")
    (apart,) = told(labels + 0.1 * rng.uniform(size=40), labels)
    assert "its ranges in the classes lie apart" in apart.message


def test_few_cases_groups_and_single_steps_accuse_no_constant():
    labels, rng = np.arange(40) % 2, np.random.default_rng(0)
    assert told(rng.integers(0, 2, 40), labels) == []
    assert told(labels[:10], labels[:10]) == []
    assert told(labels, labels, steps=1) == []
    # Four subjects, of which each has a size and a class.
    subjects = np.repeat(np.arange(4), 10)
    assert told(np.array([1.7, 1.6, 1.8, 1.65])[subjects], subjects % 2, groups=subjects) == []


def test_constants_are_seldom_accused_by_chance():
    accused = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        cases = rng.integers(5, 16)
        labels = np.arange(cases) % 2
        values = rng.integers(0, rng.integers(2, 6), cases)[:, None, None] * np.ones((1, 4, 1))
        accused += len(check_telling(Sequences.from_arrays(values, rng.permutation(labels))))
    assert accused <= 2


def test_numbers_of_any_size_are_examined_without_a_word_of_numpy():
    noise = np.random.default_rng(0).normal(size=(20, 9, 2))
    for size in (1e300, 1e160, 1e-200, 1e-300):
        assert examine_sequences(Sequences.from_arrays(size * noise, np.arange(20) % 2)) == []
    mixed = examine_sequences(Sequences.from_arrays(noise * [1e300, 1e-300], np.arange(20) % 2))
    assert "more than 1e300 times" in the("scales", mixed).message


def test_what_reading_the_test_cases_assumed_is_told_with_them():
    remark = Finding(Severity.WARNING, "assumed", "", "something was assumed", "Look.")
    assert "assumed" in codes(compare_sequences(sound(), replace(sound(seed=1), remarks=(remark,))))
