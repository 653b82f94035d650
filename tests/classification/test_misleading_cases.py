"""What a classifier is given and what it says of it: windows, swapped axes, counters, labels, gaps."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from labelled_ramps import classifier, fitted, ramps
from numpy.lib.stride_tricks import sliding_window_view

from attractor.classification import SequenceClassifier
from attractor.classification.cases import (
    as_classes,
    check_truth,
    check_width,
    labelled,
    learned_weights,
    tell_misleading,
)
from attractor.classification.classifier_study import _met_before, classify, divide
from attractor.classification.division import divide_cases
from attractor.data import Sequences, common_stretches, compare_sequences, read_sequences
from attractor.data.wild_values import UsualRange
from attractor.errors import DataWarning, InputDataError, ShapeError

RNG = np.random.default_rng(0)


def windows(recordings=10, size=20, hop=10, length=100):
    """Windows of random walks; the class is that of the recording."""
    walks = RNG.normal(size=(recordings, length, 2)).cumsum(axis=1)
    cases = sliding_window_view(walks, size, axis=1)[:, ::hop].swapaxes(2, 3)
    labels = np.repeat(np.arange(recordings) % 2, cases.shape[1])
    return Sequences.from_arrays(cases.reshape(-1, size, 2), labels)


def test_whole_recordings_train_choose_and_judge():
    roles = divide(windows(), None, 0.25, seed=0)
    parts = (roles.training, roles.validation, roles.test)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not common_stretches(parts[one], parts[other]).any()
    assert all(set(part.labels) == {0, 1} for part in parts)
    assert "whole groups, about 20 % of every class" in roles.explanation
    assert "90 of 90 cases share stretches of values with others, as windows of 10 recording(s)" in (
        roles.explanation
    )
    # The groups found do not share one weight in training, as groups that are given do.
    assert roles.groups is None


def test_one_recording_of_each_class_is_divided_with_a_word():
    roles = divide(windows(recordings=2), None, 0.25, seed=0)
    assert "All cases of class '0', '1' are of one recording" in roles.explanation
    findings = [one.message for one in compare_sequences(roles.training, roles.test)]
    assert any("test cases share stretches of values with training cases" in one for one in findings)


def test_groups_that_are_given_count():
    data = windows()
    groups = np.arange(len(data)) // 2
    roles = divide(data, None, 0.25, seed=0, groups=groups)
    assert "Cases of one group stay on one side." in roles.explanation
    assert roles.groups is not None


def test_fit_keeps_whole_recordings_for_validation_and_says_so():
    data = windows()
    with pytest.warns(UserWarning, match="validation: 90 of 90 cases share stretches"):
        parts = divide_cases(data, np.array(data.classes), None, 0.2, 0)
    assert parts.checking is not None
    assert not common_stretches(parts.training, parts.checking).any()
    assert len(parts.training) + len(parts.checking) == len(data)
    assert len(np.unique(parts.related)) < len(data)  # what is left out together in the ridge regression
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        divide_cases(data.grouped(np.arange(len(data))), np.array(data.classes), None, 0.2, 0)
        assert divide_cases(ramps(), np.array(ramps().classes), None, 0.2, 0).related is None


def smooth(cases=12, time=40, variables=3):
    return RNG.normal(size=(cases, time, variables)).cumsum(axis=1)


def test_swapped_axes_are_named_with_the_remedy():
    labels = np.arange(12) % 2
    with pytest.warns(DataWarning, match=r"shape \(12, 3, 40\) is 12 cases of 3 step\(s\) with 40 variables"):
        labelled(smooth().swapaxes(1, 2), labels)
    with pytest.warns(DataWarning, match=r"give X\.transpose\(0, 2, 1\)"):
        labelled(RNG.normal(size=(12, 1, 40)), labels)
    labelled(smooth(), labels)
    labelled(RNG.normal(size=(12, 10, 30)), labels)
    labelled([pd.DataFrame(one) for one in smooth()], labels)
    with pytest.raises(ShapeError, match=r"trained with 5; as many as there are steps: .*transpose"):
        check_width(Sequences.from_arrays(RNG.normal(size=(2, 5, 9))), 5)
    with pytest.raises(ShapeError, match=r"all have the same first axis: .* give one.T of each"):
        Sequences.from_arrays([RNG.normal(size=(3, length)) for length in (9, 12)])


def test_what_counts_is_left_out_of_tables_and_named_in_arrays():
    labels = np.arange(12) % 2
    noise = RNG.normal(size=(12, 10, 2))
    rows = np.arange(120).reshape(12, 10)
    tables = [
        pd.DataFrame({"Unnamed: 0": count, "x": one[:, 0], "z": one[:, 1]})
        for count, one in zip(rows, noise, strict=True)
    ]
    with pytest.warns(DataWarning, match="'Unnamed: 0' was left out: it counts the rows"):
        data, _ = labelled(tables, labels)
    assert data.names == ("x", "z")
    with pytest.warns(DataWarning, match="'v1' may be no measured quantity: it counts the rows"):
        data, _ = labelled(np.concatenate([rows[:, :, None], noise], axis=2), labels)
    assert len(data.names) == 3


@pytest.mark.parametrize("values", [(-1, 1), (1, 2), (3, 7), (1.0, 2.0), (False, True), ("a", "b")])
def test_labels_come_back_as_they_were_given(tmp_path, values):
    given = np.array(values)[np.arange(12) % 2]
    X = RNG.normal(size=(12, 5, 2))
    assert labelled(X, given)[1].tolist() == list(values)
    assert labelled(X, given)[1].dtype == given.dtype
    np.savez(tmp_path / "t.npz", X=X, y=given)
    data, classes = labelled(read_sequences(tmp_path / "t.npz"), None)
    assert classes.tolist() == list(values)
    assert classes[data.labels].tolist() == given.tolist()
    frame = pd.DataFrame({
        "case": np.repeat(np.arange(12), 5),
        "label": np.repeat(given, 5),
        "x": X[:, :, 0].ravel(),
    })
    assert labelled(read_sequences(frame), None)[1].tolist() == list(values)


def test_labels_of_another_type_are_the_same_classes():
    assert as_classes(["1", "2"], np.array([1, 2])).tolist() == [1, 2]
    assert as_classes([1, 2.0], np.array(["1", "2"])).tolist() == ["1", "2"]
    assert as_classes([1, 2], np.array([1, 2])).tolist() == [1, 2]
    assert as_classes([1, 5], np.array(["1", "2"])).tolist() == ["1", "5"]


def test_a_gap_is_named_as_the_file_counts(tmp_path):
    flow = RNG.normal(size=(10, 4)).round(3).astype(str)
    flow[7, 2] = ""
    rows = [f"p{case},{step},{'ab'[case % 2]},{flow[case, step]}" for case in range(10) for step in range(4)]
    (tmp_path / "t.csv").write_text("\n".join(["id,t,label,flow", *rows]) + "\n")
    data = read_sequences(tmp_path / "t.csv")
    # Row 1 is the header, so that step 2 of the eighth case stands in row 32.
    place = r"t.csv, row 32: case 'p7', step 2, variable 'flow' is missing"
    with pytest.raises(InputDataError, match=place):
        classifier().set_params(training__validation_share=0.0).fit(data)
    with pytest.raises(InputDataError, match=place):
        classify(classifier(), divide(data.select([*range(7), 8, 9]), data.select([6, 7]), 0.0, 0), tmp_path)
    values = data.values.copy()
    with pytest.raises(InputDataError, match="case 7, step 2, variable 'v1' is missing"):
        classifier().fit(values, data.labels)


def test_cases_and_groups_that_were_learned_from_are_counted_in_the_test():
    """Such a test is called unseen no more, nor its groups new; see `judged`."""
    draw = np.random.default_rng(0)
    labels, groups = ["a", "b"] * 15, np.repeat(list("uvwxyz"), 5)
    data = Sequences.from_arrays(draw.normal(size=(30, 20, 2)), labels)
    other = Sequences.from_arrays(draw.normal(size=(10, 20, 2)), labels[:10])
    assert _met_before(divide(data, data, 0.2, 0)) == {"learned_cases": 30, "learned_groups": 0}
    assert _met_before(divide(data, None, 0.2, 0)) == {"learned_cases": 0, "learned_groups": 0}
    known = divide(data.grouped(groups), other.grouped(np.repeat(["u", "q"], 5)), 0.2, 0)
    assert _met_before(known) == {"learned_cases": 0, "learned_groups": 1}
    held_out = divide(data.grouped(groups), None, 0.2, 0)
    assert _met_before(held_out) == {"learned_cases": 0, "learned_groups": 0}


def test_labels_of_which_a_model_knows_none_are_no_score_of_zero():
    with pytest.raises(InputDataError, match="classes not known: 0, 1; known: a, b"):
        check_truth(np.array([0, 1, 1]), np.array(["a", "b"]))
    with pytest.warns(DataWarning, match="not known: 0; known: 1, 2.* count as wrong"):
        check_truth(np.array([0, 1, 1]), np.array([1, 2]))
    check_truth(np.array(["a"]), np.array(["a", "b"]))


def with_wild_value(data, value=1e8):
    """The same cases, in one of which a value is far from all others."""
    values = data.values.copy()
    values[5, 2, 0] = value
    return replace(data, values=values)


def test_a_wild_value_is_told_where_it_is_learned_from_and_where_it_is_asked_about():
    place = r"case 5, step 2, variable 'up_x': 1e\+08"
    with pytest.warns(DataWarning, match=f"lie more than 20 times .*{place}.*make it NaN"):
        tell_misleading(with_wild_value(ramps()))
    model = fitted()
    with pytest.warns(DataWarning, match=f"as far out as any in training: {place}"):
        model.predict(with_wild_value(ramps(seed=1)))
    with pytest.warns(DataWarning, match="'noise' of a sample lies more than 20 times"):
        model.predict_step([0.1, 0.1, -1e6], model.start())
    with pytest.warns(DataWarning, match="as far out as any in training"):
        divide_cases(ramps(), np.array(ramps().classes), with_wild_value(ramps(seed=1)), 0.2, 0)


def test_runs_keep_the_range_of_their_training_and_those_without_one_allow_all(tmp_path):
    fitted().save(tmp_path)
    again = SequenceClassifier.load(tmp_path)
    with pytest.warns(DataWarning, match="as far out as any in training"):
        again.predict(with_wild_value(ramps(seed=1)))
    unknown = UsualRange.from_dict(None, 3)
    assert not unknown.exceeded(np.full((2, 3), 1e300)).any()
    for facts in ([1], {"middle": [0], "reach": [1]}, {"middle": [0, 0, 0], "reach": [1, 1, "x"]}):
        with pytest.raises(InputDataError, match="usual range"):
            UsualRange.from_dict(facts, 3)


def test_fit_tells_of_a_constant_that_tells_the_class():
    data = ramps()
    values = np.where(data.valid[:, :, None], data.values, np.nan)
    values[:, :, 2] = data.labels[:, None]
    with pytest.warns(DataWarning, match="'noise' tells the class by itself: it is constant in every case"):
        tell_misleading(replace(data, values=values))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tell_misleading(data)


def test_a_class_whose_cases_count_nothing_is_told():
    data, classes = ramps(), np.array(["fall", "rise"])
    for asked in ({"fall": 0}, {"rise": 1e300}):
        with pytest.warns(DataWarning, match="class 'fall': by class_weight or sample_weight its cases"):
            learned_weights(data, classes, asked, None)
    with pytest.warns(DataWarning, match="class 'rise'"):
        learned_weights(data, classes, None, 1.0 - data.labels)
    assert learned_weights(data, classes, None, None) is None
    usual, huge = (learned_weights(data, classes, "balanced", np.full(24, size)) for size in (1.0, 1e308))
    np.testing.assert_allclose(usual / usual.mean(), huge / huge.mean(), rtol=1e-12)


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_numbers_of_any_size_are_learned_from(size):
    data = ramps()
    sized = replace(data, values=size * data.values)
    usual, found = (model.fit(some) for model, some in ((classifier(), data), (classifier(), sized)))
    np.testing.assert_allclose(found.logits(sized), usual.logits(data), atol=1e-4)


def test_what_it_means_that_no_case_validates_is_said():
    data, classes = ramps(cases=4), np.array(["fall", "rise"])
    said = r"20 % of the cases of each class rounds to none.*convolutions decide alone.*Give more cases"
    with pytest.warns(UserWarning, match=said):
        assert divide_cases(data, classes, None, 0.2, 0).checking is None
    groups = np.array(["a", "b"])[ramps().labels]
    with pytest.warns(UserWarning, match="the classes have too few groups or recordings to spare one"):
        assert divide_cases(ramps().grouped(groups), classes, None, 0.2, 0).checking is None
