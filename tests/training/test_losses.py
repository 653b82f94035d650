"""Losses of labels against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from attractor.errors import ConfigError
from attractor.training.losses import (
    LOSSES,
    CrossEntropy,
    EarlyLearning,
    GeneralisedCrossEntropy,
    SymmetricCrossEntropy,
    label_loss,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4)) * 3
LABELS = RNG.integers(0, 4, 6)
PROBABILITY = softmax(LOGITS, axis=1)
AT_LABEL = PROBABILITY[np.arange(6), LABELS]


def losses(loss, rows=None):
    with jax.enable_x64(True):
        values, rows = loss(jnp.asarray(LOGITS), jnp.asarray(LABELS), rows)
        return np.asarray(values), rows


def test_cross_entropy_with_and_without_smoothing():
    np.testing.assert_allclose(losses(CrossEntropy())[0], -np.log(AT_LABEL), rtol=1e-12)
    target = np.full((6, 4), 0.1 / 3)
    target[np.arange(6), LABELS] = 0.9
    expected = -(target * log_softmax(LOGITS, axis=1)).sum(axis=1)
    np.testing.assert_allclose(losses(CrossEntropy(0.1))[0], expected, rtol=1e-12)


def test_generalised_cross_entropy_and_its_limits():
    np.testing.assert_allclose(losses(GeneralisedCrossEntropy(0.7))[0], (1 - AT_LABEL**0.7) / 0.7, rtol=1e-12)
    np.testing.assert_allclose(losses(GeneralisedCrossEntropy(1))[0], 1 - AT_LABEL, rtol=1e-12)
    np.testing.assert_allclose(losses(GeneralisedCrossEntropy(1e-8))[0], -np.log(AT_LABEL), rtol=1e-6)


def test_symmetric_cross_entropy():
    expected = -0.1 * np.log(AT_LABEL) + 4.0 * (1 - AT_LABEL)
    np.testing.assert_allclose(losses(SymmetricCrossEntropy())[0], expected, rtol=1e-12)


def test_early_learning_keeps_a_running_target():
    loss = EarlyLearning(strength=3.0, memory=0.7)
    rows = np.full((6, 4), 0.1)
    values, new = losses(loss, jnp.asarray(rows))
    clipped = np.clip(PROBABILITY, 1e-4, 1 - 1e-4)
    targets = 0.7 * rows + 0.3 * clipped / clipped.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(new), targets, rtol=1e-6)
    expected = -np.log(AT_LABEL) + 3 * np.log(1 - (targets * clipped).sum(axis=1))
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert loss.start(6, 4).shape == (6, 4)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_has_finite_gradients_far_out(name):
    loss = label_loss(name)
    far = jnp.asarray([[200.0, -200.0, 0.0], [0.0, 0.0, 0.0]])
    labels = jnp.asarray([1, 0])

    def mean(logits):
        return loss(logits, labels, loss.start(2, 3))[0].mean()

    assert np.isfinite(np.asarray(jax.grad(mean)(far))).all()


def test_unknown_loss_suggests_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'cross-entropy'"):
        label_loss("crossentropy")


@pytest.mark.parametrize(
    ("build", "option"),
    [
        (lambda: CrossEntropy(1.0), "smoothing"),
        (lambda: GeneralisedCrossEntropy(0), "power"),
        (lambda: SymmetricCrossEntropy(floor=0), "floor"),
        (lambda: EarlyLearning(memory=1.0), "memory"),
    ],
)
def test_bad_options_are_named(build, option):
    with pytest.raises(ConfigError, match=option):
        build()
