"""What results of this room say of themselves: all that was measured, where it is, and nothing twice."""

import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.dynamics import FixedPointSettings, LyapunovSpectrum, fixed_points
from attractor.dynamics.equilibria.points import place
from attractor.dynamics.lyapunov.lyapunov_spectrum import Ending
from attractor.errors import ConfigError


def test_a_drift_that_never_slows_is_no_slow_point_and_has_no_state_to_show():
    """x' = x + 1 moves by one everywhere."""
    found = fixed_points(
        attractor.cell(lambda u, x: x + 1, 0, jnp.zeros(1)), settings=FixedPointSettings(starts=4)
    )
    assert str(found).startswith(
        "0 fixed points from 4 starts, 4 minima of the drift that are not slow, 1 a step"
    )
    assert found.slow.lingering == 0
    for call in (found.state, found.modes):
        with pytest.raises(ConfigError, match="no fixed point was found"):
            call(0)


def test_fixed_points_are_told_with_their_place_and_slow_ones_apart():
    """x' = x + (x^2 + 1e-3) / 2 has no fixed point, and lingers at 0; x' = tanh(x) / 2 rests there."""
    lingering = attractor.cell(lambda u, x: x + 0.5 * (x**2 + 1e-3), 0, jnp.zeros(1))
    slow = fixed_points(lingering, settings=FixedPointSettings(starts=8))
    assert slow.slow.lingering >= 1
    assert "slow point" in str(slow)
    rests = attractor.cell(lambda u, x: 0.5 * jnp.tanh(x - 1) + 1, 0, jnp.zeros(6))
    found = fixed_points(rests, settings=FixedPointSettings(starts=1))
    assert str(found).startswith("1 fixed point from 1 start\n0: attracting at (1, 1, 1, 1, ...), 0 unstable")
    assert "reached 1 time" in str(found)
    assert found.rows_shown().rows[0][1] == "(1, 1, 1, 1, ...)"
    with pytest.raises(ConfigError, match="index=1: there is 1 fixed point"):
        found.state(1)
    assert place(np.array([0.123456, -2.0])) == "(0.1235, -2)"


def spectrum(count, time_step=None):
    """Growth at a constant rate of -1, -2, ... a step."""
    marks = np.arange(1.0, 101.0)
    sums = -marks[None, :, None] * np.arange(1.0, count + 1)
    none = np.zeros(1, bool)
    start = np.zeros((1, count)), np.zeros((1, count, count))
    return LyapunovSpectrum(
        sums, marks, time_step, Ending.ALL_STEPS, none, none, -np.ones(1, int), 9, *start, 1.0
    )


def test_every_exponent_is_told_or_counted():
    four = str(spectrum(4)).splitlines()
    assert [line.split(":")[0] for line in four[1:5]] == ["1", "2", "3", "4"]
    assert not any("more in" in line for line in four)
    many = str(spectrum(30)).splitlines()
    assert many[11] == "and 20 more in .per_step"
    assert "and 28 more in .per_step" in repr(spectrum(30))
    assert str(spectrum(1)).startswith("1 Lyapunov exponent per step, 100 steps")


def test_exponents_of_a_flow_have_an_interval_per_unit_of_time():
    found = spectrum(2, time_step=0.01)
    assert "; per unit of time -100, -100 to -100" in str(found)
    table = found.rows_shown()
    assert table.header[4:] == ("per unit of time", "low, 95 %", "high, 95 %")
    assert table.rows[1][4:] == ("-200", "-200", "-200")
