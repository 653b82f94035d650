"""Dry run of a monitor of gradients: per step, the norm of the gradient and the part of each weight in it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

from attractor.training import RunLog, Task, TrainingSettings, train

SETTINGS = TrainingSettings(steps=7, validate_every=3, learning_rate=0.1, seeds=2)


class Watched(Task):
    """A line through rows of numbers."""

    inputs: jax.Array
    answers: jax.Array

    def initial(self, key):
        return jax.random.normal(key, (2,))

    def losses(self, model, batch, context):
        return (self.inputs @ model - self.answers) ** 2

    def validation(self, model):
        return self.losses(model, None, None).mean()

    def observe(self, model, gradient, step):
        return {"norm": optax.tree.norm(gradient), "squares": gradient**2, "step": step}


def test_the_gradients_of_every_step_are_in_the_history_and_in_the_log(tmp_path):
    rows = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    task = Watched(jnp.asarray(rows), jnp.asarray(rows @ np.array([1.0, -2.0], np.float32)))
    trained = train(task, SETTINGS, 0, RunLog(tmp_path, "watched"))
    seen = [entry["observed"] for entry in trained.history]
    assert [one["step"] for one in seen] == [[[0, 1, 2]] * 2, [[3, 4, 5]] * 2, [[6]] * 2]
    for replica in range(2):
        first = jax.grad(lambda model: task.losses(model, None, None).mean())(trained.initial[replica])
        np.testing.assert_allclose(seen[0]["norm"][replica][0], np.linalg.norm(first), rtol=1e-5)
        np.testing.assert_allclose(seen[0]["squares"][replica][0], first**2, rtol=1e-4)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == trained.history
    assert train(task, SETTINGS, 0, RunLog(tmp_path, "watched")).history == trained.history
