"""A step cut open at its products, put together again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from spectra_cases import Interleaved, Leaky, TwoLayer, random_state, reassembled

from attractor.cells import GRU, LSTM, Elman, GatedFlow, ResetAfterGRU, Stack, gated_rate
from attractor.dynamics.jacobians import jacobian, point
from attractor.errors import UnsupportedError
from attractor.theory.random_matrices.local_maps import local_maps

KEY = jax.random.key(0)
BUILDERS = [
    *(GRU, LSTM, TwoLayer, Interleaved),
    *(pytest.param(build, marks=pytest.mark.slow) for build in (ResetAfterGRU, GatedFlow, gated_rate, Leaky)),
    *(pytest.param(build, marks=pytest.mark.slow) for build in (eqx.nn.GRUCell, eqx.nn.LSTMCell)),
]


def both(cell, seed=0):
    with jax.enable_x64(True):
        place = point(cell, random_state(cell, seed), np.ones(cell.input_size))
        return local_maps(place), jacobian(place)


@pytest.mark.parametrize("build", BUILDERS)
def test_the_parts_make_the_jacobian(build):
    units = 5
    maps, expected = both(build(2, units, key=KEY))
    states = maps.units[0].own.shape[1]
    found = reassembled(maps)[: units * states, : units * states]
    order = np.arange(units * states).reshape(states, units).T.ravel()  # unit after unit
    np.testing.assert_allclose(found, expected[np.ix_(order, order)], atol=1e-12)


@pytest.mark.slow
def test_a_stack_has_units_of_two_kinds():
    maps, expected = both(Stack((Elman(2, 5, key=KEY), GRU(5, 3, key=KEY))))
    assert [unit.own.shape for unit in maps.units] == [(5, 1, 1), (3, 1, 1)]
    np.testing.assert_allclose(reassembled(maps), expected, atol=1e-12)


def test_the_reset_gate_of_a_gru_leads_from_one_product_to_the_next():
    units = both(GRU(2, 5, key=KEY))[0].units[0]
    assert units.passed.shape == (5, 2, 3)
    assert np.count_nonzero(units.passed) == 5
    assert both(ResetAfterGRU(2, 5, key=KEY))[0].units[0].passed.shape == (5, 1, 3)


class Attention(Elman):
    def __call__(self, input, state, *, key=None):
        return jnp.tanh(self.state_weight @ state) * jnp.vdot(state, state)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (TwoLayer(1, 12, key=KEY, centred=True), "links 12 entries of the state"),
        (Attention(1, 4, key=KEY), r"a fixed matrix and a vector.*test_spectra_local_maps.py"),
    ],
)
def test_a_step_that_cannot_be_cut_says_why(cell, words):
    with pytest.raises(UnsupportedError, match=words):
        both(cell)
