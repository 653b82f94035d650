"""The error of a mean of correlated growth: intervals hold as often as they say, whatever the correlation."""

import numpy as np
import pytest

from attractor.dynamics.lyapunov.low_frequency import error_of_mean

STEPS, SERIES = 2000, 200


def autoregressive(source, memory, length=STEPS):
    keep, found = np.exp(-1 / memory), source.normal(size=(SERIES, length))
    found[:, 1:] *= (1 - keep**2) ** 0.5
    for step in range(1, length):
        found[:, step] += keep * found[:, step - 1]
    return found


def telescoping(source, noise):
    return np.diff(autoregressive(source, 20.0, STEPS + 1)) + noise * source.normal(size=(SERIES, STEPS))


def error(series, steps=None):
    """Of every series by itself."""
    every = np.cumsum(series, axis=1).T[None]
    return error_of_mean(every, np.arange(1.0, series.shape[1] + 1))


KINDS = {
    "white": lambda source: source.normal(size=(SERIES, STEPS)),
    "white and short": lambda source: source.normal(size=(SERIES, 150)),
    "skew": lambda source: source.exponential(size=(SERIES, STEPS)) - 1.0,
    "memory of a hundredth of the path": lambda source: autoregressive(source, 20.0),
    "memory of a twentieth of the path": lambda source: autoregressive(source, 100.0),
    "memory of a tenth of the path": lambda source: autoregressive(source, 200.0),
    "differences and little noise": lambda source: telescoping(source, 0.02),
    "differences and more noise": lambda source: telescoping(source, 0.1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_as_often_as_they_say(kind):
    series = KINDS[kind](np.random.default_rng(0))
    found, means = error(series), series.mean(axis=1)
    low, high = (means + found.quantile(share) for share in (0.025, 0.975))
    held = np.mean((low <= 0) & (high >= 0))
    assert 0.915 <= held <= 0.995  # three standard errors of 200 series around 0.95, and a little more above
    # and no interval is wide without need: white noise has half a width of 1.96 standard errors
    ideal = 1.96 * np.sqrt(np.mean(means**2))
    assert np.median(high - low) / 2 < (3.5 if kind.startswith("memory of a t") else 1.7) * ideal


def test_an_interval_from_blocks_would_be_too_wide_where_the_growth_telescopes():
    """The fault that was: blocks show the ends of h, which cancel in the whole path."""
    series = telescoping(np.random.default_rng(1), 0.02)
    blocks = series.reshape(SERIES, 20, -1).mean(axis=2)
    of_blocks = 2.09 * blocks.std(axis=1, ddof=1) / 20**0.5
    found = error(series)
    ours = (found.quantile(0.975) - found.quantile(0.025)) / 2
    assert np.median(of_blocks) > 2.5 * np.median(ours)


def test_a_path_that_is_short_for_its_memory_says_so():
    source = np.random.default_rng(2)
    slow, fast = (error(autoregressive(source, memory)).slow for memory in (800.0, 10.0))
    assert slow.mean() > 0.7
    assert fast.mean() < 0.02


def test_no_growth_no_error_and_nothing_from_two_steps():
    still = error(np.ones((3, 40)))
    np.testing.assert_array_less(np.abs(still.quantile(0.999)), 1e-12)
    few = error(np.random.default_rng(3).normal(size=(3, 2)))
    assert np.all(few.quantile(0.975) - few.quantile(0.025) > 2)


def test_runs_that_have_different_means_are_told_by_their_scatter():
    series = np.random.default_rng(4).normal(size=(4, 400, 1))
    times = np.arange(1.0, 401)
    same = error_of_mean(np.cumsum(series, axis=1), times)
    assert same.agree.all()
    assert same.quantile(0.975)[0] == pytest.approx(1.96 / 40, rel=0.35)
    series[0] += 1.0
    apart = error_of_mean(np.cumsum(series, axis=1), times)
    assert not apart.agree.any()
    assert apart.quantile(0.975)[0] > 0.5
