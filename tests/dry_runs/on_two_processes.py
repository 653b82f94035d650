"""Run by test_two_processes.py: `main(FOLDER)` alone; as a script, FOLDER PORT PROCESS, as one of two."""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attractor
from attractor.cells import Elman
from attractor.training import (
    EpochTask,
    ExampleLosses,
    Examples,
    NoisyState,
    RunLog,
    Task,
    TrainingSettings,
    train,
)

SETTINGS = TrainingSettings(steps=12, validate_every=4, learning_rate=0.05, batch_size=8)


def of(cell, inputs, keys):
    """The last state of every sequence."""
    return jax.vmap(lambda u, key: attractor.unroll(cell, u, key=key).last)(inputs, keys)


class Remembered(Examples):
    """Sequences whose states are to be their answers, with noise; it counts how often each was met."""

    inputs: jax.Array
    answers: jax.Array

    @property
    def size(self):
        return len(self.inputs)

    def initial(self, key):
        return NoisyState(Elman(2, 4, key=key), 0.1)

    def start_memory(self):
        return jnp.zeros(self.size, jnp.int32)

    def losses_of(self, model, ids, context):
        states = of(model, self.inputs[ids], context.keys(len(ids)))
        losses = jnp.mean((states - self.answers[ids]) ** 2, axis=1)
        return ExampleLosses(losses, losses, context.memory + 1)

    def scores_of(self, model, ids):
        return jnp.mean((of(model.cell, self.inputs[ids], None) - self.answers[ids]) ** 2, axis=1)

    def validation(self, model):
        return self.scores_of(model, jnp.arange(self.size)).mean()


class Streamed(Task):
    """The same sequences from an iterator, judged on the host."""

    inputs: jax.Array
    answers: jax.Array
    validation_on_host = True

    def initial(self, key):
        return Elman(2, 4, key=key)

    def batches(self, seed):
        return Rows(np.asarray(self.inputs), np.asarray(self.answers))

    def losses(self, model, batch, context):
        inputs, answers = batch
        return jnp.mean((of(model, inputs, None) - answers) ** 2, axis=1)

    def validation(self, model):
        return float(self.losses(model, (self.inputs, self.answers), None).mean())


class Rows:
    def __init__(self, *arrays):
        self.arrays, self.at = arrays, 0

    def __next__(self):
        rows = np.arange(8 * self.at, 8 * self.at + 8) % len(self.arrays[0])
        self.at += 1
        return tuple(array[rows] for array in self.arrays)

    def get_state(self):
        return str(self.at).encode()

    def set_state(self, state):
        self.at = int(state)


def curve(trained):
    return [entry["loss"] + entry["validation"] for entry in trained.history]


def main(folder, *place):
    if place:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{place[0]}", num_processes=2, process_id=int(place[1]))
    draw = np.random.default_rng(0)
    data = jnp.asarray(draw.normal(size=(32, 5, 2))), jnp.asarray(draw.normal(size=(32, 4)))
    found = {}
    for name, task in (
        ("epochs", EpochTask(Remembered(*data), batch_size=8, epochs=3)),
        ("stream", Streamed(*data)),
    ):
        log = RunLog(Path(folder) / name, name)
        with log.locked():
            trained = train(task, SETTINGS, 0, log)
            again = train(task, SETTINGS, 0, log)  # all processes read the checkpoint of the first
        assert curve(again) == curve(trained)
        assert eqx.tree_equal(again.models, trained.models)
        assert trained.devices == (2 if place else 1)
        assert (trained.memory is None) or int(trained.memory.examples.sum()) == 3 * 32
        found[name] = curve(trained)
        found[name + " weights"] = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trained.last)])
    np.savez(Path(folder) / f"{(place or ['', 'alone'])[1]}.npz", **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
