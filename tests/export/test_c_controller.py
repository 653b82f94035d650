"""The predictive controller in C against independent solvers, and what it does with bad numbers."""

import re
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import lsq_linear, nnls

from attractor.cells import GRU
from attractor.cells import cell as own_cell
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.export import CompiledController, ControllerCode, ControllerStatus, to_casadi
from attractor.export.c.c_controller import controller_source
from attractor.export.c.c_step import c_compiler, compile_c

pytestmark = pytest.mark.skipif(c_compiler() is None, reason="no C compiler on the path")

NUMBERS = np.random.default_rng(5)
TRANSITION = np.array([[0.9, 0.2, 0.0], [-0.1, 0.8, 0.1], [0.0, 0.3, 0.7]])
DRIVE = np.array([[0.5, 0.0], [0.0, 0.4], [0.3, -0.2]])
SENSOR = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -1.0]])
ROOT = NUMBERS.normal(size=(3, 3))
LINEAR = ControllerCode(
    step=lambda state, given: jnp.asarray(TRANSITION) @ state + jnp.asarray(DRIVE) @ given,
    output=lambda state: jnp.asarray(SENSOR) @ state,
    horizon=7,
    output_weight=np.array([[2.0, 0.3], [0.3, 1.0]]),
    input_weight=np.diag([0.05, 0.1]),
    increment_weight=np.array([[0.2, 0.05], [0.05, 0.3]]),
    terminal_weight=0.2 * ROOT @ ROOT.T,
    low=np.array([-0.4, -0.5]),
    high=np.array([0.6, 0.3]),
)
STATE, TARGET, PREVIOUS = np.array([1.0, -2.0, 0.5]), np.array([1.5, -0.5]), np.array([0.1, 0.2])
INPUT_TARGET, STATE_TARGET = np.array([0.1, -0.1]), np.array([0.3, 0.0, 0.2])
TARGETS = {"input_target": INPUT_TARGET, "state_target": STATE_TARGET}


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    return CompiledController(LINEAR, tmp_path_factory.mktemp("linear"))


def residuals(code, plan):
    """All weighted deviations of the linear problem; half of their squared norm is minimised."""
    roots = [
        np.linalg.cholesky(weight + 1e-14 * np.eye(len(weight))).T
        for weight in (
            code.output_weight,
            code.input_weight,
            code.increment_weight,
            code.terminal_weight,
        )
    ]
    state, before, parts = STATE, PREVIOUS, []
    for given in plan.reshape(code.horizon, 2):
        state = TRANSITION @ state + DRIVE @ given
        parts += [roots[0] @ (SENSOR @ state - TARGET), roots[1] @ (given - INPUT_TARGET)]
        parts += [roots[2] @ (given - before)]
        before = given
    return np.concatenate([*parts, roots[3] @ (state - STATE_TARGET)])


def dense(code):
    """The linear problem as |matrix plan + offset|."""
    offset = residuals(code, np.zeros(2 * code.horizon))
    units = np.eye(2 * code.horizon)
    return np.stack([residuals(code, unit) - offset for unit in units], axis=1), offset


def test_a_linear_model_gives_the_solution_of_the_dense_problem(linear):
    answer = linear(STATE, TARGET, previous=PREVIOUS, **TARGETS)
    matrix, offset = dense(LINEAR)
    bounds = np.tile(LINEAR.low, 7), np.tile(LINEAR.high, 7)
    wanted = lsq_linear(matrix, -offset, bounds, method="bvls", tol=1e-15).x
    assert answer.status is ControllerStatus.CONVERGED
    assert 0 < sum(np.isclose(wanted, bounds[0]) | np.isclose(wanted, bounds[1])) < 14  # some limits hold
    np.testing.assert_allclose(answer.plan.ravel(), wanted, atol=1e-8)
    np.testing.assert_array_equal(answer.now, answer.plan[0])
    np.testing.assert_allclose(2 * answer.cost, np.sum((matrix @ wanted + offset) ** 2), rtol=1e-9)


@pytest.mark.parametrize("limit", [LINEAR.low, LINEAR.high])
def test_inputs_leave_limits_where_the_last_plan_was(linear, limit):
    fresh = linear(STATE, TARGET, previous=PREVIOUS, **TARGETS)
    answer = linear(STATE, TARGET, previous=PREVIOUS, plan=np.tile(limit, (7, 1)), **TARGETS)
    assert answer.status is ControllerStatus.CONVERGED
    np.testing.assert_allclose(answer.plan, fresh.plan, atol=1e-9)


def test_rate_limits_satisfy_the_conditions_of_optimality(tmp_path):
    """Stationarity with multipliers of the right sign, found by nonnegative least squares."""
    code = replace(LINEAR, rate=np.array([0.15, 0.1]))
    plan = CompiledController(code, tmp_path)(STATE, TARGET, previous=PREVIOUS, **TARGETS).plan
    changes = np.diff(np.vstack([PREVIOUS, plan]), axis=0)
    assert np.all(np.abs(changes) <= code.rate + 1e-9)
    assert np.sum(np.isclose(np.abs(changes), code.rate)) >= 3
    matrix, offset = dense(code)
    gradient = matrix.T @ (matrix @ plan.ravel() + offset)
    eye = np.eye(14)
    differences = eye - np.eye(14, k=-2)
    normals = []
    for index in range(14):
        v, change = plan.ravel()[index], changes.ravel()[index]
        low, high, rate = code.low[index % 2], code.high[index % 2], code.rate[index % 2]
        normals += [eye[index]] * int(abs(v - high) < 1e-8) + [-eye[index]] * int(abs(v - low) < 1e-8)
        normals += [differences[index]] * int(abs(change - rate) < 1e-8)
        normals += [-differences[index]] * int(abs(change + rate) < 1e-8)
    _, remainder = nnls(np.array(normals).T, -gradient)
    assert remainder < 1e-8


def test_at_the_target_nothing_moves(linear):
    steady = np.linalg.solve(np.eye(3) - TRANSITION, DRIVE @ PREVIOUS)
    answer = linear(steady, SENSOR @ steady, previous=PREVIOUS, input_target=PREVIOUS, state_target=steady)
    np.testing.assert_allclose(answer.plan, np.tile(PREVIOUS, (7, 1)), atol=1e-9)
    assert (answer.status, answer.iterations <= 2) == (ControllerStatus.CONVERGED, True)


def gru_code(seed=4, **options):
    with jax.enable_x64(True):
        cell = GRU(1, 8, key=jax.random.key(seed))
        cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), cell)
        sensor = jnp.asarray(np.random.default_rng(seed).normal(size=(1, 8)))
    code = ControllerCode(
        step=lambda state, given: cell(2 * given, state),
        output=lambda state: sensor @ state,
        horizon=20,
        output_weight=np.eye(1),
        input_weight=0.01 * np.eye(1),
        increment_weight=0.1 * np.eye(1),
        terminal_weight=0.1 * np.eye(8),
        low=-np.ones(1),
        high=np.ones(1),
        **options,
    )
    return code, cell, np.asarray(sensor)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "seed"), [(None, 4), (np.array([0.1]), 4), (None, 2)])
def test_a_gru_gives_the_solution_of_ipopt(rate, seed, tmp_path):
    """With seed 2 the targets are out of reach: errors stay large and Gauss-Newton alone is slow."""
    import casadi

    code, cell, sensor = gru_code(seed, rate=rate)
    controller = CompiledController(code, tmp_path)
    function = to_casadi(own_cell(lambda u, x: cell(2 * u, x), 1, np.zeros(8)))
    unknown, start, aim = casadi.SX.sym("U", 20), casadi.SX.sym("x", 8), casadi.SX.sym("aim")
    before = casadi.SX.sym("before")
    cost, state, last = 0, start, before
    for index in range(20):
        state = function(unknown[index], state)
        cost += (casadi.mtimes(casadi.DM(sensor), state) - aim) ** 2
        cost += 0.01 * unknown[index] ** 2 + 0.1 * (unknown[index] - last) ** 2
        last = unknown[index]
    cost += 0.1 * casadi.sumsqr(state)
    changes = casadi.vertcat(unknown[0] - before, unknown[1:] - unknown[:-1])
    problem = {"x": unknown, "f": cost, "g": changes, "p": casadi.vertcat(start, aim, before)}
    quiet = {"print_time": False, "ipopt": {"print_level": 0, "sb": "yes", "tol": 1e-11}}
    solver = casadi.nlpsol("reference", "ipopt", problem, quiet)
    limit = np.inf if rate is None else rate[0]
    state, previous, plan = np.zeros(8), np.zeros(1), None
    for sample in range(12):
        target = np.array([1.0 if sample < 6 else -0.9])
        answer = controller(state, target, previous=previous, plan=plan)
        solution = solver(
            x0=answer.plan.ravel(), p=[*state, *target, *previous], lbx=-1, ubx=1, lbg=-limit, ubg=limit
        )
        assert answer.status is ControllerStatus.CONVERGED
        assert answer.iterations <= 15
        # IPOPT stays a little inside of the limits: 1e-8 of them by default.
        np.testing.assert_allclose(answer.plan.ravel(), np.array(solution["x"]).ravel(), atol=1e-6)
        previous, plan = answer.now, answer.plan
        state = np.array(function(previous, state)).ravel()


@pytest.fixture(scope="module")
def hard(tmp_path_factory):
    return CompiledController(
        gru_code(rate=np.array([0.1]), iterations=2)[0], tmp_path_factory.mktemp("hard")
    )


def test_the_input_is_within_the_limits_whatever_is_given(hard):
    numbers = np.random.default_rng(0)
    for _ in range(200):
        state, target = numbers.normal(size=8) * 10 ** numbers.uniform(-2, 4), numbers.normal(size=1) * 100
        previous, plan = numbers.normal(size=1), numbers.normal(size=(20, 1)) * 3
        answer = hard(state, target, previous=previous, plan=plan)
        start = np.clip(previous, -1, 1)
        assert np.all(np.abs(answer.plan) <= 1)
        assert np.all(np.abs(np.diff(np.vstack([start, answer.plan]), axis=0)) <= 0.1 + 1e-15)


@pytest.mark.parametrize("field", ["state", "target", "previous"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_not_finite_holds_the_previous_input(hard, field, bad):
    given = {"state": np.zeros(8), "target": np.zeros(1), "previous": np.full(1, 0.25)}
    given[field] = np.where(np.arange(len(given[field])) == 0, bad, given[field])
    answer = hard(given["state"], given["target"], previous=given["previous"])
    wish = field == "target"
    assert answer.status is (ControllerStatus.REFERENCE_NOT_FINITE if wish else ControllerStatus.NOT_FINITE)
    # a previous input that is itself no number leaves the target of the input, zero; a huge one the limit
    held = 0.25 if field != "previous" else 0.0 if np.isnan(bad) else 1.0
    np.testing.assert_array_equal(answer.now, [held])


@pytest.mark.parametrize("option", ["-ffast-math", "-ffinite-math-only"])
def test_compilers_that_know_no_nan_are_refused(option, tmp_path):
    with pytest.raises(UnsupportedError, match="this code looks for numbers that are not finite"):
        CompiledController(LINEAR, tmp_path, options=("-O2", option))


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """As above, by a compiler that takes every number for a finite one and does not say so."""
    options = ("-O3", "-ffast-math", "-U__FAST_MATH__", "-U__FINITE_MATH_ONLY__")
    return CompiledController(
        gru_code(rate=np.array([0.1]), iterations=2)[0], tmp_path_factory.mktemp("hasty"), options=options
    )


@pytest.mark.parametrize("field", ["state", "target", "previous"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300, -1e300])
def test_what_is_not_finite_or_huge_is_held_without_a_comparison_of_nan(hasty, hard, field, bad):
    """A NaN state gave status 0 and the input at its upper limit, a reference of 1e300 a crash."""
    given = {"state": np.zeros(8), "target": np.zeros(1), "previous": np.full(1, 0.25)}
    given[field] = np.where(np.arange(len(given[field])) == 0, bad, given[field])
    for controller in (hasty, hard):
        answer = controller(given["state"], given["target"], previous=given["previous"])
        if field == "target" or not np.isfinite(bad):
            wish = field == "target" and not np.isfinite(bad)
            status = ControllerStatus.REFERENCE_NOT_FINITE if wish else ControllerStatus.NOT_FINITE
            assert answer.status is status
            held = 0.25 if field != "previous" else 0.0 if np.isnan(bad) else 1.0
            np.testing.assert_array_equal(answer.now, [held])
        assert np.all(np.abs(answer.plan) <= 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", np.zeros(7)),
        ("output_target", np.zeros(2)),
        ("previous", np.zeros(0)),
        ("plan", np.zeros((19, 1))),
    ],
)
def test_arrays_of_another_size_never_reach_c(hard, field, value):
    given = {"state": np.zeros(8), "output_target": np.zeros(1), "previous": np.zeros(1), field: value}
    with pytest.raises(ShapeError, match=f"{field} has shape"):
        hard(**given)


def test_a_plan_that_is_not_finite_is_replaced(hard):
    answer = hard(np.zeros(8), np.ones(1), previous=np.zeros(1), plan=np.full((20, 1), np.nan))
    fresh = hard(np.zeros(8), np.ones(1), previous=np.zeros(1))
    np.testing.assert_array_equal(answer.plan, fresh.plan)


def test_too_few_iterations_are_said(hard):
    answer = hard(np.linspace(-0.9, 0.9, 8), np.array([0.3]), previous=np.zeros(1))
    assert (answer.status, answer.iterations) == (ControllerStatus.ITERATION_LIMIT, 2)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"horizon": 33}, ConfigError, "33 times 2 inputs is more than 64"),
        ({"low": np.array([1.0, 0.0])}, ConfigError, "low < high"),
        ({"rate": np.array([0.1, 0.0])}, ConfigError, "expected positive"),
        ({"low": np.array([-1.0])}, ShapeError, "one number expected"),
        ({"output_weight": np.array([[1.0, 2.0], [2.0, 1.0]])}, ConfigError, "output_weight is not"),
        ({"tolerance": 0.0}, ConfigError, "tolerance=0.0"),
    ],
)
def test_contradictions_are_refused(change, error, text):
    with pytest.raises(error, match=text):
        replace(LINEAR, **change)


def test_a_model_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match=r"shape \(3,\) and the output has shape \(1,\)"):
        controller_source(replace(LINEAR, output=lambda state: state[:1]))


def test_single_precision_is_clean_of_doubles_and_gives_the_same_plans(tmp_path, linear):
    """A Cortex-M4F emulates what is computed in double, so a compiler may find none of it."""
    options = ("-O2", "-Wdouble-promotion", "-Wfloat-conversion", "-Wmissing-prototypes")
    narrow = CompiledController(replace(LINEAR, precision="float"), tmp_path, options=options)
    text = (tmp_path / "controller.c").read_text()
    assert not re.search(r"\bdouble\b", text)
    exact = linear(STATE, TARGET, previous=PREVIOUS, **TARGETS)
    answer = narrow(STATE, TARGET, previous=PREVIOUS, **TARGETS)
    assert answer.status is ControllerStatus.CONVERGED
    np.testing.assert_allclose(answer.plan, exact.plan, atol=1e-4)
    assert abs(answer.cost - exact.cost) < 1e-4 * exact.cost
    for bad in (np.nan, np.inf):
        held = narrow(np.array([bad, 0.0, 0.0]), TARGET, previous=PREVIOUS, **TARGETS)
        assert held.status is ControllerStatus.NOT_FINITE
        np.testing.assert_allclose(held.now, PREVIOUS, atol=1e-7)


def test_two_controllers_meet_in_one_file(tmp_path):
    """Names, sizes and helpers of the one are not those of the other; no line is too long for C99."""
    codes = {"one": LINEAR, "two": replace(LINEAR, horizon=3)}
    texts = [controller_source(code, name=name) for name, code in codes.items()]
    path = tmp_path / "both.c"
    path.write_text("\n".join(texts))
    compile_c(path, options=("-O1", "-Wmissing-prototypes"))
    assert max(map(len, path.read_text().splitlines())) < 4095


def test_a_horizon_of_one_compiles(tmp_path):
    code = replace(LINEAR, horizon=1)
    answer = CompiledController(code, tmp_path)(STATE, TARGET, previous=PREVIOUS, **TARGETS)
    assert answer.status is ControllerStatus.CONVERGED
