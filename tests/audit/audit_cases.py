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


def tanh_classifier(channels=2, states=4, classes=3):
    """A small recurrent classifier with random weights."""
    first, second = jax.random.split(KEY)
    cell = Elman(channels, states, key=first)
    return LastStateLogits(cell, eqx.nn.Linear(states, classes, key=second))
