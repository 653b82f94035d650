"""Labelled series in `.npz` files: round trips, files that lack things, files that lie."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import Sequences, read_sequences
from attractor.data.sequence_file import read_npz
from attractor.errors import AttractorError, DataWarning, InputDataError

X = np.arange(12.0).reshape(2, 3, 2)


@pytest.fixture
def save(tmp_path):
    def saver(**arrays):
        np.savez(tmp_path / "t.npz", **arrays)
        return tmp_path / "t.npz"

    return saver


def test_all_keys(save):
    path = save(
        X=X, y=[1, 0], length=[2, 3], classes=["a", "b"], variables=["u", "y"], ids=["p", "q"], extra=1
    )
    data = read_sequences(path)
    assert (data.names, data.classes, data.ids) == (("u", "y"), ("a", "b"), ("p", "q"))
    assert (data.labels.tolist(), data.lengths.tolist()) == ([1, 0], [2, 3])
    np.testing.assert_array_equal(data.one(0), X[0, :2])
    assert np.isnan(data.values[0, 2]).all()


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float16, np.float32, bool])
def test_types_of_values(save, kind):
    data = read_npz(save(X=X.astype(kind)))
    assert data.labels is None
    assert data.values.dtype == np.float64
    np.testing.assert_array_equal(data.values, X.astype(kind))


def test_one_variable_in_two_dimensions(save):
    assert read_npz(save(X=X[:, :, 0])).values.shape == (2, 3, 1)


def test_gaps_at_the_end_are_missing_without_lengths(save):
    gaps = X.copy()
    gaps[:, 2] = np.nan
    assert read_npz(save(X=gaps)).lengths.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ([1, -1], (-1, 1)),
        ([2, 1], (1, 2)),
        ([7, 3], (3, 7)),
        ([2.0, 1.0], (1, 2)),
        ([True, False], (False, True)),
        (["x", "w"], ("w", "x")),
        ([0, 10**9], (0, 10**9)),
        (np.array([1, 0], np.uint8), (0, 1)),
    ],
)
def test_the_labels_that_occur_are_the_classes(save, labels, values):
    data = read_npz(save(X=X, y=labels))
    assert data.class_values == values
    assert data.classes == tuple(map(str, values))
    assert [values[label] for label in data.labels] == list(np.asarray(labels))
    # A test file with some of them is read in the same terms.
    test = read_sequences(save(X=X[:1], y=labels[:1]), like=data)
    assert (test.class_values, test.labels.tolist()) == (values, data.labels[:1].tolist())
    if not isinstance(values[0], str | bool):
        with pytest.raises(InputDataError, match=r"classes not known: 5; known:"):
            read_sequences(save(X=X, y=[values[1], 5]), like=data)


def test_a_test_file_takes_names_from_the_training_cases(save):
    train = Sequences.from_arrays(X, ["9", "8"], ["u", "y"])
    with pytest.warns(DataWarning, match="taken as positions among .*: 0 is '8', 1 is '9'.*as 'classes'"):
        test = read_sequences(save(X=X, y=[1, 1]), like=train)
    assert test.remarks[0].code == "positions"
    counted = read_sequences(save(X=X, y=[1, 0], classes=["8", "9"], names=["u", "y"]))
    assert read_sequences(save(X=X, y=[1, 1]), like=counted).remarks == (), "as in the training file"
    assert (test.names, test.classes, test.labels.tolist()) == (("u", "y"), ("8", "9"), [1, 1])
    named = read_sequences(save(X=X, y=[1, 0], classes=["9", "8"], names=["y", "u"]), like=train)
    assert named.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(named.values, X[:, :, ::-1])
    with pytest.raises(InputDataError, match=r"t.npz: case 1: label 2 of 2 classes"):
        read_sequences(save(X=X, y=[1, 2]), like=train)
    with pytest.raises(InputDataError, match=r"t.npz: classes not known: 7; known: 8, 9"):
        read_sequences(save(X=X, y=[0, 0], classes=["7"]), like=train)
    with pytest.raises(InputDataError, match=r"t.npz: no variable 'u', 'y'; there are: v1"):
        read_sequences(save(X=X[:, :, :1]), like=train)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "no array 'X'"),
        ({"X": X[0, 0]}, r"'X' has shape \(2,\)"),
        ({"X": X[:0]}, r"'X' has shape \(0, 3, 2\)"),
        ({"X": X.astype(complex)}, "'X' holds complex128"),
        ({"X": X.astype(object)}, "Python objects could run code"),
        (
            {"X": X, "y": np.array(["a", None])},
            r"y.npy: Python objects could run code when read; .* y.astype\(str\)",
        ),
        ({"X": X, "length": [3]}, r"'length' of shape \(1,\)"),
        ({"X": X, "length": [3.0, 2.0]}, "'length' of shape .* float64"),
        ({"X": X, "length": [4, 3]}, "case 0: length 4, expected 1 to 3"),
        ({"X": X, "y": [0]}, "1 labels for 2 cases"),
        ({"X": X, "y": [0, 0.5]}, "case 1 has the label 0.5"),
        ({"X": X, "y": [0, np.nan]}, "case 1 has no label"),
        ({"X": X, "y": ["a", "nan"]}, "case 1 has no label"),
        ({"X": X, "y": ["", "a"]}, "case 0 has no label"),
        ({"X": X, "y": [0, -1], "classes": ["a", "b"]}, "case 1: label -1"),
        ({"X": X, "y": [0, 1], "classes": ["a"]}, "case 1: label 1 of 1 classes"),
        ({"X": X, "names": ["u"]}, "1 names for 2 variables"),
        ({"X": np.full_like(X, np.inf)}, "an infinite value"),
    ],
)
def test_what_is_wrong_is_named(save, arrays, message):
    with pytest.raises(InputDataError, match=f"t.npz.*{message}"):
        read_npz(save(**arrays))


def lying_file(path, header_shape, body, compression=zipfile.ZIP_DEFLATED):
    head = io.BytesIO()
    fields = {"descr": "<f8", "fortran_order": False, "shape": header_shape}
    np.lib.format.write_array_header_1_0(head, fields)
    with zipfile.ZipFile(path, "w", compression) as archive, archive.open("X.npy", "w") as member:
        member.write(head.getvalue())
        for block in body:
            member.write(block)


def test_a_header_that_lies_is_refused_before_memory_is_taken(tmp_path):
    lying_file(tmp_path / "t.npz", (10**13, 1, 1), [bytes(80)])
    with pytest.raises(InputDataError, match="is not what the file holds"):
        read_npz(tmp_path / "t.npz")


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("attractor.data.binary_files.LARGE", 2**22)
    lying_file(tmp_path / "t.npz", (8, 2**17, 1), [bytes(2**20)] * 8)
    with pytest.raises(InputDataError, match=r"bytes unpack to 0\.0 GB, as no measured data do"):
        read_npz(tmp_path / "t.npz")


def test_missing_files_and_other_files(tmp_path, write):
    with pytest.raises(InputDataError, match="no such file"):
        read_npz(tmp_path / "absent.npz")
    with pytest.raises(InputDataError, match=r"no sound \.npz file"):
        read_npz(write("1,2\n", "t.npz"))
    with pytest.raises(InputDataError, match=r"no sound \.npz file"):
        read_npz(tmp_path)


def outcome(path):
    try:
        return read_npz(path)
    except AttractorError as error:
        return error


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.data())
def test_damaged_files_raise_our_errors_only(tmp_path_factory, data):
    buffer = io.BytesIO()
    np.savez(buffer, X=X, y=[1, 0], length=[2, 3], classes=["a", "b"])
    good = buffer.getvalue()
    place, length = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 9))
    bad = good[:place] + data.draw(st.binary(max_size=9)) + good[place + length :]
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(bad)
    read = outcome(path)
    if isinstance(read, AttractorError):
        assert str(path) in str(read)
    else:
        np.testing.assert_array_equal(read.values[1], X[1])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b", }", b",  "),
        (b"{'descr'", b" 'descr'"),
        (b"'<f8'", b"'<f\x00'"),
        (b"'<f8'", b"'<x9'"),
        (b"(2, 3, 1)", b"(2, 3,1\x00)"),
        (b"(2, 3, 1)", b"(-2,-3,1)"),
        (b"(2, 3, 1)", b"(9**9**9)"),
        (b"(2, 3, 1)", b"(2, '3',)"),
        (b"False", b"Fals)"),
    ],
)
def test_a_head_that_is_no_head_is_refused(tmp_path, old, new):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3, 1)))
    assert old in buffer.getvalue()
    path = tmp_path / "cases.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", buffer.getvalue().replace(old, new))
    with pytest.raises(InputDataError, match="cases") as caught:
        read_npz(path)
    assert len(str(caught.value)) < 2500
