"""Noise in the states of any cell: what it adds, what it leaves alone, and what of it is learned."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_cells import Counting

from attractor.cells import GRU, LSTM, Lipschitz, Stack, StateNoise, exposed_size, initial_state
from attractor.errors import ConfigError, ShapeError
from attractor.scan import unroll
from attractor.training import NoisyState, annealed, with_noise_factor

KEY = jax.random.key(0)
CELLS = {
    "gru": lambda: GRU(2, 3, key=KEY),
    "lstm": lambda: LSTM(2, 3, key=KEY),
    "equinox lstm": lambda: eqx.nn.LSTMCell(2, 3, key=KEY),
    "stack": lambda: Stack((GRU(2, 3, key=KEY), LSTM(3, 3, key=KEY))),
    "own, with a counter": lambda: Counting(0.5),
}
INPUTS = jax.device_put(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))


@cache
def made(name):
    """The cell from one program."""
    return eqx.filter_jit(CELLS[name])()


@pytest.mark.parametrize("name", CELLS)
def test_without_a_key_it_is_its_cell_bit_for_bit_and_a_factor_of_zero_is_silence(name):
    cell = made(name)
    noisy = NoisyState(cell, StateNoise(0.3, 0.5))
    plain = unroll(cell, INPUTS)
    assert eqx.tree_equal(plain, unroll(noisy, INPUTS))
    silent = unroll(with_noise_factor(noisy, 0.0), INPUTS, key=KEY)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, atol=1e-6), silent, plain)
    loud = unroll(noisy, INPUTS, key=KEY).last
    for one, other in zip(jax.tree.leaves(loud), jax.tree.leaves(plain.last), strict=True):
        same = not jnp.issubdtype(one.dtype, jnp.floating)
        assert (np.asarray(one == other) == same).all()


@pytest.mark.parametrize("kind", ["independent", "common"])
def test_the_noise_has_the_deviation_of_its_levels_and_grows_with_the_step(kind):
    cell, state = LSTM(2, 3, key=KEY), (jnp.array([0.5, -0.4, 0.0]), jnp.array([2.0, -3.0, 0.1]))
    noisy = NoisyState(cell, StateNoise(0.02, 0.4, kind), factor=0.5)
    new = cell(INPUTS[0], state)
    draw = jax.jit(jax.vmap(lambda key: noisy(INPUTS[0], state, key=key)))
    drawn = map(np.asarray, draw(jax.random.split(KEY, 20_000)))
    drawn = np.concatenate([(some - one) for some, one in zip(drawn, new, strict=True)], axis=1)
    level = 0.5 * (0.02 + 0.4 * (np.concatenate(new) - np.concatenate(state)))
    np.testing.assert_allclose(drawn.mean(axis=0) / np.abs(level), 0, atol=0.03)  # four errors of the mean
    expected = np.outer(level, level) if kind == "common" else np.diag(level**2)
    scale = np.abs(np.outer(level, level))
    np.testing.assert_allclose(np.cov(drawn.T) / scale, expected / scale, atol=0.05)


def test_the_wrapper_tells_what_its_cell_tells():
    noisy = NoisyState(made("stack"), StateNoise(0.1))
    assert (noisy.input_size, noisy.hidden_size, exposed_size(noisy)) == (2, 3, 3)
    assert not hasattr(noisy, "output_size")
    assert not hasattr(noisy, "measured_state")
    own = NoisyState(Counting(0.5), StateNoise(0.1))
    assert own.output_size == 1
    assert exposed_size(own) == 1
    assert not hasattr(own, "hidden_size")
    assert jax.tree.structure(initial_state(own)) == jax.tree.structure(initial_state(Counting(0.5)))


def test_shares_are_learned_under_a_fixed_budget_and_the_factor_is_not():
    noisy = NoisyState(GRU(2, 3, key=KEY), StateNoise(0.3), learned=True)
    np.testing.assert_allclose(noisy.shares(jnp.zeros(3)), 1, rtol=1e-6)

    def loss(noisy):
        return jnp.sum(unroll(noisy, INPUTS, key=KEY).last ** 2)

    gradient = eqx.filter_grad(loss)(noisy)
    assert gradient.factor == 0
    assert (gradient.log_shares != 0).all()
    np.testing.assert_allclose(gradient.log_shares.sum(), 0, atol=1e-6)  # all alike change nothing
    moved = eqx.tree_at(lambda noisy: noisy.log_shares, noisy, jnp.array([200.0, -3.0, 199.0]))
    shares = moved.shares(jnp.zeros(3))
    np.testing.assert_allclose(jnp.mean(shares**2), 1, rtol=1e-6)
    np.testing.assert_allclose(shares[0] / shares[2], np.e, rtol=1e-4)


def test_the_factor_is_set_wherever_a_noisy_state_stands_also_inside_another_and_under_jit():
    inner = NoisyState(GRU(2, 3, key=KEY), StateNoise(0.1))
    model = {"a": Stack((inner, NoisyState(NoisyState(LSTM(3, 3, key=KEY), StateNoise()), StateNoise())))}
    found = eqx.filter_jit(with_noise_factor)(model, 0.25)["a"].cells
    assert [float(one.factor) for one in (found[0], found[1], found[1].cell)] == [0.25] * 3
    assert eqx.tree_equal(found[0].cell, inner.cell)


@pytest.mark.parametrize("shape", ["linear", "cosine", "geometric"])
def test_an_annealed_level_falls_from_its_start_to_its_end(shape):
    done = jnp.array([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0])
    level = np.asarray(annealed(done, 2.0, 0.5, shape))
    assert (level[[0, 1]] == 2.0).all()
    np.testing.assert_allclose(level[[5, 6]], 0.5, rtol=1e-6)
    assert (np.diff(level[1:6]) < 0).all()
    np.testing.assert_allclose(level[3], 1.0 if shape == "geometric" else 1.25, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NoisyState(GRU(2, 3, key=KEY), StateNoise(kind="official")), "kind='official'"),
        (lambda: NoisyState(GRU(2, 3, key=KEY), StateNoise(), factor=-1.0), "factor=-1.0"),
        (lambda: annealed(0.5, shape="steep"), "shape='steep'"),
        (lambda: annealed(0.5, 1.0, 0.0, "geometric"), "both above 0"),
    ],
)
def test_values_outside_their_range_are_named(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_examples_of_a_batch_do_not_disturb_each_other():
    cell = NoisyState(Lipschitz(2, 3, key=KEY), StateNoise(0.3, 0.2))
    keys, batch = jax.random.split(KEY, 2), jnp.stack([INPUTS, -INPUTS])
    run = jax.jit(jax.vmap(lambda inputs, key: unroll(cell, inputs, key=key).states))
    one, other = run(batch, keys), run(batch.at[1].set(7.0), keys)
    np.testing.assert_array_equal(one[0], other[0])
    assert (one[1] != other[1]).any()


def test_noise_reaches_both_parts_of_a_complex_state():
    class Spinning(eqx.Module):
        input_size: int = eqx.field(static=True, default=1)

        def initial_state(self):
            return {"z": jnp.zeros(4000, jnp.complex64), "count": jnp.asarray(0)}

        def __call__(self, input, state):
            return {"z": 0.5j * state["z"], "count": state["count"] + 1}

    noisy = NoisyState(Spinning(), StateNoise(additive=0.3))
    quiet, loud = (noisy(jnp.zeros(1), noisy.initial_state(), key=key) for key in (None, jax.random.key(0)))
    np.testing.assert_array_equal(quiet["z"], 0)
    assert int(loud["count"]) == 1
    for part in (jnp.real(loud["z"]), jnp.imag(loud["z"])):
        np.testing.assert_allclose(part.std(), 0.3, rtol=0.05)
    assert abs(np.corrcoef(jnp.real(loud["z"]), jnp.imag(loud["z"]))[0, 1]) < 0.05


def test_a_number_is_additive_noise():
    assert NoisyState(GRU(2, 3, key=KEY), 0.1).noise == StateNoise(additive=0.1)


class Growing(eqx.Module):
    """A step that returns one number more than it was given."""

    input_size: int = 2

    def initial_state(self):
        return jnp.zeros(2)

    def __call__(self, input, state):
        return jnp.concatenate([state, input[:1]])


def test_a_step_that_returns_another_shape_is_told_instead_of_disturbed():
    with pytest.raises(ShapeError, match="Growing turned a state"):
        NoisyState(Growing(), StateNoise(0.1))(INPUTS[0], jnp.zeros(2), key=KEY)
