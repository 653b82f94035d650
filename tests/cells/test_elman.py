import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import Elman


@pytest.fixture(scope="module")
def cell():
    return Elman(2, 4, key=jax.random.key(0))


def test_a_step_is_the_equation(cell):
    rng = np.random.default_rng(0)
    u, h = rng.normal(size=2).astype("f4"), rng.normal(size=4).astype("f4")
    expected = np.tanh(np.asarray(cell.input_weight) @ u + np.asarray(cell.state_weight) @ h + 0.0)
    np.testing.assert_allclose(cell(jnp.asarray(u), jnp.asarray(h)), expected, rtol=1e-5, atol=1e-6)


def test_the_bias_moves_the_state(cell):
    shifted = jax.tree.map(lambda leaf: leaf * 0, cell)
    shifted = type(cell).__call__(
        jax.tree.map(lambda leaf: leaf + 0.3 if leaf.ndim == 1 else leaf, shifted), jnp.ones(2), jnp.ones(4)
    )
    np.testing.assert_allclose(shifted, np.full(4, np.tanh(0.3)), rtol=1e-6)


def test_the_state_starts_at_zero_in_the_type_of_the_weights(cell):
    np.testing.assert_array_equal(cell.initial_state(), np.zeros(4, "f4"))
    half = jax.tree.map(lambda leaf: leaf.astype("float16"), cell)
    assert half.initial_state().dtype == "float16"


def test_all_of_the_state_is_exposed(cell):
    state = jnp.arange(4.0)
    np.testing.assert_array_equal(cell.exposed(state), state)


def test_a_key_changes_nothing_in_a_cell_without_noise(cell):
    u, h = jnp.ones(2), jnp.ones(4)
    np.testing.assert_array_equal(cell(u, h, key=jax.random.key(1)), cell(u, h))


def test_the_jacobian_is_the_slope_of_tanh_times_the_weight(cell):
    u, h = jnp.array([0.3, -0.7]), jnp.linspace(-1, 1, 4)
    slope = 1 - np.asarray(cell(u, h)) ** 2
    np.testing.assert_allclose(
        jax.jacfwd(cell, argnums=1)(u, h),
        slope[:, None] * np.asarray(cell.state_weight),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        jax.jacrev(cell, argnums=0)(u, h),
        slope[:, None] * np.asarray(cell.input_weight),
        rtol=1e-5,
        atol=1e-6,
    )


def test_two_states_approach_each_other_when_the_weight_contracts(cell):
    norm = np.linalg.norm(np.asarray(cell.state_weight), 2)
    u, one, other = jnp.ones(2), jnp.linspace(-1, 1, 4), jnp.zeros(4)
    gap = np.linalg.norm(cell(u, one) - cell(u, other))
    assert gap <= norm * np.linalg.norm(one) * (1 + 1e-6)


def test_weights_drawn_under_double_precision_are_double():
    with jax.enable_x64(True):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(Elman(2, 4, key=jax.random.key(0)))} == {
            "float64"
        }
