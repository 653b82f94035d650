"""Reading logs: what is understood, and what each refusal says."""

import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attractor.data import ColumnOptions, RowBlock, read_csv, write_csv
from attractor.data.delimited import decode
from attractor.errors import AttractorError, ConfigError, DataWarning, InputDataError

GOOD = "time [s],u [V],y (bar)\n0,1,2\n0.1,3,4\n0.2,5,6\n"


def read(path, **options):
    return read_csv(path, inputs=["u"], outputs=["y"], columns=ColumnOptions(**options))


def only(record):
    assert len(record.experiments) == 1
    experiment = record.experiments[0]
    return np.column_stack([experiment.inputs, experiment.outputs])


def test_names_units_and_time(write):
    record = read(write(GOOD))
    assert (record.inputs[0].label, record.outputs[0].label) == ("u [V]", "y [bar]")
    assert record.sampling_time == 0.1
    np.testing.assert_array_equal(only(record), [[1, 2], [3, 4], [5, 6]])


def test_columns_may_be_named_with_their_unit(write):
    record = read_csv(write(GOOD), inputs=["u [V]"], outputs=["y [bar]"])
    assert record.samples == 3


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffu,y\n1,2\n3,4\n",
        "u,y\r\n1,2\r\n3,4\r\n\r\n",
        '"u","y",\n1,2,\n3,4,\n',
        "u;y\n1,0;2,0\n3,0;4,0\n",
        "u\ty\n1\t2\n3\t4\n",
        "  u   y\n  1   2\n  3   4\n",
        "u [V] y [bar]\n1 2\n3 4\n",
        "# a comment\n% another\nu,y\n1,2\n\n# more\n3,4\n",
        'u,y,note\n1,2,"a, b"\n3,4,\n',
        '"u","y"\n"1","2"\n"3","4"\n',
        "u , y\n 1 , 2 \n+3.0e0 , 4\n",
    ],
)
def test_dialects(write, text):
    np.testing.assert_array_equal(only(read(write(text))), [[1, 2], [3, 4]])


def test_utf16_and_windows_text(write):
    np.testing.assert_array_equal(only(read(write("u\ty\n1\t2\n3\t4\n".encode("utf-16")))), [[1, 2], [3, 4]])
    record = read(write("u,y [°C]\n1,2\n3,4\n".encode("cp1252")))
    assert record.outputs[0].unit == "°C"


def test_windows_text_is_not_latin_1(write):
    euro, dash = "\N{EURO SIGN}", "\N{EN DASH}"
    record = read_csv(
        write(f"u,y {dash} z [{euro}]\n1,2\n3,4\n".encode("cp1252")), inputs=["u"], outputs=[f"y {dash} z"]
    )
    assert record.outputs[0].label == f"y {dash} z [{euro}]"
    unused = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])
    assert decode(b"\x80" + unused, Path("log.csv")) == euro + unused.decode("latin-1")


def test_the_advice_to_set_the_delimiter_helps(write):
    path = write("u,y,note\n1,2,a;b\n3,4,c;d\n")
    with pytest.raises(
        InputDataError, match=r"row 2: 2 cells where the file has 1 columns .* or set delimiter"
    ):
        read(path)
    np.testing.assert_array_equal(only(read(path, delimiter="comma")), [[1, 2], [3, 4]])
    with pytest.raises(InputDataError, match=r"'2,3,4' is not a number; .* set delimiter to 'comma'"):
        read(write("u y\n1 2\n1 2\n1 2,3,4\n"))


def test_file_without_a_header(write):
    record = read_csv(write(" 1.0e+00 2 3\n 2.0e+00 4 5\n"), inputs=["c2"], outputs=["c3"])
    np.testing.assert_array_equal(only(record), [[2, 3], [4, 5]])


def test_experiments_of_unequal_length(write):
    record = read(write("experiment,t,u,y\na,0,1,1\na,2,2,2\nb,0,3,3\nb,2,4,4\nb,4,5,5\n"))
    assert [(e.name, len(e)) for e in record.experiments] == [("a", 2), ("b", 3)]
    assert record.sampling_time == 2.0


def test_blocks_of_rows_count_from_the_first_row_of_data(write):
    record = read(write(GOOD), rows=(RowBlock("tail", 1),))
    np.testing.assert_array_equal(only(record), [[3, 4], [5, 6]])
    assert record.experiments[0].name == "tail"


def test_iso_dates_and_units_of_time(write):
    dates = "timestamp,u,y\n2024-01-01T00:00:00Z,1,2\n2024-01-01T00:00:30Z,3,4\n"
    assert read(write(dates)).sampling_time == 30.0
    assert read(write("t [ms],u,y\n0,1,2\n4,3,4\n8,5,6\n")).sampling_time == 0.004


def test_sampling_time_takes_the_place_of_a_found_time_column(write):
    assert read(write("t,u,y\n5,1,2\n1,3,4\n"), sampling_time=4.0).sampling_time == 4.0


def test_jitter_of_one_per_cent_is_accepted(write):
    assert read(write("t,u,y\n0,1,2\n1.003,3,4\n2,5,6\n2.998,1,1\n")).sampling_time == pytest.approx(
        1, abs=1e-3
    )


def test_times_printed_with_few_digits_are_regular(write):
    step = 0.0016384
    rows = "".join(f"{k * step:.4f},{k},{k}\n" for k in range(200))
    assert read(write("t,u,y\n" + rows)).sampling_time == pytest.approx(step, rel=1e-3)


GAP = "t,u,y\n0,0,0\n1,1,2\n2,2,4\n5,5,10\n6,6,12\n7,7,14\n"


def test_gaps_in_time(write):
    path = write(GAP)
    with pytest.raises(
        InputDataError, match=r"row 5, column 't'.*2 row\(s\) are missing.*interpolate.*split"
    ):
        read(path)
    with pytest.warns(DataWarning, match="2 of 8 rows are straight lines"):
        filled = only(read(path, missing="interpolate"))
    np.testing.assert_allclose(filled, [[k, 2 * k] for k in range(8)], atol=1e-12)
    with pytest.warns(DataWarning, match=r"1 experiment\(s\) of 6 rows are cut at holes into 2 of 6"):
        split = read(path, missing="split")
    assert [(e.name, len(e)) for e in split.experiments] == [("log/1", 3), ("log/2", 3)]


def test_missing_cells(write):
    path = write("u,y\n1,1\n2,\n3,3\n,4\n5,5\n6,6\n")
    with pytest.raises(
        InputDataError, match=r"row 3, column 'y': the cell is blank \(2 missing.*'interpolate'"
    ):
        read(path)
    with pytest.warns(DataWarning, match="2 of 6 rows are straight lines"):
        filled = only(read(path, missing="interpolate"))
    np.testing.assert_array_equal(filled[:, 1], [1, 2, 3, 4, 5, 6])
    with pytest.warns(DataWarning, match="of 6 rows are cut at holes into 1 of 2"):
        split = read(path, missing="split")
    assert [len(e) for e in split.experiments] == [2]


def test_interpolation_invents_no_ends(write):
    path = write("u,y\n,1\n2,2\n3,3\n4,NaN\n")
    np.testing.assert_array_equal(only(read(path, missing="interpolate")), [[2, 2], [3, 3]])


def test_resampling_uneven_rows(write):
    path = write("t,u,y\n0,0,0\n1,1,1\n2.3,2.3,2.3\n3.3,3.3,3.3\n4.3,4.3,4.3\n")
    with pytest.raises(InputDataError, match=r"row 4, column 't'.*step to this row is 1.3.*resample"):
        read(path)
    np.testing.assert_allclose(only(read(path, resample=True))[:, 0], [0, 1, 2, 3, 4])


REFUSALS = [
    ("u,y\n1,2\n3,abc\n", r"log.csv, row 3, column 'y': 'abc' is not a number; correct"),
    ("u,y\n1,2\n3,nan\n", r"row 3, column 'y': 'nan' is not a number .*set missing"),
    ("u,y\n1,2\n3,inf\n", r"row 3, column 'y': 'inf' is infinite; correct"),
    ("u,y\n1,2\n3,1_0\n", r"row 3, column 'y': '1_0' is not a number"),
    ("u;y\n1,5;2,5\n1.000,5;2,5\n", r"row 3, column 'u': '1.000,5' has a point .*decimal commas"),
    ("u,y\n1,2\n", r"row 2: experiment 'log' has 1 usable row.*at least two"),
    ("u,y\n", r"log.csv: the file has a header but no rows"),
    ("", r"log.csv: the file is empty"),
    ("# only\n", r"log.csv: the file is empty"),
    ("u,y\n1,2\n3\n4,5\n", r"row 3: 1 cells where the file has 2 columns .*'y' is the first without"),
    ("u,y\n1,2\n3,4,5\n4,5\n", r"row 3: 3 cells where .*'5' is beyond the last column"),
    ("u,y,u\n1,2,3\n4,5,6\n", r"row 1: the header names column 'u' more than once"),
    ("u,Y2\n1,2\n4,5\n", r"no column 'y'; did you mean 'Y2'\? Available columns: u, Y2"),
    ("u,y [a],y [b]\n1,2,3\n4,5,6\n", r"several columns are called 'y': 'y \[a\]', 'y \[b\]'; add the unit"),
    ("t,u,y\n0,1,2\n2,1,2\n1,1,2\n", r"row 4, column 't': time '1' is not later"),
    (
        "t,u,y\n0,1,2\n2,1,2\n1,1,2\n3,1,2\n3,4,2\n2,4,2\n",
        r"row 4, .*not later than in the row before \(and so in rows 6, 7\)",
    ),
    ("t,u,y\n0,1,2\n,1,2\n1,1,2\n", r"row 3, column 't': the time is missing"),
    ("t,u,y\n2024-01-01,1,2\nsoon,1,2\n", r"row 3, column 't': 'soon' is not a date"),
    ("t [furlong],u,y\n0,1,2\n1,1,2\n", r"'t \[furlong\]' has the unknown unit 'furlong'.*sampling_time"),
    (
        "experiment,t,u,y\na,0,1,1\na,1,1,1\na,2,1,1\nb,0,1,1\nb,5,1,1\n",
        r"row 5, column 't'.*step of 5, most",
    ),
    (b"u,y\n\x00\x01\x02", r"log.csv: this is a binary file"),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals_name_the_place_and_the_remedy(write, text, message):
    with pytest.raises(InputDataError, match=message):
        read(write(text))


def test_a_row_that_is_there_twice_is_left_out_and_told(write):
    rows = [f"{time},{time % 3},{time % 5}" for time in range(60)]
    path = write("\n".join(["t,u,y", *rows[:31], *rows[30:]]))
    with pytest.warns(DataWarning, match=r"1 row\(s\) repeat the row before .*first is row 33\)"):
        record = read(path)
    assert len(record.experiments[0]) == 60
    assert record.sampling_time == 1


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputDataError, match=r"none.csv: no such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(InputDataError, match=r"this is a folder"):
        read(tmp_path)


def test_contradicting_choices(write):
    path = write(GOOD)
    with pytest.raises(ConfigError, match=r"column 'u \[V\]' is chosen more than once"):
        read_csv(path, inputs=["u"], outputs=["u [V]"])
    with pytest.raises(ConfigError, match="lists of column names"):
        read_csv(path, inputs="u", outputs=["y"])
    with pytest.raises(ConfigError, match="lists of column names"):
        read_csv(path, inputs=[], outputs=["y"])


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_sampling_time_is_positive(value):
    with pytest.raises(ConfigError, match=r"sampling_time=.*: expected a positive number, in seconds"):
        ColumnOptions(sampling_time=value)


def test_a_long_gap_is_not_invented(write):
    with pytest.raises(InputDataError, match=r"more than half of it would be invented"):
        read(write("t,u,y\n0,1,1\n1,1,1\n2,1,1\n1e9,1,1\n"), missing="interpolate")


def test_block_over_two_experiments(write):
    path = write("experiment,u,y\na,1,1\na,1,2\nb,1,3\nb,1,4\n")
    with pytest.raises(InputDataError, match=r"rows 'x' \(1:3\) hold several experiments: a, b"):
        read(path, rows=(RowBlock("x", 1, 3),))


def test_outputs_may_be_left_out(write):
    assert read_csv(write(GOOD), inputs=["u"], outputs=[]).experiments[0].outputs.shape == (3, 0)


SEEDS = [
    GOOD.encode(),
    GAP.encode(),
    b'"u";"y";\r\n1,5;2;\r\n;3;\r\n',
    b"u y\n1 2\n3 4\n",
    b"t,u,y\n2024-01-01T00:00:00,1,2\n2024-01-01T00:00:01,3,4\n",
]
CHANGES = st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=6)


@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.sampled_from(SEEDS), changes=CHANGES, policy=st.sampled_from(["error", "interpolate", "split"])
)
def test_damaged_files_raise_only_our_errors(write, seed, changes, policy):
    data = bytearray(seed)
    for place, patch in changes:
        data[place % len(data) : place % len(data) + 1] = patch or b"\xff"
        data = data or bytearray(b"x")
    try:
        with warnings.catch_warnings(category=DataWarning, action="ignore"):
            record = read(write(bytes(data)), missing=policy)
    except AttractorError:
        return
    assert all(np.isfinite(e.inputs).all() and np.isfinite(e.outputs).all() for e in record.experiments)
    assert 0 < record.sampling_time < np.inf


def test_written_numbers_are_read_back_bit_for_bit(tmp_path):
    values = (
        np.random.default_rng(0).normal(size=(500, 2))
        * 10.0 ** np.random.default_rng(1).integers(-300, 300, 500)[:, None]
    )
    path = write_csv(tmp_path / "out.csv", ["u [V]", "y"], list(values.T))
    np.testing.assert_array_equal(only(read(path)), values)


def test_real_files(control_data):
    tanks = read_csv(control_data / "cascaded_tanks.csv", inputs=["uEst"], outputs=["yEst"])
    assert (tanks.samples, tanks.outputs[0].name) == (1024, "yEst")
    assert tanks.experiments[0].inputs[0, 0] == 3.2567
    ph = read_csv(control_data / "daisy_ph.dat", inputs=["c2", "c3"], outputs=["c4"])
    assert ph.samples == 2001
    exchanger = ColumnOptions(time="ts")
    heat = read_csv(
        control_data / "daisy_heat_exchanger.csv", inputs=["q"], outputs=["th"], columns=exchanger
    )
    assert (heat.samples, heat.sampling_time) == (4000, 1.0)


def test_a_large_file_is_read_quickly(control_data):
    start = time.perf_counter()
    record = read_csv(control_data / "silverbox_SNLS80mV.csv", inputs=["V1"], outputs=["V2"])
    assert record.samples == 131072
    # 0.4 s on two idle cores; the tests check the types of each call and share the machine.
    assert time.perf_counter() - start < 3.0


def test_a_file_name_that_is_not_utf8_names_an_experiment(tmp_path):
    path = tmp_path / os.fsdecode(b"l\xffog.csv")
    path.write_text("u,y\n1,2\n3,4\n")
    (experiment,) = read_csv(path, inputs=["u"], outputs=["y"]).experiments
    assert experiment.name == r"l\xffog"


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_quoted_cell_without_end_is_named(tmp_path, row):
    lines = ["u,y", "1,2", "3,4"]
    lines[row] = f'"{"x" * 140_000}",2'
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputDataError, match=f"row {row + 1}: a quoted cell has more than 131072") as caught:
        read(path)
    assert len(str(caught.value)) < 500
