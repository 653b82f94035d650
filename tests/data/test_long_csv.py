"""Tables with one row for each case and time."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import LongColumns, Sequences, read_sequences, write_csv
from attractor.data.sequence_file import read_long_csv
from attractor.errors import AttractorError, ConfigError, DataWarning, InputDataError

NAN = np.nan
TEXT = "id,t,label,acc [g],gyro\np2,1,run,3,4\np10,0,walk,,6\np2,0,run,1,2\np10,1,walk,7,8\np10,2,walk,9,\n"


def test_rows_in_any_order(write):
    data = read_sequences(write(TEXT))
    assert (data.ids, data.lengths.tolist()) == (("p2", "p10"), [2, 3])
    assert (data.names, data.classes) == (("acc [g]", "gyro"), ("run", "walk"))
    assert data.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(data.one(0), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(data.one(1), [[NAN, 6], [7, 8], [9, NAN]])


def test_without_time_the_order_of_the_file_counts(write):
    text = "case;u\na;1,5\nb;2\na;3\n"
    with pytest.warns(DataWarning, match=r"mixed \(row 4 is of case 'a' again\)"):
        data = read_long_csv(write(text, "t.txt"))
    assert data.labels is None
    np.testing.assert_array_equal(data.one(0), [[1.5], [3]])
    np.testing.assert_array_equal(data.one(1), [[2]])


def test_columns_by_choice(write):
    text = "who,when,what,u,y\na,2024-05-02,3,1,2\na,2024-05-01,3,3,4\nb,2024-05-01,20,5,6\n"
    columns = LongColumns(case="who", time="when", label="what", variables=("y",))
    data = read_sequences(write(text), columns)
    assert (data.names, data.classes, data.labels.tolist()) == (("y",), ("3", "20"), [0, 1])
    np.testing.assert_array_equal(data.one(0), [[4], [2]])


def test_test_table_in_the_terms_of_training(write):
    train = Sequences.from_arrays(np.zeros((2, 1, 2)), ["walk", "run"], ["gyro", "acc [g]"])
    test = read_sequences(write(TEXT), like=train)
    assert (test.names, test.classes) == (train.names, train.classes)
    np.testing.assert_array_equal(test.one(0), [[2, 1], [4, 3]])


@settings(max_examples=20, derandomize=True, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(0, 9))
def test_round_trip_of_shuffled_rows(tmp_path_factory, lengths, seed):
    rng = np.random.default_rng(seed)
    truth = Sequences.from_arrays(
        [rng.normal(size=(length, 2)) for length in lengths], rng.choice(["a", "b"], len(lengths)), ["u", "y"]
    )
    case, step = np.nonzero(truth.valid)
    order = rng.permutation(len(case))
    case, step = case[order], step[order]
    values = truth.values[case, step]
    path = tmp_path_factory.getbasetemp() / "shuffled.csv"
    columns = [[truth.ids[one] for one in case], step * 0.5, values[:, 0], values[:, 1]]
    words = [truth.classes[truth.labels[one]] for one in case]
    write_csv(path, ["id", "time [s]", "u", "y", "class"], [*columns, words])
    read = read_long_csv(path)
    back = read.select([read.ids.index(name) for name in truth.ids])
    np.testing.assert_array_equal(back.values, truth.values)
    assert [back.classes[one] for one in back.labels] == [truth.classes[one] for one in truth.labels]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("p2,0,run", "p2,0,walk"),
            r"row 2, column 'label': case 'p2' has the label 'run' here and 'walk' in row 4",
        ),
        (("p2,0,run", "p2,1,run"), r"row 4, column 't': case 'p2' has this time already in row 2"),
        (("p2,0,run", ",0,run"), r"row 4, column 'id': blank"),
        (("9,\n", "x,\n"), r"row 6, column 'acc \[g\]': 'x' is not a number"),
        (("p2,0,run", "p2,,run"), r"row 4, column 't': the time is missing"),
        (("run", ""), r"row 4, column 'label': the case has no label, others have"),
        (("id", "name"), r"which column tells the cases apart.* name, t, label"),
        (("9,\n", "inf,\n"), r"row 6, column 'acc \[g\]': 'inf' is infinite"),
    ],
)
def test_what_is_wrong_is_named(write, change, message):
    with pytest.raises(InputDataError, match=message):
        read_long_csv(write(TEXT.replace(*change)))


def test_a_table_with_a_case_in_each_row_is_refused(write):
    with pytest.raises(InputDataError, match=r"c4, c5, c6, c7.*a whole case in a row is not read"):
        read_sequences(write("1\t2\t3\t4\t5\t6\t7\n" * 3, "Gun_TRAIN.txt"))


def test_a_tsv_file_of_numbers_has_a_case_in_each_row(write):
    data = read_sequences(write("2\t1.5\t2\t3\n-1\t4\tNaN\t6\n2\t7\tNaN\tNaN\n", "Gun_TRAIN.tsv"))
    assert (data.classes, data.labels.tolist(), data.lengths.tolist()) == (("-1", "2"), [1, 0, 1], [3, 3, 1])
    np.testing.assert_array_equal(data.values[:2, :, 0], [[1.5, 2, 3], [4, NAN, 6]])
    with pytest.raises(InputDataError, match=r"Gun.tsv, row 2, value 1: 'x' is not a number"):
        read_sequences(write("1\t2\t3\n1\t2\tx\n", "Gun.tsv"))


@pytest.mark.parametrize(("words", "decimals"), [("123", 3), ("123", 0), ("abc", 3)])
def test_a_class_that_stands_last_in_its_row_is_refused(write, words, decimals):
    """Every first value was a class of its own, without a word."""
    draw = np.random.default_rng(0).normal(size=(24, 5))
    rows = [
        [f"{50 * value:.{decimals}f}" for value in row] + [words[case % 3]] for case, row in enumerate(draw)
    ]
    place = (
        r"last.tsv, row 1: the class of a case stands in front of its row, and '6(.287)?' looks like a value"
    )
    with pytest.raises(InputDataError, match=place + ".*last column looks like the classes.*put it in front"):
        read_sequences(write("\n".join(map("\t".join, rows)), "last.tsv"))
    in_front = ["\t".join([one[-1], *one[:-1]]) for one in rows]
    assert read_sequences(write("\n".join(in_front), "front.tsv")).classes == tuple(words)


def test_a_tsv_file_with_a_header_has_a_row_for_each_case_and_time(write):
    data = read_sequences(write(TEXT.replace(",", "\t"), "stays.tsv"))
    assert (data.ids, data.lengths.tolist()) == (("p2", "p10"), [2, 3])


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.data())
def test_damaged_tables_raise_our_errors_only(tmp_path_factory, data):
    good = TEXT.encode()
    place, length = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 5))
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(good[:place] + data.draw(st.binary(max_size=4)) + good[place + length :])
    read = outcome(path)
    if isinstance(read, AttractorError):
        assert "damaged.csv" in str(read)
    else:
        assert read.lengths.sum() == len(path.read_text("latin-1").strip().splitlines()) - 1


def outcome(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            return read_long_csv(path)
    except AttractorError as error:
        return error


def test_unknown_and_repeated_columns(write):
    with pytest.raises(InputDataError, match="no column 'who'"):
        read_long_csv(write(TEXT), LongColumns(case="who"))
    with pytest.raises(ConfigError, match=r"column 'acc \[g\]' is chosen more than once"):
        read_long_csv(write(TEXT), LongColumns(label="acc", variables=("acc",)))
    with pytest.raises(InputDataError, match="no column is left for the variables"):
        read_long_csv(write("id,t\na,1\nb,2\n"))


def test_blank_labels_everywhere_mean_none(write):
    assert read_long_csv(write(TEXT.replace("run", "").replace("walk", ""))).labels is None


def test_unknown_endings_and_columns_that_do_not_apply(write):
    with pytest.raises(InputDataError, match=r"unknown ending '.xls'; known are .npz, .ts, .arff, .csv"):
        read_sequences(write("", "a.xls"))
    with pytest.raises(ConfigError, match="columns are for tables"):
        read_sequences(write("", "a.ts"), LongColumns(case="id"))


@pytest.mark.slow
def test_a_long_table_is_read_quickly(tmp_path):
    rng = np.random.default_rng(0)
    case = np.repeat(np.arange(2500), 20)
    names = ["id", "t", "label", *"uvwxyz"]
    steps, words = np.tile(np.arange(20), 2500), np.where(case % 2, "a", "b")
    write_csv(tmp_path / "long.csv", names, [case, steps, words, *rng.normal(size=(6, 50_000))])
    # In a process of its own, as users have it: without the checks of types that tests switch on.
    program = (
        "import sys, time; from attractor.data.long_table import read_long_csv\n"
        "def once():\n"
        "    start = time.process_time(); read_long_csv(sys.argv[1]); return time.process_time() - start\n"
        "print(min(once() for _ in range(2)))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "long.csv")]
    seconds = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    # 0.4 s where this was written.
    assert seconds < 1
