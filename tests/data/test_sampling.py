"""How far apart samples are: found by usual names, assumed where nothing tells it, and said to be so."""

import numpy as np
import pandas as pd
import pytest

from attractor.data import (
    ColumnOptions,
    Roles,
    examine,
    from_archive,
    guess_columns,
    read_csv,
    read_sequences,
    to_archive,
)
from attractor.errors import DataWarning, InputDataError

ROWS = 40
RNG = np.random.default_rng(0)


def log(**times):
    return pd.DataFrame({**times, "u": RNG.normal(size=ROWS), "y": RNG.normal(size=ROWS)})


def read(frame, **options):
    return read_csv(frame, inputs=["u"], outputs=["y"], columns=ColumnOptions(**options))


STEPS = np.arange(ROWS)
NAMED = {
    "t_ms": 20 * STEPS,
    "time_s": 0.02 * STEPS,
    "time (ms)": 20 * STEPS,
    "Time [ms]": 20 * STEPS,
    "elapsed_us": 20_000 * STEPS,
    "elapsed": pd.to_timedelta(20 * STEPS, unit="ms"),
    "timeMs": 20 * STEPS,
    "time.ms": 20 * STEPS,
    "milliseconds": 20 * STEPS,
    "Seconds": 0.02 * STEPS,
    "datetime": pd.Timestamp("2024-05-31") + pd.to_timedelta(20 * STEPS, unit="ms"),
    "Date": pd.Timestamp("2024-05-31") + pd.to_timedelta(20 * STEPS, unit="ms"),
    "date_time": [f"2024-05-31 12:00:{0.02 * step:06.3f}" for step in STEPS],
    "time": [f"12:00:{0.02 * step:06.3f}" for step in STEPS],
}


@pytest.mark.parametrize("name", NAMED)
def test_usual_names_and_units_are_found(name):
    frame = log(**{name: NAMED[name]})
    record = read(frame)
    assert (record.sampling_time, record.assumed) == (0.02, "")
    assert record.known_sampling_time == 0.02
    assert guess_columns(frame) == (("u",), ("y",))


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6, 1e9])
def test_instants_since_1970_without_a_unit(scale):
    record = read(log(Timestamp=((1_700_000_000 + 10 * STEPS) * scale).astype(np.int64)))
    assert record.sampling_time == pytest.approx(10)
    assert "'Timestamp' names no unit" in record.assumed


def test_the_time_of_day_passes_midnight_and_a_day_in_its_own_column_is_taken():
    minutes = 10 * STEPS + 1380
    clock = [f"{one // 60 % 24:02d}:{one % 60:02d}" for one in minutes]
    assert read(log(time=clock)).sampling_time == 600
    days = [f"{31 + one // 1440 - 1:02d}.05.2024" for one in minutes]
    assert read(log(time=clock, date=days)).sampling_time == 600


def test_nothing_tells_the_time():
    record = read(log())
    assert (record.sampling_time, record.assumed) == (1.0, "no column tells the time")
    assert record.known_sampling_time is None
    assert read(log(), sampling_time=1.0).assumed == ""
    assert "'t' names no unit; seconds" in read(log(t=STEPS)).assumed
    facts, arrays = to_archive(Roles(record, record, record))
    assert from_archive(facts, arrays).test.assumed == record.assumed
    assert all("seconds" not in one.numbers for one in examine(record))


@pytest.mark.parametrize("name", ["temperature", "tmin", "times", "T [K]", "date of birth", "update"])
def test_other_names_are_no_times(name):
    assert read(log(**{name: RNG.normal(size=ROWS)})).assumed == "no column tells the time"


def test_a_date_that_stands_still_is_no_time():
    assert read(log(date=["2024-05-31"] * ROWS)).assumed == "no column tells the time"


def cases(**columns):
    return pd.DataFrame({"case": np.repeat(["a", "b", "c", "d"], 10), **columns, "x": RNG.normal(size=ROWS)})


def test_uneven_times_of_series_are_said():
    even = np.tile(0.5 * np.arange(10), 4)
    uneven = even.copy()
    uneven[17] += 0.2
    assert not read_sequences(cases(t=even)).remarks
    with pytest.warns(DataWarning, match="not evenly spaced in 1 of 4 cases: most steps are 0.5, the"):
        assert [one.code for one in read_sequences(cases(t=uneven)).remarks] == ["uneven-times"]
    with pytest.warns(DataWarning, match="the one to row 25 is 1"):
        read_sequences(cases(t=even).drop(index=24))
    with pytest.warns(DataWarning, match="in 1 of 4 cases: most steps are 0.5"):
        read_sequences(cases(t=even * np.repeat([1, 1, 1, 2], 10)))


def test_mixed_rows_without_a_time_are_said():
    mixed = cases(t=np.tile(np.arange(10), 4)).sample(frac=1, random_state=0)
    assert not read_sequences(mixed).remarks
    with pytest.warns(DataWarning, match="the rows of the cases are mixed .* and no column tells the time"):
        read_sequences(mixed.drop(columns="t"))


@pytest.mark.parametrize("word", ["nan", "NaN", "", "?", "<NA>"])
def test_a_label_that_says_nothing_is_no_class(tmp_path, word):
    frame = cases(label=np.repeat(["run", "walk", "run", word], 10))
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputDataError, match=r"t\.csv, row 32, column 'label': the case has no label"):
        read_sequences(tmp_path / "t.csv")


def test_a_class_may_be_called_none():
    assert read_sequences(cases(label=np.repeat(["none", "walk"], 20))).classes == ("none", "walk")
    with pytest.raises(InputDataError, match="the case has no label"):
        read_sequences(cases(label=np.repeat(["none", "1", "2", "3"], 10)))
