"""Every experiment gets a role or is named among those that got none."""

import numpy as np
import pytest

from attractor.data import Experiment, Record, Signal, assign_roles

SAMPLES = 100


def record_of(*names):
    block = np.zeros((SAMPLES, 1))
    return Record((Signal("u"),), (Signal("y"),), tuple(Experiment(name, block, block) for name in names))


def parts(roles):
    return tuple(
        [experiment.name for experiment in part.experiments]
        for part in (roles.training, roles.validation, roles.test)
    )


def lengths(roles):
    return roles.training.samples, roles.validation.samples, roles.test.samples


@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("Training 1", "VAL_1", "Test-1"),
        ("est", "valid", "testing"),
        ("train/1", "val/1", "test/1"),
        ("estimation", "valset2", "testdata"),
    ],
)
def test_names_that_say_a_role_are_taken_at_their_word(names):
    roles = assign_roles(record_of(*names))
    assert parts(roles) == tuple([name] for name in names)
    assert roles.explanation == "Experiments were used as they are named."


@pytest.mark.parametrize("name", ["test_run", "valve", "val", "train", "log"])
def test_the_name_of_a_file_is_no_role(name):
    roles = assign_roles(record_of(name))
    assert parts(roles) == ([name], [name], [name])
    assert lengths(roles) == (64, 16, 20)
    assert roles.explanation.startswith("Test: Held out the last 20%")
    separate = assign_roles(record_of(name), record_of("log"))
    assert parts(separate) == ([name], [name], ["log"])


def test_a_word_that_begins_like_a_role_is_none():
    roles = assign_roles(record_of("trainer", "valve", "tester"))
    assert lengths(roles) == (192, 48, 60)
    assert parts(roles)[0] == ["trainer", "valve", "tester"]


def test_roles_without_one_for_training_are_no_roles_and_it_is_said():
    roles = assign_roles(record_of("val1", "test1"))
    assert lengths(roles) == (128, 32, 40)
    assert roles.explanation.startswith(
        "Names were not taken for roles, because no experiment is called train."
    )


def test_an_experiment_without_a_role_trains():
    roles = assign_roles(record_of("train1", "val1", "run7", "test1"))
    assert parts(roles) == (["train1", "run7"], ["val1"], ["test1"])
    assert "without a role in their name: run7." in roles.explanation


def test_experiments_for_the_test_are_left_out_aloud_when_test_data_came_separately():
    roles = assign_roles(record_of("train1", "val1", "test1", "test2"), record_of("other"))
    assert parts(roles) == (["train1"], ["val1"], ["other"])
    assert "Left out, because test data came separately: test1, test2." in roles.explanation


def test_a_role_that_no_name_has_is_held_out_of_training():
    without_validation = assign_roles(record_of("train1", "run7", "test1"))
    assert parts(without_validation) == (["train1", "run7"], ["train1", "run7"], ["test1"])
    assert lengths(without_validation) == (160, 40, 100)
    assert "as they are named" in without_validation.explanation
    assert "run7" in without_validation.explanation
    without_test = assign_roles(record_of("train1", "val1"))
    assert parts(without_test) == (["train1"], ["val1"], ["train1"])
    assert lengths(without_test) == (80, 100, 20)


def test_everything_may_train():
    roles = assign_roles(record_of("log"), record_of("other"), validation_share=0.0)
    assert lengths(roles) == (100, 0, 100)
    assert roles.explanation == "Validation: none, all of the rest trains."


@pytest.mark.parametrize(
    "names", [("a",), ("a", "b", "c", "d", "e", "f"), ("train", "a", "val", "a", "test")]
)
def test_no_sample_is_lost(names):
    assert sum(lengths(assign_roles(record_of(*names)))) == SAMPLES * len(names)
