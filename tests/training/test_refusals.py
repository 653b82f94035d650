"""What is no training, told before any of it is lost."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from linear_task import LinearTask, linear_task

from attractor.errors import ConfigError, RunFolderError, ShapeError
from attractor.progress import SilentReporter
from attractor.training import RunLog, TrainingSettings, train

SETTINGS = TrainingSettings(steps=4, validate_every=2, learning_rate=0.1, batch_size=8)


@pytest.fixture(autouse=True)
def as_users_run_it(monkeypatch):
    """Without the checks of types that the tests put around every function: users have none."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


class Stop(SilentReporter):
    def update(self, done, total, message=""):
        raise KeyboardInterrupt


class Other(LinearTask):
    """The same but for its losses."""

    def losses(self, model, rows, context):
        return jnp.abs(self.inputs[rows] @ model.weight - self.answers[rows])


class Rows:
    """An iterator of batches, of a size and a state that a test may choose."""

    def __init__(self, task, size=8, state=None):
        self.task, self.size, self.state, self.at = task, size, state, 0

    def __next__(self):
        self.at += 1
        rows = np.arange(self.size)
        return {"inputs": np.asarray(self.task.inputs)[rows], "answers": np.asarray(self.task.answers)[rows]}

    def get_state(self):
        return {"at": self.at, "size": self.size} if self.state is None else self.state

    def set_state(self, state):
        self.at = state["at"]


class Streamed(LinearTask):
    iterator: object = eqx.field(static=True, default=None)

    def batches(self, seed):
        return Rows(self) if self.iterator is None else self.iterator(self)

    def losses(self, model, batch, context):
        return (batch["inputs"] @ model.weight - batch["answers"]) ** 2


def of(kind, **more):
    task = linear_task()
    return kind(task.inputs, task.answers, task.target, **more)


OTHERS = {
    "seed": lambda task: (task, SETTINGS, 1),
    "steps": lambda task: (task, replace(SETTINGS, steps=8), 0),
    "rate": lambda task: (task, replace(SETTINGS, learning_rate=0.2), 0),
    "data": lambda task: (
        eqx.tree_at(lambda one: one.inputs, task, task.inputs.at[3, 0].add(1.0)),
        SETTINGS,
        0,
    ),
    "losses": lambda _: (of(Other), SETTINGS, 0),
}


@pytest.mark.parametrize("finished", [True, False], ids=["finished", "killed"])
def test_a_folder_without_a_word_about_it_belongs_to_one_training(tmp_path, finished):
    """Nobody gave a fingerprint: the trainer takes its own."""
    task = linear_task()
    if finished:
        train(task, SETTINGS, 0, RunLog(tmp_path))
    else:
        with pytest.raises(KeyboardInterrupt):
            train(task, SETTINGS, 0, RunLog(tmp_path, reporter=Stop()))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    for name, other in OTHERS.items():
        with pytest.raises(RunFolderError, match="belongs to a training with other data"):
            train(*other(task), RunLog(tmp_path))
        assert (tmp_path / "checkpoint.safetensors").read_bytes() == before, name
    again = train(linear_task(), SETTINGS, 0, RunLog(tmp_path))
    np.testing.assert_array_equal(again.last.weight, train(task, SETTINGS, 0).last.weight)


def test_an_iterator_of_another_kind_does_not_go_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(of(Streamed), SETTINGS, 0, RunLog(tmp_path, reporter=Stop()))

    class Others(Rows):
        pass

    for iterator in (Others, lambda task: Rows(task, size=4)):
        with pytest.raises(RunFolderError, match="belongs to a training with other data"):
            train(of(Streamed, iterator=iterator), SETTINGS, 0, RunLog(tmp_path))


def test_a_folder_that_is_not_there_is_made(tmp_path):
    train(linear_task(), SETTINGS, 0, RunLog(tmp_path / "new" / "folder"))
    assert (tmp_path / "new" / "folder" / "log.jsonl").exists()


@pytest.mark.parametrize("state", [{0: 1}, {"at": (1, 2)}, {"at": np.int64(1)}, float("nan"), {1}])
def test_a_state_that_json_would_change_is_refused_before_the_first_step(tmp_path, state):
    class Never(Rows):
        def __next__(self):
            raise AssertionError

        def get_state(self):
            return state

    with pytest.raises(ConfigError, match="JSON does not give back as it was"):
        train(of(Streamed, iterator=Never), SETTINGS, 0, RunLog(tmp_path))


LOSSES = {
    "a scalar": jnp.sum,
    "a column": lambda errors: errors[:, None],
    "a table of both": lambda errors: errors - errors[:, None],
    "fewer": lambda errors: errors[:3],
    "more": lambda errors: jnp.concatenate([errors, errors[:1]]),
    "whole numbers": lambda errors: errors.astype(int),
    "complex": lambda errors: errors.astype(complex),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_that_are_not_one_for_each_example_are_refused(name):
    class Wrong(LinearTask):
        def losses(self, model, rows, context):
            return LOSSES[name](super().losses(model, rows, context))

    with pytest.raises(ShapeError, match=r"Wrong"):
        train(of(Wrong), SETTINGS)


def test_a_scalar_made_of_the_whole_batch_is_refused():
    class Wrong(LinearTask):
        def combine(self, losses, batch, context):
            return losses.mean(), context.memory

    with pytest.raises(ShapeError, match=r"Wrong have shape \(\)"):
        train(of(Wrong), SETTINGS)


VALIDATIONS = [jnp.zeros(3), jnp.zeros(1), jnp.zeros((), complex), "3", None, np.zeros(2)]


@pytest.mark.parametrize("value", VALIDATIONS, ids=map(repr, VALIDATIONS))
@pytest.mark.parametrize("host", [True, False], ids=["host", "compiled"])
def test_a_validation_that_is_no_number_is_refused(value, host):
    class Wrong(LinearTask):
        validation_on_host = host

        def validation(self, model):
            return value

    with pytest.raises(ShapeError, match=r"`validation` of Wrong returned .*expected one real number"):
        train(of(Wrong), SETTINGS)


OBSERVED = [jnp.zeros(3), [1.0], {"a": {"b": 1.0}}, {"a": 1j}, {"a": None}, {1: 1.0}, {"a": "text"}]


@pytest.mark.parametrize("value", OBSERVED, ids=map(repr, OBSERVED))
def test_what_is_observed_is_real_and_has_names(value):
    class Wrong(LinearTask):
        def observe(self, model, gradient, step):
            return value

    with pytest.raises(ConfigError, match="`observe` of Wrong returned"):
        train(of(Wrong), SETTINGS)


def test_a_key_is_no_observation():
    class Wrong(LinearTask):
        def observe(self, model, gradient, step):
            return {"key": jax.random.key(0)}

    with pytest.raises(ConfigError, match="`observe` of Wrong returned"):
        train(of(Wrong), SETTINGS)


def test_a_memory_may_begin_as_a_number():
    class Counting(LinearTask):
        def start_memory(self, key):
            return 0

        def combine(self, losses, batch, context):
            return losses, context.memory + 1

    assert int(train(of(Counting), SETTINGS).memory[0]) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": LinearTask}, "expected an instance of a class derived from"),
        ({"seed": 2**40}, "expected a whole number from 0"),
        ({"seed": 0.5}, "expected a whole number from 0"),
        ({"seed": -1}, "expected a whole number from 0"),
        ({"optimiser": "adam"}, "expected an Optax transformation"),
        ({"optimiser": optax.adam}, "expected an Optax transformation"),
        ({"devices": []}, r"expected a list of some of jax\.devices"),
        ({"devices": 2}, r"expected a list of some of jax\.devices"),
        ({"devices": ["cpu:0"]}, r"expected a list of some of jax\.devices"),
        ({"devices": jax.devices("cpu")[:1] * 2}, "each device once"),
    ],
)
def test_an_argument_that_is_none_of_its_kind_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        train(**({"task": linear_task(), "settings": SETTINGS} | options))
