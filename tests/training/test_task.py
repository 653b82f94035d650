"""What a task may ask of the trainer: an optimiser, batches from the host, a validation on the host."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from linear_task import BATCH, ROWS, TRUTH, LinearTask, linear_task

from attractor.errors import ConfigError, DivergedError, InputDataError, RunFolderError
from attractor.progress import SilentReporter
from attractor.training import RunLog, TrainingSettings, train
from attractor.training.checkpoint import load_checkpoint, save_checkpoint

SETTINGS = TrainingSettings(steps=20, learning_rate=0.1, validate_every=5, clip_norm=10.0)
CHECKPOINT = "checkpoint.safetensors"


class Whole(LinearTask):
    """Every step sees all rows."""

    def rows(self, key):
        return jnp.arange(ROWS)


def of(kind):
    task = linear_task()
    return kind(task.inputs, task.answers, task.target)


class StopAfterOne(SilentReporter):
    def update(self, done, total, message=""):
        raise KeyboardInterrupt


def stopped(task, folder, **options):
    with pytest.raises(KeyboardInterrupt):
        train(task, SETTINGS, 0, RunLog(folder, "same", StopAfterOne()), **options)


def test_any_optax_transformation_is_taken():
    task = of(Whole)
    found = train(task, SETTINGS, optimiser=optax.sgd(0.05))
    weight = np.asarray(found.initial.weight[0], float)
    inputs, answers = np.asarray(task.inputs, float), np.asarray(task.answers, float)
    for _ in range(20):
        weight = weight - 0.05 * 2 * inputs.T @ (inputs @ weight - answers) / ROWS
    np.testing.assert_allclose(found.last.weight[0], weight, rtol=1e-4)


def test_a_line_search_may_ask_for_the_loss():
    found = train(of(Whole), SETTINGS, optimiser=optax.lbfgs())
    np.testing.assert_allclose(found.model().weight, TRUTH, rtol=1e-4)


def test_another_optimiser_does_not_resume_a_training(tmp_path):
    stopped(of(Whole), tmp_path, optimiser=optax.sgd(0.05))
    for other in (optax.sgd(0.06), optax.sgd(0.05, momentum=0.5), None):
        with pytest.raises(RunFolderError, match="other data, model, settings, seed or optimiser"):
            train(of(Whole), SETTINGS, 0, RunLog(tmp_path, "same"), optimiser=other)
    resumed = train(of(Whole), SETTINGS, 0, RunLog(tmp_path, "same"), optimiser=optax.sgd(0.05))
    whole = train(of(Whole), SETTINGS, 0, optimiser=optax.sgd(0.05))
    np.testing.assert_array_equal(resumed.last.weight, whole.last.weight)


def test_the_initial_weights_are_kept_and_come_back(tmp_path):
    settings = TrainingSettings(steps=20, validate_every=5, seeds=2)
    whole = train(linear_task(), settings, seed=4)
    keys = [jax.random.split(key)[0] for key in jax.random.split(jax.random.key(4), 2)]
    expected = np.stack([linear_task().initial(key).weight for key in keys])
    np.testing.assert_array_equal(whole.initial.weight, expected)
    with pytest.raises(KeyboardInterrupt):
        train(linear_task(), settings, 4, RunLog(tmp_path, reporter=StopAfterOne()))
    arrays, facts = load_checkpoint(tmp_path / CHECKPOINT)
    np.testing.assert_array_equal(arrays["initial.weight"], expected)
    arrays["initial.weight"] = arrays["initial.weight"] + 1
    save_checkpoint(tmp_path / CHECKPOINT, Nested(arrays), facts)
    resumed = train(linear_task(), settings, 4, RunLog(tmp_path))
    np.testing.assert_array_equal(resumed.initial.weight, expected + 1)  # from the file, not drawn anew


def Nested(arrays):
    """The tree whose leaves have these names."""
    tree = {}
    for name, array in arrays.items():
        *above, last = name.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[last] = array
    return tree


class Rows:
    """Rows in order, from the host."""

    def __init__(self, most=1000, poisoned=None, state=lambda at: {"at": at}):
        self.at, self.most, self.poisoned, self.state = 0, most, poisoned, state
        self.task = linear_task()

    def __next__(self):
        if self.at == self.most:
            raise StopIteration
        rows = np.arange(self.at * BATCH, (self.at + 1) * BATCH) % ROWS
        self.at += 1
        answers = np.asarray(self.task.answers)[rows]
        if self.at - 1 == self.poisoned:
            answers[3] = np.nan
        return {"inputs": np.asarray(self.task.inputs)[rows], "answers": answers, "first": int(rows[0])}

    def get_state(self):
        return self.state(self.at)

    def set_state(self, state):
        self.at = state["at"] if isinstance(state, dict) else int(state)


class Streamed(LinearTask):
    """The same regression with batches from an iterator."""

    def batches(self, seed):
        return MADE[seed]()

    def losses(self, model, batch, context):
        return (batch["inputs"] @ model.weight - batch["answers"]) ** 2

    def describe(self, batch, context, example):
        return f"row {batch['first'] + example}"


MADE = [
    Rows,
    lambda: Rows(most=12),
    lambda: Rows(poisoned=7),
    lambda: Rows(state=lambda at: str(at).encode()),
    lambda: Rows(state=lambda at: {"at": object()}),
]
WHOLE, SHORT, POISONED, BYTES, UNSAVED = range(len(MADE))


@pytest.mark.parametrize("kind", [WHOLE, BYTES], ids=["JSON", "bytes"])
def test_an_iterator_goes_on_where_the_checkpoint_was_written(tmp_path, kind):
    whole = train(of(Streamed), SETTINGS, kind)
    assert whole.scores[0] < whole.history[0]["validation"][0]
    with pytest.raises(KeyboardInterrupt):
        train(of(Streamed), SETTINGS, kind, RunLog(tmp_path, reporter=StopAfterOne()))
    resumed = train(of(Streamed), SETTINGS, kind, RunLog(tmp_path))
    np.testing.assert_array_equal(resumed.last.weight, whole.last.weight)


def test_an_iterator_that_ends_too_early_says_how_many_steps_were_asked_for():
    with pytest.raises(InputDataError, match=r"ended after 12 of 20 steps.*repeat"):
        train(of(Streamed), SETTINGS, SHORT)


def test_nan_in_a_batch_of_the_host_is_named(tmp_path):
    with pytest.raises(DivergedError, match=r"step 7: .*example 3 of the batch \(row 59\)"):
        train(of(Streamed), TrainingSettings(steps=20, validate_every=10), POISONED)
    settings = TrainingSettings(steps=20, validate_every=5, learning_rate=0.1)
    known = train(of(Streamed), settings, POISONED, RunLog(tmp_path))
    assert "replica 0: step 7" in known.warnings[0]
    again = train(of(Streamed), settings, POISONED, RunLog(tmp_path))  # the batch is long gone
    assert again.warnings == known.warnings


def test_a_state_that_no_checkpoint_can_hold_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"get_state.*bytes or lists, texts"):
        train(of(Streamed), SETTINGS, UNSAVED, RunLog(tmp_path))


def test_a_checkpoint_without_the_state_of_the_iterator_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(of(Streamed), SETTINGS, WHOLE, RunLog(tmp_path, reporter=StopAfterOne()))
    arrays, facts = load_checkpoint(tmp_path / CHECKPOINT)
    for lost in ({}, {"base64": "!"}, {"base64": 3}, 3):
        save_checkpoint(tmp_path / CHECKPOINT, Nested(arrays), facts | {"batches": lost})
        with pytest.raises(RunFolderError, match="does not say where the iterator of batches stood"):
            train(of(Streamed), SETTINGS, WHOLE, RunLog(tmp_path))


class Judged(LinearTask):
    """A validation in plain Python; it can do nothing with models that lean to the left."""

    validation_on_host = True

    def validation(self, model):
        weight = np.asarray(model.weight)
        return float("nan") if weight[1] > 0 else float(np.abs(weight - TRUTH).max())


def test_every_replica_is_judged_on_the_host_and_nan_is_never_chosen():
    settings = TrainingSettings(steps=6, validate_every=2, learning_rate=1e-3, seeds=6)
    found = train(of(Judged), settings)
    right = np.asarray(found.last.weight)[:, 1] <= 0
    assert 0 < right.sum() < 6, "replicas of both kinds: else this test shows nothing"
    np.testing.assert_array_equal(np.isfinite(found.scores), right)
    best = np.abs(np.asarray(found.models.weight) - TRUTH).max(axis=1)
    np.testing.assert_allclose(found.scores[right], best[right], rtol=1e-6)
