import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from attractor.cells import Cell, exposed, exposed_size, initial_state, weight_dtype
from attractor.errors import UnsupportedError
from attractor.scan import unroll

KEY = jax.random.key(0)
GRU, LSTM = eqx.nn.GRUCell(2, 4, key=KEY), eqx.nn.LSTMCell(2, 4, key=KEY)


class Leaky(Cell):
    weight: Array
    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=4)

    def __call__(self, input, state, *, key=None):
        return 0.9 * state + 0.1 * jnp.tanh(self.weight @ jnp.concatenate([input, state]))


class Counting(Cell):
    """A state with a name, a scalar and a matrix; the part to show is chosen."""

    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=3)

    def __call__(self, input, state, *, key=None):
        return {"steps": state["steps"] + 1, "sums": state["sums"] + jnp.outer(jnp.ones(3), input)}

    def initial_state(self):
        return {"steps": jnp.array(0), "sums": jnp.zeros((3, 2))}

    def exposed(self, state):
        return state["sums"].ravel()


def test_a_user_cell_of_ten_lines_runs_and_differentiates():
    cell = Leaky(jnp.full((4, 6), 0.1))
    inputs = jnp.ones((3, 2))
    state, expected = np.zeros(4), []
    for u in np.ones((3, 2)):
        state = 0.9 * state + 0.1 * np.tanh(0.1 * np.ones((4, 6)) @ np.concatenate([u, state]))
        expected.append(state)
    np.testing.assert_allclose(unroll(cell, inputs).states, expected, rtol=1e-5)
    gradient = eqx.filter_grad(lambda cell: jnp.sum(unroll(cell, inputs).last))(cell)
    assert np.all(gradient.weight > 0)


def test_a_user_cell_may_keep_any_pytree():
    run = unroll(Counting(), jnp.arange(8.0).reshape(4, 2))
    np.testing.assert_array_equal(run.states["steps"], [1, 2, 3, 4])
    assert run.states["sums"].shape == (4, 3, 2)
    np.testing.assert_array_equal(exposed(Counting(), run.last), [12, 16] * 3)
    assert exposed_size(Counting()) == 6


def test_a_subclass_without_its_equation_cannot_be_built():
    class Nothing(Cell):
        input_size: int = 1
        hidden_size: int = 1

    with pytest.raises(TypeError, match="abstract"):
        Nothing()


def test_cells_of_equinox_start_from_zeros_of_the_right_structure():
    np.testing.assert_array_equal(initial_state(GRU), np.zeros(4))
    assert jax.tree.map(jnp.shape, initial_state(LSTM)) == ((4,), (4,))


def test_cells_of_equinox_run_as_they_stand():
    inputs = jax.random.normal(KEY, (5, 2))
    state = (jnp.zeros(4), jnp.zeros(4))
    for u in inputs:
        state = LSTM(u, state)
    np.testing.assert_allclose(unroll(LSTM, inputs).last, state, rtol=1e-5, atol=1e-6)


def test_a_read_out_sees_the_hidden_vector_of_cells_of_equinox():
    np.testing.assert_array_equal(exposed(GRU, jnp.arange(4.0)), np.arange(4.0))
    np.testing.assert_array_equal(exposed(LSTM, (jnp.arange(4.0), jnp.zeros(4))), np.arange(4.0))
    assert exposed_size(GRU) == exposed_size(LSTM) == 4


def test_a_cell_that_does_not_tell_its_state_is_refused():
    with pytest.raises(UnsupportedError, match=r"Linear has neither `initial_state\(\)` nor `hidden_size`"):
        initial_state(eqx.nn.Linear(2, 3, key=KEY))


def test_a_state_of_several_arrays_needs_a_choice():
    with pytest.raises(UnsupportedError, match=r"GRUCell has several arrays; write `exposed\(state\)`"):
        exposed(GRU, (jnp.zeros(4), jnp.zeros(4)))


def test_the_type_of_a_cell_is_that_of_its_weights():
    usual = jnp.zeros(0).dtype  # of this process, in which the cells were built
    assert weight_dtype(GRU) == usual
    assert weight_dtype(jax.tree.map(lambda leaf: leaf.astype("float16"), GRU)) == "float16"
    assert weight_dtype(Counting()) == usual
    with jax.enable_x64(True):
        assert weight_dtype(Counting()) == "float64"
        assert weight_dtype(GRU) == usual
