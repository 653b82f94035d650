"""Maps whose fixed points are known, shared by the tests of fixed points."""

import equinox as eqx
import jax.numpy as jnp


class Map(eqx.Module):
    """state' = function(state, input)."""

    function: object = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True, default=1)
    step: float | None = eqx.field(static=True, default=None)

    def __call__(self, input, state, *, key=None):
        return self.function(state, input)


def lorenz(state, input):
    """A Runge-Kutta step of Lorenz 1963 at the usual parameters."""

    def flow(state):
        x, y, z = state
        return jnp.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    first = flow(state)
    second = flow(state + 0.005 * first)
    third = flow(state + 0.005 * second)
    return state + 0.01 / 6 * (first + 2 * second + 2 * third + flow(state + 0.01 * third))


def wells(state, input):
    """A double well in every coordinate, tilted by the input: x' = x + (x - x^3 + u) / 10."""
    return state + 0.1 * (state - state**3 + input)
