"""Labelled series: made from arrays, cut, aligned, and refused where they contradict themselves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import Sequences
from attractor.data.labelled_sequences import empty_cases
from attractor.errors import InputDataError, ShapeError

NAN = np.nan
UNEQUAL = [np.array([[1.0, 2.0], [3.0, 4.0], [5.0, NAN]]), np.array([[6.0, 7.0]])]
quick = settings(max_examples=50, derandomize=True, deadline=None)


def some(cases=6, time=4, variables=2):
    values = np.random.default_rng(0).normal(size=(cases, time, variables))
    return Sequences.from_arrays(values, np.arange(cases) % 3)


def test_unequal_lengths_are_padded_with_nan():
    data = Sequences.from_arrays(UNEQUAL, ["b", "a"], ["u", "y"])
    assert data.lengths.tolist() == [3, 1]
    assert np.isnan(data.values[1, 1:]).all()
    np.testing.assert_array_equal(data.one(0), UNEQUAL[0])
    np.testing.assert_array_equal(data.one(1), UNEQUAL[1])
    assert (data.names, data.classes, data.labels.tolist()) == (("u", "y"), ("a", "b"), [1, 0])
    assert data.ids == ("case 0", "case 1")
    assert data.counts() == {"a": 1, "b": 1}
    assert data.has_missing
    assert not data.select([1]).has_missing


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float16, np.float32, np.float64, bool])
def test_real_types_become_float64(kind):
    values = np.array([[[0], [1]], [[1], [1]]]).astype(kind)
    data = Sequences.from_arrays(values)
    assert data.values.dtype == np.float64
    np.testing.assert_array_equal(data.values, values)


@pytest.mark.parametrize("kind", [complex, object, str])
def test_other_types_are_refused(kind):
    with pytest.raises(InputDataError, match=r"case 0 holds .*, expected real numbers"):
        Sequences.from_arrays(np.ones((1, 2, 1)).astype(kind))


def test_series_of_one_variable():
    data = Sequences.from_arrays([np.arange(3), [4.0, 5.0]])
    assert data.values.shape == (2, 3, 1)
    assert data.names == ("v1",)
    np.testing.assert_array_equal(data.one(1)[:, 0], [4, 5])


def test_trailing_gaps_are_missing_unless_trimmed():
    values = np.array([[[1.0], [NAN], [3.0], [NAN]], [[1.0], [NAN], [NAN], [NAN]]])
    assert Sequences.from_arrays(values).lengths.tolist() == [4, 4]
    assert Sequences.from_arrays(values, trim=True).lengths.tolist() == [3, 1]
    with pytest.raises(InputDataError, match="case 1: the case has no value at all"):
        Sequences.from_arrays(np.stack([values[0], np.full((4, 1), NAN)]), trim=True)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["10", "9"], ("10", "9")),
        ([10, 9], ("9", "10")),
        (np.array([2.0, 1.0]), ("1", "2")),
        (np.array(["b", "a"], dtype=object), ("a", "b")),
        (np.array([b"b", b"a"]), ("a", "b")),
        ((True, False), ("False", "True")),
    ],
)
def test_labels_of_many_kinds(labels, classes):
    data = Sequences.from_arrays(np.zeros((2, 1, 1)), labels)
    assert data.classes == classes
    assert sorted(data.labels.tolist()) == [0, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1.0], "case 0 has the label 0.5; classes are texts or whole numbers"),
        ([1.0, NAN], "case 1 has no label"),
        (["a", "nan"], "case 1 has no label"),
        ([1, "a"], "labels mix texts and others, such as 'a' and 1"),
        (["a", " "], "case 1 has no label"),
        (["1", "NA"], "case 1 has no label"),
        (np.ma.array(["a", "b"], mask=[False, True]), "case 1 has no label"),
        ([None, "a"], "case 0 has no label"),
        (["a"], "1 labels for 2 cases"),
        ([["a"], ["b"]], r"labels have shape \(2, 1\)"),
        ([1j, 2], "labels of type complex128 are no classes"),
    ],
)
def test_labels_that_are_no_classes(labels, message):
    with pytest.raises(InputDataError, match=message):
        Sequences.from_arrays(np.zeros((2, 1, 1)), labels)


@pytest.mark.parametrize(
    ("cases", "error", "message"),
    [
        ([], InputDataError, "no cases"),
        (3.0, InputDataError, "float holds no cases"),
        ("abc", InputDataError, "str holds no cases"),
        ([np.zeros((2, 1)), np.zeros((2, 3))], ShapeError, "case 1 has 3 variables, case 0 has 1"),
        ([np.zeros((2, 1)), np.zeros((0, 1))], ShapeError, r"case 1 has shape \(0, 1\)"),
        ([np.zeros((2, 1, 1))], ShapeError, r"case 0 has shape \(2, 1, 1\)"),
        ([[[1.0, 2.0], [3.0]]], ShapeError, "case 0 is no array"),
        ([[[1.0], [np.inf]]], InputDataError, "case 0, step 1, variable 'v1': an infinite value"),
    ],
)
def test_cases_that_cannot_be_used(cases, error, message):
    with pytest.raises(error, match=message):
        Sequences.from_arrays(cases)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"lengths": np.array([3, 0])}, InputDataError, "case 1: length 0, expected 1 to 3"),
        ({"lengths": np.array([4, 1])}, InputDataError, "case 0: length 4, expected 1 to 3"),
        ({"lengths": np.array([3])}, ShapeError, "1 lengths for 2 cases"),
        ({"lengths": np.array([3.0, 1.0])}, ShapeError, "lengths of shape .* float64"),
        ({"labels": np.array([0, 2])}, InputDataError, "case 1: label 2 of 2 classes"),
        ({"labels": np.array([-1, 0])}, InputDataError, "case 0: label -1 of 2 classes"),
        ({"labels": np.array([[0, 1]])}, ShapeError, "labels of shape"),
        ({"names": ("u",)}, ShapeError, "1 names for 2 variables"),
        ({"names": ("u", "u")}, InputDataError, "variable 'u' appears 2 times"),
        ({"classes": ("a", "a")}, InputDataError, "class 'a' appears 2 times"),
        ({"ids": ("one",)}, ShapeError, "1 ids for 2 cases"),
        ({"values": np.zeros((2, 3))}, ShapeError, r"values of shape \(2, 3\)"),
        ({"values": np.zeros((2, 3, 2), int)}, ShapeError, "type int64"),
        ({"values": np.zeros((0, 3, 2))}, InputDataError, "no case"),
    ],
)
def test_contradictions_are_named(change, error, message):
    data = Sequences.from_arrays(UNEQUAL, ["b", "a"], ["u", "y"])
    with pytest.raises(error, match=message):
        replace(data, **change)


def test_what_lies_beyond_a_case_is_cleared():
    values = np.array([[[1.0], [np.inf]], [[2.0], [3.0]]])
    data = Sequences(values, np.array([1, 2]), ("u",))
    np.testing.assert_array_equal(data.values, [[[1], [NAN]], [[2], [3]]])
    assert values[0, 1, 0] == np.inf


def test_selection_keeps_names_of_cases_and_drops_padding():
    data = Sequences.from_arrays(UNEQUAL, ["b", "a"])
    one = data.select([1])
    assert one.values.shape == (1, 1, 2)
    assert (one.ids, one.labels.tolist(), one.classes) == (("case 1",), [0], ("a", "b"))
    masked = data.select(np.array([False, True]))
    assert masked.ids == ("case 1",)
    assert data.select([0, 0, -1]).ids == ("case 0", "case 0", "case 1")


@pytest.mark.parametrize(
    ("places", "message"),
    [([], "none of the 6 cases"), ([6], "no case 6"), ([-7], "no case -7"), ([0.5], "whole numbers")],
)
def test_selections_that_make_no_sense(places, message):
    with pytest.raises(InputDataError, match=message):
        some().select(places)
    with pytest.raises(ShapeError, match="one truth value for each"):
        some().select([True, False])


@quick
@given(st.lists(st.integers(0, 5), min_size=1, max_size=10), st.data())
def test_selecting_twice_is_selecting_once(first, data):
    second = data.draw(st.lists(st.integers(0, len(first) - 1), min_size=1))
    once = some().select(np.array(first)[second])
    twice = some().select(first).select(second)
    np.testing.assert_array_equal(once.values, twice.values)
    np.testing.assert_array_equal(once.labels, twice.labels)
    assert once.ids == twice.ids


@quick
@given(st.permutations(["p", "q", "r"]), st.permutations(["x", "y"]))
def test_alignment_undoes_any_order(classes, names):
    train = Sequences.from_arrays(some().values, np.array(["p", "q", "r"])[some().labels], ["x", "y"])
    places = [classes.index(name) for name in train.classes]
    columns = [train.names.index(name) for name in names]
    test = replace(
        train,
        values=train.values[:, :, columns],
        names=tuple(names),
        labels=np.array(places)[train.labels],
        classes=tuple(classes),
    )
    again = test.aligned(train)
    np.testing.assert_array_equal(again.values, train.values)
    np.testing.assert_array_equal(again.labels, train.labels)
    assert (again.names, again.classes) == (train.names, train.classes)


def test_alignment_names_what_is_not_there():
    train = Sequences.from_arrays(np.zeros((2, 1, 2)), ["a", "b"], ["u", "y"])
    with pytest.raises(InputDataError, match="no variable 'y'; there are: u, z"):
        Sequences.from_arrays(np.zeros((2, 1, 2)), ["a", "b"], ["u", "z"]).aligned(train)
    with pytest.raises(InputDataError, match="classes not known: c; known: a, b"):
        Sequences.from_arrays(np.zeros((2, 1, 2)), ["a", "c"], ["u", "y"]).aligned(train)


def test_nameless_variables_are_aligned_by_place():
    train = Sequences.from_arrays(np.zeros((2, 1, 2)), ["a", "b"], ["u", "y"])
    test = Sequences.from_arrays(np.ones((1, 1, 2))).aligned(train)
    assert (test.names, test.labels, test.classes) == (("u", "y"), None, ("a", "b"))
    nameless = Sequences.from_arrays(np.zeros((2, 1, 2)), ["a", "b"])
    for known in (train, nameless):  # the first two of three were taken from the second one, in silence
        with pytest.raises(InputDataError, match=r"3 variables without names, the model knows 2: .*swapped"):
            Sequences.from_arrays(np.ones((1, 1, 3))).aligned(known)


def test_counting_needs_labels():
    with pytest.raises(InputDataError, match="no labels"):
        Sequences.from_arrays(np.ones((1, 1, 3))).counts()


def test_padding_that_would_fill_the_memory_is_refused():
    lengths = np.ones(10**5, int)
    lengths[7] = 10**6
    with pytest.raises(InputDataError, match=r"case 7 has 1000000 steps.* would need 800 GB"):
        empty_cases(lengths, 1)
