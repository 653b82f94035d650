"""A small learning problem with wrong labels: which side of a line a point is on."""

import jax
import jax.numpy as jnp
import numpy as np

from attractor.training import ExampleLosses, Examples, TrainingSettings

POINTS = 60
WRONG = 15


class Points(Examples):
    """Logistic regression; the examples 0 to WRONG - 1 have wrong labels."""

    inputs: jax.Array
    signs: jax.Array

    @property
    def size(self):
        return len(self.signs)

    def initial(self, key):
        return jax.random.normal(key, (3,))

    def start_memory(self):
        return jnp.zeros(self.size, jnp.int32)

    def _losses(self, model, ids):
        return jax.nn.softplus(-self.signs[ids] * (self.inputs[ids] @ model))

    def losses_of(self, model, ids, context):
        losses = self._losses(model, ids)
        return ExampleLosses(losses, losses, context.memory + 1)

    def scores_of(self, model, ids):
        return self._losses(model, ids)

    def validation(self, model):
        return jnp.sum(model**2)

    def describe_example(self, example):
        return f"point {example}"


def points(seed=0):
    rng = np.random.default_rng(seed)
    inputs = np.concatenate([rng.normal(size=(POINTS, 2)), np.ones((POINTS, 1))], axis=1)
    signs = np.where(inputs @ [2.0, -1.0, 0.3] > 0, 1.0, -1.0)
    signs[:WRONG] *= -1
    return Points(jnp.asarray(inputs, jnp.float32), jnp.asarray(signs, jnp.float32))


def epoch_settings(task, **options):
    return TrainingSettings(
        steps=task.epochs * task.steps_per_epoch,
        batch_size=task.batch_size,
        validate_every=task.steps_per_epoch,
        **{"learning_rate": 0.1, **options},
    )
