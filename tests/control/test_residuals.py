"""Correlations against their definition, and bands against their promise on white noise."""

import numpy as np
import pytest

from attractor.control import analyse_residuals, multilevel
from attractor.errors import InputDataError, ShapeError


def slow_correlation(one, other, lag):
    """(1/N) sum of one(t) other(t - lag), straight from the definition."""
    one, other = (x - x.mean() for x in (one, other))
    total = sum(one[t] * other[t - lag] for t in range(len(one)) if 0 <= t - lag < len(one))
    return total / len(one) / one.std() / other.std()


def test_correlations_follow_their_definition():
    generator = np.random.default_rng(0)
    residuals, inputs = generator.normal(size=(60, 2)), generator.normal(size=(60, 3))
    analysis = analyse_residuals(residuals, inputs, lags=5)
    assert analysis.cross.shape == (2, 3, 11)
    for output in range(2):
        expected = [slow_correlation(residuals[:, output], residuals[:, output], lag) for lag in range(6)]
        np.testing.assert_allclose(analysis.auto[output], expected, atol=1e-12)
        for drive in range(3):
            expected = [
                slow_correlation(residuals[:, output], inputs[:, drive], lag) for lag in analysis.cross_lags
            ]
            np.testing.assert_allclose(analysis.cross[output, drive], expected, atol=1e-12)


def test_a_positive_lag_means_an_earlier_input():
    drive = np.random.default_rng(0).normal(size=500)
    analysis = analyse_residuals(np.roll(drive, 3)[:, None], drive[:, None], lags=5)
    assert analysis.cross_lags[np.argmax(analysis.cross[0, 0])] == 3


def test_white_residuals_stay_in_the_band_as_often_as_promised():
    shares = []
    for seed in range(40):
        residuals = np.random.default_rng(seed).normal(size=(1500, 1))
        inputs = multilevel(seed + 1000, 1500, 0.0, 1.0, hold=(5, 50))
        analysis = analyse_residuals(residuals, inputs, confidence=0.95)
        shares.append((analysis.auto_outside[0], analysis.cross_outside[0, 0]))
    auto, cross = np.mean(shares, axis=0)
    # 1000 lags each; neighbours of the slow input's correlation agree, so its share scatters more.
    assert auto == pytest.approx(0.05, abs=0.02)
    assert cross == pytest.approx(0.05, abs=0.04)


def test_slow_residuals_widen_the_cross_band_by_bartletts_factor():
    """For two first-order processes with poles a and b the variance is (1 + ab) / (1 - ab)."""
    pole, samples = 0.9, 20_000
    noise = np.random.default_rng(0).normal(size=(samples, 2))
    slow = np.zeros_like(noise)
    for step in range(1, samples):
        slow[step] = pole * slow[step - 1] + noise[step]
    analysis = analyse_residuals(slow[:, :1], slow[:, 1:])
    factor = np.sqrt((1 + pole**2) / (1 - pole**2))
    assert analysis.cross_band[0, 0] / analysis.auto_band == pytest.approx(factor, rel=0.1)
    assert analysis.auto_outside[0] > 0.5
    assert analysis.cross_outside[0, 0] < 0.2


def test_what_the_model_missed_shows():
    drive = np.random.default_rng(0).normal(size=(2000, 1))
    residuals = 0.3 * np.roll(drive, 2, axis=0) + np.random.default_rng(1).normal(size=(2000, 1))
    analysis = analyse_residuals(residuals, drive)
    lag = np.flatnonzero(analysis.cross_lags == 2)[0]
    assert analysis.cross[0, 0, lag] > 3 * analysis.cross_band[0, 0]


def test_residuals_that_do_not_vary_have_nothing_left_to_explain():
    analysis = analyse_residuals(np.full((100, 1), 0.1), np.ones((100, 1)))
    assert not analysis.auto.any()
    assert not analysis.cross.any()
    assert np.isfinite(analysis.cross_band).all()


@pytest.mark.parametrize(
    ("residuals", "inputs", "lags", "error"),
    [
        (np.zeros((50, 1)), np.zeros((49, 1)), 5, ShapeError),
        (np.zeros((50, 1)), np.zeros((50, 1)), 50, ShapeError),
        (np.zeros((50, 1)), np.zeros((50, 1)), 0, ShapeError),
        (np.full((50, 1), np.nan), np.zeros((50, 1)), 5, InputDataError),
    ],
)
def test_what_cannot_be_analysed_is_refused(residuals, inputs, lags, error):
    with pytest.raises(error):
        analyse_residuals(residuals, inputs, lags=lags)
