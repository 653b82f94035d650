"""Dry run of a translation: sentences of two lengths from an iterator, judged by plain Python as BLEU is."""

import equinox as eqx
import jax
import numpy as np
import optax
import pytest

import attractor
from attractor.cells import GRU
from attractor.progress import SilentReporter
from attractor.training import RunLog, Task, TrainingSettings, train

WORDS = 5
SETTINGS = TrainingSettings(steps=30, validate_every=5, learning_rate=0.05, seeds=2)
SHAPES = set()


class Sentences:
    """Eight sentences of four words, eight of six, and so on; a word is translated by the next one."""

    def __init__(self, seed):
        self.seed, self.count = seed, 0

    def __next__(self):
        self.count += 1
        draw = np.random.default_rng((self.seed, self.count))
        source = draw.integers(WORDS, size=(8, 4 if self.count % 2 else 6))
        return {"source": source, "target": (source + 1) % WORDS}

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]


class Translator(eqx.Module):
    cell: GRU
    readout: eqx.nn.Linear

    def __call__(self, source):
        states = attractor.unroll(self.cell, jax.nn.one_hot(source, WORDS)).states
        return jax.vmap(self.readout)(states)


@eqx.filter_jit
def translate(model, source):
    return jax.vmap(model)(source)


class Translation(Task):
    validation_on_host = True

    def initial(self, key):
        first, second = jax.random.split(key)
        return Translator(GRU(WORDS, 8, key=first), eqx.nn.Linear(8, WORDS, key=second))

    def batches(self, seed):
        return Sentences(seed)

    def losses(self, model, batch, context):
        SHAPES.add(batch["source"].shape)
        logits = jax.vmap(model)(batch["source"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["target"]).mean(axis=1)

    def validation(self, model):
        test = next(Sentences(99))
        found = np.asarray(translate(model, test["source"])).argmax(axis=-1)
        right = [list(one) == list(two) for one, two in zip(found, test["target"], strict=True)]
        return 1.0 - sum(right) / len(right)


class Killed(SilentReporter):
    def update(self, done, total, message=""):
        if done == 15:
            raise KeyboardInterrupt


def test_it_learns_and_a_killed_training_ends_in_the_same_bits(tmp_path):
    whole = train(Translation(), SETTINGS, seed=3)
    assert whole.scores.max() < 0.5
    assert SHAPES == {(8, 4), (8, 6)}
    with pytest.raises(KeyboardInterrupt):
        train(Translation(), SETTINGS, 3, RunLog(tmp_path, "translation", Killed()))
    resumed = train(Translation(), SETTINGS, 3, RunLog(tmp_path, "translation"))
    assert eqx.tree_equal((whole.last, whole.models), (resumed.last, resumed.models))
    losses, again = ([entry["loss"] for entry in one.history] for one in (whole, resumed))
    assert losses == again
