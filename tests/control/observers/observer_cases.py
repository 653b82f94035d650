"""Random models whose true state is known: the model itself is the plant."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor.cells import GRU, LSTM, EchoState, ResetAfterGRU
from attractor.control.model import from_network

KEY = jax.random.key(0)
SIZE = 3

_RECURRENT = {
    GRU: ("gate_weight", "candidate_weight"),
    ResetAfterGRU: ("state_weight",),
    LSTM: ("state_weight",),
    eqx.nn.GRUCell: ("weight_hh",),
    eqx.nn.LSTMCell: ("weight_hh",),
    EchoState: (),
}


def random_model(kind, seed, scale=0.3, inputs=2, outputs=1):
    """A model with uniform weights; `scale` is that of the recurrent ones."""
    draws = np.random.default_rng(seed)
    cell = kind(inputs, SIZE, key=jax.random.key(seed))
    names = [n for n in vars(cell) if eqx.is_array(getattr(cell, n))] if kind is not EchoState else []

    def drawn(name):
        factor = scale if name in _RECURRENT[kind] else 1.0
        return factor * draws.uniform(-1, 1, getattr(cell, name).shape)

    cell = eqx.tree_at(lambda one: [getattr(one, n) for n in names], cell, [drawn(n) for n in names])
    seen = SIZE + inputs if kind is EchoState else SIZE
    return from_network(cell, draws.uniform(-1, 1, (outputs, seen)), draws.uniform(-1, 1, outputs))


@eqx.filter_jit
def _run(model, state, inputs):
    def one(state, given):
        return model.step(state, given), (state, model.output(state))

    return jax.lax.scan(one, state, inputs)[1]


def simulate(model, state, inputs):
    """States x(0) to x(T - 1) and outputs of the model, NumPy."""
    with jax.enable_x64(True):
        states, outputs = _run(model, jnp.asarray(state, float), jnp.asarray(inputs, float))
        return np.asarray(states), np.asarray(outputs)


@eqx.filter_jit
def _pairs(model, update_map, first, second, inputs, noise):
    def one(true, estimate, given, disturbance):
        seen = model.output(true) + disturbance
        return model.step(true, given), update_map(estimate, given, seen)

    return jax.vmap(one)(first, second, inputs, noise)


def one_step_pairs(model, update_map, pairs, inputs, noise):
    """The next true and estimated states of many pairs."""
    with jax.enable_x64(True):
        arrays = [jnp.asarray(array, float) for array in (*pairs, inputs, noise)]
        return [np.asarray(array) for array in _pairs(model, update_map, *arrays)]
