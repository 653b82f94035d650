"""Simple models against closed forms: what they find, and that they never run away."""

import numpy as np
import pytest
from scipy.signal import lfilter

from attractor.control import baselines
from attractor.control.metrics import fit_percent, relative_gain

START = 20


def split(inputs, outputs):
    """Training and validation, three quarters and one."""
    rows = 3 * len(inputs) // 4
    return [(inputs[:rows], outputs[:rows])], [(inputs[rows:], outputs[rows:])]


def linear(rows=1200, noise=0.0, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, rows)
    outputs = lfilter([0, 0.4, 0.2], [1, -1.3, 0.5], inputs)
    return inputs[:, None], (outputs + noise * outputs.std() * draw.standard_normal(rows))[:, None]


def test_arx_finds_a_linear_system():
    inputs, outputs = linear()
    found = baselines.fit_arx(*split(inputs, outputs), START)
    assert found.order >= 2
    np.testing.assert_allclose(found.simulate(inputs, outputs, START), outputs, atol=1e-6)


def test_a_system_with_two_inputs_and_two_outputs():
    draw = np.random.default_rng(1)
    inputs, outputs = draw.uniform(-1, 1, (900, 2)), np.zeros((900, 2))
    for row in range(1, 900):
        turned = outputs[row - 1] @ np.array([[0.8, 0.3], [-0.3, 0.7]])
        outputs[row] = turned + inputs[row - 1] @ np.array([[1.0, 0.0], [0.5, -1.0]])
    found = baselines.fit_arx(*split(inputs, outputs), START)
    np.testing.assert_allclose(found.simulate(inputs, outputs, START), outputs, atol=1e-6)


def test_a_product_of_signals_needs_the_quadratic_model():
    draw = np.random.default_rng(2)
    inputs, outputs = draw.uniform(-1, 1, (1200, 1)), np.zeros((1200, 1))
    for row in range(1, 1200):
        before = outputs[row - 1, 0], inputs[row - 1, 0]
        outputs[row] = 0.5 * before[0] + 0.4 * before[1] + 0.6 * before[0] * before[1]
    arx, narx = (
        find(*split(inputs, outputs), START) for find in (baselines.fit_arx, baselines.fit_polynomial_narx)
    )
    fits = [
        float(fit_percent(outputs[START:], one.simulate(inputs, outputs, START)[START:])[0])
        for one in (arx, narx)
    ]
    assert fits[0] < 95
    assert fits[1] > 99.9


def test_a_simulation_that_would_run_away_is_held_near_the_training_range():
    weights = np.array([[0.0], [1.5], [1.0], [0.3], [0.0], [0.0]])  # y' = 1.5 y + u + 0.3 y^2
    model = baselines.Autoregression(1, 1, True, weights, np.array([-2.0]), np.array([2.0]))
    simulated = model.simulate(np.ones((200, 1)), np.ones((200, 1)), 1)
    assert np.isfinite(simulated).all()
    assert simulated.max() == 2.0


def test_rows_before_the_start_are_measured_and_those_after_it_are_not_seen():
    inputs, outputs = linear()
    model = baselines.fit_arx(*split(inputs, outputs), START)
    hidden = np.where(np.arange(len(outputs))[:, None] < START, outputs, np.nan)
    np.testing.assert_allclose(model.simulate(inputs, hidden, START), outputs, atol=1e-6)


def test_too_few_rows_give_no_model():
    inputs, outputs = linear(6)
    pair = [(inputs, outputs)], [(inputs, outputs)]
    assert baselines.fit_polynomial_narx(*pair, 1) is None
    assert baselines.fit_noise_floor(*pair, 1) is None


def test_persistence_holds_the_last_sample_of_the_start():
    outputs = np.arange(5.0)[:, None]
    assert baselines.persistence(outputs, 2)[:, 0].tolist() == [0, 1, 1, 1, 1]
    assert baselines.persistence(outputs, 0)[:, 0].tolist() == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("noise", [0.45, 0.1])
def test_the_noise_floor_is_the_fit_of_the_true_system(noise):
    """White noise on the output: the true system itself errs by the noise, and its FIT is known."""
    inputs, outputs = linear(4000, noise, seed=3)
    truth = lfilter([0, 0.4, 0.2], [1, -1.3, 0.5], inputs[:, 0])[:, None]
    test = slice(3000, 4000)
    best = float(fit_percent(outputs[test], truth[test])[0])
    floor = baselines.fit_noise_floor(*split(inputs[:3000], outputs[:3000]), START)
    errors = floor.residuals(inputs[test], outputs[test], START)
    estimate = 100 * (1 - np.sqrt(np.mean(errors**2)) / outputs[test].std())
    assert estimate == pytest.approx(best, abs=2.0)


def test_the_gain_of_a_model_and_its_standard_error():
    draw = np.random.default_rng(4)
    known, new = draw.chisquare(1, 4000), 0.5 * draw.chisquare(1, 4000)
    gain, error = relative_gain(known, new)
    assert gain == pytest.approx(1 - new.sum() / known.sum())
    # Of a difference of independent chi-square values over their mean: sqrt((2 + 0.5) / 4000).
    assert error == pytest.approx(0.025, rel=0.6)
    assert relative_gain(np.zeros(10), np.ones(10)) == (0.0, np.inf)
