"""Classifiers and cells with closed forms, shared by the tests of the audit room."""

import equinox as eqx
import jax
import jax.numpy as jnp

from attractor.audit import LastStateLogits
from attractor.cells import Elman

KEY = jax.random.key(0)


class Weighted(eqx.Module):
    """Logits are W' of all valid samples, weight (classes, time, channels): linear, so all is known."""

    weight: jax.Array

    def __call__(self, inputs, length):
        valid = (jnp.arange(len(inputs)) < length)[:, None]
        return jnp.sum(self.weight * jnp.where(valid, inputs, 0.0), axis=(1, 2))


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


def tanh_classifier(channels=2, states=4, classes=3):
    """A small recurrent classifier with random weights."""
    first, second = jax.random.split(KEY)
    cell = Elman(channels, states, key=first)
    return LastStateLogits(cell, eqx.nn.Linear(states, classes, key=second))
