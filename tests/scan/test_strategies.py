import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import CELLS, signal

from attractor.errors import ConfigError, UnsupportedError
from attractor.scan import Recompute, Store, unroll
from attractor.scan.strategies import Strategy, strategy


def halved(u, s, *, key=None):
    return s * 0.5 + jnp.sum(u)


@pytest.mark.parametrize(
    "run", [Store(), Recompute(), Recompute(1), Recompute(3), Recompute(6), Recompute(50)]
)
@pytest.mark.parametrize("steps", [0, 1, 6, 7])
def test_a_strategy_is_a_scan(run, steps):
    sequence = np.arange(steps, dtype="f4")
    carry, results = np.float32(1), []
    for part in sequence:
        carry = carry * np.float32(0.5) + part
        results.append(carry)
    got = unroll(halved, jnp.asarray(sequence)[:, None], jnp.float32(1), memory=run)
    assert got.last == carry
    np.testing.assert_array_equal(got.states, np.array(results, "f4"))


def test_empty_features_are_no_trouble_for_chunks():
    got = unroll(lambda u, s, *, key=None: s + 1, jnp.zeros((5, 0)), jnp.array(0), memory=Recompute(2))
    assert got.last == 5
    np.testing.assert_array_equal(got.states, range(1, 6))


def test_names_and_objects_give_strategies():
    assert strategy("store") == Store()
    assert strategy("recompute") == Recompute()
    assert strategy(Recompute(4)) == Recompute(4)
    assert isinstance(Store(), Strategy)


def test_the_strategies_say_what_they_keep():
    assert str(Store()).startswith("store: products and states of all steps are kept")
    assert "one state in sqrt(steps) is kept" in str(Recompute())
    assert "one state in 20 is kept" in str(Recompute(20))


def test_unknown_and_missing_strategies_are_refused():
    with pytest.raises(ConfigError, match="memory='stroe': expected one of 'store', 'recompute'"):
        strategy("stroe")
    with pytest.raises(UnsupportedError, match="not available yet"):
        strategy("reversible")
    with pytest.raises(ConfigError, match="every=0"):
        Recompute(0)


def temporary_bytes(memory):
    def loss(cell, inputs):
        return jnp.sum(unroll(cell, inputs, memory=memory).last[0])

    lowered = eqx.filter_jit(eqx.filter_grad(loss)).lower(CELLS["lstm"](), jnp.zeros((784, 2)))
    return lowered.compile().compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.usefixtures("full_optimisation")
def test_recompute_needs_a_small_part_of_the_memory_of_store_at_784_steps():
    store, recompute = temporary_bytes("store"), temporary_bytes("recompute")
    # 28 kept states and 28 steps of intermediate values instead of 784; the states themselves are results.
    assert recompute < 0.5 * store


class TwoByTwo:
    """A strategy of a user: two steps at a time, no derivative tricks."""

    def run(self, loop):
        return jax.lax.scan(*loop.scan(), unroll=2)


def test_a_users_strategy_is_taken_as_it_is():
    cell, inputs = CELLS["gru"](), signal(5, 2)
    np.testing.assert_allclose(
        unroll(cell, inputs, memory=TwoByTwo()).states, unroll(cell, inputs).states, rtol=1e-6, atol=1e-7
    )
