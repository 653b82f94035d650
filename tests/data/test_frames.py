"""DataFrames in and out, and the files that pandas reads: as good as the same data in a text file."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from attractor.data import (
    ColumnOptions,
    Sequences,
    read_csv,
    read_sequences,
    read_table,
    to_frame,
    write_record,
)
from attractor.errors import InputDataError, UnsupportedError

LOG = pd.DataFrame({"time [s]": [0, 0.5, 1.0], "u [V]": [1, 2, 3], "y": [0.1, 0.2, 0.3]})


def read(source, **options):
    return read_csv(source, inputs=["u"], outputs=["y"], columns=ColumnOptions(**options))


def channels(record):
    return np.concatenate([np.hstack([one.inputs, one.outputs]) for one in record.experiments])


def test_a_frame_is_a_log():
    record = read(LOG)
    assert (record.inputs[0].label, record.sampling_time) == ("u [V]", 0.5)
    np.testing.assert_array_equal(channels(record), LOG[["u [V]", "y"]])
    assert record.experiments[0].name == "DataFrame"


def test_a_record_is_a_frame_again(tmp_path):
    record = read(
        LOG.assign(experiment=["a", "a", "b"]).loc[[0, 1, 2, 2]].assign(**{"time [s]": [0, 1, 0, 1]})
    )
    frame = to_frame(record)
    assert list(frame) == ["experiment", "time [s]", "u [V]", "y"]
    for source in (frame, write_record(tmp_path / "log.csv", record)):
        again = read(source)
        np.testing.assert_array_equal(channels(again), channels(record))
        assert [one.name for one in again.experiments] == ["a", "b"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_an_index_of_instants_is_the_time(unit, zone):
    # An hour is left out when clocks change: instants are what counts.
    index = pd.date_range("2024-03-31 00:59:58", periods=3, freq="2s", unit=unit, tz=zone)
    assert read(LOG[["u [V]", "y"]].set_index(index)).sampling_time == 2.0
    assert read(LOG[["u [V]", "y"]].set_index(index - index[0])).sampling_time == 2.0


def test_a_named_index_is_a_column_and_a_count_of_rows_is_none():
    assert read(LOG.set_index("time [s]")).sampling_time == 0.5
    assert [signal.name for signal in read_table(LOG[1:]).signals] == ["time", "u", "y"]
    with pytest.raises(InputDataError, match="DataFrame, row 7, column 'y': the cell is blank"):
        read(LOG.assign(y=[1, np.nan, 2]).set_index(pd.Index([5, 7, 9])))


def test_kinds_of_columns():
    frame = pd.DataFrame({
        "u": pd.array([1, pd.NA, 3], dtype="Int64"),
        "flag": [True, False, True],
        "text": ["1.5", "", "3"],
        "small": np.array([0.1, 0.2, 0.3], np.float32),
        "kind": pd.Categorical(["a", "b", "a"]),
        "when": pd.date_range("2024-01-01", periods=3),
    })
    table = read_table(frame)
    expected = [
        [1, 1, 1.5, np.float32(0.1)],
        [np.nan, 0, np.nan, np.float32(0.2)],
        [3, 1, 3, np.float32(0.3)],
    ]
    np.testing.assert_array_equal(table.numbers([0, 1, 2, 3]), expected)
    assert table.text(table.find("kind")) == ["a", "b", "a"]
    assert table.text(table.find("u")) == ["1", "", "3"]
    with pytest.raises(InputDataError, match="column 'kind': 'a' is not a number"):
        table.numbers([table.find("kind")])
    with pytest.raises(InputDataError, match=r"column 'when' holds datetime64\[us\], expected real numbers"):
        table.numbers([table.find("when")])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame(np.zeros((2, 2)), columns=pd.MultiIndex.from_product([["a"], ["u", "y"]])),
            "MultiIndex",
        ),
        (LOG[:0], "has columns but no rows"),
        (LOG.set_axis(["u", "u", "y"], axis=1), "column 'u' more than once"),
        (LOG.assign(y=["1", "x", "3"]), "DataFrame, row 1, column 'y': 'x' is not a number"),
        (LOG.assign(y=[1, np.inf, 3]), "row 1, column 'y': 'inf' is infinite"),
        (LOG.rename(columns={"y": "z"}), r"no column 'y'"),
    ],
)
def test_frames_that_are_no_logs(frame, message):
    with pytest.raises(InputDataError, match=message):
        read(frame)


def test_parquet_gives_what_the_frame_gives(tmp_path):
    LOG.to_parquet(tmp_path / "log.parquet")
    record = read(tmp_path / "log.parquet")
    np.testing.assert_array_equal(channels(record), channels(read(LOG)))
    assert (record.sampling_time, record.experiments[0].name) == (0.5, "log")
    LOG.assign(y=[1, np.nan, 2]).to_parquet(tmp_path / "gap.parquet")
    with pytest.raises(InputDataError, match=r"gap\.parquet, row 2, column 'y': the cell is blank"):
        read(tmp_path / "gap.parquet")
    long = pd.DataFrame({"id": ["a", "a", "b"], "v": [1.0, 2.0, 3.0], "label": [1, 1, 0]})
    long.to_parquet(tmp_path / "cases.parquet")
    cases = read_sequences(tmp_path / "cases.parquet")
    assert (cases.ids, cases.classes, cases.lengths.tolist()) == (("a", "b"), ("0", "1"), [2, 1])


def test_parquet_without_its_reader(tmp_path, monkeypatch):
    LOG.to_parquet(tmp_path / "log.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'attractor\[parquet\]'"):
        read(tmp_path / "log.parquet")


@pytest.mark.parametrize("compressed", [True, False])
def test_matlab_files(tmp_path, compressed):
    path = tmp_path / "log.mat"
    values = {"u": np.arange(4.0)[:, None], "y": np.arange(4.0) ** 2, "Ts": 0.1, "about": "a log"}
    savemat(path, {**values, "z": np.arange(8, dtype=np.int16).reshape(4, 2)}, do_compression=compressed)
    record = read_csv(path, inputs=["u", "z2"], outputs=["y"], columns=ColumnOptions(sampling_time=0.1))
    np.testing.assert_array_equal(channels(record), [[0, 1, 0], [1, 3, 1], [2, 5, 4], [3, 7, 9]])
    assert record.experiments[0].name == "log"


@pytest.mark.parametrize("suffix", [".mat", ".parquet"])
def test_binary_files_that_are_none(write, tmp_path, suffix):
    with pytest.raises(InputDataError, match=f"no sound {suffix} file"):
        read(write("u,y\n1,2\n", f"log{suffix}"))
    with pytest.raises(InputDataError, match="no such file"):
        read(tmp_path / f"none{suffix}")
    (tmp_path / f"room{suffix}").mkdir()
    with pytest.raises(InputDataError, match="this is a folder"):
        read(tmp_path / f"room{suffix}")


def test_matlab_files_that_hold_no_table(tmp_path, write):
    savemat(tmp_path / "a.mat", {"u": np.zeros((4, 1)), "y": np.zeros((5, 1))})
    with pytest.raises(InputDataError, match=r"vectors of one length; there are: u \(4\), y \(5\)"):
        read(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"u": "text"})
    with pytest.raises(InputDataError, match="there are: none"):
        read(tmp_path / "b.mat")
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    with pytest.raises(UnsupportedError, match=r"version 7\.3 .*'-v7'"):
        read(write(head.ljust(512, b"\0"), "new.mat"))


LONG = pd.DataFrame({
    "case": ["p", "p", "q"],
    "time": [1, 0, 0],
    "u": [2.0, 1.0, 5.0],
    "label": ["b", "b", "a"],
})


def test_a_long_frame_is_a_table_of_cases():
    data = read_sequences(LONG)
    assert (data.ids, data.names, data.classes) == (("p", "q"), ("u",), ("a", "b"))
    np.testing.assert_array_equal(data.one(0), [[1], [2]])
    with pytest.raises(
        InputDataError, match="DataFrame, row 1, column 'time': case 'p' has this time already"
    ):
        read_sequences(LONG.assign(time=0))


@pytest.mark.parametrize("names", [(None, None), ("case", "time")])
def test_a_multiindex_of_rows_is_case_and_time(names):
    frame = LONG.drop(columns="label").set_index(["case", "time"]).rename_axis(names)
    data = read_sequences(frame)
    np.testing.assert_array_equal(data.one(0), [[1], [2]])
    assert data.ids == ("p", "q")


def test_a_nested_frame_has_a_series_in_each_cell():
    frame = pd.DataFrame({
        "u": [pd.Series([1.0, 2.0]), np.array([3.0])],
        "v": [pd.Series([5, 6]), pd.Series([7])],
        "label": ["x", "w"],
    })
    data = read_sequences(frame)
    assert (data.names, data.classes, data.lengths.tolist()) == (("u", "v"), ("w", "x"), [2, 1])
    np.testing.assert_array_equal(data.one(0), [[1, 5], [2, 6]])
    assert read_sequences(frame.set_axis(["p", "q"])).ids == ("p", "q")
    with pytest.raises(InputDataError, match="columns 'age' hold single values, the others series"):
        read_sequences(frame.rename(columns={"label": "age"}))
    frame.loc[1, "u"] = None
    with pytest.raises(InputDataError, match="DataFrame, row 1, column 'u': 'None' is no series"):
        read_sequences(frame)
    frame["u"] = [pd.Series([1, pd.NA], dtype="Int64"), pd.Series([3, 4])]
    np.testing.assert_array_equal(read_sequences(frame).values[:, :, 0], [[1, np.nan], [3, 4]])
    frame["u"] = [pd.Series([1, 2]), pd.Series(["3", "x"])]
    with pytest.raises(InputDataError, match=r"DataFrame, row 1, column 'u', row 1, .*'x' is not a number"):
        read_sequences(frame)


def test_a_frame_in_the_terms_of_training():
    training = read_sequences(LONG.assign(v=1.0))
    with pytest.raises(InputDataError, match="DataFrame: no variable 'v'; there are: u"):
        read_sequences(LONG, like=training)
    swapped = read_sequences(LONG.assign(v=1.0)[["v", "u", "case", "time", "label"]], like=training)
    np.testing.assert_array_equal(swapped.values, training.values)


def test_a_wide_frame_is_refused():
    with pytest.raises(InputDataError, match=r"which column tells the cases apart.* a whole case in a row"):
        read_sequences(pd.DataFrame(np.zeros((3, 4))))


class OtherTable:
    """A table of another library: it has columns, and NumPy can read it."""

    columns = ("time [s]", "u", "y")

    def __array__(self, dtype=None, copy=None):
        return LOG.to_numpy(dtype)


def test_a_table_of_another_library_is_read_like_a_frame():
    np.testing.assert_array_equal(channels(read(OtherTable())), LOG[["u [V]", "y"]])
    data = Sequences.from_arrays([OtherTable(), LOG.set_axis(["y", "u", "time [s]"], axis=1)])
    assert data.names == ("time [s]", "u", "y")
    np.testing.assert_array_equal(data.one(1), LOG.to_numpy()[:, ::-1])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["1", "x", "3"], r"case 1, row 1, column 'y': 'x' is not a number"),
        ([1, np.inf, 3], r"case 1, row 1, column 'y': 'inf' is infinite"),
        (pd.date_range("2024-01-01", periods=3), r"case 1: column 'y' holds datetime64\[us\], expected real"),
        (np.array([1j, 2, 3]), r"case 1: column 'y' holds complex128, expected real numbers"),
    ],
)
def test_a_case_that_is_a_frame_is_refused_like_a_log(column, message):
    with pytest.raises(InputDataError, match=message):
        Sequences.from_arrays([LOG, LOG.assign(y=column)])


def test_single_columns_and_their_marks_of_missing_values():
    marked = pd.Series([1, pd.NA, 3], dtype="Int64")
    data = Sequences.from_arrays([marked, marked.astype("Float64"), np.ma.masked_array([1, 2, 3], [0, 1, 0])])
    np.testing.assert_array_equal(data.values[:, :, 0], [[1, np.nan, 3]] * 3)
    with pytest.raises(InputDataError, match=r"holds datetime64"):
        Sequences.from_arrays([pd.Series(pd.date_range("2024-01-01", periods=3))])


def test_variables_that_a_model_does_not_know_may_differ():
    more, less = LOG.assign(extra=0.0), LOG[["y", "u [V]"]]
    known = ("u [V]", "y")
    np.testing.assert_array_equal(
        Sequences.from_arrays([more, less], known=known).values,
        Sequences.from_arrays([LOG[[*known]]] * 2).values,
    )
    with pytest.raises(InputDataError, match=r"case 1 has no column 'time \[s\]', 'extra'; it has y, u"):
        Sequences.from_arrays([more, less])


def test_a_signal_called_like_the_time_is_not_lost():
    record = read_csv(LOG, inputs=["time [s]"], outputs=["y"], columns=ColumnOptions(sampling_time=1.0))
    with pytest.raises(InputDataError, match=r"'time \[s\]' is used more than once"):
        to_frame(record)
