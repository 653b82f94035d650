"""Files as loggers and spreadsheets write them: dates, rows of units, numbers in any writing."""

import numpy as np
import pytest

from attractor.data import ColumnOptions, read_csv, read_table
from attractor.data.dates import parse_dates
from attractor.errors import InputDataError


def read(path, **options):
    return read_csv(path, inputs=["u"], outputs=["y"], columns=ColumnOptions(**options))


STYLES = {
    "2024-05-31T12:00:00": "2024-05-31T12:00:01.5",
    "2024-05-31 12:00:00+02:00": "2024-05-31 10:00:01.5Z",
    "31.05.2024 12:00:00": "31.05.2024 12:00:01.5",
    "31.5.2024 12:00:00": "31.5.2024 12:00:01,5",
    "31.05.24 12:00:00": "31.05.24 12:00:01.5",
    "05/31/2024 12:00:00 PM": "05/31/2024 12:00:01.5 PM",
    "5/31/2024 12:00:00 am": "5/31/2024 12:00:01.500 am",
    "31/05/2024 12:00:00": "31/05/2024 12:00:01.5",
    "2024/05/31 12:00:00": "2024/05/31 12:00:01.5",
    "2024.5.31 12:00:00": "2024.5.31 12:00:01.5",
    "20240531T120000": "20240531T120001.5",
}


@pytest.mark.parametrize(("first", "second"), STYLES.items())
def test_styles_of_dates(write, first, second):
    assert read(write(f"time;u;y\n{first};1;2\n{second};3;4\n")).sampling_time == 1.5


def test_the_day_may_be_alone_and_comes_first_where_it_must_or_where_time_runs_evenly_then():
    days = ["01/02/2024", "02/02/2024", "03/02/2024"]
    assert parse_dates(days)[0] == np.datetime64("2024-02-01")
    assert parse_dates([*days, "13/02/2024"])[0] == np.datetime64("2024-02-01")
    months = ["01/02/2024", "01/03/2024", "01/04/2024"]
    assert parse_dates(months)[0] == np.datetime64("2024-01-02")
    assert parse_dates(["03/04/2024 12:00", "03/04/2024 12:01"])[0] == np.datetime64("2024-03-04T12:00")


def test_noon_and_midnight():
    times = ["01/01/2024 12:00:00 AM", "01/01/2024 12:30 PM", "01/01/2024 01:00:00 PM"]
    since = parse_dates(times) - np.datetime64("2024-01-01")
    assert since.astype("timedelta64[m]").astype(int).tolist() == [0, 750, 780]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["31.05.2024 12:00", "soon"], "row 3, column 'time': 'soon' is not a date and time"),
        (["31.05.2024 12:00", "31.13.2024 12:00"], "'31.13.2024 12:00' is not a date"),
        (["13/01/2024", "01/13/2024"], "'13/01/2024' is not a date"),
        (["2024-05-31T12:00:00Z", "2024-05-31T12:00:01"], "row 3, .*'2024-05-31T12:00:01' is not a date"),
        (["2024-05-31T12:00:00", ""], "'' is not a date"),
    ],
)
def test_dates_that_are_none(write, rows, message):
    with pytest.raises(InputDataError, match=message):
        read(write("time;u;y\n" + "".join(f"{row};1;2\n" for row in rows)))


def test_dates_far_apart_and_fine():
    far = parse_dates(["0001-01-01T00:00:00", "9999-12-31T23:59:59.999999"])
    assert (far[1] - far[0]).astype("timedelta64[us]").astype(int) == 315537897599999999


@pytest.mark.parametrize("units", ["s;V;bar", "[s];[V];[bar]", "(s);(V);(bar)", "s;V;"])
def test_a_row_of_units_below_the_names(write, units):
    record = read(write(f"time;u;y\n{units}\n0;1;2\n0.5;3;4\n"))
    assert (record.inputs[0].unit, record.sampling_time) == ("V", 0.5)
    assert record.outputs[0].unit == ("bar" if "bar" in units else "")
    np.testing.assert_array_equal(record.experiments[0].inputs, [[1], [3]])


def test_units_beside_dates_and_texts(write):
    record = read(
        write("time,run,u,y\nhh:mm:ss,,V,-\n2024-01-01,a,1,2\n2024-01-02,a,3,4\n"), experiment="run"
    )
    assert (record.inputs[0].label, record.outputs[0].label) == ("u [V]", "y")
    assert record.sampling_time == 86400


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("case,group\np1,A\np2,B\n", 2),
        ("case,group\np1,A\np2,7\np3,8\n", 3),
        ("u [V],y\nx,z\n1,2\n", 2),
        ("u,note\n1,x\n2,y\n", 2),
        ("u,y\nna,\n2,3\n", 2),
        ("u,y\nV,V\n", 1),
    ],
)
def test_data_are_no_units(write, text, rows):
    assert len(read_table(write(text))) == rows


def test_a_wrong_first_row_of_numbers_is_not_taken_for_units(write):
    with pytest.raises(InputDataError, match="row 2, column 'y': 'abc' is not a number"):
        read(write("u,y\n1,abc\n3,4\n"))


ODD = [
    "1e5",
    "+.5",
    "5.",
    "1e-320",
    "4.9e-324",
    "0.1000000000000000055511151231257827",
    "-0",
    "1E+05",
    "9007199254740993",
]


@pytest.mark.parametrize("delimiter", [",", "\t", " ", ";"])
def test_bits_are_those_of_python_in_a_long_file(write, delimiter):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**63, 400).view(np.float64)
    words = [*map(repr, bits[np.isfinite(bits)].tolist()), *ODD]
    texts = words + [f"{value:.25f}" for value in rng.normal(size=400)]
    table = read_table(write("u y\n".replace(" ", delimiter) + "".join(f"{t}{delimiter}1\n" for t in texts)))
    assert len(table) > 200
    np.testing.assert_array_equal(
        table.numbers([0])[:, 0].view(np.int64), np.array([float(text) for text in texts]).view(np.int64)
    )


@pytest.mark.parametrize(
    "cell", ["True", "FALSE", "true", "1_0", "0x10", "1d5", "1 2", "--1", "1e", "\N{MINUS SIGN}1", "T"]
)
def test_what_is_no_number_is_none_in_a_long_file(write, cell):
    text = "u,y\n" + "1,2\n" * 300 + f"1,{cell}\n"
    with pytest.raises(InputDataError, match=f"row 302, column 'y': '{cell}' is not a number"):
        read(write(text))
    with pytest.raises(InputDataError, match="is not a number"):
        read(write("u,y\n1,2\n" + f"1,{cell}\n"))


@pytest.mark.parametrize("rows", [3, 300])
@pytest.mark.parametrize(
    ("form", "missing"),
    [
        ("1,2\n", "1,\n"),
        ("1,2,\n", "1,NULL,\n"),
        ('"1","2"\n', '"1",""\n'),
        ("1 ; 2,0\n", "1;n/a\n"),
        ("  1   2\n", "1 #N/A\n"),
    ],
)
def test_writings_of_a_long_file_and_a_short_one(write, rows, form, missing):
    head = "u;y\n" if ";" in form else "u y\n" if "   " in form else "u,y\n"
    values = read_table(write(head + form * rows + missing)).numbers([0, 1])
    np.testing.assert_array_equal(values[:-1], [[1, 2]] * rows)
    np.testing.assert_array_equal(values[-1], [1, np.nan])


def test_other_blanks_of_unicode_separate_cells_too(write):
    text = "u y\n" + "1\N{NO-BREAK SPACE}2\n" * 300
    np.testing.assert_array_equal(read_table(write(text)).numbers([0, 1]), [[1, 2]] * 300)
