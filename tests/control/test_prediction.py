"""Files with what users' files have: gaps, other units, other sampling times."""

import numpy as np
import pandas as pd
import pytest

from attractor import PlantModel
from attractor.control.identification.from_files import predict_file, predict_frame
from attractor.data import ColumnOptions, Experiment, Record, Signal, read_csv, write_csv
from attractor.errors import DataWarning, InputDataError, UnsupportedError
from attractor.training import TrainingSettings

WASHOUT = 3
LEVEL = Signal("y", "cm")


def signals(rows, seed=0):
    """y_{k+1} = 0.6 y_k + u_k."""
    inputs = np.random.default_rng(seed).uniform(-1, 1, rows)
    outputs = np.zeros(rows)
    for row in range(1, rows):
        outputs[row] = 0.6 * outputs[row - 1] + inputs[row - 1]
    return inputs, outputs


def trained(*inputs, output=LEVEL, cell="tanh"):
    """A model of u [V] -> y [cm], sampled every 10 s."""
    applied, answered = signals(80)
    columns = np.stack([applied] * len(inputs), axis=1)
    experiment = Experiment("train", columns, answered[:, None])
    record = Record(inputs, (output,), (experiment,), 10.0)
    settings = TrainingSettings(steps=2, batch_size=4, validate_every=1)
    return PlantModel(cell, hidden_size=2, washout=WASHOUT, window=10, training=settings).fit(record)


@pytest.fixture(scope="module")
def model():
    return trained(Signal("u", "V"))


def predictions(model, path, **options):
    """The column y_pred as floats, NaN where it is blank."""
    target = path.with_name("predicted.csv")
    said = predict_file(model, path, target, ColumnOptions(**options))
    last = [line.rsplit(",", 1)[1] for line in target.read_text().splitlines()[1:]]
    return np.array([float(cell) if cell else np.nan for cell in last]), said


def test_the_file_and_the_arrays_give_the_same_numbers(model, tmp_path):
    u, y = signals(20, seed=1)
    path = write_csv(tmp_path / "a.csv", ["u [V]", "y [cm]"], [u, y])
    expected = model.predict(u[:, None], y[:, None])[:, 0]
    found, said = predictions(model, path)
    np.testing.assert_array_equal(found, expected)
    assert said == "20 rows simulated in free run, started from the first 3 measured rows"


def test_inputs_beyond_the_training_are_told(model, tmp_path):
    u, y = signals(20, seed=1)
    u[5:10] = 5.0
    _, said = predictions(model, write_csv(tmp_path / "a.csv", ["u [V]", "y [cm]"], [u, y]))
    assert said.endswith(
        "inputs leave the range of the training (u in 25 % of the rows): nothing is known there"
    )


def test_outputs_are_looked_at_during_the_washout_only(model, tmp_path):
    u, y = signals(20, seed=1)
    y[WASHOUT:] = np.nan
    path = write_csv(tmp_path / "a.csv", ["u [V]", "y [cm]"], [u, y])
    expected = model.predict(u[:, None], y[:, None])[:, 0]
    np.testing.assert_array_equal(predictions(model, path)[0], expected)


def test_without_outputs_it_starts_from_rest(model, tmp_path):
    u, _ = signals(20, seed=1)
    path = write_csv(tmp_path / "a.csv", ["u"], [u])
    found, said = predictions(model, path)
    np.testing.assert_array_equal(found, model.predict(u[:, None])[:, 0])
    assert "from rest" in said


def test_predictions_stay_in_their_rows_when_blank_rows_are_left_out(model, tmp_path):
    u, y = signals(20, seed=1)
    u[0], u[9] = np.nan, np.nan
    path = write_csv(tmp_path / "a.csv", ["u [V]", "y [cm]"], [u, y])
    with pytest.raises(InputDataError, match="blank"):
        predictions(model, path)
    with pytest.warns(DataWarning, match="1 of 19 rows are straight lines"):
        found, _ = predictions(model, path, missing="interpolate")
    u[9] = (u[8] + u[10]) / 2
    np.testing.assert_array_equal(found[1:], model.predict(u[1:, None], y[1:, None])[:, 0])
    assert np.isnan(found[0])
    with pytest.warns(DataWarning, match="into 2 of 18"):
        split, _ = predictions(model, path, missing="split")
    np.testing.assert_array_equal(split[1:9], model.predict(u[1:9, None], y[1:9, None])[:, 0])
    np.testing.assert_array_equal(split[10:], model.predict(u[10:, None], y[10:, None])[:, 0])
    assert np.isnan(split[9])


def test_a_row_that_is_missing_in_time_is_never_made_up_for_by_a_blank_one(model, tmp_path):
    u, y = signals(20, seed=1)
    time = 10.0 * np.arange(20)
    keep = np.arange(20) != 12
    u[0] = np.nan
    path = write_csv(tmp_path / "a.csv", ["time [s]", "u [V]", "y [cm]"], [time[keep], u[keep], y[keep]])
    filled = pytest.warns(DataWarning, match="1 of 19 rows")
    with filled, pytest.raises(InputDataError, match="rows are missing"):
        predictions(model, path, missing="interpolate")


def test_experiments_that_are_interleaved_are_put_back(model, tmp_path):
    u, y = signals(20, seed=1)
    names = ["one", "two"] * 10
    path = write_csv(tmp_path / "a.csv", ["experiment", "u [V]", "y [cm]"], [names, u, y])
    found, _ = predictions(model, path)
    for first in (0, 1):
        np.testing.assert_array_equal(
            found[first::2], model.predict(u[first::2, None], y[first::2, None])[:, 0]
        )


def test_another_unit_or_sampling_time_is_refused(model, tmp_path):
    u, y = signals(20, seed=1)
    with pytest.raises(InputDataError, match="'u' in mV, the model was trained in V"):
        predictions(model, write_csv(tmp_path / "a.csv", ["u [mV]"], [u]))
    with pytest.raises(InputDataError, match="'y' in m, the model was trained in cm"):
        predictions(model, write_csv(tmp_path / "b.csv", ["u", "y [m]"], [u, y]))
    path = write_csv(tmp_path / "c.csv", ["time [s]", "u [V]"], [np.arange(20.0), u])
    with pytest.raises(InputDataError, match="sampling time of 1 s, the training data 10 s"):
        predictions(model, path)
    assert np.isfinite(predictions(model, path, sampling_time=10.0)[0]).all()
    with pytest.raises(UnsupportedError, match="resample"):
        predictions(model, path, resample=True)


def test_signals_of_one_name_are_told_apart_by_their_units(tmp_path):
    model = trained(Signal("u", "V"), Signal("u", "A"), cell="esn")
    volts, amperes = signals(20, seed=1)[0], signals(20, seed=2)[0]
    path = write_csv(tmp_path / "a.csv", ["u [A]", "u [V]"], [amperes, volts])
    expected = model.predict(np.stack([volts, amperes], axis=1))[:, 0]
    np.testing.assert_array_equal(predictions(model, path)[0], expected)


def test_a_temperature_called_t_is_no_time(tmp_path):
    model, (u, y) = trained(Signal("u"), output=Signal("T"), cell="esn"), signals(20, seed=1)
    expected = model.predict(u[:, None], y[:, None])[:, 0]
    path = write_csv(tmp_path / "a.csv", ["u", "T"], [u, y])
    np.testing.assert_array_equal(predictions(model, path)[0], expected)
    timed = write_csv(tmp_path / "b.csv", ["Time", "u", "T"], [10.0 * np.arange(20), u, y])
    np.testing.assert_array_equal(predictions(model, timed)[0], expected)


def test_decimal_commas_become_points_that_can_be_read_again(model, tmp_path):
    u, _ = signals(20, seed=1)
    path = tmp_path / "a.csv"
    path.write_text("u [V];place\n" + "".join(f"{v:.6f};left\n".replace(".", ",") for v in u))
    predictions(model, path)
    record = read_csv(tmp_path / "predicted.csv", inputs=["u"], outputs=["y_pred"])
    np.testing.assert_allclose(record.experiments[0].inputs[:, 0], u, atol=1e-6)


def test_a_frame_gets_the_predictions_of_the_file(model, tmp_path):
    u, y = signals(20, seed=1)
    frame = pd.DataFrame({"u [V]": u, "y [cm]": y, "place": "left"}, index=range(5, 25))
    predicted = predict_frame(model, frame)
    assert list(predicted) == ["u [V]", "y [cm]", "place", "y_pred"]
    np.testing.assert_array_equal(predicted.index, frame.index)
    path = write_csv(tmp_path / "a.csv", ["u [V]", "y [cm]"], [u, y])
    np.testing.assert_array_equal(predicted["y_pred"], predictions(model, path)[0])


def test_a_coverage_adds_the_ends_of_a_band(model, tmp_path):
    u, y = signals(20, seed=1)
    path = write_csv(tmp_path / "a.csv", ["u [V]", "y [cm]"], [u, y])
    said = predict_file(model, path, tmp_path / "out.csv", ColumnOptions(), 0.5)
    found = pd.read_csv(tmp_path / "out.csv")
    bands = model.predict_bands(u[:, None], y[:, None], 0.5)
    assert list(found)[2:] == ["y_pred", "y_low", "y_high"]
    np.testing.assert_allclose(found["y_low"], bands.low[:, 0], rtol=1e-9)
    np.testing.assert_allclose(found["y_high"], bands.high[:, 0], rtol=1e-9)
    assert "stated to hold 50 to" in said
    assert "exchangeable" in said
    frame = predict_frame(model, pd.read_csv(path), coverage=0.5)
    np.testing.assert_allclose(frame["y_low"], found["y_low"], rtol=1e-9)


def test_a_band_without_a_measured_start_is_refused(model, tmp_path):
    path = write_csv(tmp_path / "a.csv", ["u"], [signals(20, seed=1)[0]])
    with pytest.raises(InputDataError, match="start from measured rows"):
        predict_file(model, path, tmp_path / "out.csv", ColumnOptions(), 0.5)
    assert not (tmp_path / "out.csv").exists()
