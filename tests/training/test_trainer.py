"""The trainer on a task whose optimum is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_task import BATCH, TRUTH, LinearTask, linear_task

from attractor.errors import DivergedError
from attractor.program import single_precision
from attractor.progress import AtMost, SilentReporter
from attractor.training import RunLog, TrainingSettings, train

SETTINGS = TrainingSettings(steps=200, learning_rate=0.1, validate_every=20, clip_norm=10.0, seeds=3)


@pytest.fixture(scope="module")
def trained():
    return train(linear_task(), SETTINGS, seed=1)


def poisoned(row, answer=np.nan):
    task = linear_task()
    return LinearTask(task.inputs, task.answers.at[row].set(answer), task.target)


def test_the_known_optimum_is_found(trained):
    # Members start about 3 away; 200 steps of a decaying rate leave less than a hundredth of the weights.
    np.testing.assert_allclose(trained.models.weight, np.tile(TRUTH, (3, 1)), rtol=1e-2)


def test_the_loss_falls(trained):
    losses = np.array([entry["loss"] for entry in trained.history])
    assert (losses[-1] < 1e-3 * losses[0]).all()


def test_every_validation_has_an_entry(trained):
    assert [entry["step"] for entry in trained.history] == list(range(20, 201, 20))
    assert trained.seconds == trained.history[-1]["seconds"]
    assert all(len(entry["validation"]) == 3 for entry in trained.history)


def test_the_best_weights_are_those_of_the_lowest_validation(trained):
    validations = np.array([entry["validation"] for entry in trained.history])
    np.testing.assert_array_equal(np.float32(trained.scores), np.float32(validations.min(axis=0)))
    np.testing.assert_array_equal(trained.steps, 20 * (validations.argmin(axis=0) + 1))
    for replica in range(3):
        score = linear_task().validation(trained.model(replica))
        # The same sum in another compiled program: a few units in the last place of numbers near 1.
        np.testing.assert_allclose(score, trained.scores[replica], atol=1e-6)
    assert trained.chosen == int(np.argmin(trained.scores))


def test_weights_are_kept_from_the_middle_where_validation_was_best_there():
    """The validation target lies on the way, so that training goes past it."""
    result = train(linear_task(TRUTH / 2), SETTINGS, seed=1)
    scores = np.array([entry["validation"] for entry in result.history])
    assert (result.steps < 200).any()
    assert (scores[-1] > result.scores).any()
    np.testing.assert_array_equal(np.float32(scores.min(axis=0)), np.float32(result.scores))


@single_precision()  # in which `train` draws
def test_replicas_do_not_look_at_one_another(trained):
    """A replica of three is what the same key alone would have become."""
    keys = jax.random.split(jax.random.key(1), 3)
    task = linear_task()
    for replica, key in enumerate(keys):
        model_key, batch_key = jax.random.split(key)
        weight = np.asarray(reference(task, task.initial(model_key).weight, batch_key))
        # 200 steps in another order of additions, float32, at a contracting task.
        np.testing.assert_allclose(trained.models.weight[replica], weight, atol=2e-4)


def reference(task, weight, batch_key):
    """The loop written out: Adam of arXiv 1412.6980 with the clip of the settings."""
    from attractor.training.training_settings import make_schedule

    schedule = make_schedule(SETTINGS)
    first, second = jnp.zeros(2), jnp.zeros(2)

    def loss(weight, key):
        rows = task.rows(key)
        return jnp.mean((task.inputs[rows] @ weight - task.answers[rows]) ** 2)

    @jax.jit
    def step(weight, first, second, index):
        gradient = jax.grad(loss)(weight, jax.random.fold_in(batch_key, index))
        norm = jnp.linalg.norm(gradient)
        gradient = jnp.where(norm > SETTINGS.clip_norm, gradient * SETTINGS.clip_norm / norm, gradient)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9 ** (index + 1.0)), second / (1 - 0.999 ** (index + 1.0))
        return weight - schedule(index) * unbiased[0] / (jnp.sqrt(unbiased[1]) + 1e-8), first, second

    for index in range(SETTINGS.steps):
        weight, first, second = step(weight, first, second, jnp.asarray(index))
    return weight


def test_same_seed_same_bits_and_another_seed_others(trained):
    again = train(linear_task(), SETTINGS, seed=1)
    np.testing.assert_array_equal(again.models.weight, trained.models.weight)
    assert [entry["loss"] for entry in again.history] == [entry["loss"] for entry in trained.history]
    other = train(linear_task(), SETTINGS, seed=2)
    assert other.history[0]["loss"] != trained.history[0]["loss"]


def test_steps_that_validations_do_not_divide_are_all_made():
    result = train(linear_task(), TrainingSettings(steps=50, validate_every=20, learning_rate=0.1), seed=0)
    assert [entry["step"] for entry in result.history] == [20, 40, 50]


def test_patience_stops_a_replica_and_not_the_others():
    """A target far behind the start of one replica and before that of another."""
    task = linear_task(TRUTH / 2)
    settings = TrainingSettings(
        steps=200, learning_rate=0.1, validate_every=20, clip_norm=10.0, seeds=3, patience=2
    )
    result = train(task, settings, seed=1)
    losses = np.array([entry["loss"] for entry in result.history])
    for replica in range(3):
        stop = result.steps[replica] + 2 * 20
        late = [index for index, entry in enumerate(result.history) if entry["step"] > stop]
        assert (losses[late, replica] == losses[int(stop) // 20 - 1, replica]).all(), "it went on"
    assert result.history[-1]["step"] == min(max(result.steps) + 40, 200)
    assert len(result.history) < 10, "no replica stopped early: this test shows nothing"


def test_a_training_that_patience_ends_says_so():
    listener = Listener()
    settings = TrainingSettings(steps=400, learning_rate=0.1, validate_every=20, patience=2)
    result = train(linear_task(TRUTH / 2), settings, seed=1, log=RunLog(reporter=listener))
    last = result.history[-1]["step"]
    assert last < 400
    assert isinstance(listener.heard[0][1], AtMost)
    assert listener.heard[-1][:2] == (last, last)
    assert listener.heard[-1][2].startswith(f"stopped at {last}: no better for 40; loss")


class Listener(SilentReporter):
    def __init__(self):
        self.heard, self.closed = [], 0

    def update(self, done, total, message=""):
        self.heard.append((done, total, message))

    def close(self):
        self.closed += 1


def test_the_reporter_hears_of_every_validation_and_of_the_end():
    listener = Listener()
    train(linear_task(), SETTINGS, seed=1, log=RunLog(reporter=listener))
    assert [(done, total) for done, total, _ in listener.heard] == [(n, 200) for n in range(20, 201, 20)]
    assert "validation" in listener.heard[0][2]
    assert listener.closed == 1


def test_the_reporter_is_closed_after_an_interrupt():
    class Stop(Listener):
        def update(self, done, total, message=""):
            raise KeyboardInterrupt

    listener = Stop()
    with pytest.raises(KeyboardInterrupt):
        train(linear_task(), SETTINGS, seed=1, log=RunLog(reporter=listener))
    assert listener.closed == 1


ALONE = TrainingSettings(steps=200, learning_rate=0.1, validate_every=20, clip_norm=10.0)


@single_precision()
def first_draw(row, seed=0, replica=0, replicas=1):
    """Step and place in the batch at which a row is drawn first."""
    _, key = jax.random.split(jax.random.split(jax.random.key(seed), replicas)[replica])
    for step in range(200):
        rows = np.asarray(linear_task().rows(jax.random.fold_in(key, step)))
        if row in rows:
            return step, int(np.argmax(rows == row))
    raise AssertionError


def test_nan_in_one_example_is_named_with_step_tensor_and_place():
    step, example = first_draw(17)
    with pytest.raises(DivergedError) as caught:
        train(poisoned(17), ALONE, seed=0)
    text = str(caught.value)
    assert f"step {step}: the gradient of weight is not finite" in text
    assert f"example {example} of the batch (row 17)" in text
    assert "loss is nan" in text
    assert caught.value.exit_code == 3


def test_nan_in_a_weight_is_caught_at_the_first_step():
    class Broken(LinearTask):
        def initial(self, key):
            return super().initial(key).__class__(jnp.array([0.5, jnp.nan]))

    task = linear_task()
    with pytest.raises(
        DivergedError, match="step 0: the gradient of weight is not finite, first for example 0"
    ):
        train(Broken(task.inputs, task.answers, task.target), ALONE, seed=0)


@pytest.mark.slow
def test_a_replica_that_diverges_leaves_a_warning_and_the_others_usable():
    """The poisoned row is drawn late by one of two replicas and never before by the other one's last step."""
    settings = TrainingSettings(steps=10, learning_rate=0.1, validate_every=5, clip_norm=10.0, seeds=2)
    meets = {
        row: [first_draw_or_never(row, replica, settings.steps) for replica in range(2)] for row in range(64)
    }
    row = next(row for row, steps in meets.items() if (steps[0] is None) != (steps[1] is None))
    sick = 0 if meets[row][0] is not None else 1
    result = train(poisoned(row), settings, seed=0)
    assert len(result.warnings) == 1
    assert f"replica {sick}: step {meets[row][sick]}: " in result.warnings[0]
    assert result.chosen == 1 - sick or np.isfinite(result.scores).all()
    healthy = train(linear_task(), settings, seed=0)
    np.testing.assert_array_equal(result.models.weight[1 - sick], healthy.models.weight[1 - sick])
    assert np.isfinite(result.models.weight).all()


def first_draw_or_never(row, replica, steps):
    try:
        step, _ = first_draw(row, 0, replica, 2)
    except AssertionError:
        return None
    return step if step < steps else None


def test_a_training_that_diverged_can_be_repeated_with_other_settings_in_its_folder(tmp_path):
    with pytest.raises(DivergedError):
        train(poisoned(17), ALONE, log=RunLog(tmp_path, "first"))
    assert train(linear_task(), ALONE, log=RunLog(tmp_path, "second")).scores[0] < 1e-2


def test_a_validation_that_is_never_finite_says_so():
    with pytest.raises(DivergedError, match=r"validation was never finite.*validation data"):
        train(linear_task(np.array([np.nan, 0.0], np.float32)), ALONE, seed=0)


def test_there_are_enough_examples_in_a_batch_for_these_tests():
    assert BATCH < 64
