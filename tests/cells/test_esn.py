import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import EchoState
from attractor.errors import ConfigError
from attractor.scan import unroll

KEY = jax.random.key(0)
CELL = EchoState(2, 20, norm=0.8, leak=0.5, density=0.3, key=KEY)


def test_a_step_is_the_equation():
    rng = np.random.default_rng(0)
    u, x = rng.normal(size=2).astype("f4"), rng.normal(size=20).astype("f4")
    new, last = CELL(jnp.asarray(u), (jnp.asarray(x), jnp.zeros(2)))
    drive = np.asarray(CELL.reservoir) @ x + np.asarray(CELL.input_weight) @ u + np.asarray(CELL.bias)
    np.testing.assert_allclose(new, 0.5 * x + 0.5 * np.tanh(drive), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(last, u)


def test_the_spectral_norm_of_the_reservoir_is_the_one_asked_for():
    singular = np.linalg.svd(np.asarray(CELL.reservoir, "f8"), compute_uv=False)
    np.testing.assert_allclose(singular[0], 0.8, rtol=1e-5)


def test_every_unit_listens_to_as_many_others_as_asked_for():
    np.testing.assert_array_equal(np.count_nonzero(CELL.reservoir, axis=1), 6)


@pytest.mark.parametrize("seed", range(4))
def test_a_tiny_reservoir_is_never_empty(seed):
    cell = EchoState(1, 3, density=0.1, norm=0.9, key=jax.random.key(seed))
    np.testing.assert_allclose(np.linalg.norm(np.asarray(cell.reservoir), 2), 0.9, rtol=1e-5)


def test_every_step_brings_two_reservoirs_closer_by_the_promised_factor():
    inputs = jax.random.normal(KEY, (12, 2))
    zero = jnp.zeros(2)
    run = [unroll(CELL, inputs, (start, zero)).states[0] for start in (jnp.ones(20), -2 * jnp.ones(20))]
    distance = np.linalg.norm(np.asarray(run[0] - run[1]), axis=1)
    rate = (1 - 0.5) + 0.5 * 0.8
    assert np.all(distance[1:] <= rate * distance[:-1] * (1 + 1e-5))
    assert distance[0] <= rate * np.linalg.norm(3 * np.ones(20)) * (1 + 1e-5)


def test_no_gradient_reaches_the_reservoir_but_it_reaches_state_and_input():
    def loss(cell, u, x):
        return jnp.sum(cell(u, (x, jnp.zeros(2)))[0] ** 2)

    cell = eqx.filter_grad(loss)(CELL, jnp.ones(2), jnp.ones(20))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(cell))
    by_input, by_state = jax.grad(loss, argnums=(1, 2))(CELL, jnp.ones(2), jnp.ones(20))
    assert np.all(by_input != 0)
    assert np.all(by_state != 0)


def test_a_read_out_sees_reservoir_and_last_input():
    state = (jnp.arange(20.0), jnp.array([30.0, 31.0]))
    np.testing.assert_array_equal(CELL.exposed(state), [*range(20), 30, 31])


@pytest.mark.parametrize("name", ["norm", "leak", "density"])
@pytest.mark.parametrize("value", [0.0, -0.5, 1.5, float("nan")])
def test_a_value_outside_its_range_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=rf"{name}=.*expected a value in \(0, 1\]"):
        EchoState(2, 20, key=KEY, **{name: value})


def test_a_leak_of_one_forgets_all_but_the_reservoir():
    fast = EchoState(2, 20, norm=0.8, leak=1.0, density=0.3, key=KEY)
    np.testing.assert_array_equal(fast.reservoir, CELL.reservoir)
    old = jnp.linspace(-1, 1, 20)
    new, _ = fast(jnp.zeros(2), (old, jnp.zeros(2)))
    expected = np.tanh(np.asarray(fast.reservoir) @ np.asarray(old) + np.asarray(fast.bias))
    np.testing.assert_allclose(new, expected, rtol=1e-5, atol=1e-6)


def test_the_state_starts_at_zero():
    reservoir, last = CELL.initial_state()
    assert (reservoir.shape, last.shape) == ((20,), (2,))
    assert not np.any(reservoir)
    assert not np.any(last)
