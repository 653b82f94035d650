import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attractor.cells import LSTM
from attractor.errors import ConfigError

KEY = jax.random.key(0)
CELL = LSTM(2, 4, key=KEY)
STEP = eqx.filter_jit(lambda cell, u, state: cell(u, state))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def example():
    rng = np.random.default_rng(0)
    return rng.normal(size=2).astype("f4"), tuple(rng.normal(size=(2, 4)).astype("f4"))


def test_a_step_is_the_equation():
    u, (h, c) = example()
    cell = eqx.tree_at(lambda cell: cell.bias, CELL, CELL.bias + jnp.linspace(-1, 1, 16))
    i, f, g, o = np.split(
        np.asarray(cell.input_weight) @ u + np.asarray(cell.state_weight) @ h + np.asarray(cell.bias), 4
    )
    memory = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    got = STEP(cell, u, (h, c))
    np.testing.assert_allclose(got[1], memory, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[0], sigmoid(o) * np.tanh(memory), rtol=1e-5, atol=1e-6)


def test_it_is_the_cell_of_equinox():
    u, state = example()
    peer = eqx.tree_at(
        lambda peer: (peer.weight_ih, peer.weight_hh, peer.bias),
        eqx.nn.LSTMCell(2, 4, key=KEY),
        (CELL.input_weight, CELL.state_weight, CELL.bias),
    )
    expected = peer(jnp.asarray(u), tuple(map(jnp.asarray, state)))
    np.testing.assert_allclose(STEP(CELL, u, state), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    u=arrays("f4", 2, elements=st.floats(-1e6, 1e6, width=32)),
    h=arrays("f4", 4, elements=st.floats(-1, 1, width=32)),
    c=arrays("f4", 4, elements=st.floats(-1e3, 1e3, width=32)),
)
def test_h_stays_in_the_unit_box_and_c_grows_by_at_most_one(u, h, c):
    hidden, memory = STEP(CELL, u, (h, c))
    assert np.all(np.abs(hidden) <= 1)
    assert np.all(np.abs(memory) <= np.abs(c) * (1 + 1e-6) + 1)


def test_forget_gates_start_with_the_promised_time_constants():
    cell = LSTM(2, 4, timescales=(2.0, 54.0), key=KEY)
    blank = jax.tree.map(jnp.zeros_like, cell)
    blank = eqx.tree_at(lambda blank: blank.bias, blank, cell.bias)
    _, memory = STEP(blank, np.zeros(2, "f4"), (np.zeros(4, "f4"), np.ones(4, "f4")))
    np.testing.assert_allclose(memory, 1 - 1 / np.array([2, 6, 18, 54]), rtol=1e-5)


def test_impossible_time_scales_are_refused():
    with pytest.raises(ConfigError, match="timescales"):
        LSTM(2, 4, timescales=(9.0, 3.0), key=KEY)
    with pytest.raises(ConfigError, match="both finite"):
        LSTM(2, 4, timescales=(2.0, float("inf")), key=KEY)


def test_the_state_is_two_zero_vectors_and_a_read_out_sees_the_first():
    state = CELL.initial_state()
    assert [part.shape for part in state] == [(4,), (4,)]
    assert not np.any(state[0])
    assert not np.any(state[1])
    np.testing.assert_array_equal(CELL.exposed((jnp.ones(4), jnp.zeros(4))), np.ones(4))


def test_open_forget_and_closed_write_gates_hold_the_memory():
    u, (h, c) = example()
    gates = jnp.concatenate([jnp.full(4, -100.0), jnp.full(4, 100.0), jnp.zeros(8)])
    held = eqx.tree_at(lambda cell: cell.bias, CELL, gates)
    np.testing.assert_array_equal(STEP(held, u, (h, c))[1], c)


def test_closed_forget_gates_make_the_old_memory_irrelevant():
    u, (h, c) = example()
    gates = jnp.concatenate([jnp.zeros(4), jnp.full(4, -200.0), jnp.zeros(8)])
    forgetful = eqx.tree_at(lambda cell: cell.bias, CELL, gates)
    for got, expected in zip(STEP(forgetful, u, (h, c)), STEP(forgetful, u, (h, 5 * c)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_the_same_key_builds_the_same_cell():
    assert eqx.tree_equal(LSTM(2, 4, key=KEY), CELL)
    assert not eqx.tree_equal(LSTM(2, 4, key=jax.random.key(1)), CELL)
