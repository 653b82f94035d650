"""The doctor for labelled series: each finding on data made to have it, none on sound data."""

import numpy as np
import pytest

from attractor.data import Sequences, Severity, compare_sequences, examine_sequences

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
    assert set(codes(examine_sequences(Sequences.from_arrays(values)))) == {"constant", "repeated-cases"}
