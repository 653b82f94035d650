"""One table alone is wide: columns that count no steps, and rows that are no cases, are told."""

import warnings

import numpy as np
import pandas as pd
import pytest

from attractor.classification.cases import as_known, labelled
from attractor.data import LongColumns, Sequences, read_sequences
from attractor.errors import DataWarning, InputDataError

ROWS = 120
LONG = pd.DataFrame({
    "trial": np.arange(ROWS) // 6,
    "t": np.arange(ROWS) % 6 / 50,
    "acc_x": np.arange(ROWS) % 7 / 7,
    "acc_y": np.arange(ROWS) % 5 / 5,
    "acc_z": np.arange(ROWS) % 3 / 3,
    "activity": np.where(np.arange(ROWS) // 6 % 3, "walk", "sit"),
})
SIGNALS = ["acc_x", "acc_y", "acc_z"]


@pytest.mark.parametrize("order", [LONG, LONG.sort_values("t", kind="stable")], ids=["sorted", "mixed"])
@pytest.mark.parametrize("names", [SIGNALS, SIGNALS[:1], [*SIGNALS, "trial"]])
def test_columns_of_a_long_table_are_no_steps(order, names):
    said = r"read_sequences\(table, LongColumns\(case=.*to_numpy"
    with pytest.raises(InputDataError, match=said):
        labelled(order[names], order.activity)
    with pytest.raises(InputDataError, match=said):
        as_known(order[names], ("v1",))


def test_a_whole_long_table_is_told_how_it_is_read():
    with pytest.raises(InputDataError, match=r'LongColumns\(case="trial", label="activity"\)'):
        labelled(LONG, None)
    with pytest.raises(
        InputDataError, match=r'a long DataFrame .*LongColumns\(case="trial", label="activity"\)'
    ):
        labelled(LONG.rename(columns={"t": "time"}), None)


@pytest.mark.parametrize(
    "names",
    [
        ["t0", "t1", "t2"],
        [0, 1, 2],
        ["0", "1", "2"],
        ["0.00", "0.02", "0.04"],
        ["step 1", "step 2", "step 3"],
        ["10:00", "10:01", "10:02"],
        list(pd.date_range("2024-01-01", periods=3).astype(str)),
    ],
)
def test_columns_that_count_are_steps(names):
    wide = LONG[SIGNALS].set_axis(names, axis=1)
    data = Sequences.from_arrays(wide)
    np.testing.assert_array_equal(data.values[:, :, 0], LONG[SIGNALS])


def test_a_column_beside_steps_is_named():
    wide = pd.DataFrame(np.zeros((4, 9))).add_prefix("t").assign(activity=list("abab"))
    with pytest.raises(InputDataError, match=r"'activity' is no step.*drop\(columns=\['activity'\]\)"):
        labelled(wide, wide.activity)


def test_rows_of_a_long_table_as_an_array_are_told():
    values = LONG[SIGNALS].to_numpy()
    with pytest.warns(DataWarning, match="120 cases of 3 steps of one variable have labels that repeat"):
        labelled(values, LONG.activity)
    mixed = np.random.default_rng(0).permutation(LONG.activity)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        labelled(values, mixed)
        labelled(values, np.sort(mixed))  # as the archives have their cases


def test_a_nested_table_is_read_and_not_guessed():
    nested = pd.DataFrame({"u": [np.arange(3.0), np.arange(4.0)], "who": ["a", "b"], "kind": ["x", "y"]})
    with pytest.raises(InputDataError, match=r"series in its cells \(u\): read it with .*read_sequences"):
        labelled(nested, ["x", "y"])
    with pytest.raises(
        InputDataError, match=r"columns 'who', 'kind' hold single values.*LongColumns\(label="
    ):
        read_sequences(nested)
    data = read_sequences(nested, LongColumns(label="kind", group="who"))
    assert (data.classes, data.lengths.tolist(), data.groups.tolist()) == (("x", "y"), [3, 4], ["a", "b"])
    assert read_sequences(nested, LongColumns(case="who", label="kind")).ids == ("a", "b")
