"""Written files are complete or absent."""

import numpy as np
import pytest

from attractor.data import read_table, write_csv
from attractor.errors import InputDataError, ShapeError, StorageError


def test_nan_is_a_blank_cell_and_text_is_quoted(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["y", "note, long"], [np.array([1.0, np.nan]), ["a,b", "# c"]])
    assert path.read_text() == 'y,"note, long"\n1.0,"a,b"\n,"# c"\n'
    assert read_table(path).text(1) == ["a,b", "# c"]


def test_nothing_else_is_left_in_the_folder(tmp_path):
    write_csv(tmp_path / "a.csv", ["y"], [np.arange(3.0)])
    write_csv(tmp_path / "a.csv", ["y"], [np.arange(4.0)])
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]
    assert len(read_table(tmp_path / "a.csv")) == 4


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = write_csv(tmp_path / "a.csv", ["y"], [np.arange(3.0)])
    with pytest.raises(StorageError, match="cannot write"):
        write_csv(path / "b.csv", ["y"], [np.arange(3.0)])
    with pytest.raises(StorageError, match="cannot write"):
        write_csv(tmp_path, ["y"], [np.arange(3.0)])
    assert len(read_table(path)) == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]
    assert not list(tmp_path.parent.glob(".*.tmp"))


def test_shapes_and_names(tmp_path):
    with pytest.raises(ShapeError, match="2 column names for 1 columns"):
        write_csv(tmp_path / "a", ["y", "z"], [np.arange(3.0)])
    with pytest.raises(ShapeError, match=r"column 'z' has shape \(2,\)"):
        write_csv(tmp_path / "a", ["y", "z"], [np.arange(3.0), np.arange(2.0)])
    with pytest.raises(InputDataError, match="'y' is used more than once"):
        write_csv(tmp_path / "a", ["y", "y"], [np.arange(3.0), np.arange(3.0)])
    with pytest.raises(InputDataError, match="line break"):
        write_csv(tmp_path / "a", ["y"], [["a\nb"]])
