"""Cells that every export has to know: all built-in ones and two of a user's."""

import equinox as eqx
import jax
import jax.numpy as jnp

import attractor
from attractor.cells import FAMILIES, GRU, LSTM, Stack


class Leaky(attractor.Cell):
    weight: jax.Array
    decay: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = jax.random.normal(key, (hidden_size, input_size + hidden_size)) / hidden_size**0.5
        self.decay = jnp.linspace(-1.0, 3.0, hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        keep = jax.nn.sigmoid(self.decay)
        return keep * state + (1 - keep) * jnp.tanh(self.weight @ jnp.concatenate([input, state]))


class Unusual(attractor.Cell):
    """A state of a grid, a counter and a flag; choices, reshapes, cumulative sums, indexed writes."""

    weight: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = jax.random.normal(key, (hidden_size, hidden_size + input_size))
        self.input_size, self.hidden_size = input_size, hidden_size

    def initial_state(self):
        grid = jnp.full((2, self.hidden_size // 2), 0.1, self.weight.dtype)
        return {"count": jnp.array(3), "flag": jnp.array(True), "grid": grid}

    def exposed(self, state):
        return state["grid"].ravel()

    def __call__(self, input, state, *, key=None):
        flat = state["grid"].reshape(-1)
        drive = self.weight @ jnp.concatenate([flat, input])
        drive = jnp.where(drive > 0, jax.nn.softplus(drive), jax.nn.elu(drive)) * jax.nn.softmax(flat)
        drive = drive.at[0].set(jnp.clip(drive[1], -0.2, 0.3)) + 0.1 * jnp.cumsum(flat)[::-1]
        drive = drive + jnp.pad(flat[1:-1], 1) + jnp.roll(flat, 1) * jax.nn.gelu(flat)
        new = jnp.tanh(drive) + 0.1 * flat.max() - 0.1 * jnp.linalg.norm(flat) ** 3 / (1 + flat.var())
        grid = (new + jnp.outer(flat, input).sum(1)).reshape(state["grid"].shape)
        mixed = jnp.einsum("ij,ik->jk", grid, grid)[:2] * jnp.where(state["flag"], 1.0, 2.0)
        return {
            "count": state["count"] + (input.sum() > 0).astype(state["count"].dtype),
            "flag": jnp.logical_and(jnp.any(flat > 0), input[0] < 0.5),
            "grid": 0.5 * jnp.tanh(grid + 0.1 * mixed),
        }


BUILDS = dict(FAMILIES) | {
    "equinox-gru": eqx.nn.GRUCell,
    "equinox-lstm": eqx.nn.LSTMCell,
    "leaky": Leaky,
    "unusual": Unusual,
    "stack": lambda inputs, size, *, key: Stack((GRU(inputs, size, key=key), LSTM(size, 3, key=key))),
}


def build(name):
    return BUILDS[name](2, 4, key=jax.random.key(1))
