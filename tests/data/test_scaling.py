"""Scaling: exact ends, exact inverse, and no jax in the room."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attractor.data import Scaling
from attractor.errors import InputDataError, ShapeError

VALUES = np.array([[0.0, -5.0], [10.0, 5.0], [5.0, 0.0]])


def test_range_maps_to_minus_one_and_one():
    unit = Scaling.from_range(VALUES, ["u", "y"]).to_unit(VALUES)
    np.testing.assert_allclose([unit.min(axis=0), unit.max(axis=0)], [[-1, -1], [1, 1]])


def test_spread_maps_to_mean_zero_and_deviation_one():
    unit = Scaling.standardised(VALUES, ["u", "y"]).to_unit(VALUES)
    np.testing.assert_allclose([unit.mean(axis=0), unit.std(axis=0)], [[0, 0], [1, 1]], atol=1e-15)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(arrays(np.float64, (5, 2), elements=st.floats(-1e6, 1e6)))
def test_there_and_back(values):
    scaling = Scaling.from_range(VALUES, ["u", "y"])
    # Two roundings of numbers of this size.
    np.testing.assert_allclose(
        scaling.to_engineering(scaling.to_unit(values)), values, rtol=1e-14, atol=1e-13
    )


def test_through_json_bit_for_bit():
    scaling = Scaling.standardised(VALUES / 3, ["u", "y"])
    again = Scaling.from_dict(json.loads(json.dumps(scaling.to_dict())))
    np.testing.assert_array_equal(again.offset, scaling.offset)
    np.testing.assert_array_equal(again.scale, scaling.scale)


def test_jax_arrays_stay_jax_arrays():
    jax = pytest.importorskip("jax")
    scaling = Scaling.from_range(VALUES, ["u", "y"])
    unit = jax.jit(scaling.to_unit)(jax.numpy.asarray(VALUES, dtype=jax.numpy.float32))
    assert isinstance(unit, jax.Array)
    np.testing.assert_allclose(unit, scaling.to_unit(VALUES), rtol=1e-6)


@pytest.mark.parametrize("make", [Scaling.from_range, Scaling.standardised])
def test_unusable_channels_are_named(make):
    with pytest.raises(InputDataError, match=r"signal 'y' is constant at 3"):
        make(np.column_stack([np.arange(4.0), np.full(4, 3.0)]), ["u", "y"])
    with pytest.raises(InputDataError, match=r"signal 'u' has NaN"):
        make(np.array([[np.nan, 1.0], [1.0, 2.0]]), ["u", "y"])
    with pytest.raises(ShapeError, match="give one name each"):
        make(VALUES, ["u"])


@pytest.mark.parametrize("fields", [{}, {"offset": [0.0]}, {"offset": ["x"], "scale": [1.0]}])
def test_damaged_dictionaries(fields):
    with pytest.raises(InputDataError, match="a scaling needs"):
        Scaling.from_dict(fields)


def test_scale_is_positive_and_shapes_agree():
    with pytest.raises(InputDataError, match="finite and positive"):
        Scaling(np.zeros(1), np.zeros(1))
    with pytest.raises(ShapeError, match=r"both are \(channels,\)"):
        Scaling(np.zeros(1), np.ones(2))


def test_the_room_imports_neither_jax_nor_scipy():
    code = "import sys, attractor.data; sys.exit(any(name in sys.modules for name in ('jax', 'scipy')))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0
