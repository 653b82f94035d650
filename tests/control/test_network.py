"""The state that a plant network starts from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import NNARX
from attractor.control.identification.plant_network import PlantNetwork

CELL = NNARX(2, 1, order=3, key=jax.random.key(0))


@pytest.mark.parametrize("feedthrough", [True, False])
@pytest.mark.parametrize("past", [4, 7])
def test_a_state_read_off_measurements_goes_on_where_the_free_run_is(feedthrough, past):
    network = PlantNetwork(CELL, None, None, feedthrough)
    inputs = jax.random.normal(jax.random.key(1), (20, 2))
    outputs, _ = network(inputs, CELL.initial_state())
    state = network.start(inputs[:past], outputs[:past])
    continued, _ = network(inputs[past:], state)
    np.testing.assert_allclose(continued, outputs[past:], rtol=0, atol=1e-6)


def test_without_feedthrough_as_many_samples_as_the_order_are_enough():
    network = PlantNetwork(CELL, None, None, feedthrough=False)
    state = network.start(jnp.ones((3, 2)), jnp.zeros((3, 1)))
    assert state.shape == CELL.initial_state().shape
    assert not np.allclose(network.read(state), 0.0)  # a prediction of the next output, not the last one
