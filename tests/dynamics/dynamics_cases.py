"""Cells with closed forms, shared by tests of dynamics and of the audit."""

import equinox as eqx
import jax
import jax.numpy as jnp

from attractor.cells import Cell

KEY = jax.random.key(0)


class Linear(eqx.Module):
    """h' = h + d (A h + U u) + sqrt(d) s h z, with one z for all units where a key is given."""

    rate: jax.Array
    inputs: jax.Array
    step: float = eqx.field(static=True)
    noise: float = eqx.field(static=True, default=0.0)

    @property
    def hidden_size(self):
        return len(self.rate)

    @property
    def input_size(self):
        return self.inputs.shape[1]

    def __call__(self, input, state, *, key=None):
        moved = state + self.step * (self.rate @ state + self.inputs @ input)
        if key is None:
            return moved
        return moved + self.step**0.5 * self.noise * state * jax.random.normal(key, (), state.dtype)


def linear(rate, step=0.1, noise=0.0):
    rate = jnp.asarray(rate, jnp.float32)
    return Linear(rate, jnp.ones((len(rate), 1)), step, noise)


class Map(Cell):
    """state' = rule(state), whatever the input."""

    rule: object = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=0)

    def __call__(self, input, state, *, key=None):
        return self.rule(state)


class Listener:
    """Keeps what a reporter hears."""

    def __init__(self):
        self.heard, self.closed = [], 0

    def update(self, done, total, message=""):
        self.heard.append((done, total))

    def close(self):
        self.closed += 1
