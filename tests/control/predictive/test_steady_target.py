"""Steady targets: exact where they can be reached, nearest where not, and honest about which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from predictive_cases import gru_finder, gru_model, linear, linear_model

from attractor.control.predictive import ControlObjective, ControlProblem, Limits, TargetFinder

ZERO = np.zeros(1)


@pytest.fixture(scope="module")
def finder():
    return gru_finder()


def test_the_gain_and_the_state_of_a_linear_model_are_closed_forms():
    model, transition, driven, reading = linear_model()
    finder = TargetFinder(model, ControlProblem(5, limits=Limits(-9.0, 9.0)))
    rest = finder.rest(np.array([0.3, -0.7]))
    state = np.linalg.solve(np.eye(3) - transition, driven @ [0.3, -0.7])
    np.testing.assert_allclose(rest.state, state, atol=1e-12)
    gain = reading @ np.linalg.solve(np.eye(3) - transition, driven)
    np.testing.assert_allclose(rest.gain, gain, atol=1e-12)
    wanted, disturbance = np.array([0.4, -0.2]), np.array([0.1, 0.3])
    target = finder.find(wanted, disturbance)
    np.testing.assert_allclose(target.rest.input, np.linalg.solve(gain, wanted - disturbance), atol=1e-7)
    np.testing.assert_allclose(target.output, wanted, atol=1e-8)
    assert target.reachable
    # The same wish within tighter limits: the bounded least-squares solution, in the weights of the outputs.
    tight = ControlProblem(5, ControlObjective(output_weight=[1.0, 4.0]), Limits(-0.05, 0.05))
    nearest = TargetFinder(model, tight).find(wanted, disturbance)
    root = np.array([1.0, 2.0])
    best = scipy.optimize.lsq_linear(root[:, None] * gain, root * (wanted - disturbance), (-0.05, 0.05))
    np.testing.assert_allclose(nearest.rest.input, best.x, atol=1e-7)
    assert not nearest.reachable
    np.testing.assert_allclose(nearest.distance, np.abs(nearest.output - wanted).max())


@pytest.mark.parametrize("wish", [-0.75, -0.2, 0.0, 0.5, 0.79])
def test_every_steady_output_is_found_again(finder, wish):
    state = finder.rest(np.array([wish]))
    target = finder.find(state.output, ZERO)
    assert target.reachable
    np.testing.assert_allclose(target.output, state.output, atol=1e-8)
    with jax.enable_x64(True):
        after = gru_model().step(jnp.asarray(target.rest.state), jnp.asarray(target.rest.input))
    np.testing.assert_allclose(after, target.rest.state, atol=1e-10)
    assert abs(target.rest.input[0]) <= 0.8


def test_a_wish_out_of_reach_is_replaced_by_the_nearest_steady_output(finder):
    grid = [finder.rest(np.array([u])).output[0] for u in np.linspace(-0.8, 0.8, 201)]
    for wish, nearest in ((9.0, max(grid)), (-9.0, min(grid))):
        target = finder.find(np.array([wish]), ZERO)
        assert not target.reachable
        np.testing.assert_allclose(target.output[0], nearest, atol=1e-3)
        np.testing.assert_allclose(target.distance, abs(wish - target.output[0]))


def test_a_spare_input_stays_near_where_it_was():
    model = linear([[0.5, 0.0], [0.0, 0.25]], [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0]])
    finder = TargetFinder(model, ControlProblem(5))
    gain = np.array([2.0, 4 / 3])
    start = finder.rest(np.array([0.3, -0.2]))
    target = finder.find(np.array([0.9]), ZERO, start)
    shift = (0.9 - gain @ start.input) * gain / (gain @ gain)  # the smallest change that does it
    np.testing.assert_allclose(target.rest.input, start.input + shift, atol=1e-7)
    assert target.reachable


def test_a_model_without_rest_has_no_target():
    model = linear([[1.0]], [[1.0]], [[1.0]])  # an integrator: at rest under no input but zero
    target = TargetFinder(model, ControlProblem(5)).find(np.array([0.5]), ZERO)
    assert not target.reachable
    assert not target.rest.steady
