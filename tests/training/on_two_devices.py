"""Run by test_spreading.py in a process of its own, because the number of devices is set once a process."""

import sys
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from labelled_points import epoch_settings, points
from linear_task import linear_task

import attractor
from attractor.cells import Elman
from attractor.errors import ShapeError
from attractor.training import EpochTask, NoisyState, Reweighting, Task, TrainingSettings, spreading, train
from attractor.training.epoch_task import CoTeaching

SETTINGS = TrainingSettings(steps=6, validate_every=3, learning_rate=0.05, seeds=2)


class Noisy(Task):
    """Random sequences with noise in the state, whose last state is to be their answer."""

    inputs: jax.Array
    answers: jax.Array
    batch: int = eqx.field(static=True, default=8)

    def initial(self, key):
        return NoisyState(Elman(2, 4, key=key), 0.1)

    def draw(self, context):
        rows = jax.random.randint(context.key, (self.batch,), 0, len(self.inputs))
        return self.inputs[rows], self.answers[rows]

    def losses(self, model, batch, context):
        def loss(inputs, answer, key):
            return jnp.mean((attractor.unroll(model, inputs, key=key).last - answer) ** 2)

        return jax.vmap(loss)(*batch, context.keys(len(batch[0])))

    def validation(self, model):
        return jnp.mean(model.cell.recurrent_weight**2) if hasattr(model.cell, "recurrent_weight") else 0.0

    def observe(self, model, gradient, step):
        return {"norm": sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient))}


def noisy(batch=8):
    draw = np.random.default_rng(0)
    return Noisy(jnp.asarray(draw.normal(size=(32, 5, 2))), jnp.asarray(draw.normal(size=(32, 4))), batch)


def close(one, other):
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        if eqx.is_array(left):
            # Float32; sums over the batch are made in two parts.
            np.testing.assert_allclose(left, right, rtol=2e-4, atol=2e-5)


@cache
def alone():
    return train(noisy(), SETTINGS)


def check_two_devices_train_like_one():
    both = train(noisy(), SETTINGS, devices=jax.devices())
    assert (alone().devices, both.devices) == (1, 2)
    close((alone().last, alone().models, alone().initial), (both.last, both.models, both.initial))
    assert [entry["devices"] for entry in both.history] == [2, 2]
    close([entry["observed"] for entry in alone().history], [entry["observed"] for entry in both.history])
    held = {
        device for leaf in jax.tree.leaves(eqx.filter(both.last, eqx.is_array)) for device in leaf.devices()
    }
    assert held == {jax.devices()[0]}, "what comes back is on one device"


def check_the_second_device_alone():
    found = train(noisy(), SETTINGS, devices=jax.devices()[1:])
    close(alone().last, found.last)


def check_what_couples_the_examples_of_a_batch():
    """Weights of examples and two models that choose for each other, with a memory for each example."""
    for examples in (points(), CoTeaching(points(), wrong=0.25)):
        task = EpochTask(examples, batch_size=20, epochs=4, reweighting=Reweighting(strength=0.5))
        one, both = (train(task, epoch_settings(task), devices=devices) for devices in (None, jax.devices()))
        assert both.devices == 2
        close((one.last, one.memory), (both.last, both.memory))


def check_a_batch_that_cannot_be_shared():
    with pytest.raises(ShapeError, match="a batch of 7 examples cannot be shared evenly by 2 devices"):
        train(noisy(7), SETTINGS, devices=jax.devices())


def check_small_work_stays_on_one_device_and_large_work_does_not():
    task = noisy()
    model, context = task.initial(jax.random.key(0)), task_context()
    work = spreading.multiplications(task, model, task.draw(context), context)
    assert work >= 8 * 5 * (2 * 4 + 4 * 4), "a product with the input and one with the state"
    assert spreading.choose_mesh(task, model, context, None, 10**9) is None
    spreading.WORTH_COMPILING = 50 * work  # what the second device takes off the first in 100 steps
    for share, steps, devices in ((work, 100, 1), (work // 2, 100, 2), (1, 100, 2), (1, 99, 1)):
        spreading.WORTH_A_DEVICE = share
        mesh = spreading.choose_mesh(task, model, context, None, steps)
        assert (1 if mesh is None else mesh.size) == devices
    assert spreading.choose_mesh(noisy(7), model, context, None, 100) is None
    line = linear_task()  # whose training is compiled in less time
    work = spreading.multiplications(line, line.initial(jax.random.key(0)), line.draw(context), context)
    spreading.WORTH_COMPILING = 50 * work
    assert train(line, SETTINGS).devices == 1, "six steps do not pay for a program of two devices"
    spreading.WORTH_COMPILING = 0
    said = train(line, SETTINGS, devices=None)
    assert said.devices == 2


def task_context():
    return spreading.StepContext(None, jax.random.key(1), jnp.zeros((), jnp.int32))


if __name__ == "__main__":
    spreading.use_all_cores()
    jax.config.update("jax_num_cpu_devices", 2)  # on a machine with any number of cores
    assert len(jax.devices()) == 2
    spreading.use_all_cores()  # too late, and no error
    check_two_devices_train_like_one()
    check_the_second_device_alone()
    check_what_couples_the_examples_of_a_batch()
    check_a_batch_that_cannot_be_shared()
    check_small_work_stays_on_one_device_and_large_work_does_not()
    sys.stdout.write("two devices: fine")
