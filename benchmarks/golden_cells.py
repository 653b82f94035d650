"""The cells whose outputs `benchmarks.golden` stores: one of every family, and some of users."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

import attractor
from attractor.cells import GatedForm, Stack, cell_class, discretise, gated_rate

# What is measured, whatever other families there are.
FAMILIES = (
    *("tanh", "gru", "gru-reset-after", "lstm", "esn", "nnarx", "state-space", "lipschitz", "mgrn"),
    *("channelwise-lstm", "lipschitz-gated", "antisymmetric", "gated-rate", "ren"),
)


class Leaky(attractor.Cell):
    """A cell of a user's own."""

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


class Lorenz(attractor.Flow):
    """The flow of Lorenz 1963, with an input on its first equation."""

    input_size: int = 1
    hidden_size: int = 3

    def vector_field(self, input, state):
        x, y, z = state
        return jnp.stack([10.0 * (y - x) + input[0], x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])


def stacked(inputs: int, size: int, *, key: jax.Array) -> Stack:
    """A GRU below an LSTM."""
    return Stack((cell_class("gru")(inputs, size, key=key), cell_class("lstm")(size, 3, key=key)))


OTHERS: dict[str, Callable[..., Any]] = {
    "equinox-gru": eqx.nn.GRUCell,
    "equinox-lstm": eqx.nn.LSTMCell,
    "leaky": Leaky,
    "unusual": Unusual,
    "stack": stacked,
}


def built(name: str, inputs: int = 1, size: int = 3, *, seed: int = 0, scale: float = 1.0) -> Any:
    """A cell, its weights drawn by a seed and multiplied."""
    cell = (OTHERS.get(name) or cell_class(name))(inputs, size, key=jax.random.key(seed))
    return jax.tree.map(lambda leaf: scale * leaf if eqx.is_inexact_array(leaf) else leaf, cell)


def henon() -> Any:
    """The map of Henon 1976."""
    start = jnp.array([0.1, 0.1])
    return attractor.cell(lambda u, x: jnp.stack([1 - 1.4 * x[0] ** 2 + x[1] + u[0], 0.3 * x[0]]), 1, start)


def sorting() -> Any:
    """A step that bounds know no rule for."""
    return attractor.cell(lambda u, x: 0.3 * jnp.sort(x) + u[0], 1, jnp.zeros(2))


def bistable() -> Any:
    """A GRU whose keep gate is shut, x' = tanh(2 x) unit by unit: two attractors at least."""
    bias = jnp.array([-20.0, -20.0, 20.0, 20.0, 0.0, 0.0])
    cell = built("gru", size=2, scale=0.0)
    return eqx.tree_at(lambda one: (one.candidate_weight, one.bias), cell, (2.0 * jnp.eye(2), bias))


def chaotic_flow() -> Any:
    """A step of the gated network in continuous time, at a gain beyond the onset of chaos."""
    return gated_rate(1, 8, form=GatedForm(gain=3.0), step=0.1, key=jax.random.key(0))


def lorenz() -> Any:
    """A step of the flow."""
    return discretise(Lorenz(), step=0.01)
