"""Closed forms of the figures of merit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attractor.control import evaluate, fit_percent, max_abs_error, nrmse, rmse
from attractor.errors import ShapeError

Y = np.random.default_rng(0).normal(size=(200, 2)) * [1.0, 50.0] + [3.0, -20.0]
GUESS = Y + np.random.default_rng(1).normal(size=Y.shape) * [0.1, 10.0]


def test_a_perfect_model_has_fit_100():
    np.testing.assert_array_equal(fit_percent(Y, Y), [100.0, 100.0])


def test_the_mean_has_fit_zero():
    np.testing.assert_allclose(fit_percent(Y, np.broadcast_to(Y.mean(axis=0), Y.shape)), 0.0, atol=1e-12)


def test_the_definition_of_fit():
    error, spread = np.linalg.norm(Y - GUESS, axis=0), np.linalg.norm(Y - Y.mean(axis=0), axis=0)
    np.testing.assert_allclose(fit_percent(Y, GUESS), 100 * (1 - error / spread), rtol=1e-12)


@given(scale=st.floats(0.01, 100.0), shift=st.floats(-100.0, 100.0))
def test_fit_does_not_depend_on_the_unit(scale, shift):
    np.testing.assert_allclose(
        fit_percent(scale * Y + shift, scale * GUESS + shift), fit_percent(Y, GUESS), rtol=1e-9
    )


def test_known_errors():
    measured = np.array([[0.0], [0.0], [0.0], [4.0]])
    simulated = np.array([[1.0], [-1.0], [1.0], [7.0]])
    assert rmse(measured, simulated) == pytest.approx([np.sqrt(3.0)])
    assert nrmse(measured, simulated) == pytest.approx([1.0])
    assert max_abs_error(measured, simulated) == pytest.approx([3.0])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_measurement_gives_nan(value):
    constant = np.full((30, 1), value)
    metrics = evaluate(constant, constant + 0.5)
    assert np.isnan(metrics.fit).all()
    assert np.isnan(metrics.nrmse).all()
    assert np.isnan(metrics.mean_fit)
    assert metrics.rmse == pytest.approx([0.5])


def test_a_simulation_that_ran_away_is_never_averaged_away():
    measured = np.arange(8.0).reshape(4, 2)
    simulated = measured.copy()
    simulated[2, 0] = np.nan
    assert evaluate(measured, simulated).mean_fit == -np.inf


def test_the_mean_fit_skips_outputs_without_one():
    measured = np.column_stack([Y[:, 0], np.ones(200)])
    metrics = evaluate(measured, measured)
    assert metrics.mean_fit == 100.0


def test_values_that_are_not_finite_give_nan():
    guess, truth = GUESS.copy(), Y.copy()
    guess[7, 0] = np.nan
    truth[9, 1] = np.nan
    metrics = evaluate(truth, guess)
    assert np.isnan(metrics.fit).all()


def test_the_washout_does_not_count():
    guess = Y.copy()
    guess[:10] += 100.0
    metrics = evaluate(Y, guess, washout=10)
    assert metrics.samples == 190
    np.testing.assert_array_equal(metrics.fit, [100.0, 100.0])


@pytest.mark.parametrize(("washout", "rows"), [(200, 200), (-1, 200), (0, 100)])
def test_comparisons_without_sense_are_refused(washout, rows):
    with pytest.raises(ShapeError):
        evaluate(Y, GUESS[:rows], washout=washout)
