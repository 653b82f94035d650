"""A cell written as one function, and the comparison of its bounds with dense samples."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from attractor.cells import Cell
from attractor.certify.domains import Box, step_bounds


class Written(Cell):
    """x' = update(u, x)."""

    update: Callable
    start: Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, update, states, inputs=1):
        self.update, self.start = update, jax.device_put(np.zeros(states))
        self.input_size, self.hidden_size = inputs, self.start.size

    def __call__(self, input, state, *, key=None):
        return self.update(input, state)

    def initial_state(self):
        return self.start


def step_of(cell):
    """The step as a function of one flat point (x, u)."""
    start, restore = ravel_pytree(cell.initial_state())

    def step(point):
        return ravel_pytree(cell(point[len(start) :], restore(point[: len(start)])))[0]

    return step


@eqx.filter_jit
def bounds_of_boxes(cell, lows, highs, weights):
    """Image, Jacobian and weighted row sums of many boxes."""
    states = len(weights)

    def one(low, high):
        found = step_bounds(cell, Box(low, high, states))
        return found.image, found.jacobian, found.row_sums(weights)

    return jax.vmap(one)(lows, highs)


@eqx.filter_jit
def samples_of_boxes(cell, points):
    """Values and Jacobians at points (boxes, samples, axes)."""
    step = step_of(cell)
    return jax.vmap(jax.vmap(lambda point: (step(point), jax.jacfwd(step)(point))))(points)


def random_boxes(axes, boxes, seed, widest=1.0):
    """Boxes of very different widths; one of them is a single point."""
    generator = np.random.default_rng(seed)
    middle = generator.uniform(-1, 1, (boxes, axes))
    half = widest * generator.uniform(0, 1, (boxes, axes)) * np.geomspace(1e-4, 1, boxes)[:, None]
    half[0] = 0.0
    return middle - half, middle + half


def excess(cell, lows, highs, samples=300, seed=0):
    """How far samples stick out of the bounds: rows of values, of Jacobians and of weighted row sums.

    The samples are computed in float64 as well, so an excess of some units is not an error of the bounds.
    """
    generator = np.random.default_rng(seed)
    shares = generator.uniform(0, 1, (len(lows), samples, lows.shape[1]))
    shares[:, ::3] = np.round(shares[:, ::3])
    points = lows[:, None] + shares * (highs - lows)[:, None]
    states = ravel_pytree(cell.initial_state())[0].size
    weights = generator.uniform(0.1, 1, states)
    image, jacobian, sums = jax.tree.map(
        np.asarray, bounds_of_boxes(cell, *map(jnp.asarray, (lows, highs, weights)))
    )
    values, slopes = map(np.asarray, samples_of_boxes(cell, jnp.asarray(points)))
    found = np.abs(slopes[..., :states]) @ weights
    return {
        "value": _outside(values, image.low, image.high),
        "jacobian": _outside(slopes, jacobian.low, jacobian.high).max(axis=-1),
        "row sum": _outside(found, np.full_like(sums, -np.inf), sums),
        "bounds": (image, jacobian, sums),
    }


def _outside(samples, low, high):
    """Largest relative excess of every row over all boxes and samples; NaN bounds count as infinite."""
    size = 1 + np.abs(samples)
    over = np.maximum(samples - high[:, None], low[:, None] - samples) / size
    return np.where(np.isnan(over), np.inf, over).max(axis=(0, 1))
