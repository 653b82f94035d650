"""Gauss-Newton refinement against the closed form of linear least squares."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from attractor.training import RunLog, Trained, refine
from attractor.training.refinement import MOST_PARAMETERS, LeastSquares


class Line(eqx.Module):
    weight: Array
    frozen: Array


class LeastSquaresTask(LeastSquares):
    """Fit y = X w; one group a row of `features`; the frozen weight takes no part."""

    features: Array
    targets: Array

    def initial(self, key):
        return Line(jax.random.normal(key, (self.features.shape[-1],)), jnp.ones(3))

    def losses(self, model, batch, context):
        return self.residuals(model, self.groups()[0]) ** 2

    def validation(self, model):
        errors = self.features @ model.weight - self.targets
        return jnp.sqrt(jnp.mean(errors**2))

    def groups(self):
        return self.features, self.targets

    def residuals(self, model, group):
        features, targets = group
        return features @ model.weight - targets

    def residual_count(self, groups):
        return jnp.array(groups[1].size)

    def refinable(self, model):
        return Line(True, False)


def problem(size=3, members=2):
    draw = np.random.default_rng(0)
    features = draw.standard_normal((4, 10, size))
    targets = features @ np.arange(1.0, size + 1) + 0.1 * draw.standard_normal((4, 10))
    task = LeastSquaresTask(jnp.asarray(features, jnp.float32), jnp.asarray(targets, jnp.float32))
    models = eqx.filter_vmap(task.initial)(jax.random.split(jax.random.key(1), members))
    history = [{"step": 5, "seconds": 1.0, "loss": [1.0] * members, "validation": [1.0] * members}]
    trained = Trained(models, np.ones(members), np.full(members, 5), history, 1.0)
    return task, trained


def test_linear_least_squares_is_solved_to_single_precision():
    task, trained = problem()
    features = np.asarray(task.features, float).reshape(40, 3)
    exact, *_ = np.linalg.lstsq(features, np.asarray(task.targets, float).ravel(), rcond=None)
    refined = refine(task, trained, 15, RunLog())
    for member in range(2):
        np.testing.assert_allclose(refined.model(member).weight, exact, rtol=2e-6)
        np.testing.assert_array_equal(refined.model(member).frozen, 1.0)
    assert refined.model(0).weight.dtype == jnp.float32
    assert (refined.steps > 5).all()
    assert len(refined.history) > 1


def test_no_step_changes_nothing():
    task, trained = problem()
    assert refine(task, trained, 0, RunLog()) is trained


def test_a_network_that_is_too_large_is_left_alone_and_says_so():
    task, trained = problem(size=MOST_PARAMETERS + 1, members=1)
    result = refine(task, trained, 3, RunLog())
    assert "not refined" in result.warnings[0]
    np.testing.assert_array_equal(result.model(0).weight, trained.model(0).weight)


class HalfBlind(LeastSquaresTask):
    """Validation and residuals say nothing about models whose first weight is negative."""

    def validation(self, model):
        return jnp.where(model.weight[0] < 0, jnp.nan, super().validation(model))

    def residuals(self, model, group):
        return jnp.where(model.weight[0] < 0, jnp.nan, super().residuals(model, group))


@pytest.mark.parametrize("sick", [0, 1])
def test_a_member_whose_validation_is_not_finite_is_never_chosen(sick):
    task, trained = problem()
    weight = jnp.ones((2, 3)).at[sick, 0].set(-1.0)
    trained = replace(trained, models=eqx.tree_at(lambda m: m.weight, trained.models, weight))
    heard = Heard()
    refined = refine(HalfBlind(task.features, task.targets), trained, 3, RunLog(reporter=heard))
    assert refined.chosen == 1 - sick
    assert refined.scores[sick] == np.inf
    assert "nan" not in heard.messages[-1]


class Heard:
    def __init__(self):
        self.messages, self.calls = [], []

    def update(self, done, total, message=""):
        self.messages.append(message)
        self.calls.append((done, total))

    def close(self):
        self.calls.append("closed")


def test_the_reporter_hears_every_round_and_the_end():
    heard = Heard()
    refine(*problem(), 2, RunLog(reporter=heard))
    assert heard.calls == [(1, 2), (2, 2), "closed"]


class Stop:
    """A reporter that interrupts after some rounds."""

    def __init__(self, rounds):
        self.rounds = rounds

    def update(self, done, total, message=""):
        if done == self.rounds:
            raise KeyboardInterrupt

    def close(self):
        pass


def test_an_interrupted_refinement_ends_in_the_same_bits(tmp_path):
    task, trained = problem()
    whole = refine(task, trained, 4, RunLog())
    log = RunLog(tmp_path, "mark", Stop(2))
    with pytest.raises(KeyboardInterrupt):
        refine(task, trained, 4, log)
    resumed = refine(task, trained, 4, replace(log, reporter=RunLog().reporter))
    for one, other in zip(jax.tree.leaves(whole.models), jax.tree.leaves(resumed.models), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [entry["validation"] for entry in whole.history] == [
        entry["validation"] for entry in resumed.history
    ]


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("lost", [False, True], ids=["log kept", "log lost"])
def test_every_round_is_logged_when_it_is_made_and_a_lost_log_is_written_again(tmp_path, lost):
    task, trained = problem()
    log = RunLog(tmp_path, "mark", Stop(2))
    with pytest.raises(KeyboardInterrupt):
        refine(task, trained, 4, log)
    assert [entry["step"] for entry in logged(tmp_path)] == [5, 6, 7]
    if lost:
        (tmp_path / "log.jsonl").unlink()
    resumed = refine(task, trained, 4, replace(log, reporter=RunLog().reporter))
    assert logged(tmp_path) == resumed.history
