"""States carried up and down: against a normal form whose two branches are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import Flow, GatedForm
from attractor.errors import ConfigError
from attractor.theory.phase import PhaseAxis, PhaseSimulation, hysteresis_scan


class Subcritical(Flow):
    """dx/dt = r x + x^3 - x^5: zero is stable for r < 0, and x^2 = (1 + sqrt(1 + 4 r)) / 2 for r > -1/4."""

    push: float
    input_size: int = 0
    hidden_size: int = 3

    def vector_field(self, input, state):
        return self.push * state + state**3 - state**5


def subcritical(values, key):
    return Subcritical(values["push"])


def test_the_state_jumps_at_another_value_on_the_way_down():
    axis = PhaseAxis("push", -0.6, 0.6, 4)
    simulation = PhaseSimulation(time=40, transient=80, blocks=4, step=0.05, seeds=(0, 1))
    found = hysteresis_scan(axis, build=subcritical, simulation=simulation)
    upper = (1 + np.sqrt(1 + 4 * axis.values[1:])) / 2
    np.testing.assert_allclose(found.variance[0], [[0, 0, *upper[1:]]] * 2, atol=1e-3)
    np.testing.assert_allclose(found.variance[1], [[0, *upper]] * 2, atol=1e-3)
    rates = axis.values[1:] + 3 * upper - 5 * upper**2
    np.testing.assert_allclose(found.exponent[1, :, 1:], [rates] * 2, rtol=0.03)
    assert (found.signs == -1).all()
    assert (found.share == 0).all(), "both branches are fixed points"


class Escaping(Flow):
    """dx/dt = r x + x^3 for r > 0, which leaves every bound, and -x below, where everything comes to rest."""

    push: float
    input_size: int = 0
    hidden_size: int = 2

    def vector_field(self, input, state):
        return jnp.where(self.push > 0, self.push * state + state**3, -state)


def test_a_way_that_diverged_at_one_value_begins_anew_at_the_next():
    """On the way down from 1 all values were called diverged, since the state was carried along."""
    axis = PhaseAxis("push", -1.0, 1.0, 3)
    simulation = PhaseSimulation(time=20, transient=20, blocks=4, step=0.05, seeds=(0,))
    found = hysteresis_scan(axis, build=lambda values, key: Escaping(values["push"]), simulation=simulation)
    assert np.isfinite(found.exponent[:, 0, :2]).all()
    assert not np.isfinite(found.exponent[:, 0, 2]).any()


def test_a_gated_network_is_checked_as_in_a_diagram():
    with pytest.raises(ConfigError, match="set open_update=False"):
        hysteresis_scan(PhaseAxis("alpha_z", 0, 1, 2), form=GatedForm(open_update=True))


@pytest.mark.slow
def test_chaos_appears_on_the_way_down_only():
    """alpha_r = 10, b_r = -1: below g_dyn = 2.29 no way is chaotic, below g_zero = 3.72 the way down is."""
    simulation = PhaseSimulation(time=100, transient=100, seeds=(0,))
    form = GatedForm(open_update=True, reset_gain=10, reset_bias=-1)
    found = hysteresis_scan(PhaseAxis("g_h", 1.7, 2.9, 3), form=form, size=300, simulation=simulation)
    np.testing.assert_array_equal(found.signs[0, 0], [-1, -1, -1])
    assert found.signs[1, 0, 0] == -1
    assert found.signs[1, 0, 2] == 1
    assert found.share[2] == 1
