"""Scaling of series: what counts, what does not, and constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import Sequences, sequence_scaling
from attractor.errors import InputDataError

NAN = np.nan


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.integers(0, 99), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_valid_values_get_mean_zero_and_deviation_one(seed, spread, mean):
    rng = np.random.default_rng(seed)
    cases = [mean + spread * rng.normal(size=(length, 2)) for length in (3, 9, 5)]
    cases[1][rng.random((9, 2)) < 0.3] = NAN
    data = Sequences.from_arrays(cases)
    unit = sequence_scaling(data).to_unit(data.values)
    # The mean is rounded to sixteen digits of values that may be a million spreads away from zero.
    np.testing.assert_allclose(np.nanmean(unit, axis=(0, 1)), 0, atol=1e-8)
    np.testing.assert_allclose(np.nanstd(unit, axis=(0, 1)), 1, rtol=1e-8)
    np.testing.assert_array_equal(np.isnan(unit), np.isnan(data.values))


def test_padding_does_not_count():
    short = Sequences.from_arrays([np.array([1.0, 3.0]), np.array([5.0, 7.0])])
    long = Sequences.from_arrays([np.array([1.0, 3.0, 5.0]), np.array([7.0])])
    np.testing.assert_array_equal(sequence_scaling(short).offset, sequence_scaling(long).offset)
    np.testing.assert_array_equal(sequence_scaling(short).scale, sequence_scaling(long).scale)


def test_a_constant_variable_is_centred_with_a_warning():
    values = np.random.default_rng(0).normal(size=(2, 3, 2))
    values[:, :, 1] = 0.1
    with pytest.warns(UserWarning, match="variable 'y' is constant at 0.1 in training"):
        scaling = sequence_scaling(Sequences.from_arrays(values, names=["u", "y"]))
    assert scaling.scale[1] == 1
    np.testing.assert_allclose(scaling.to_unit(values)[:, :, 1], 0, atol=1e-16)


def test_a_variable_without_values_is_named():
    values = np.ones((2, 3, 2))
    values[:, :, 1] = NAN
    with (
        pytest.warns(UserWarning, match="'u'"),
        pytest.raises(InputDataError, match="variable 'y' has no value"),
    ):
        sequence_scaling(Sequences.from_arrays(values, names=["u", "y"]))


@pytest.mark.parametrize("size", [1e300, 1e-300])
def test_values_whose_squares_are_no_numbers_are_scaled_as_all_others(size):
    values = np.random.default_rng(0).normal(size=(6, 9, 2))
    usual = sequence_scaling(Sequences.from_arrays(values))
    found = sequence_scaling(Sequences.from_arrays(size * values))
    np.testing.assert_allclose(found.scale, size * usual.scale, rtol=1e-12)
    np.testing.assert_allclose(found.to_unit(size * values), usual.to_unit(values), rtol=1e-9)


def test_the_largest_number_is_no_value():
    values = np.ones((2, 4, 1))
    values[1, 2, 0] = -np.finfo(float).max
    with pytest.raises(InputDataError, match=r"case 1, step 2, variable 'v1': -1.79769e\+308.*make it NaN"):
        Sequences.from_arrays(values)
