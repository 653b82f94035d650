import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.cells import LSTM, Cell, EchoState, Elman, Stack, exposed_size
from attractor.errors import ShapeError

KEY = jax.random.key(0)
LOW, HIGH = LSTM(2, 4, key=KEY), Elman(4, 3, key=KEY)
STACK = Stack((LOW, HIGH))


class Noise(Cell):
    input_size: int = 1
    hidden_size: int = 1

    def __call__(self, input, state, *, key=None):
        return state if key is None else jax.random.normal(key, (1,))


def test_a_cell_sees_the_updated_state_of_the_cell_below():
    u, start = jnp.array([0.5, -1.0]), ((jnp.ones(4), jnp.ones(4)), jnp.ones(3))
    below = LOW(u, start[0])
    above = HIGH(below[0], start[1])
    assert eqx.tree_equal(STACK(u, start), (below, above))


def test_a_read_out_sees_the_last_cell():
    np.testing.assert_array_equal(STACK.exposed((None, jnp.arange(3.0))), np.arange(3.0))
    assert exposed_size(STACK) == 3
    assert (STACK.input_size, STACK.hidden_size) == (2, 3)


def test_the_initial_state_has_one_part_a_cell():
    parts = STACK.initial_state()
    assert jax.tree.map(jnp.shape, parts) == (((4,), (4,)), (3,))


def test_every_cell_gets_noise_of_its_own():
    stack = Stack((Noise(), Noise()))
    first, second = stack(jnp.zeros(1), stack.initial_state(), key=KEY)
    assert first != second
    assert eqx.tree_equal(stack(jnp.zeros(1), stack.initial_state(), key=KEY), (first, second))
    assert eqx.tree_equal(stack(jnp.zeros(1), stack.initial_state()), stack.initial_state())


def test_a_stack_is_a_cell_of_a_stack_and_equinox_cells_fit_in():
    tower = Stack((STACK, eqx.nn.GRUCell(3, 5, key=KEY), eqx.nn.LSTMCell(5, 2, key=KEY)))
    new = tower(jnp.ones(2), tower.initial_state())
    assert jax.tree.map(jnp.shape, new) == ((((4,), (4,)), (3,)), (5,), ((2,), (2,)))
    np.testing.assert_array_equal(tower.exposed(new), new[2][0])


def test_the_cell_above_an_echo_state_takes_reservoir_and_input():
    reservoir = EchoState(2, 20, key=KEY)
    assert Stack((reservoir, Elman(22, 3, key=KEY))).hidden_size == 3
    with pytest.raises(ShapeError, match="cell 1 of the stack takes 20 inputs, but cell 0 exposes 22"):
        Stack((reservoir, Elman(20, 3, key=KEY)))


def test_the_level_of_a_misfit_is_named():
    with pytest.raises(ShapeError, match="cell 2 of the stack takes 4 inputs, but cell 1 exposes 3"):
        Stack((LOW, HIGH, HIGH))


def test_a_stack_without_cells_is_refused():
    with pytest.raises(ShapeError, match="at least one cell"):
        Stack(())


def test_gradients_reach_every_cell_of_the_stack():
    gradient = eqx.filter_grad(
        lambda stack: jnp.sum(stack.exposed(stack(jnp.ones(2), stack.initial_state())))
    )(STACK)
    assert all(np.any(gradient.cells[level].input_weight != 0) for level in (0, 1))


def test_a_stack_of_one_cell_is_that_cell():
    alone = Stack((HIGH,))
    u = jnp.linspace(-1, 1, 4)
    assert eqx.tree_equal(alone(u, (jnp.ones(3),)), (HIGH(u, jnp.ones(3)),))
    assert (alone.input_size, alone.hidden_size, exposed_size(alone)) == (4, 3, 3)


def test_a_plain_function_may_stand_on_top_of_a_stack():
    top = attractor.cell(lambda input, state: 0.5 * state + input, 4, jnp.zeros(4))
    stack = Stack((Elman(2, 4, key=KEY), top))
    assert (stack.input_size, stack.hidden_size) == (2, 4)
    assert attractor.unroll(stack, jnp.ones((3, 2))).last[1].shape == (4,)
