"""Settings that make no sense are refused; the learning rate starts, peaks and ends where it should."""

import math

import numpy as np
import pytest

from attractor.errors import ConfigError
from attractor.program import single_precision
from attractor.training import TrainingSettings
from attractor.training.training_settings import make_optimiser, make_schedule

COUNTS = ("steps", "batch_size", "validate_every", "patience", "seeds")
SIZES = ("learning_rate", "warmup", "final_rate", "clip_norm")


@pytest.mark.parametrize("name", COUNTS + SIZES)
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, "7", [1]])
def test_a_value_out_of_range_is_named(name, value):
    expected = "whole number from 1 to" if name in COUNTS else "(positive number|number above 0)"
    with pytest.raises(ConfigError, match=f"{name}=.*expected a {expected}"):
        TrainingSettings(**{name: value})


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_a_whole_number(name):
    with pytest.raises(ConfigError, match="whole number"):
        TrainingSettings(**{name: 2.5})


@pytest.mark.parametrize("name", [name for name in (*COUNTS, *SIZES) if name != "patience"])
def test_only_patience_may_be_left_out(name):
    with pytest.raises(ConfigError, match=name):
        TrainingSettings(**{name: None})


@pytest.mark.parametrize("name", ["warmup", "final_rate"])
def test_a_share_is_at_most_one(name):
    with pytest.raises(ConfigError, match=f"{name}=1.5: expected a number above 0 and at most 1"):
        TrainingSettings(**{name: 1.5})


def test_numbers_of_numpy_are_numbers():
    settings = TrainingSettings(steps=np.int64(3), learning_rate=np.float32(0.5))
    assert (settings.steps, settings.learning_rate) == (3, 0.5)


def test_the_schedule_starts_peaks_and_ends_where_the_settings_say():
    settings = TrainingSettings(steps=200, learning_rate=0.02, warmup=0.1, final_rate=0.01)
    rates = [float(make_schedule(settings)(step)) for step in (0, 10, 20, 110, 200, 1000)]
    low, high = 2e-4, 0.02
    # Half way up, and half way down the cosine, the rate is the mean of both ends; float32.
    expected = [low, (low + high) / 2, high, (low + high) / 2, low, low]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 1000])
@pytest.mark.parametrize("warmup", [1e-9, 0.5, 1.0])
def test_any_warmup_goes_with_any_number_of_steps(steps, warmup):
    settings = TrainingSettings(steps=steps, warmup=warmup)
    rates = np.array([float(make_schedule(settings)(step)) for step in range(min(steps, 5))])
    assert np.all((rates > 0) & (rates <= settings.learning_rate * (1 + 1e-6)))


def test_gradients_are_clipped_to_the_norm():
    """Adam does not see the size of a gradient, its second moment does: it is that of the clipped one."""
    optimiser = make_optimiser(TrainingSettings(clip_norm=0.5))
    _, state = optimiser.update(np.float32([30.0, 40.0]), optimiser.init(np.zeros(2, np.float32)))
    np.testing.assert_allclose(state[1].mu, 0.1 * np.array([0.3, 0.4]), rtol=1e-6)


@single_precision()
def test_momentum_is_that_of_a_heavy_ball():
    settings = TrainingSettings(steps=10, momentum=0.8, learning_rate=0.5, clip_norm=100.0, weight_decay=0.1)
    optimiser, rate = make_optimiser(settings), make_schedule(settings)
    weights, velocity = np.float32([1.0, -2.0]), np.zeros(2)
    state = optimiser.init(weights)
    for step, gradient in enumerate(np.random.default_rng(0).normal(size=(4, 2)).astype("f4")):
        update, state = optimiser.update(gradient, state, weights)
        velocity = 0.8 * velocity + gradient
        np.testing.assert_allclose(update, -rate(step) * (velocity + 0.1 * weights), rtol=1e-5)
        weights = weights + np.asarray(update)


@pytest.mark.parametrize("value", [1.0, -0.1, math.nan, "0.9"])
def test_momentum_is_below_one(value):
    with pytest.raises(ConfigError, match=r"momentum=.*None for Adam"):
        TrainingSettings(momentum=value)
