"""Training in epochs with weighted examples."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from labelled_points import POINTS, WRONG, epoch_settings, points

from attractor.errors import ConfigError, DivergedError
from attractor.training import EpochTask, Reweighting, RunLog, StepContext, train
from attractor.training.epoch_task import ExampleContext
from attractor.training.spreading import batch_losses

BATCH, EPOCHS = 16, 10


def make(reweighting=None, **options):
    return EpochTask(points(), batch_size=BATCH, epochs=EPOCHS, reweighting=reweighting, **options)


def trained(task, **options):
    return train(task, epoch_settings(task, **options))


def losses_at(task, model, context):
    return batch_losses(task, model, task.draw(context), context)[0]


def memory_of(result):
    return jax.tree.map(lambda leaf: np.asarray(leaf[0]), result.memory)


@pytest.fixture(scope="module")
def plain():
    return trained(make())


def test_every_example_is_met_once_an_epoch_and_the_last_batch_is_filled_up(plain):
    visits = memory_of(plain).examples
    filled = -POINTS % BATCH
    assert visits.sum() == EPOCHS * (POINTS + filled)
    assert visits.min() >= EPOCHS


def test_the_order_changes_from_epoch_to_epoch():
    task = make()
    memory = task.start_memory(jax.random.key(0))
    later = task.review(
        jnp.zeros(3), StepContext(memory, jax.random.key(1), jnp.asarray(task.steps_per_epoch))
    )
    assert not np.array_equal(memory.order, later.order)
    assert sorted(np.asarray(later.order)[:POINTS]) == list(range(POINTS))


def test_no_strength_trains_like_no_reweighting(plain):
    same = trained(make(Reweighting(strength=0.0, score="reuse")))
    # Weights of 1/60 in a softmax over 16 are 1 to rounding only.
    np.testing.assert_allclose(np.asarray(plain.last), np.asarray(same.last), rtol=1e-5)


@pytest.mark.parametrize(
    "batch",
    [
        "batch",
        "importance",
        "sample",
    ],
)
def test_wrong_labels_fade_in_all_batch_modes(batch):
    memory = memory_of(trained(make(Reweighting(strength=1.0, batch=batch, floor=0.0))))
    weights = np.exp(memory.weights.log_weights)
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    assert weights[:WRONG].sum() < 0.5 * WRONG / POINTS
    assert memory.strengths[0] == 0  # the warm-up
    assert memory.strengths[-1] == 1


@pytest.mark.slow
def test_totals_are_the_sum_of_the_scores_of_all_epochs():
    memory = memory_of(trained(make(Reweighting(strength=0.1))))
    np.testing.assert_allclose(memory.weights.totals, memory.scores.astype(float).sum(axis=0), rtol=2e-3)


def test_scores_too_large_for_half_precision_stay_finite():
    task = make()
    memory = replace(task.start_memory(jax.random.key(0)), latest=jnp.full(POINTS, 1e6))
    context = StepContext(memory, jax.random.key(1), jnp.asarray(task.steps_per_epoch))
    assert np.isfinite(np.asarray(task.review(jnp.zeros(3), context).scores)).all()


def test_the_floor_holds_the_strength_back():
    memory = memory_of(trained(make(Reweighting(strength=1e4, floor=0.5))))
    weights = np.exp(memory.weights.log_weights.astype(float))
    assert 1 / (weights**2).sum() == pytest.approx(0.5 * POINTS, rel=0.02)


@pytest.mark.slow
def test_weights_of_groups_classes_and_caps():
    groups = np.arange(POINTS) // 2
    weights = np.exp(memory_of(trained(make(Reweighting(strength=1.0), groups=groups))).weights.log_weights)
    np.testing.assert_array_equal(weights[::2], weights[1::2])
    labels = (np.asarray(points().signs) > 0).astype(int)
    balanced = Reweighting(strength=1.0, balance="class")
    weights = np.exp(memory_of(trained(make(balanced, labels=labels))).weights.log_weights)
    assert weights[labels == 1].sum() == pytest.approx(labels.mean(), rel=1e-4)
    capped = Reweighting(strength=1.0, cap=0.8, floor=0.0)
    weights = np.exp(memory_of(trained(make(capped))).weights.log_weights)
    assert weights.max() <= 1 / (0.8 * POINTS) * (1 + 1e-5)


@pytest.mark.slow
def test_importance_and_sampling_are_unbiased():
    """The mean gradient over many batches is that of the weighted loss of all examples."""
    model = jnp.asarray([0.3, -0.2, 0.1])
    rng = np.random.default_rng(0)
    logs = jax.nn.log_softmax(jnp.asarray(rng.normal(size=POINTS), jnp.float32))

    def whole(model):
        task = make()
        return jnp.exp(logs) @ task.examples.scores_of(model, jnp.arange(POINTS))

    expected = np.asarray(jax.grad(whole)(model))
    for mode in ("importance", "sample"):
        task = make(Reweighting(batch=mode))
        memory = task.start_memory(jax.random.key(0))
        weights = replace(memory.weights, log_weights=logs)

        def gradient(key, task=task, memory=memory, weights=weights):
            order = task._order(key, weights)
            now = type(memory)(
                order, memory.latest, weights, memory.scores, memory.strengths, memory.examples
            )
            context = StepContext(now, key, jnp.asarray(0))
            return jax.grad(lambda model: losses_at(task, model, context).mean())(model)

        draws = np.asarray(jax.jit(jax.vmap(gradient))(jax.random.split(jax.random.key(1), 2000)))
        error = draws.std(axis=0) / np.sqrt(2000)
        np.testing.assert_array_less(np.abs(draws.mean(axis=0) - expected), 4 * error)


def test_a_batch_is_weighted_by_the_shares_of_its_members():
    """Weights that are ratios of whole numbers equal a data set with copies."""
    task = make(Reweighting())
    memory = task.start_memory(jax.random.key(0))
    copies = np.random.default_rng(0).integers(1, 4, POINTS)
    logs = jnp.log(jnp.asarray(copies / copies.sum(), jnp.float32))
    now = replace(memory, weights=replace(memory.weights, log_weights=logs))
    model = jnp.asarray([0.3, -0.2, 0.1])
    losses = losses_at(task, model, StepContext(now, jax.random.key(0), jnp.asarray(0)))
    ids = np.asarray(memory.order)[:BATCH]
    repeated = np.repeat(ids, copies[ids])
    context = ExampleContext(memory.examples[repeated], jax.random.key(0), jnp.asarray(0))
    expected = task.examples.losses_of(model, jnp.asarray(repeated), context).losses.mean()
    assert float(losses.mean()) == pytest.approx(float(expected), rel=1e-6)


def test_a_killed_training_resumes_to_the_same_bits(tmp_path):
    class Killed(Exception):
        pass

    class Killer:
        def __init__(self, after):
            self.left = after

        def update(self, *_):
            self.left -= 1
            if not self.left:
                raise Killed

        def close(self):
            pass

    task = make(Reweighting(strength=0.5))
    whole = trained(task)
    with pytest.raises(Killed):
        train(task, epoch_settings(task), 0, RunLog(tmp_path, "same", Killer(4)))
    again = train(task, epoch_settings(task), 0, RunLog(tmp_path, "same"))
    for one, other in zip(
        jax.tree.leaves((whole.last, whole.memory)), jax.tree.leaves((again.last, again.memory)), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_an_example_whose_loss_is_not_finite_is_named():
    broken = points()
    broken = type(broken)(broken.inputs.at[7, 0].set(jnp.nan), broken.signs)
    task = EpochTask(broken, batch_size=BATCH, epochs=1)
    with pytest.raises(DivergedError, match="point 7"):
        trained(task)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"batch_size": 0}, "batches of 0"),
        ({"epochs": 0}, "0 epochs"),
        ({"groups": np.zeros(3, int)}, "groups for 3 examples"),
        ({"labels": np.full(POINTS, -1)}, "labels"),
        ({"reweighting": Reweighting(balance="class")}, "class of every example"),
        ({"labels": np.full((POINTS, 2), -1)}, r"labels of shape \(60, 2\)"),
        (
            {"labels": np.zeros((POINTS, 2), int), "reweighting": Reweighting(batch="sample")},
            "whole examples",
        ),
    ],
)
def test_bad_tasks_say_what_is_wrong(options, named):
    with pytest.raises(ConfigError, match=named):
        EpochTask(points(), **{"batch_size": BATCH, "epochs": EPOCHS, **options})
