"""Plans against closed forms and independent solvers."""

from dataclasses import fields
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from predictive_cases import gru_finder, gru_model, linear, linear_model, situation

from attractor.control.predictive import (
    ControlObjective,
    ControlProblem,
    Limits,
    PlanSolver,
    SolverSettings,
    SolveStatus,
)
from attractor.errors import ConfigError, ShapeError

HORIZON = 6
OBJECTIVE = ControlObjective([1.0, 2.0], [0.3, 0.1], [0.2, 0.4], 0.5)


def stacked_residual(here, objective, matrices, horizon):
    """M and b of J = |M u - b|^2 for a linear model, from powers of A; nothing is shared with the solver."""
    transition, driven, reading = matrices
    states, inputs = driven.shape
    free, forced = here.state, np.zeros((states, horizon * inputs))
    rows, right = [], []
    output_root, input_root, move_root = (np.sqrt(one) for one in objective.diagonals(inputs, len(reading)))
    for k in range(horizon):
        forced = transition @ forced
        forced[:, k * inputs : (k + 1) * inputs] = driven
        free = transition @ free
        rows.append(output_root[:, None] * (reading @ forced))
        right.append(output_root * (here.references[k] - here.disturbance - reading @ free))
        pick = np.eye(horizon * inputs)[k * inputs : (k + 1) * inputs]
        before = np.eye(horizon * inputs)[(k - 1) * inputs : k * inputs] if k else np.zeros_like(pick)
        rows += [input_root[:, None] * pick, move_root[:, None] * (pick - before)]
        right += [input_root * here.target_input, move_root * (0 if k else here.last_input)]
    root = np.sqrt(objective.terminal_weight) * np.linalg.cholesky(here.terminal).T
    rows.append(root @ forced)
    right.append(root @ (here.target_state - free))
    return np.concatenate(rows), np.concatenate(right)


@pytest.mark.parametrize("box", [0.08, 5.0])
def test_a_linear_model_gives_the_plan_of_the_dense_least_squares_problem(box):
    model, *matrices = linear_model()
    here = situation(model, HORIZON, last_input=np.zeros(2))
    residual, right = stacked_residual(here, OBJECTIVE, matrices, HORIZON)
    expected = scipy.optimize.lsq_linear(residual, right, (-box, box), tol=1e-15, method="bvls")
    solver = PlanSolver(model, ControlProblem(HORIZON, OBJECTIVE, Limits(-box, box)))
    solution = solver.solve(here)
    np.testing.assert_allclose(solution.plan.ravel(), expected.x, atol=1e-8)
    np.testing.assert_allclose(solution.cost, 2 * expected.cost, rtol=1e-8)
    assert solution.status is SolveStatus.CONVERGED
    assert solution.iterations == 2  # one step to the answer, one to see that it is
    assert (np.abs(expected.x) > box - 1e-9).any() == (box < 1)


def test_rate_limits_are_a_box_on_the_moves():
    model, *matrices = linear_model()
    here = situation(model, HORIZON)
    residual, right = stacked_residual(here, OBJECTIVE, matrices, HORIZON)
    summed = np.kron(np.tril(np.ones((HORIZON, HORIZON))), np.eye(2))  # moves to inputs
    first = np.tile(here.last_input, HORIZON)
    best = scipy.optimize.lsq_linear(residual @ summed, right - residual @ first, (-0.1, 0.1), method="bvls")
    expected = first + summed @ best.x
    solver = PlanSolver(model, ControlProblem(HORIZON, OBJECTIVE, Limits(-9.0, 9.0, rate=0.1)))
    np.testing.assert_allclose(solver.solve(here).plan.ravel(), expected, atol=1e-8)
    assert (np.abs(best.x) > 0.0999).any()


def test_output_limits_are_soft_with_a_linear_and_a_quadratic_price():
    model, *matrices = linear_model()
    here = situation(model, 3)
    residual, right = stacked_residual(here, OBJECTIVE, matrices, 3)
    solver = PlanSolver(
        model,
        ControlProblem(3, OBJECTIVE, Limits(output_high=-0.2, linear_penalty=0.3, quadratic_penalty=4.0)),
    )
    solution = solver.solve(here)
    reading = matrices[2]

    def price(plan):
        state, beyond = here.state, []
        for given in plan.reshape(3, 2):
            state = matrices[0] @ state + matrices[1] @ given
            beyond.append(np.maximum(reading @ state + here.disturbance + 0.2, 0))
        beyond = np.concatenate(beyond)
        return np.sum(0.3 * beyond + 2.0 * beyond**2)

    def total(plan):
        return np.sum((residual @ plan - right) ** 2) + price(plan)

    plan = solution.plan.ravel()
    assert solution.penalty > 0.01
    np.testing.assert_allclose(solution.cost + solution.penalty, total(plan), rtol=1e-10)
    # The problem is convex: a plan that no small feasible change improves is the best one.
    generator = np.random.default_rng(0)
    for size in (1e-1, 1e-2, 1e-3):
        for direction in generator.standard_normal((200, 6)):
            assert total(np.clip(plan + size * direction, -1, 1)) >= total(plan) - 1e-12


def test_one_sample_ahead_has_a_closed_form():
    model = linear([[0.5]], [[2.0]], [[3.0]])
    here = situation(model, 1, terminal=np.array([[0.7]]))
    objective = ControlObjective(1.5, 0.2, 0.1)
    solution = PlanSolver(model, ControlProblem(1, objective, Limits(-9.0, 9.0))).solve(here)
    free = 0.5 * here.state[0]
    top = 1.5 * 6 * (here.references[0, 0] - here.disturbance[0] - 3 * free) + 0.2 * here.target_input[0]
    top += 0.1 * here.last_input[0] + 0.7 * 2 * (here.target_state[0] - free)
    np.testing.assert_allclose(solution.input, top / (1.5 * 36 + 0.2 + 0.1 + 0.7 * 4), rtol=1e-9)


def test_at_the_target_it_stays_there_for_nothing():
    model = gru_model()
    problem = ControlProblem(HORIZON, ControlObjective(input_weight=0.1))
    rest = gru_finder().rest(np.array([0.3]))
    here = situation(
        model,
        HORIZON,
        state=rest.state,
        target_state=rest.state,
        target_input=rest.input,
        last_input=rest.input,
        references=np.tile(rest.output, (HORIZON, 1)),
        disturbance=np.zeros(1),
    )
    solution = PlanSolver(model, problem).solve(here)
    np.testing.assert_allclose(solution.plan, 0.3, atol=1e-9)
    assert solution.cost < 1e-18
    assert (solution.iterations, solution.evaluations) == (1, 1)
    assert solution.status is SolveStatus.CONVERGED


@cache
def plain_cost_of_gru(objective):
    """The objective written out with a loop, for another optimiser; differentiated by JAX."""

    model = gru_model()

    def cost(flat, *here):
        state, last, references, target_state, target_input, disturbance, terminal = here
        total = 0.0
        for given, wish in zip(flat.reshape(-1, model.input_size), references, strict=True):
            state = model.step(state, given)
            output = model.output(state) + disturbance
            total += jnp.sum(objective.output_weight * (output - wish) ** 2)
            total += jnp.sum(objective.input_weight * (given - target_input) ** 2)
            total += jnp.sum(objective.move_weight * (given - last) ** 2)
            last = given
        final = state - target_state
        return total + final @ terminal @ final

    return jax.jit(jax.value_and_grad(cost))


def cost_and_gradient(objective, here, plan):
    with jax.enable_x64(True):
        parts = plain_cost_of_gru(objective)(plan, *(getattr(here, one.name) for one in fields(here)))
        return tuple(np.array(part, float) for part in parts)


@pytest.fixture(scope="module")
def gru_solver():
    problem = ControlProblem(HORIZON, ControlObjective(2.0, 0.05, 0.05), Limits(-0.6, 0.6))
    return PlanSolver(gru_model(), problem, SolverSettings(tolerance=1e-9))


@pytest.mark.parametrize("seed", range(3))
def test_a_recurrent_model_gives_the_plan_of_a_general_optimiser(gru_solver, seed):
    objective = gru_solver.problem.objective
    here = situation(gru_model(), HORIZON, seed)
    gru_solver.reset()
    solution = gru_solver.solve(here)
    assert solution.status is SolveStatus.CONVERGED
    other = scipy.optimize.minimize(
        lambda flat: cost_and_gradient(objective, here, flat),
        np.zeros(HORIZON),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-0.6, 0.6)] * HORIZON,
        options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 500},
    )
    np.testing.assert_allclose(solution.plan.ravel(), other.x, atol=1e-6)
    np.testing.assert_allclose(solution.cost, other.fun, rtol=1e-9)
    assert solution.residual < 1e-7


def test_the_real_time_iteration_follows_the_converged_plan(gru_solver):
    """Warm-started with what the last sample planned, one step is close to the answer."""
    model = gru_model()
    quick = PlanSolver(model, gru_solver.problem, SolverSettings(iterations=1))
    rest = gru_finder().rest(np.array([0.2]))
    goal = {
        "target_state": rest.state,
        "target_input": rest.input,
        "references": np.tile(rest.output, (HORIZON, 1)),
        "disturbance": np.zeros(1),
    }
    here = situation(model, HORIZON, 1, **goal)
    gru_solver.reset()
    quick.solve(here)
    gaps = []
    for _ in range(4):
        exact, fast = gru_solver.solve(here), quick.solve(here)
        assert fast.status is SolveStatus.REAL_TIME
        assert fast.evaluations == 1
        gaps.append(np.abs(exact.input - fast.input).max())
        with jax.enable_x64(True):
            state = np.asarray(model.step(jnp.asarray(here.state), jnp.asarray(exact.input)))
        here = situation(model, HORIZON, 1, state=state, last_input=exact.input, **goal)
    assert gaps[-1] < 1e-3
    np.testing.assert_allclose(fast.outputs, exact.outputs, atol=5e-3)


def test_what_a_solution_tells_is_true(gru_solver):
    here = situation(gru_model(), HORIZON, 2)
    gru_solver.reset()
    solution = gru_solver.solve(here)
    cost, gradient = cost_and_gradient(gru_solver.problem.objective, here, solution.plan.ravel())
    with jax.enable_x64(True):
        state = jnp.asarray(here.state)
        for given, output in zip(solution.plan, solution.outputs, strict=True):
            state = gru_model().step(state, jnp.asarray(given))
            np.testing.assert_allclose(output, gru_model().output(state) + here.disturbance, atol=1e-9)
    np.testing.assert_allclose(solution.cost, cost, rtol=1e-10)
    inside = np.abs(solution.plan.ravel()) < 0.6 - 1e-9
    assert np.abs(np.asarray(gradient)[inside]).max() < 1e-6
    assert solution.seconds > 0


def test_situations_that_do_not_fit_are_refused(gru_solver):
    with pytest.raises(ShapeError, match=r"references has shape \(5, 1\).*\(6, 1\)"):
        gru_solver.solve(situation(gru_model(), HORIZON - 1))


@pytest.mark.parametrize(
    "options", [{"iterations": 0}, {"tolerance": 0.0}, {"damping": float("nan")}, {"time_limit": -1.0}]
)
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        SolverSettings(**options)
