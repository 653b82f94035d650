"""Exact derivatives of a prediction, against central differences, and the Gauss-Newton model of the cost."""

import jax
import jax.numpy as jnp
import numpy as np
from predictive_cases import situation, stack_model

from attractor.control.predictive import ControlObjective, ControlProblem, Limits
from attractor.control.predictive.sensitivities import Evaluation, sensitivities

HORIZON = 5
STEP = 1e-5
PROBLEM = ControlProblem(
    HORIZON,
    ControlObjective([1.0, 2.0], [0.3, 0.4], [0.1, 0.2], 0.7),
    Limits(output_low=-0.1, output_high=[0.2, 0.3], linear_penalty=3.0, quadratic_penalty=5.0),
)


def test_sensitivities_are_the_derivatives_of_the_prediction():
    model = stack_model()
    generator = np.random.default_rng(0)
    plan, start = generator.uniform(-1, 1, (HORIZON, 2)), generator.uniform(-0.5, 0.5, 6)
    with jax.enable_x64(True):
        look = jax.jit(lambda plan: sensitivities(model, jnp.asarray(start), plan))
        states, outputs, moved, sensitivity = map(np.asarray, look(plan))
        for index in range(plan.size):
            change = STEP * (np.arange(plan.size) == index).reshape(plan.shape)
            ahead, back = look(plan + change), look(plan - change)
            for after, before, claimed in ((ahead[0], back[0], moved), (ahead[1], back[1], sensitivity)):
                slope = (np.asarray(after) - np.asarray(before)) / (2 * STEP)
                # Central differences: 1e-10 from the third derivative, 1e-11 from rounding.
                np.testing.assert_allclose(claimed[..., index], slope, atol=1e-9)
        expected = [np.asarray(model.step(jnp.asarray(start), jnp.asarray(plan[0])))]
        np.testing.assert_allclose(states[0], expected[0], atol=1e-14)
    assert outputs.shape == (HORIZON, 2)
    # What is planned later has no effect on what comes earlier.
    for row in range(HORIZON):
        np.testing.assert_array_equal(moved[row, :, 2 * (row + 1) :], 0.0)


def cost_by_hand(model, here, plan):
    """The formula of the objective, sample by sample."""
    weights, limits = PROBLEM.objective, PROBLEM.limits
    state, last, cost, penalty = jnp.asarray(here.state), here.last_input, 0.0, 0.0
    low, high = limits.output_box(2)
    for given, wish in zip(plan, here.references, strict=True):
        state = model.step(state, jnp.asarray(given))
        output = np.asarray(model.output(state)) + here.disturbance
        cost += np.sum(np.array(weights.output_weight) * (output - wish) ** 2)
        cost += np.sum(np.array(weights.input_weight) * (given - here.target_input) ** 2)
        cost += np.sum(np.array(weights.move_weight) * (given - last) ** 2)
        beyond = np.maximum(np.maximum(low - output, output - high), 0)
        penalty += np.sum(3.0 * beyond + 2.5 * beyond**2)
        last = given
    final = np.asarray(state) - here.target_state
    return cost + 0.7 * final @ here.terminal @ final, penalty


def test_cost_gradient_and_hessian_of_a_plan():
    model = stack_model()
    here = situation(model, HORIZON)
    plan = np.random.default_rng(1).uniform(-1, 1, (HORIZON, 2))
    with jax.enable_x64(True):
        evaluate = Evaluation(model, PROBLEM)
        look = evaluate(here.packed(), plan)
        cost, penalty = cost_by_hand(model, here, plan)
        np.testing.assert_allclose([look.cost, look.merit - look.cost], [cost, penalty], rtol=1e-12)
        slopes = []
        for index in range(plan.size):
            change = STEP * (np.arange(plan.size) == index).reshape(plan.shape)
            after, before = (evaluate(here.packed(), plan + sign * change) for sign in (1, -1))
            slopes.append((after.cost - before.cost) / (2 * STEP))
    np.testing.assert_allclose(look.gradient, slopes, atol=1e-7)
    np.testing.assert_allclose(look.hessian, look.hessian.T, atol=1e-12)
    # At least the curvature of inputs and moves, which is positive definite here.
    assert np.linalg.eigvalsh(look.hessian).min() > 0.5
