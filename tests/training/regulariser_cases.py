"""Problems that the tests of the regulariser share, in the type that JAX has where they are built."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_cells import Counting

from attractor.cells import GRU, LSTM, Lipschitz, LipschitzForm, Stack, StateNoise, exposed_size
from attractor.training import NoisyState
from attractor.training.regulariser import NoiseProblem

KEY = jax.random.key(0)
STEPS = 3
MIXED = StateNoise(0.3, 0.5)
FORM = LipschitzForm(scale=6.0)


def signal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


class CrossEntropy(eqx.Module):
    """Of class 1 under a linear read-out into three classes."""

    weight: jax.Array

    def __call__(self, seen):
        return -jax.nn.log_softmax(self.weight @ seen)[1]


def problem(cell, noise=None, steps=STEPS):
    """Cross-entropy at the end of a random sequence."""
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, float) if eqx.is_inexact_array(leaf) else leaf, cell)
    return NoiseProblem(
        cell, signal(steps, 2), CrossEntropy(2 * signal(3, exposed_size(cell), seed=1)), noise
    )


def often(name):
    """A test with a problem, with all but the first of them only now and then."""
    return pytest.param(name, marks=[] if name == "gru" else pytest.mark.slow)


PROBLEMS = {
    "gru": lambda: problem(GRU(2, 3, key=KEY), MIXED),
    "lstm, common noise": lambda: problem(LSTM(2, 2, key=KEY), StateNoise(0.3, 0.5, "common")),
    "own, noise from a function": lambda: problem(
        Counting(0.5), lambda u, old, new: jax.tree.map(lambda h: 0.2 + jnp.sin(u[0] * h), moving(old))
    ),
    "wrapped stack": lambda: problem(
        NoisyState(Stack((GRU(2, 2, key=KEY), LSTM(2, 2, key=KEY))), MIXED, factor=0.5, learned=True)
    ),
    "lipschitz": lambda: problem(Lipschitz(2, 3, step=0.3, form=FORM, noise=MIXED, key=KEY)),
    "lipschitz, official noise": lambda: problem(
        Lipschitz(2, 3, step=0.3, form=FORM, noise=StateNoise(0.3, 0.9, "official"), key=KEY)
    ),
}


def moving(state):
    return eqx.filter(state, eqx.is_inexact_array)


class Linear(eqx.Module):
    """h' = A h + B u."""

    matrix: jax.Array
    input_weight: jax.Array

    def __call__(self, input, state, *, key=None):
        return self.matrix @ state + self.input_weight @ input

    def initial_state(self):
        return jnp.full(len(self.matrix), 0.5, self.matrix.dtype)
