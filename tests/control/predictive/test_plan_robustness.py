"""Whatever is asked, the solver answers with an applicable input and the truth, and recovers."""

import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from predictive_cases import card, gru_finder, gru_model, linear, situation

from attractor.control.predictive import (
    ControllerSettings,
    ControlObjective,
    ControlProblem,
    Limits,
    PlanSolver,
    PredictiveController,
    SolverSettings,
    SolveStatus,
)

HORIZON, RATE = 6, 0.2
SANE = SolverSettings()


@pytest.fixture(scope="module")
def bench():
    """A solver with every kind of limit; its output limits cannot be met from most states."""
    limits = Limits(-0.7, 0.9, rate=RATE, output_low=0.2, output_high=0.25)
    problem = ControlProblem(HORIZON, ControlObjective(2.0, 0.01, 0.05), limits)
    rest = gru_finder().rest(np.array([0.1]))
    sane = situation(
        gru_model(),
        HORIZON,
        state=rest.state,
        target_state=rest.state,
        target_input=rest.input,
        references=np.tile(rest.output, (HORIZON, 1)),
        disturbance=np.zeros(1),
        terminal=np.eye(4),
    )
    return PlanSolver(gru_model(), problem), sane


def spoiled(generator, seed):
    """A problem with something wrong: values out of all proportion, not finite, or a starved solver."""
    here = situation(gru_model(), HORIZON, seed)
    name = generator.choice([one.name for one in fields(here)])
    values = np.array(getattr(here, name))
    kind = generator.integers(5)
    if kind == 0:
        values.flat[generator.integers(values.size)] = generator.choice([np.nan, np.inf, -np.inf])
    elif kind == 1:
        values = values * 10.0 ** generator.uniform(2, 160)
    elif kind == 2:
        values = values * 10.0 ** -generator.uniform(2, 300)
    if kind == 3:
        settings = SolverSettings(iterations=int(generator.integers(1, 3)), tolerance=1e-14)
    elif kind == 4:
        settings = SolverSettings(time_limit=1e-9, tolerance=1e-14)
    else:
        settings = replace(SANE, iterations=10)
    return replace(here, **{name: values}), settings


def check(solver, here, solution):
    """Finite and within all limits, whatever the status; the status tells the truth."""
    assert np.isfinite(solution.plan).all()
    assert (solution.plan >= -0.7).all()
    assert (solution.plan <= 0.9).all()
    last = here.last_input[0] if np.isfinite(here.last_input[0]) else solution.plan[0, 0]
    moves = np.abs(np.diff([np.clip(last, -0.7, 0.9), *solution.plan[:, 0]]))
    assert (moves <= RATE * (1 + 1e-12)).all()
    sound = all(np.isfinite(getattr(here, one.name)).all() for one in fields(here))
    refused = {SolveStatus.STATE_NOT_FINITE, SolveStatus.REFERENCE_NOT_FINITE}
    assert (solution.status in refused) == (not sound)
    if not sound and np.isfinite(here.references).all():
        assert solution.status is SolveStatus.STATE_NOT_FINITE
    if solution.status.alarm:
        assert np.ptp(solution.plan) == 0
    if solution.status is SolveStatus.CONVERGED:
        assert np.isfinite(solution.cost)
    if solution.status is SolveStatus.ITERATION_LIMIT:
        assert solution.iterations == solver.settings.iterations


def torture(bench, count, seed=0):
    solver, sane = bench
    generator = np.random.default_rng(seed)
    seen = set()
    for index in range(count):
        here, solver.settings = spoiled(generator, index)
        solution = solver.solve(here)
        seen.add(solution.status)
        check(solver, here, solution)
        solver.settings = SANE
        after = solver.solve(sane)
        assert after.status is SolveStatus.CONVERGED, (index, here, solution)
        check(solver, sane, after)
    return seen


def test_sixty_bad_problems(bench):
    seen = torture(bench, 60)
    assert {SolveStatus.STATE_NOT_FINITE, SolveStatus.CONVERGED, SolveStatus.TIME_LIMIT} <= seen
    assert {SolveStatus.REAL_TIME, SolveStatus.ITERATION_LIMIT} <= seen


@pytest.mark.slow
def test_a_thousand_bad_problems(bench):
    assert len(torture(bench, 1000, seed=1)) >= 6


def test_a_model_that_explodes_holds_the_input():
    solver = PlanSolver(linear([[1e30]], [[1.0]], [[1.0]]), ControlProblem(20))
    here = situation(linear([[1e30]], [[1.0]], [[1.0]]), 20, last_input=np.array([0.4]))
    solution = solver.solve(here)
    assert solution.status is SolveStatus.PREDICTION_NOT_FINITE
    assert solution.status.alarm
    np.testing.assert_array_equal(solution.plan, 0.4)


def test_a_quadratic_program_that_fails_leaves_the_plan_within_limits(bench, monkeypatch):
    solver, sane = bench
    solver.settings = SANE
    program = type(solver._program)
    with monkeypatch.context() as patch:
        patch.setattr(program, "_run", lambda self, *rest: (None, 0))
        solution = solver.solve(sane)
    assert solution.status is SolveStatus.QP_FAILED
    check(solver, sane, solution)
    assert solver.solve(sane).status is SolveStatus.CONVERGED


def resident():
    """Resident memory now, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_memory_stays_flat():
    model = gru_model()
    options = ControllerSettings(horizon=10, solver=SolverSettings(iterations=1))
    controller = PredictiveController(model, card(model), settings=options)
    generator = np.random.default_rng(0)

    def steps(count):
        for _ in range(count):
            measured = np.array([-10.0]) + generator.standard_normal(1)
            controller.act(measured, np.array([-10.0]) + np.sign(generator.standard_normal(1)))

    steps(2000)
    before = resident()
    steps(20000)
    # A leak of 100 bytes a step would be 2 MB; the allocator moves by some hundred kB.
    assert resident() - before < 1.5e6
