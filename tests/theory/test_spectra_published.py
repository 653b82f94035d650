"""The level read off a program agrees with the published formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import published_levels as published
import pytest
from spectra_cases import random_cell, random_state

from attractor.cells import GRU, LSTM, Elman, GatedFlow, GatedForm, GatedState, ResetAfterGRU
from attractor.dynamics.jacobians import point
from attractor.theory.random_matrices.local_maps import local_maps
from attractor.theory.random_matrices.support import support

UNITS = 40
VALUES = np.array([[0.9 + 0.3j, -1.4 + 0.2j], [2.0 - 1.0j, 0.3j]])


def level(cell, state, values=VALUES):
    with jax.enable_x64(True):
        return support(local_maps(point(cell, state))).level(values)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def weights(cell, name):
    return np.asarray(getattr(cell, name), np.float64)


def test_gru():
    cell = random_cell(GRU, UNITS, (1.2, 2.0, 1.7), signs=True)
    h = np.asarray(random_state(cell))
    z, r = np.split(sigmoid(weights(cell, "bias")[: 2 * UNITS] + weights(cell, "gate_weight") @ h), 2)
    product = weights(cell, "candidate_weight") @ (r * h)
    units = published.GRUUnits(h, z, r, product, np.tanh(product))
    expected = published.gru_level(VALUES, units, published.GRUGains(1.7, keep=1.2, reset=2.0))
    np.testing.assert_allclose(level(cell, h), expected, rtol=1e-10)


def test_reset_after_gru():
    cell = random_cell(ResetAfterGRU, UNITS, (1.2, 2.0, 1.7), signs=True)
    h, bias = np.asarray(random_state(cell)), np.split(weights(cell, "bias"), 3)
    brought = np.split(weights(cell, "state_weight") @ h, 3)
    r, z = sigmoid(bias[0] + brought[0]), sigmoid(bias[1] + brought[1])
    units = published.GRUUnits(h, z, r, brought[2], np.tanh(bias[2] + r * brought[2]))
    expected = published.reset_after_gru_level(VALUES, units, published.GRUGains(1.7, keep=2.0, reset=1.2))
    np.testing.assert_allclose(level(cell, h), expected, rtol=1e-10)


def test_lstm():
    cell = random_cell(LSTM, UNITS, (1.2, 2.0, 1.7, 0.8), signs=True)
    h, c = state = tuple(map(np.asarray, random_state(cell)))
    i, f, g, o = np.split(weights(cell, "bias") + weights(cell, "state_weight") @ h, 4)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    units = published.LSTMUnits(c, f * c + i * g, i, f, g, o)
    gains = published.LSTMGains(write=1.2, keep=2.0, candidate=1.7, show=0.8)
    np.testing.assert_allclose(level(cell, state), published.lstm_level(VALUES, units, gains), rtol=1e-10)


@pytest.mark.parametrize(
    "limits",
    [{}, *(pytest.param({gate: True}, marks=pytest.mark.slow) for gate in ("open_update", "open_reset"))],
)
def test_gated_flow(limits):
    form = GatedForm(2.5, 3.0, 2.0, 0.1, -0.3, 0.4, update_time=2.0, reset_time=0.5, **limits)
    with jax.enable_x64(True):
        flow = signed(GatedFlow(1, UNITS, form=form, key=jax.random.key(1)))
    state = jax.tree.map(np.asarray, random_state(flow))
    reset = 1.0 if form.open_reset else sigmoid(2.0 * state.reset + 0.4)
    pull = (
        np.asarray(flow.coupling, np.float64) @ (np.tanh(2.5 * state.activity + 0.1) * reset) - state.activity
    )
    expected = published.gated_flow_level(VALUES, form, state, pull)
    np.testing.assert_allclose(level(flow, state), expected, rtol=1e-10)


def signed(flow):
    """Couplings of one absolute value, whose rows and columns all have the same energy."""
    size = UNITS**-0.5

    def square(leaf):
        return jnp.where(leaf > 0, size, -size) if leaf.shape == (UNITS, UNITS) else leaf

    return jax.tree.map(square, flow)


def test_independent_reset_gates_have_the_boundary_of_mean_field_theory():
    """All values of r for every unit: r is then independent of the rest exactly."""
    rng = np.random.default_rng(0)
    h, z, r = rng.normal(size=30), rng.normal(size=30), rng.normal(size=11)
    form = GatedForm(2.0, 2.0, 3.0, reset_time=2.0)

    def repeated(values):
        return np.repeat(values, len(r))

    state = GatedState(repeated(h), repeated(z), np.tile(r, 30))
    pull = repeated(rng.normal(size=30))
    joint = published.gated_flow_level(VALUES, form, state, pull)
    mean = published.gated_flow_mean_field_level(VALUES, form, state, pull)
    assert ((joint > 1) == (mean > 1)).all()
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if published.gated_flow_level(middle, form, state, pull) > 1 else (low, middle)
        )
    np.testing.assert_allclose(published.gated_flow_mean_field_level(low, form, state, pull), 1.0, atol=1e-9)


def test_an_ungated_network_obeys_the_circular_law():
    cell = random_cell(Elman, UNITS, (1.8,), signs=True)
    h = np.asarray(random_state(cell))
    after = np.tanh(weights(cell, "state_weight") @ h)
    expected = 1.8**2 * np.mean(np.square(1 - after**2)) / np.abs(VALUES) ** 2
    np.testing.assert_allclose(level(cell, h), expected, rtol=1e-10)
