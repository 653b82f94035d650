"""ARFF files of the archives, univariate and relational."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data.archive_text import read_arff
from attractor.errors import AttractorError, InputDataError, UnsupportedError

NAN = np.nan
FLAT = (
    "% about\n@relation R\n@attribute att0 numeric\n@ATTRIBUTE 'att 1' REAL\n@attribute att2 integer\n"
    "@attribute target {2, 1,'a b'}\n\n@data\n"
)
NESTED = (
    "@relation R\n@attribute relationalAtt relational\n  @attribute t0 numeric\n  @attribute t1 numeric\n"
    "  @attribute t2 numeric\n@end relationalAtt\n@attribute activity {Walk,Run}\n@data\n"
)


@pytest.fixture
def read(write):
    return lambda text: read_arff(write(text, "t.arff"))


def test_univariate(read):
    data = read(FLAT + "1,2,3,1\n4,?,6,'a b'\n7,NaN,?,2\n")
    assert data.classes == ("2", "1", "a b")
    assert data.labels.tolist() == [1, 2, 0]
    assert data.lengths.tolist() == [3, 3, 1]
    np.testing.assert_array_equal(data.one(1)[:, 0], [4, NAN, 6])


@pytest.mark.parametrize("quote", ["'", '"'])
def test_multivariate(read, quote):
    data = read(
        NESTED + rf"{quote}1,2,3\n4,5,?{quote},Run" + "\n" + rf"{quote}6,7,?\n8,?,?{quote}, 'Walk'" + "\n"
    )
    assert data.classes == ("Walk", "Run")
    assert data.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(data.one(0), [[1, 4], [2, 5], [3, NAN]])
    np.testing.assert_array_equal(data.one(1), [[6, 8], [7, NAN]])


def test_comments_behind_a_line(read):
    text = FLAT.replace("REAL\n", "REAL % in volts\n").replace("'a b'}", "'a b','5%'} % three")
    data = read(text + "1,2,3,1 % a case\n% all of it\n4,5,6,'5%'\n")
    assert data.classes == ("2", "1", "a b", "5%")
    assert data.labels.tolist() == [1, 3]


def test_text_class_and_unknown_classes(read):
    free = FLAT.replace("{2, 1,'a b'}", "string")
    assert read(free + "1,2,3,z\n1,2,3,'y,x'\n").classes == ("y,x", "z")
    assert read(FLAT + "1,2,3,?\n").labels is None


@settings(max_examples=20, derandomize=True, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 9))
def test_round_trip_of_relational_files(tmp_path_factory, cases, variables, seed):
    values = np.random.default_rng(seed).normal(size=(cases, 3, variables))
    rows = [r"\n".join(",".join(map(repr, column)) for column in case.T.tolist()) for case in values]
    path = tmp_path_factory.mktemp("arff") / "t.arff"
    path.write_text(NESTED + "".join(f"'{row}',Run\n" for row in rows))
    np.testing.assert_array_equal(read_arff(path).values, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FLAT + "1,2,3,4\n", r"t.arff, row 9: class '4' is unknown; known: 2, 1, a b"),
        (FLAT + "1,2,1\n", r"row 9, dimension 1: 2 values where the header has 3"),
        (FLAT + "1,2,x,1\n", r"row 9, dimension 1, value 2: 'x' is not a number"),
        (FLAT, "no case below @data"),
        (NESTED + "1,2,3,Run\n", r"row 9: expected the series in quotes"),
        (NESTED + "'1,2,3,Run\n", r"row 9: expected the series in quotes"),
        (NESTED + "'1,2,3'\n", r"row 9: expected the series in quotes"),
        (NESTED + "'1,2,3',Run\n" + r"'1,2,3\n4,5,6',Run", r"row 10: 2 dimensions, row 9 has 1; every case"),
        (NESTED + r"'1,2,3\n4,5',Run", r"row 9, dimension 2: 2 values"),
        ("@relation R\n@attribute a\n", r"row 2: '@attribute a' is not of the form"),
        ("@relation R\n1,2\n", r"row 2: the text '1,2' comes before @data"),
        ("@relation R\n", "the line @data is missing"),
        ("@attribute a string\n@attribute c {1}\n@data\nx,1\n", "must be numeric.*; one is 'string'"),
        ("@attribute c {1}\n@data\n1\n", "must be numeric.*; there is none"),
        ("@attribute a real\n@attribute c date\n@data\n1,2\n", "the class attribute is 'date'"),
    ],
)
def test_what_is_wrong_is_named(read, text, message):
    with pytest.raises(InputDataError, match=message):
        read(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FLAT + "{0 1, 3 1}\n", "row 9: sparse rows"),
        ("@attribute a real\n@attribute y numeric\n@data\n1,2\n", "numbers to predict are not classes"),
    ],
)
def test_what_is_not_supported_is_said(read, text, message):
    with pytest.raises(UnsupportedError, match=message):
        read(text)


def outcome(path):
    try:
        return read_arff(path)
    except AttractorError as error:
        return error


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.data(), st.sampled_from([FLAT + "1,2,3,'a b'\n4,?,6,1\n", NESTED + "'1,2,3\\n4,5,6',Run\n"]))
def test_damaged_files_raise_our_errors_only(tmp_path_factory, data, text):
    good = text.encode()
    place, length = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 5))
    bad = good[:place] + data.draw(st.binary(max_size=4)) + good[place + length :]
    path = tmp_path_factory.mktemp("arff") / "t.arff"
    path.write_bytes(bad)
    read = outcome(path)
    if isinstance(read, AttractorError):
        assert str(path) in str(read)
    else:
        assert np.isfinite(read.values).any()
