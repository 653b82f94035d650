"""The disturbance model learns a constant mismatch and passes on the noise that it says."""

import numpy as np
import pytest

from attractor.control.predictive.controller import OutputDisturbance
from attractor.errors import ConfigError


def test_the_first_measurement_counts_fully_and_later_ones_by_the_gain():
    disturbance = OutputDisturbance([0.25, 1.0], 2)
    np.testing.assert_allclose(disturbance.update(np.array([2.0, 3.0]), np.array([1.0, 1.0])), [1.0, 2.0])
    np.testing.assert_allclose(disturbance.update(np.array([4.0, 3.0]), np.array([1.0, 2.0])), [1.5, 1.0])
    disturbance.reset()
    np.testing.assert_array_equal(disturbance.value, 0.0)


def test_switched_off_it_stays_zero():
    disturbance = OutputDisturbance(0.0, 1)
    for _ in range(3):
        np.testing.assert_array_equal(disturbance.update(np.array([5.0]), np.array([1.0])), 0.0)


def test_noise_shakes_it_as_documented():
    disturbance, gain = OutputDisturbance(0.3, 1), 0.3
    noise = np.random.default_rng(0).standard_normal(20000)
    values = [disturbance.update(np.array([one]), np.zeros(1))[0] for one in noise][100:]
    # About 3500 independent values: 1.2 % standard error, four of them allowed.
    np.testing.assert_allclose(np.std(values), np.sqrt(gain / (2 - gain)), rtol=0.05)


@pytest.mark.parametrize("gain", [-0.1, 1.1, float("nan")])
def test_gains_outside_of_the_unit_interval_are_refused(gain):
    with pytest.raises(ConfigError, match="offset gain"):
        OutputDisturbance(gain, 1)
