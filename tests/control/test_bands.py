"""Bands of free runs: what they state is attacked where it can be computed, and their limits are said."""

import numpy as np
import pytest

from attractor import PlantModel
from attractor.control.identification.bands import (
    LEVELS,
    BandCalibration,
    assessed,
    calibrate,
    calibration_of,
    in_words,
)
from attractor.control.identification.simulator import FreeRuns
from attractor.errors import ConfigError, InputDataError, NotFittedError, ShapeError
from attractor.training import TrainingSettings

LENGTH = 30


def stretches(count, own, rng):
    """Errors of independent stretches; `own` is the share of the variance that all rows of one have alike."""
    shared, alone = rng.normal(size=(count, 1)), rng.normal(size=(count, LENGTH))
    return np.sqrt(own) * shared + np.sqrt(1 - own) * alone


def runs_of(errors):
    """Each row of errors as a recording of its own."""
    count = len(errors)
    return FreeRuns(errors[:, :, None], np.arange(count), np.zeros(count, int))


@pytest.mark.parametrize("own", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(("count", "coverage"), [(12, 0.5), (12, 0.9), (40, 0.9), (40, 0.95)])
def test_the_coverage_lies_between_what_is_stated_on_average_over_calibrations(own, count, coverage):
    """Also where all rows of a stretch have one error, which makes of thousands of rows a dozen cases."""
    rng, measured = np.random.default_rng(1), []
    for _ in range(400):
        found = calibrate(runs_of(stretches(count, own, rng)), LENGTH)
        width = found.half_widths(1, coverage)[0, 0]
        measured.append((np.abs(stretches(100, own, rng)) <= width).mean())
    low, high = found.stated(coverage)
    error = np.std(measured) / np.sqrt(len(measured))
    assert low - 3 * error < np.mean(measured) < high + 1 / LEVELS + 3 * error


def test_rows_of_one_stretch_are_no_sample_of_their_own():
    """Three stretches of ten thousand rows state no more than three cases can."""
    long = np.random.default_rng(0).normal(size=(3, 10_000))
    found = calibrate(runs_of(long), 10_000)
    assert found.highest == 0.75
    assert np.isfinite(found.half_widths(5, 0.75)).all()
    assert np.isinf(found.half_widths(5, 0.76)).all()
    assert "infinite: 3 stretches" in in_words(found, 0.9)
    assert "at least 75" not in in_words(found, 0.9)


def test_runs_over_the_same_rows_are_one_case():
    """Forty-eight runs that overlap have as many stretches as the recording, not as many as runs."""
    errors = np.random.default_rng(0).normal(size=240)
    starts = np.arange(0, 240, 5)
    shifted = np.stack([np.append(errors[start:], np.full(start, np.nan)) for start in starts])
    found = calibrate(FreeRuns(shifted[:, :, None], np.zeros(48, int), starts), 40)
    assert found.stretches.max() == 6


def test_errors_that_grow_after_the_start_get_bands_that_grow():
    """Every bin has the stated coverage, where a constant band has it on average only."""
    rng, early, late, first = np.random.default_rng(2), [], [], []

    def drawn():
        scale = np.where(np.arange(600) < 40, 0.2, 1.0)
        return scale * rng.normal(size=(30, 600))

    for _ in range(60):
        runs, new = runs_of(drawn()), np.abs(drawn())
        found, fixed = calibrate(runs, 10), calibrate(runs, 10, grows=False)
        widths = found.half_widths(600, 0.9)[:, 0]
        early.append((new <= widths)[:, :40].mean())
        late.append((new <= widths)[:, 40:].mean())
        first.append((new <= fixed.half_widths(1, 0.9)[0, 0])[:, :40].mean())
    assert len(found.first_rows) > 1
    assert abs(np.mean(early) - 0.9) < 0.04
    assert abs(np.mean(late) - 0.9) < 0.01
    assert np.mean(first) > 0.99
    assert widths[0] < 0.4 * widths[-1]
    assert (found.half_widths(5000, 0.9)[600:] == found.half_widths(601, 0.9)[600]).all()


@pytest.mark.parametrize(("decay", "expected"), [(0.0, 1.0), (0.9, 9.5)])
def test_the_memory_of_errors_is_that_of_their_sizes(decay, expected):
    """The squares of an AR(1) process have an autocorrelation time of (1 + a^2) / (1 - a^2)."""
    rng = np.random.default_rng(0)
    errors = np.zeros((1, 40_000))
    for row in range(1, errors.shape[1]):
        errors[0, row] = decay * errors[0, row - 1] + rng.normal()
    assert runs_of(errors).memory == pytest.approx(expected, rel=0.35, abs=1.1)


def test_errors_that_are_not_finite_make_a_band_infinite_and_no_narrower():
    errors = np.random.default_rng(0).normal(size=(30, LENGTH))
    errors[:6] = np.inf
    found = calibrate(runs_of(errors), LENGTH)
    assert np.isfinite(found.half_widths(1, 0.7)).all()
    assert np.isinf(found.half_widths(1, 0.9)).all()


@pytest.mark.parametrize("coverage", [0.0, 1.0, -0.1, 1.1])
def test_a_coverage_is_a_probability(coverage):
    found = calibrate(runs_of(np.ones((30, LENGTH))), LENGTH)
    with pytest.raises(ConfigError, match="expected a probability between 0 and 1"):
        found.half_widths(1, coverage)


def signals(rows, seed):
    """y_{k+1} = 0.6 y_k + u_k, and noise on what is measured."""
    rng = np.random.default_rng(seed)
    inputs, outputs = rng.uniform(-1, 1, rows), np.zeros(rows)
    for row in range(1, rows):
        outputs[row] = 0.6 * outputs[row - 1] + inputs[row - 1]
    return inputs, outputs + 0.05 * rng.normal(size=rows)


def trained(share=0.5):
    settings = TrainingSettings(steps=2, batch_size=4, validate_every=1)
    model = PlantModel("tanh", 2, washout=3, window=10, validation_share=share, training=settings)
    return model.fit(*signals(160, 0))


@pytest.fixture(scope="module")
def model():
    return trained()


def test_a_model_gives_bands_around_its_free_run(model):
    u, y = signals(40, 1)
    found = model.predict_bands(u, y, 0.8)
    np.testing.assert_array_equal(found.predicted, model.predict(u, y))
    assert np.isnan(found.low[:3]).all()
    np.testing.assert_allclose(found.high - found.predicted, found.predicted - found.low)
    held = found.holds(y)[3:].mean()
    assert 0.5 < held < 1
    assert "stated to hold 80 to" in str(found)
    assert "exchangeable" in str(found)
    with pytest.raises(ShapeError, match=r"measured outputs of shape \(39,\)"):
        found.holds(y[1:])
    assert isinstance(model.predict_bands([u], [y]), list)


def test_a_saved_model_gives_the_same_bands_and_an_older_one_none(model, tmp_path):
    u, y = signals(40, 1)
    model.save(tmp_path)
    again = PlantModel.load(tmp_path)
    np.testing.assert_array_equal(again.predict_bands(u, y).low, model.predict_bands(u, y).low)
    again.calibration_ = calibration_of({}, 1)
    with pytest.raises(ConfigError, match="validation_share above 0"):
        again.predict_bands(u, y)
    np.testing.assert_array_equal(again.predict(u, y), model.predict(u, y))


def test_bands_need_data_that_were_held_out_and_a_start_that_was_measured(model):
    u, y = signals(40, 1)
    with pytest.raises(InputDataError, match="at least the first 3 rows"):
        model.predict_bands(u)
    with pytest.raises(ConfigError, match="validation_share above 0"):
        trained(share=0.0).predict_bands(u, y)
    with pytest.raises(NotFittedError):
        PlantModel("tanh").predict_bands(u, y)


def test_arrays_of_other_shapes_are_refused(model):
    arrays = model.calibration_.arrays()
    assert isinstance(calibration_of(arrays, 1), BandCalibration)
    with pytest.raises(ValueError, match="for 2 outputs"):
        calibration_of(arrays, 2)
    with pytest.raises(ValueError, match="bands of shape"):
        calibration_of({**arrays, "bands.stretches": np.array([0])}, 1)


def test_what_test_rows_hold_is_told_with_its_error(model):
    u, y = signals(400, 2)
    band = model.bands(u[:, None], y[:, None], 0.8)
    (row,) = assessed([band], [y[:, None]], 3, np.array([0.5]))
    assert row["held"] == pytest.approx(band.holds(y[:, None])[3:].mean())
    assert 0 < row["error"] < 0.1
    assert row["constant"] == 1.0
    assert row["coverage"] < row["stated"]
