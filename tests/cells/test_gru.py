import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attractor.cells import GRU, ResetAfterGRU
from attractor.errors import ConfigError

KEY = jax.random.key(0)
CELLS = {kind: kind(2, 4, key=KEY) for kind in (GRU, ResetAfterGRU)}
STEP = eqx.filter_jit(lambda cell, u, h: cell(u, h))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def example():
    rng = np.random.default_rng(0)
    return rng.normal(size=2).astype("f4"), rng.normal(size=4).astype("f4")


def with_random_bias(cell):
    """Biases that are zero at the start would hide a wrong sign or place."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: leaf + rng.normal(size=leaf.shape).astype("f4") if leaf.ndim == 1 else leaf, cell
    )


def test_the_reset_acts_before_the_product_in_gru():
    cell, (u, h) = with_random_bias(CELLS[GRU]), example()
    w_z, w_f, w_r = np.split(np.asarray(cell.input_weight), 3)
    u_z, u_f = np.split(np.asarray(cell.gate_weight), 2)
    u_r = np.asarray(cell.candidate_weight)
    b_z, b_f, b_r = np.split(np.asarray(cell.bias), 3)
    z = sigmoid(w_z @ u + u_z @ h + b_z)
    f = sigmoid(w_f @ u + u_f @ h + b_f)
    r = np.tanh(w_r @ u + u_r @ (f * h) + b_r)
    np.testing.assert_allclose(STEP(cell, u, h), z * h + (1 - z) * r, rtol=1e-5, atol=1e-6)


def test_the_reset_acts_after_the_product_in_reset_after_gru():
    cell, (u, h) = with_random_bias(CELLS[ResetAfterGRU]), example()
    w_r, w_z, w_n = np.split(np.asarray(cell.input_weight), 3)
    u_r, u_z, u_n = np.split(np.asarray(cell.state_weight), 3)
    b_r, b_z, b_n = np.split(np.asarray(cell.bias), 3)
    r = sigmoid(w_r @ u + u_r @ h + b_r)
    z = sigmoid(w_z @ u + u_z @ h + b_z)
    n = np.tanh(w_n @ u + b_n + r * (u_n @ h + np.asarray(cell.candidate_bias)))
    np.testing.assert_allclose(STEP(cell, u, h), z * h + (1 - z) * n, rtol=1e-5, atol=1e-6)


def test_reset_after_gru_is_the_cell_of_equinox():
    cell, (u, h) = with_random_bias(CELLS[ResetAfterGRU]), example()
    peer = eqx.tree_at(
        lambda peer: (peer.weight_ih, peer.weight_hh, peer.bias, peer.bias_n),
        eqx.nn.GRUCell(2, 4, key=KEY),
        (cell.input_weight, cell.state_weight, cell.bias, cell.candidate_bias),
    )
    np.testing.assert_allclose(STEP(cell, u, h), peer(jnp.asarray(u), jnp.asarray(h)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", CELLS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    u=arrays("f4", 2, elements=st.floats(-1e6, 1e6, width=32)),
    h=arrays("f4", 4, elements=st.floats(-1, 1, width=32)),
)
def test_states_never_leave_the_unit_box(kind, u, h):
    # z h + (1 - z) r is a mean of two numbers in [-1, 1]; two roundings may pass one by two ulp.
    assert np.all(np.abs(STEP(CELLS[kind], u, h)) <= 1 + 2.5e-7)


@pytest.mark.parametrize("kind", CELLS)
def test_a_keep_gate_at_one_holds_the_state(kind):
    cell, (u, h) = CELLS[kind], example()
    z = slice(0, 4) if kind is GRU else slice(4, 8)
    held = eqx.tree_at(lambda cell: cell.bias, cell, cell.bias.at[z].set(100.0))
    np.testing.assert_array_equal(STEP(held, u, h), h)


def decay(cell, place):
    """Gates and candidate that see nothing: the state decays with the bias of the keep gate alone."""
    blank = jax.tree.map(jnp.zeros_like, cell)
    return eqx.tree_at(lambda blank: blank.bias, blank, jnp.zeros(12).at[place].set(cell.bias[place]))


@pytest.mark.parametrize("kind", CELLS)
def test_units_forget_with_the_promised_time_constants(kind):
    cell = kind(2, 4, timescales=(2.0, 54.0), key=KEY)
    cell = decay(cell, slice(0, 4) if kind is GRU else slice(4, 8))
    np.testing.assert_allclose(
        STEP(cell, np.zeros(2, "f4"), np.ones(4, "f4")), 1 - 1 / np.array([2, 6, 18, 54]), rtol=1e-5
    )


@pytest.mark.parametrize("kind", CELLS)
def test_impossible_time_scales_are_refused(kind):
    with pytest.raises(ConfigError, match="timescales"):
        kind(2, 4, timescales=(0.5, 3.0), key=KEY)


@pytest.mark.parametrize("kind", CELLS)
def test_gates_hardly_feel_the_state_at_first(kind):
    cell = CELLS[kind]
    gates = cell.gate_weight if kind is GRU else cell.state_weight[:8]
    candidate = cell.candidate_weight if kind is GRU else cell.state_weight[8:]
    assert np.max(np.abs(gates)) <= 0.3 * 0.5
    assert np.max(np.abs(candidate)) > 0.3 * 0.5


@pytest.mark.parametrize("kind", CELLS)
def test_the_same_key_builds_the_same_cell(kind):
    assert eqx.tree_equal(kind(2, 4, key=KEY), CELLS[kind])
    assert not eqx.tree_equal(kind(2, 4, key=jax.random.key(1)), CELLS[kind])


def test_an_ensemble_is_built_by_vmap_over_keys():
    many = eqx.filter_vmap(lambda key: GRU(2, 4, key=key))(jax.random.split(KEY, 3))
    assert many.gate_weight.shape == (3, 8, 4)
    assert not np.allclose(many.gate_weight[0], many.gate_weight[1])
