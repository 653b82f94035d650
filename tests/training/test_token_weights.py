"""Weights of tokens: every step of a sequence has a label of its own, some of them wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from labelled_points import epoch_settings

from attractor.training import EpochTask, ExampleLosses, Examples, Reweighting, StepContext, train
from attractor.training.spreading import batch_losses

EXAMPLES, TOKENS = 40, 5
RNG = np.random.default_rng(0)
INPUTS = np.concatenate([RNG.normal(size=(EXAMPLES, TOKENS, 2)), np.ones((EXAMPLES, TOKENS, 1))], axis=2)
TRUE = (INPUTS @ [2.0, -1.0, 0.3] > 0).astype(int)
VALID = np.arange(TOKENS) < RNG.integers(2, TOKENS + 1, size=EXAMPLES)[:, None]
WRONG = VALID & (RNG.random((EXAMPLES, TOKENS)) < 0.25)
LABELS = np.where(VALID, np.where(WRONG, 1 - TRUE, TRUE), -1)


class Tagging(Examples):
    """Logistic regression for every token; the losses behind the end of an example are huge."""

    inputs: jax.Array
    labels: jax.Array

    @property
    def size(self):
        return EXAMPLES

    def initial(self, key):
        return jax.random.normal(key, (3,))

    def scores_of(self, model, ids):
        labels = self.labels[ids]
        losses = jax.nn.softplus(-(2 * labels - 1) * (self.inputs[ids] @ model))
        return jnp.where(labels >= 0, losses, 1e9 * model[0])

    def losses_of(self, model, ids, context):
        losses = self.scores_of(model, ids)
        return ExampleLosses(losses, losses, context.memory)

    def validation(self, model):
        return jnp.sum(model**2)

    def describe_example(self, example):
        return f"sentence {example}"


def make(reweighting=None, **options):
    examples = Tagging(jnp.asarray(INPUTS, jnp.float32), jnp.asarray(LABELS))
    options = {"labels": LABELS, "batch_size": 8, "epochs": 12, **options}
    return EpochTask(examples, reweighting=reweighting, **options)


def weights_of(task):
    """Weights in the table of the labels, 0 where there is no token."""
    memory = jax.tree.map(lambda leaf: np.asarray(leaf[0]), train(task, epoch_settings(task)).memory)
    table = np.zeros(LABELS.shape)
    table[VALID] = np.exp(memory.weights.log_weights.astype(float))
    assert memory.scores.shape == (task.epochs, VALID.sum())
    return table


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["batch", "importance"])
def test_equal_weights_minimise_the_mean_over_the_tokens_of_the_batch(batch):
    for reweighting in (None, Reweighting(strength=0.0, batch=batch)):
        task, model = make(reweighting), jnp.asarray([0.3, -0.2, 0.1])
        memory = task.start_memory(jax.random.key(0))
        context = StepContext(memory, jax.random.key(1), jnp.asarray(0))
        losses, _ = batch_losses(task, model, task.draw(context), context)
        ids = np.asarray(memory.order)[:8]
        expected = np.asarray(task.examples.scores_of(model, ids))[VALID[ids]].mean()
        np.testing.assert_allclose(losses.mean(), expected, rtol=1e-5)


@pytest.mark.parametrize("batch", ["batch", pytest.param("importance", marks=pytest.mark.slow)])
def test_wrong_tokens_fade_and_their_sentences_stay(batch):
    weights = weights_of(make(Reweighting(strength=1.0, batch=batch, floor=0.0)))
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert weights[WRONG].sum() < 0.3 * WRONG.sum() / VALID.sum()
    touched = WRONG.any(axis=1)
    right = weights[touched][(VALID & ~WRONG)[touched]]
    assert right.mean() > 1 / VALID.sum()


@pytest.mark.slow
def test_the_automatic_strength_finds_wrong_tokens():
    weights = weights_of(make(Reweighting(), epochs=40))
    assert weights[WRONG].sum() < 0.5 * WRONG.sum() / VALID.sum()


def test_groups_of_examples_hold_for_their_tokens():
    groups = np.arange(EXAMPLES) // 2
    weights = weights_of(make(Reweighting(strength=1.0), groups=groups))
    for pair in range(EXAMPLES // 2):
        mine = weights[groups == pair][VALID[groups == pair]]
        np.testing.assert_allclose(mine, mine[0], rtol=1e-5)
