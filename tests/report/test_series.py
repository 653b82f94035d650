"""Decimation keeps what the eye looks for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attractor.control.identification.identification_figures import worst_window
from attractor.report.style import envelope
from attractor.report.wording import time_axis, time_unit


@given(samples=st.integers(1, 3000), bins=st.integers(1, 100), seed=st.integers(0, 99))
def test_an_envelope_is_short_and_keeps_both_extremes(samples, bins, seed):
    values = np.random.default_rng(seed).normal(size=samples)
    time, kept = envelope(np.arange(samples), values, bins)
    assert len(time) == len(kept) <= max(2 * bins, samples if samples <= 2 * bins else 0)
    assert (kept.min(), kept.max()) == (values.min(), values.max())
    assert np.all(np.diff(time) >= 0)
    assert 0 <= time[0]
    assert time[-1] <= samples


def test_missing_values_become_gaps_without_warning():
    values = np.ones(1000)
    values[300:600] = np.nan
    values[700] = np.inf
    _, kept = envelope(np.arange(1000), values, 100)
    assert np.isnan(kept).any()
    assert np.nanmax(kept) == 1.0


@pytest.mark.parametrize(
    ("seconds", "unit"), [(0.5, "s"), (179.0, "s"), (180.0, "min"), (25_000.0, "h"), (1e6, "days")]
)
def test_the_unit_of_time_follows_the_duration(seconds, unit):
    assert time_unit(seconds)[0] == unit


def test_the_time_axis_is_in_its_unit():
    time, label = time_axis(2500, 10.0)
    assert label == "time [h]"
    assert time[360] == pytest.approx(1.0)


def test_the_worst_window_holds_the_largest_errors():
    errors = np.zeros(500)
    errors[[310, 320]] = 5.0
    errors[3] = np.nan
    first, last = worst_window(errors, 50, 20)
    assert first <= 310
    assert last > 320
    assert last - first == 50
    assert worst_window(errors, 600, 20) == (20, 500)


def test_the_washout_is_never_the_worst_window():
    errors = np.zeros(500)
    errors[:10] = 100.0
    assert worst_window(errors, 50, 10)[0] >= 10
