"""The model of observers and controllers is the identified network with a flat state."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, LSTM, Stack
from attractor.control.model import from_network


@pytest.mark.parametrize(
    "cell",
    [
        GRU(2, 3, key=jax.random.key(0)),
        LSTM(2, 3, key=jax.random.key(1)),
        Stack((LSTM(2, 3, key=jax.random.key(2)), GRU(3, 2, key=jax.random.key(3)))),
        eqx.nn.LSTMCell(2, 3, key=jax.random.key(4)),
    ],
)
def test_it_runs_like_the_network(cell):
    inputs = np.random.default_rng(0).uniform(-1, 1, (6, 2))
    exposed_size = 2 if isinstance(cell, Stack) else 3
    model = from_network(cell, np.ones((1, exposed_size)), [0.5])
    with jax.enable_x64(True):
        state = model.start(jnp.zeros((0, 2)), jnp.zeros((0, 1)))
        outputs = []
        for row in jnp.asarray(inputs):
            outputs.append(model.output(state))
            state = model.step(state, row)
        rest = model.restore(model.start(jnp.zeros((0, 2)), jnp.zeros((0, 1))))
        expected, _ = model.network(jnp.asarray(inputs), rest)
        np.testing.assert_allclose(jnp.stack(outputs), expected, atol=1e-12)
    assert state.dtype == jnp.float64
    assert (model.input_size, model.output_size) == (2, 1)
    assert model.state_size == len(state)
