"""The `.ts` format: what is written is read, what is damaged is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import read_sequences
from attractor.data.archive_text import read_ts
from attractor.errors import AttractorError, InputDataError, UnsupportedError

NAN = np.nan
HEAD = "#about\n@problemName T\n@timeStamps false\n@classLabel true b a\n@data\n"


def as_text(cases, words):
    lines = [
        ":".join([*(",".join(map(repr, column)) for column in case.T.tolist()), word])
        for case, word in zip(cases, words, strict=True)
    ]
    return HEAD + "\n".join(lines) + "\n"


@settings(max_examples=30, derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 9))
def test_round_trip(tmp_path_factory, lengths, variables, seed):
    rng = np.random.default_rng(seed)
    cases = [rng.normal(size=(length, variables)) for length in lengths]
    words = rng.choice(["a", "b"], len(cases)).tolist()
    path = tmp_path_factory.mktemp("ts") / "t.ts"
    path.write_text(as_text(cases, words))
    data = read_ts(path)
    assert data.classes == ("b", "a")
    assert [data.classes[label] for label in data.labels] == words
    assert data.lengths.tolist() == lengths
    for place, case in enumerate(cases):
        np.testing.assert_array_equal(data.one(place), case)


def test_archive_file_with_gaps_and_unequal_dimensions(write):
    text = HEAD + "1,?,NaN,4:5,6:a\n 7, 8 :?:b\n1,2,NaN:3,4,?:a\n"
    data = read_sequences(write(text, "x_TEST.TS"))
    assert data.lengths.tolist() == [4, 2, 2]
    assert data.names == ("v1", "v2")
    np.testing.assert_array_equal(data.one(0), [[1, 5], [NAN, 6], [NAN, NAN], [4, NAN]])
    np.testing.assert_array_equal(data.one(1), [[7, NAN], [8, NAN]])
    assert data.labels.tolist() == [1, 0, 1]
    assert data.ids == ("case 0", "case 1", "case 2")


def test_without_classes(write):
    data = read_ts(write("@classLabel false\n@univariate true\n@data\n1,2\n3\n", "t.ts"))
    assert (data.labels, data.classes) == (None, ())
    assert data.values.shape == (2, 2, 1)


def test_unlisted_classes_are_sorted_as_numbers(write):
    data = read_ts(write("@classLabel true\n@data\n1:10\n1:9\n1:-1\n", "t.ts"))
    assert data.classes == ("-1", "9", "10")
    assert data.labels.tolist() == [2, 1, 0]


def test_cases_of_unknown_class_have_no_labels(write):
    assert read_ts(write(HEAD + "1,2:?\n1,3:?\n", "t.ts")).labels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "1,2:c\n", r"t.ts, row 6: class 'c' is unknown; known: b, a"),
        (HEAD + "1,2:a\n1,2:?\n", r"row 7: the case has no label, others have"),
        (HEAD + "1,x,3:a\n", r"row 6, dimension 1, value 1: 'x' is not a number"),
        (HEAD + "1,2:1,1_0:a\n", r"row 6, dimension 2, value 1: '1_0' is not a number"),
        (HEAD + "1,1e999:a\n", r"value 1: '1e999' is infinite"),
        (HEAD + "?,?:a\n", r"row 6: the case has no value at all"),
        (HEAD + "1,2:3,4:a\n1,2:a\n", r"row 7: 1 dimensions, row 6 has 2"),
        (HEAD + "a\n", r"row 6: 0 dimensions"),
        (HEAD, r"t.ts: the file has a header but no case"),
        ("@univariate true\n" + HEAD + "1:2:a\n", r"2 dimensions where the header says 1"),
        ("@dimensions 3\n" + HEAD + "1:2:a\n", r"2 dimensions where the header says 3"),
        ("@dimension x\n" + HEAD + "1:2:a\n", r"row 1: @dimensions is followed by 'x'"),
        ("@equalLength true\n" + HEAD + "1,2:a\n1:a\n", r"row 8: 1 steps, row 7 has 2"),
        ("@equalLength perhaps\n" + HEAD + "1,2:a\n", r"row 1: @equallength is followed by 'perhaps'"),
        ("@problemName T\n@data\n1,2\n", r"the header has no @classLabel"),
        ("@classLabel true a\n1,2:a\n", r"row 2: the text '1,2:a' comes before @data"),
        ("@\n@classLabel true a\n", r"the line @data is missing"),
    ],
)
def test_what_is_wrong_is_named(write, text, message):
    with pytest.raises(InputDataError, match=message):
        read_ts(write(text, "t.ts"))


def test_what_is_not_supported_is_said(write):
    with pytest.raises(UnsupportedError, match="row 1: the file holds numbers to predict"):
        read_ts(write("@targetLabel true\n@data\n1,2:0.5\n", "t.ts"))


STAMPED = "@timeStamps true\n@classLabel true a b\n@data\n"


def test_series_with_times(write):
    data = read_ts(write(STAMPED + "(0,1),(0.5,2),(1.5,?):(0.5,7),(1,8):a\n(3,4):(3.5,5):b\n", "t.ts"))
    np.testing.assert_array_equal(data.one(0), [[1, NAN], [2, 7], [NAN, 8]])
    np.testing.assert_array_equal(data.one(1), [[4, NAN], [NAN, 5]])
    assert data.labels.tolist() == [0, 1]


def test_series_with_dates(write):
    day = "2024-05-01 12:0"
    text = STAMPED + f"({day}0:00,1),({day}1:00,2),({day}3:00,3):a\n({day}0:00,4),({day}1:00,5):b\n"
    data = read_ts(write(text, "t.ts"))
    np.testing.assert_array_equal(data.one(0)[:, 0], [1, 2, NAN, 3])
    np.testing.assert_array_equal(data.one(1)[:, 0], [4, 5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2:a\n", r"row 4, dimension 1: '1,2' are not pairs \(time,value\)"),
        ("(0,1),(1,x):a\n", "row 4, dimension 1, value 1: 'x' is not a number"),
        ("(0,1),(1,2),(2.5,3):a\n", "row 4: the time 2.5 does not lie on equal steps of 1"),
        ("(0,1),(1,2):a\n(0,1),(2,2):b\n", "row 5: times are 2 apart, 1 in the first case"),
        ("(2024-05-01,1),(soon,2):a\n", "row 4: 'soon' is neither a number nor a date"),
        ("(0,1),(1,2),(1e6,3):a\n", "row 4: the time 1e6 does not lie on equal steps"),
    ],
)
def test_times_that_are_no_steps_are_named(write, text, message):
    with pytest.raises(InputDataError, match=message):
        read_ts(write(STAMPED + text, "t.ts"))


def outcome(path):
    try:
        return read_ts(path)
    except AttractorError as error:
        return error


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.data())
def test_damaged_files_raise_our_errors_only(tmp_path_factory, data):
    good = ("@univariate false\n" + HEAD + "1,?,3:4,5,6:a\n7,8:9,1e3:b\n").encode()
    place, length = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 5))
    bad = good[:place] + data.draw(st.binary(max_size=4)) + good[place + length :]
    path = tmp_path_factory.mktemp("ts") / "t.ts"
    path.write_bytes(bad)
    read = outcome(path)
    if isinstance(read, AttractorError):
        assert str(path) in str(read)
    else:
        assert np.isfinite(read.values).any()
