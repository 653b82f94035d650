"""Columns that measure nothing (row numbers, ids, clocks) are left out and named, and nothing else is."""

import numpy as np
import pandas as pd
import pytest

from attractor.data import (
    LongColumns,
    Sequences,
    counting_variables,
    examine_sequences,
    guess_columns,
    read_sequences,
)
from attractor.errors import DataWarning

CASES, STEPS = 12, 10
ROWS = CASES * STEPS
CASE = np.repeat(np.arange(CASES), STEPS)
STEP = np.tile(np.arange(STEPS), CASES)
RNG = np.random.default_rng(0)


def frame(**columns):
    """Noise, sorted by class."""
    known = {"case": [f"p{one}" for one in CASE], "label": np.where(CASE < 6, "a", "b")}
    return pd.DataFrame({**known, "x": RNG.normal(size=ROWS), "z": RNG.normal(size=ROWS), **columns})


COUNTED = {
    "c1": np.arange(ROWS),
    "Unnamed: 0": np.arange(1, ROWS + 1),
    "index": np.delete(np.arange(2 * ROWS), np.arange(0, 2 * ROWS, 2)),
    "row_id": RNG.permutation(ROWS) + 1000,
    "what": RNG.permutation(ROWS),
    "frame": STEP + 100 * CASE,
    "step": STEP,
    "clock": 0.02 * STEP,
    "stamp": 1.7e9 + 0.02 * np.arange(ROWS) + 1e-3 * RNG.random(ROWS),
    "uneven": np.cumsum(RNG.exponential(size=ROWS)),
    "countdown": -0.5 * STEP + 100.0,
    "recording": 100.0 + CASE,
    "begun": np.sort(RNG.random(CASES))[CASE],
    "id": 10 * CASE,
    "subject_id": CASE // 3,
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_column_that_counts_is_left_out_and_named(tmp_path, name):
    frame(**{name: COUNTED[name]}).to_csv(tmp_path / "t.csv", index=False)
    columns = LongColumns(case="case", time=None)
    with pytest.warns(DataWarning, match=f"'{name}' was left out: it ") as told:
        data = read_sequences(tmp_path / "t.csv", columns)
    assert (data.names, len(told)) == (("x", "z"), 1)
    # The data doctor says so as well, also of some of the cases.
    assert "left-out" in [one.code for one in examine_sequences(data.select(range(6, 12)))]
    kept = read_sequences(tmp_path / "t.csv", LongColumns(case="case", variables=("x", name)))
    assert kept.names == ("x", name)
    # A test file has the variables of the training cases, whatever it counts itself.
    assert read_sequences(tmp_path / "t.csv", columns, like=kept).names == ("x", name)
    assert read_sequences(tmp_path / "t.csv", columns, like=data).names == ("x", "z")


def test_the_index_that_pandas_writes_is_no_variable(tmp_path):
    frame().to_csv(tmp_path / "sorted.csv")
    frame().query("x > -1").to_csv(tmp_path / "some.csv")
    for name in ("sorted", "some"):
        with pytest.warns(DataWarning, match="'c1' was left out: it counts the rows"):
            assert read_sequences(tmp_path / f"{name}.csv").names == ("x", "z")


MEASURED = {
    "noise": RNG.normal(size=ROWS),
    "index": RNG.normal(size=ROWS),  # of refraction
    "age": RNG.integers(20, 30, CASES)[CASE],
    "height": RNG.normal(size=CASES)[CASE],
    "counts": RNG.poisson(3, ROWS),
    "charge": 0.1 * STEP**1.5 + RNG.random(CASES)[CASE],
    "rate": (1 + RNG.random(CASES)[CASE]) * STEP,
    "walk": np.cumsum(RNG.normal(size=ROWS)),
    "missing": np.where(STEP == 3, np.nan, 1.0 * np.arange(ROWS)),
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_measured_stays(name):
    data = read_sequences(frame(**{name: MEASURED[name]}))
    assert data.names == ("x", "z", name)


def test_a_column_of_row_ids_does_not_tell_the_cases_apart():
    with pytest.warns(DataWarning, match="'id' was left out: it counts the rows"):
        data = read_sequences(frame(id=np.arange(ROWS)))
    assert len(data) == CASES


def test_where_nothing_else_is_left_it_stays():
    data = read_sequences(frame(index=np.arange(ROWS)).drop(columns=["x", "z"]))
    assert data.names == ("index",)
    (found,) = [one for one in examine_sequences(data) if one.code == "counter"]
    assert found.message == "'index' may be no measured quantity: it counts the rows"


def test_arrays_keep_theirs_and_the_doctor_names_it():
    values = np.stack([RNG.normal(size=(CASES, STEPS)), np.arange(ROWS).reshape(CASES, STEPS)], axis=2)
    data = Sequences.from_arrays(values)
    assert counting_variables(data) == {"v2": "it counts the rows"}
    assert [one.signal for one in examine_sequences(data) if one.code == "counter"] == ["v2"]


def test_a_file_of_arrays_is_read_without_it_by_choice(tmp_path):
    values = np.stack([np.arange(ROWS).reshape(CASES, STEPS), RNG.normal(size=(CASES, STEPS))], axis=2)
    np.savez(tmp_path / "t.npz", X=values)
    assert read_sequences(tmp_path / "t.npz", LongColumns(variables=("v2",))).names == ("v2",)


def test_a_log_is_guessed_without_what_counts_its_rows():
    log = pd.DataFrame({
        "Unnamed: 0": range(50),
        "q": RNG.normal(size=50),
        "run": "a",
        "y": RNG.normal(size=50),
    })
    with pytest.warns(DataWarning, match="column 'Unnamed: 0' is no signal: it counts the rows"):
        assert guess_columns(log) == (("q",), ("y",))
    assert guess_columns(log, inputs=["Unnamed: 0"]) == (("Unnamed: 0",), ("y",))


@pytest.mark.parametrize("name", ["Unnamed: 0", "index"])
def test_a_wide_table_has_no_index_among_its_steps(name):
    wide = pd.DataFrame(RNG.normal(size=(4, 3)), columns=["0", "1", "2"])
    with pytest.warns(DataWarning, match=f"'{name}' was left out, which is an index and no step"):
        data = Sequences.from_arrays(wide.rename_axis(None if name == "index" else name).reset_index())
    np.testing.assert_array_equal(data.values[:, :, 0], wide)
