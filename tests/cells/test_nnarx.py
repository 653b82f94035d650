import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import NNARX
from attractor.errors import ConfigError, ShapeError
from attractor.scan import unroll

CELL = NNARX(2, 6, output_size=1, order=3, key=jax.random.key(0))


def network(regressor):
    first, second = CELL.network.layers
    hidden = np.tanh(np.asarray(first.weight) @ regressor + np.asarray(first.bias))
    return np.asarray(second.weight) @ hidden + np.asarray(second.bias)


def test_a_step_drops_the_oldest_block_and_appends_the_newest():
    state = jnp.arange(9.0).reshape(3, 3) / 10
    new = CELL(jnp.array([0.7, 0.8]), state)
    np.testing.assert_array_equal(new[:2], state[1:])
    np.testing.assert_allclose(new[2, 1:], [0.7, 0.8])
    expected = network(np.concatenate([np.asarray(state).ravel(), [0.7, 0.8]]))
    np.testing.assert_allclose(new[2, :1], expected, rtol=1e-5, atol=1e-6)


def test_free_run_equals_a_loop_over_a_list_of_past_samples():
    inputs = np.asarray(jax.random.normal(jax.random.key(1), (7, 2)))
    past, outputs = [np.zeros(3)] * 3, []
    for u in inputs:
        outputs.append(network(np.concatenate([*past[-3:], u])))
        past.append(np.concatenate([outputs[-1], u]))
    states = unroll(CELL, jnp.asarray(inputs)).states
    np.testing.assert_allclose(jax.vmap(CELL.exposed)(states), outputs, rtol=1e-4, atol=1e-6)


def test_measured_samples_give_the_state_the_cell_would_have_reached():
    inputs = jax.random.normal(jax.random.key(1), (7, 2))
    run = unroll(CELL, inputs)
    outputs = jax.vmap(CELL.exposed)(run.states)
    np.testing.assert_array_equal(CELL.measured_state(inputs, outputs), run.last)


def test_measured_state_takes_the_newest_samples_in_order():
    inputs, outputs = jnp.arange(10.0).reshape(5, 2), -jnp.arange(5.0)[:, None]
    expected = [[-2, 4, 5], [-3, 6, 7], [-4, 8, 9]]
    np.testing.assert_array_equal(CELL.measured_state(inputs, outputs), expected)


def test_too_few_samples_and_an_empty_regressor_are_refused():
    with pytest.raises(ShapeError, match="2 past samples for a regressor of order 3"):
        CELL.measured_state(jnp.zeros((2, 2)), jnp.zeros((2, 1)))
    with pytest.raises(ConfigError, match="order=0"):
        NNARX(2, 6, order=0, key=jax.random.key(0))


def test_the_state_starts_at_zero_and_shows_the_newest_output():
    np.testing.assert_array_equal(CELL.initial_state(), np.zeros((3, 3)))
    np.testing.assert_array_equal(CELL.exposed(jnp.arange(9.0).reshape(3, 3)), [6.0])
