"""Steps that use more of JAX than the built-in cells do: each equals its loop in Python, gradients too."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import signal

from attractor.cells import Cell
from attractor.scan import unroll

UNITS = 3


class Unusual(Cell):
    """A user's cell whose step is a function of itself, input and state."""

    weight: jax.Array
    input_weight: jax.Array
    step: object = eqx.field(static=True)
    start: object = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, step, start):
        draw = np.random.default_rng(1)
        self.weight = jnp.asarray(0.5 * draw.normal(size=(UNITS, UNITS)))
        self.input_weight = jnp.asarray(draw.normal(size=(UNITS, 2)))
        self.step, self.start, self.input_size, self.hidden_size = step, start, 2, UNITS

    def __call__(self, input, state, *, key=None):
        return self.step(self.weight, self.input_weight @ input, state)

    def initial_state(self):
        return self.start()


@jax.custom_vjp
def sine(angle):
    """Its gradient is doubled, so that losing the rule is seen."""
    return jnp.sin(angle)


sine.defvjp(lambda angle: (jnp.sin(angle), angle), lambda angle, pulled: (2 * pulled * jnp.cos(angle),))


def branch(w, u, s):
    return jax.lax.cond(s.sum() > 0, lambda s: jnp.tanh(w @ s + u), lambda s: 0.5 * s + u, s)


def linear_recurrent_unit(w, u, s):
    return jnp.exp(-0.3 + 1j * w[0]) * s + (1 + 0.5j) * u


def unitary(w, u, s):
    return 0.9 * jnp.fft.fft(jnp.exp(1j * w[0]) * jnp.fft.ifft(s)) + (w + 1j * w.T) @ u


def implicit(w, u, s):
    return jnp.linalg.solve(3 * jnp.eye(UNITS) + w @ w.T, s + u)


def iterated(w, u, s):
    return jax.lax.fori_loop(0, 3, lambda _, h: jnp.tanh(w @ h + u), s)


def carries_its_key(w, u, s):
    key, now = jax.random.split(s[1])
    return jnp.tanh(w @ s[0] + u + 0.1 * jax.random.normal(now, (UNITS,))), key


def zeros():
    return jnp.zeros(UNITS)


def complex_zeros():
    return jnp.zeros(UNITS, complex)


CELLS = {
    "branch": Unusual(branch, zeros),
    "linear recurrent unit": Unusual(linear_recurrent_unit, complex_zeros),
    "unitary": Unusual(unitary, complex_zeros),
    "implicit": Unusual(implicit, zeros),
    "iterated": Unusual(iterated, zeros),
    "own gradient": Unusual(lambda w, u, s: sine(w @ s + u), zeros),
    "key in the state": Unusual(carries_its_key, lambda: (zeros(), jax.random.key(3))),
}


def by_hand(cell, inputs):
    state, states = cell.initial_state(), []
    for given in inputs:
        state = cell(given, state)
        states.append(state)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def seen(states):
    """A number that every real and complex value of the states has a part in."""
    leaves = [leaf for leaf in jax.tree.leaves(states) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return sum(jnp.sum(jnp.cos(leaf.real) + jnp.sin(leaf.imag)) for leaf in leaves)


@pytest.mark.parametrize("name", CELLS)
def test_values_and_gradients_are_those_of_the_python_loop(name):
    inputs = signal(5, 2)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def by_unroll(both):
        return seen(unroll(*both).states)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def by_loop(both):
        return seen(by_hand(*both))

    found, expected = by_unroll((CELLS[name], inputs)), by_loop((CELLS[name], inputs))
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        # float32 over five steps, added in another order: about a hundred roundings of 1e-7
        np.testing.assert_allclose(left, right, rtol=2e-5, atol=2e-5)
