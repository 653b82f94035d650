"""Bands for all time: long runs keep to them, and what does not forget its past gets none."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, LSTM, exposed, initial_state, take_step
from attractor.certify.verify import cell_tube, for_ever
from attractor.certify.verify.for_ever import ForEver
from attractor.errors import InputDataError, ShapeError


def small(cell, share):
    """The cell with smaller weights, which forgets sooner."""
    return jax.tree.map(lambda leaf: share * leaf if eqx.is_inexact_array(leaf) else leaf, cell)


class Own(eqx.Module):
    """A user's cell: a leak, a bounded drive, a linear rest."""

    rest: float = eqx.field(static=True, default=0.5)
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.zeros(2)

    def __call__(self, input, state, *, key=None):
        return self.rest * state + 0.2 * jnp.tanh(state[::-1] + input)


CELLS = {
    "GRU": lambda: small(GRU(1, 2, key=jax.random.key(0)), 0.2),
    "LSTM": lambda: small(LSTM(1, 1, key=jax.random.key(0)), 0.2),
    "own": Own,
}
LOW, HIGH = np.array([-0.4]), np.array([0.7])


@cache
def found_of(name):
    return for_ever(CELLS[name](), LOW, HIGH)


@pytest.mark.parametrize("name", CELLS)
def test_no_long_run_leaves_the_band(name):
    cell, low, high, found = CELLS[name](), LOW, HIGH, found_of(name)
    assert found.found, found.reason
    assert "for all time" in str(found)
    generator = np.random.default_rng(0)
    steps = found.after + 200
    held = np.repeat(generator.choice([low[0], high[0]], (64, steps // 5 + 1)), 5, axis=1)[:, :steps]
    mixed = np.concatenate([held, generator.uniform(low, high, (64, steps))])
    mixed = np.concatenate([mixed, np.full((1, steps), low[0]), np.full((1, steps), high[0])])
    shown = outputs(cell, mixed[:, :, None])
    assert (shown >= found.low - 1e-5).all()
    assert (shown <= found.high + 1e-5).all()
    assert (shown[:, found.after :] >= found.settled_low - 1e-5).all()
    assert (shown[:, found.after :] <= found.settled_high + 1e-5).all()
    reached = shown.max(axis=(0, 1)) - shown.min(axis=(0, 1))
    assert ((found.high - found.low) < 3 * reached).all()


def outputs(cell, inputs):
    """What a cell exposes at every step, for each row of inputs."""

    def run(given):
        def step(state, input):
            state = take_step(cell, input, state)
            return state, exposed(cell, state)

        return jax.lax.scan(step, initial_state(cell), given)[1]

    return np.asarray(jax.jit(jax.vmap(run))(jnp.asarray(inputs, jnp.float32)))


def test_other_starts_are_of_the_past_too():
    found = for_ever(Own(), [-0.1], [0.1], start=([0.9, 0.9], [1.0, 1.0]))
    assert found.found
    assert (found.high >= 0.5).all()  # the first steps are near the start
    assert (found.settled_high < 0.2).all()
    assert isinstance(found, ForEver)


def test_the_band_holds_the_tube_of_any_horizon():
    found = found_of("GRU")
    tube = cell_tube(CELLS["GRU"](), np.full((30, 1), LOW), np.full((30, 1), HIGH))
    assert (tube.most <= found.high + 1e-9).all()
    assert (tube.least >= found.low - 1e-9).all()


def test_what_does_not_forget_has_no_band():
    found = for_ever(Own(rest=0.99), [-1.0], [1.0])
    assert not found.found
    assert "not proved to forget its past" in str(found)
    assert np.isinf(found.high).all()


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="expected \\(1,\\)"):
        for_ever(Own(), [-1.0, 0.0], [1.0, 1.0])
    with pytest.raises(InputDataError, match="larger"):
        for_ever(Own(), [1.0], [-1.0])
