"""Two models that choose examples for each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from labelled_points import POINTS, WRONG, epoch_settings, points

from attractor.errors import ConfigError
from attractor.training import EpochTask, train
from attractor.training.epoch_task import CoTeaching, ExampleContext


def losses_at(pair, model, ids, progress):
    """Of all examples, whose rows are the whole memory."""
    context = ExampleContext(pair.start_memory(), jax.random.key(1), jnp.asarray(0), progress=progress)
    return pair.combine(pair.losses_of(model, ids, context), jnp.asarray(progress)).losses


@pytest.mark.slow
def test_a_model_learns_from_what_is_easy_for_the_other():
    pair = CoTeaching(points(), wrong=0.25, ramp=0.5)
    model = pair.initial(jax.random.key(0))
    ids = jnp.arange(POINTS)
    gradient = jax.grad(lambda model: losses_at(pair, model, ids, 1.0).mean())(model)
    second = np.asarray(pair.examples.scores_of(model[1], ids))
    easy = jnp.asarray(np.argsort(second)[: round(0.75 * POINTS)])
    expected = jax.grad(lambda one: pair.examples.scores_of(one, easy).mean())(model[0])
    np.testing.assert_allclose(np.asarray(gradient[0]), np.asarray(expected), rtol=1e-5)


def test_at_the_start_nothing_is_left_out():
    pair = CoTeaching(points(), wrong=0.25)
    model = pair.initial(jax.random.key(0))
    ids = jnp.arange(POINTS)
    losses = losses_at(pair, model, ids, 0.0)
    both = sum(np.asarray(pair.examples.scores_of(one, ids)) for one in model)
    np.testing.assert_allclose(np.asarray(losses), both, rtol=1e-6)


@pytest.mark.slow
def test_it_trains_away_from_wrong_labels():
    pair = CoTeaching(points(), wrong=WRONG / POINTS, ramp=0.5)
    task = EpochTask(pair, batch_size=16, epochs=60)
    model = jax.tree.map(lambda leaf: leaf[0], train(task, epoch_settings(task)).last)
    truth = np.asarray(points().signs).copy()
    truth[:WRONG] *= -1
    right = np.sign(np.asarray(points().inputs @ model[0])) == truth
    assert right.mean() > 0.95


@pytest.mark.parametrize("options", [{"wrong": 1.0}, {"wrong": -0.1}, {"wrong": 0.2, "ramp": 0.0}])
def test_bad_shares(options):
    with pytest.raises(ConfigError, match=f"^{list(options)[-1]}=.*: expected a number"):
        CoTeaching(points(), **options)
