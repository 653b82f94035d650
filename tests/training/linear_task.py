"""A linear regression as a task: its optimum is known in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor.training import Task

ROWS = 64
BATCH = 8
TRUTH = np.array([1.5, -2.0], np.float32)


class Line(eqx.Module):
    """y = w . x."""

    weight: jax.Array


class LinearTask(Task):
    """Examples are rows; `validation` is the error against `target`, which a test may move elsewhere."""

    inputs: jax.Array
    answers: jax.Array
    target: jax.Array

    def initial(self, key):
        return Line(jax.random.normal(key, (2,)))

    def rows(self, key):
        return jax.random.randint(key, (BATCH,), 0, len(self.inputs))

    def draw(self, context):
        return self.rows(context.key)

    def losses(self, model, rows, context):
        return (self.inputs[rows] @ model.weight - self.answers[rows]) ** 2

    def validation(self, model):
        return jnp.sqrt(jnp.sum((model.weight - self.target) ** 2))

    def describe(self, rows, context, example):
        return f"row {int(rows[example])}"


def linear_task(target=TRUTH):
    inputs = np.random.default_rng(0).normal(size=(ROWS, 2)).astype(np.float32)
    return LinearTask(jnp.asarray(inputs), jnp.asarray(inputs @ TRUTH), jnp.asarray(target))
