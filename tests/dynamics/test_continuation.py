"""Branches of fixed points with known folds and changes of stability."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import KEY
from fixed_point_cases import Map, wells

from attractor.cells import Elman
from attractor.dynamics import (
    BifurcationKind,
    BranchStatus,
    ContinuationSettings,
    fixed_points,
    follow_fixed_point,
    scaled_input,
)
from attractor.errors import ConfigError, InputDataError, ShapeError


class Family(eqx.Module):
    """state' = function(state, parameter)."""

    parameter: jax.Array
    function: object = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True, default=1)
    input_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return self.function(state, self.parameter)


def followed(function, state, interval, **options):
    state = np.array(state, float)
    return follow_fixed_point(lambda value: Family(value, function, len(state)), state, interval, **options)


def pitchfork(x, value):
    return x + 0.1 * (value * x - x**3)


def test_zero_loses_its_stability_at_a_pitchfork():
    branch = followed(pitchfork, [0.0], (-1, 1))
    (event,) = branch.bifurcations
    assert event.kind is BifurcationKind.CROSSING
    assert abs(event.parameter) < 1e-9
    assert event.unstable == (0, 1)
    assert branch.status is BranchStatus.REACHED_LAST
    np.testing.assert_array_equal(branch.unstable, branch.parameters > 0)
    np.testing.assert_allclose(branch.parameters[[0, -1]], [-1, 1], atol=1e-14)
    assert branch.parameters[event.after] <= 0 < branch.parameters[event.after + 1]


def test_the_arm_of_a_pitchfork_leads_through_its_middle_to_the_other_arm():
    branch = followed(pitchfork, [1.0], (1, -1))
    assert [event.kind for event in branch.bifurcations] == [BifurcationKind.CROSSING]
    assert branch.status is BranchStatus.RETURNED
    np.testing.assert_allclose(branch.states[-1], [-1.0], atol=1e-10)
    np.testing.assert_allclose(branch.states[:, 0] ** 2, branch.parameters, atol=1e-6)


def test_a_fold_is_passed_and_located():
    branch = followed(lambda x, value: x + 0.1 * (value - x**2), [1.0], (1, -1))
    (event,) = branch.bifurcations
    assert event.kind is BifurcationKind.FOLD
    assert abs(event.parameter) < 1e-10
    assert abs(event.eigenvalue - 1) < 1e-5
    assert event.unstable == (0, 1)
    assert branch.status is BranchStatus.RETURNED
    np.testing.assert_allclose(branch.states[-1], [-1.0], atol=1e-10)
    assert branch.residuals.max() < 1e-11


def test_both_folds_of_a_driven_double_well():
    cell = Map(wells, 1)
    branch = follow_fixed_point(scaled_input(cell, np.ones(1)), fixed_points(cell).state(0), (0, 0.5))
    low = branch.bifurcations[0]
    assert low.kind is BifurcationKind.FOLD
    np.testing.assert_allclose(low.parameter, 2 / np.sqrt(27), atol=1e-10)
    np.testing.assert_allclose(low.state, [-1 / np.sqrt(3)], atol=1e-6)
    assert branch.status is BranchStatus.RETURNED
    np.testing.assert_allclose(branch.states[-1], [0.0], atol=1e-10)
    whole = follow_fixed_point(scaled_input(cell, np.ones(1)), np.array([-1.3247179572447]), (-1, 1))
    assert [event.kind for event in whole.bifurcations] == [BifurcationKind.FOLD] * 2
    np.testing.assert_allclose(
        [event.parameter for event in whole.bifurcations], np.array([2, -2]) / np.sqrt(27), atol=1e-10
    )
    assert whole.status is BranchStatus.REACHED_LAST


def test_period_doubling_of_the_logistic_map():
    branch = followed(lambda x, value: value * x * (1 - x), [0.6], (2.5, 3.5))
    (event,) = branch.bifurcations
    assert event.kind is BifurcationKind.PERIOD_DOUBLING
    np.testing.assert_allclose([event.parameter, event.state[0]], [3, 2 / 3], atol=1e-9)
    np.testing.assert_allclose(branch.states[:, 0], 1 - 1 / branch.parameters, atol=1e-11)


def test_a_pair_of_eigenvalues_crosses_together():
    angle = 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    branch = followed(lambda x, value: value * turn @ x - x * jnp.sum(x**2), [0, 0], (0.5, 1.5))
    (event,) = branch.bifurcations
    assert event.kind is BifurcationKind.ROTATION
    assert event.unstable == (0, 2)
    np.testing.assert_allclose(event.parameter, 1, atol=1e-9)
    np.testing.assert_allclose(event.eigenvalue, np.exp(1j * angle), atol=1e-9)


def test_the_gain_of_a_network_at_which_zero_becomes_unstable():
    cell = Elman(1, 6, key=KEY)

    def build(gain):
        return eqx.tree_at(lambda cell: cell.state_weight, cell, gain * cell.state_weight)

    radius = np.abs(np.linalg.eigvals(np.asarray(cell.state_weight, float))).max()
    branch = follow_fixed_point(build, np.zeros(6), (0.1, 1.5 / radius))
    np.testing.assert_allclose(branch.bifurcations[0].parameter, 1 / radius, rtol=1e-10)


def test_ends_that_are_not_the_end_of_the_interval_are_said():
    few = followed(pitchfork, [0.0], (-1, 1), settings=ContinuationSettings(points=3))
    assert few.status is BranchStatus.TOO_MANY_POINTS
    assert len(few) == 3
    wall = followed(lambda x, value: 0.5 * x + jnp.sqrt(-value), [2.0], (-1, 1))
    assert wall.status is BranchStatus.STEP_TOO_SMALL
    assert -1e-3 < wall.parameters[-1] <= 0


def plain(value):
    return Family(value, pitchfork) if value > 0 else Family(-value, pitchfork)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: followed(pitchfork, [0.0], (1, 1)), ConfigError, "interval"),
        (lambda: followed(pitchfork, [5e9], (-1, 1)), InputDataError, "no fixed point near"),
        (lambda: follow_fixed_point(lambda p: Map(wells, 2), np.zeros(3), (0, 1)), ShapeError, "3 entries"),
        (lambda: follow_fixed_point(plain, np.zeros(1), (0, 1)), ConfigError, "plain number"),
        (lambda: ContinuationSettings(first_step=1.0), ConfigError, "in this order"),
        (lambda: ContinuationSettings(points=1), ConfigError, "points=1"),
    ],
)
def test_bad_requests_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
