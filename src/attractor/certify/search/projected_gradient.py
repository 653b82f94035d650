"""Projected gradient descent: the lowest value of an objective within a ball around an array.

Goodfellow, Shlens and Szegedy 2015, arXiv 1412.6572; Madry et al. 2018, arXiv 1706.06083. What it finds is an
upper bound of the lowest value: a stronger search may find less.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

# `objective(inputs) -> (what the steps follow downhill, what shall be low)`; often the same.
Objective = Callable[[Float[Array, "*shape"]], tuple[Float[Array, ""], Float[Array, ""]]]


class Ball(NamedTuple):
    """Inputs whose change lies between `low` and `high` and within `epsilon` in a norm.

    Args:
        inputs: the middle.
        free: which entries may change.
        low: least change of every entry, at most 0.
        high: largest change.
        epsilon: radius.
        norm: "linf" or "l2".
    """

    inputs: Float[Array, "*shape"]
    free: Bool[Array, "*shape"]
    low: Float[Array, "*shape"]
    high: Float[Array, "*shape"]
    epsilon: Float[Array, ""]
    norm: str

    def project(self, change: Array) -> Array:
        """The change inside the ball and the range; shrinking to the range never leaves the ball."""
        change = jnp.where(self.free, change, 0.0)
        if self.norm == "linf":
            change = jnp.clip(change, -self.epsilon, self.epsilon)
        else:
            change = change * jnp.minimum(1.0, self.epsilon * _inverse_norm(change))
        return jnp.clip(change, self.low, self.high)

    def direction(self, gradient: Array) -> Array:
        """The steepest way up, of size one in the norm of the ball."""
        gradient = jnp.where(self.free, gradient, 0.0)
        return jnp.sign(gradient) if self.norm == "linf" else gradient * _inverse_norm(gradient)

    def random(self, key: PRNGKeyArray) -> Array:
        """A change drawn uniformly from the ball."""
        shape, dtype = self.inputs.shape, self.inputs.dtype
        if self.norm == "linf":
            return self.epsilon * jax.random.uniform(key, shape, dtype, -1.0, 1.0)
        first, second = jax.random.split(key)
        direction = self.direction(jax.random.normal(first, shape, dtype))
        dimension = jnp.maximum(jnp.sum(self.free), 1)
        return self.epsilon * jax.random.uniform(second, (), dtype) ** (1.0 / dimension) * direction


def _inverse_norm(values: Array) -> Array:
    size = jnp.linalg.norm(values)
    return jnp.where(size > 0, 1.0 / jnp.where(size > 0, size, 1.0), 0.0)


class Descent(NamedTuple):
    """How far to search.

    Args:
        steps: gradient steps of one start.
        restarts: how many starts.
        relative_step: size of a step, in units of epsilon / steps.
        random_start: start at a random point of the ball, not in the middle.
    """

    steps: int
    restarts: int
    relative_step: float | int
    random_start: bool


class Lowest(NamedTuple):
    """The lowest value so far, where it is, and whether all gradients so far were finite."""

    inputs: Array
    value: Array
    finite: Array

    def or_lower(self, inputs: Array, value: Array) -> "Lowest":
        """The lower of this and another point."""
        lower = value < self.value
        return Lowest(jnp.where(lower, inputs, self.inputs), jnp.where(lower, value, self.value), self.finite)


def lowest_in_ball(
    objective: Objective, ball: Ball, descent: Descent, key: PRNGKeyArray
) -> tuple[Lowest, Float[Array, ""]]:
    """The lowest value met in the middle and at every point on the way: never above that of the middle.

    Args:
        objective: differentiable.
        ball: where to look.
        descent: how far.
        key: of the random starts.

    Returns:
        The lowest point, and the value in the middle.
    """
    slope = jax.value_and_grad(objective, has_aux=True)
    size = descent.relative_step * ball.epsilon / descent.steps

    def step(carry: tuple[Array, Lowest], _: None) -> tuple[tuple[Array, Lowest], None]:
        change, lowest = carry
        inputs = ball.inputs + change
        (_, value), gradient = slope(inputs)
        finite = jnp.all(jnp.isfinite(jnp.where(ball.free, gradient, 0.0)))
        lowest = lowest.or_lower(inputs, value)._replace(finite=lowest.finite & finite)
        return (ball.project(change - size * ball.direction(gradient)), lowest), None

    def restart(lowest: Lowest, key: Array) -> tuple[Lowest, None]:
        start = ball.project(ball.random(key)) if descent.random_start else jnp.zeros_like(ball.inputs)
        (change, lowest), _ = jax.lax.scan(step, (start, lowest), None, descent.steps)
        inputs = ball.inputs + change
        return lowest.or_lower(inputs, objective(inputs)[1]), None

    middle = objective(ball.inputs)[1]
    start = Lowest(ball.inputs, middle, jnp.array(True))
    lowest, _ = jax.lax.scan(restart, start, jax.random.split(key, descent.restarts))
    return lowest, middle
