"""The controller of an identified model in C: the same plans as in Python, and plant units there and back."""

import ctypes
import re
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, Cell
from attractor.control.controller_check import ControllerCheck, OtherPlan, compare_controller
from attractor.control.controller_code import ExportSettings, controller_code
from attractor.control.deployment import controller_difference, export_controller
from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard, from_network
from attractor.control.predictive import (
    ControllerSettings,
    ControlProblem,
    Limits,
    PredictiveController,
    SolverSettings,
    TargetFinder,
)
from attractor.control.predictive.terminal import TerminalCost
from attractor.control.study import ControlSettings
from attractor.data import Scaling, Signal
from attractor.errors import AttractorError, ConfigError, ExportWarning, ShapeError
from attractor.export.c.c_controller import stats_type
from attractor.export.c.c_step import c_compiler, compile_c, load_c

compiled = pytest.mark.skipif(c_compiler() is None, reason="no C compiler on the path")
CARD = ModelCard(
    Signals((Signal("u */ x", "V"),), (Signal("y", "m"),), 1.0),
    Scaling(np.array([5.0]), np.array([2.0])),
    Scaling(np.array([-1.0]), np.array([0.5])),
)
SETUP = ControlSettings(horizon=6, move_weight=0.3, rate_limit=0.8)


class Leaky(Cell):
    """A cell of a user's own: x' = a x + (1 - a) tanh(W [x, u])."""

    weight: jax.Array
    input_size: int = 1
    hidden_size: int = 2

    def __call__(self, input, state, *, key=None):
        return 0.6 * state + 0.4 * jnp.tanh(self.weight @ jnp.concatenate([state, input]))


def gru():
    cell = GRU(1, 3, timescales=(2.0, 6.0), key=jax.random.key(3))
    return from_network(cell, [[1.0, -0.5, 0.8]], [0.1])


def leaky():
    return from_network(Leaky(jnp.array([[0.3, -0.2, 1.0], [0.4, 0.1, -0.7]])), [[1.0, -1.0]], [0.0])


def numbers(*values):
    return (ctypes.c_double * len(values))(*values)


@compiled
@pytest.mark.parametrize("build", [pytest.param(gru, marks=pytest.mark.slow), leaky])
def test_the_plans_are_those_of_the_solver_in_python(build):
    """Both stop when a step is below 1e-9 of the range; the conditioning of the plan leaves 1e-6."""
    assert controller_difference(build(), CARD, SETUP) < 1e-6


def test_weights_and_limits_are_those_of_the_setup():
    code = controller_code(leaky(), CARD, SETUP)
    np.testing.assert_array_equal(code.rate, [0.4])  # 0.8 V of a scale of 2 V
    np.testing.assert_array_equal(code.increment_weight, [[0.3]])
    assert code.horizon == 6
    # P = A'PA + A'C'CA at the rest under a zero input, which is x = 0 here
    slope = 0.6 * np.eye(2) + 0.4 * np.array([[0.3, -0.2], [0.4, 0.1]])
    seen = np.array([[1.0, -1.0]]) @ slope
    weight = code.terminal_weight
    np.testing.assert_allclose(weight, slope.T @ weight @ slope + seen.T @ seen, atol=1e-7)
    assert np.linalg.eigvalsh(weight).max() > 0.1


def test_a_horizon_that_is_too_long_is_refused():
    with pytest.raises(ConfigError, match="65 times 1 inputs"):
        controller_code(leaky(), CARD, ControlSettings(horizon=65))


@compiled
def test_the_file_converts_units_and_steps(tmp_path):
    model = leaky()
    path = export_controller(model, CARD, SETUP, tmp_path / "own.c", name="own")
    library = load_c(compile_c(path))

    for kind, value, expected in (("input", 9.0, 2.0), ("output", -1.5, -1.0)):
        there, back = numbers(0.0), numbers(0.0)
        getattr(library, f"own_scale_{kind}")(numbers(value), there)
        getattr(library, f"own_unscale_{kind}")(there, back)
        assert (there[0], back[0]) == (expected, value)
    after, seen, state = numbers(0, 0), numbers(0), numbers(0.5, -0.5)
    library.own_step(numbers(0.2), state, after)
    library.own_output(state, seen)
    with jax.enable_x64(True):
        wanted = model.step(jnp.array([0.5, -0.5]), jnp.array([0.2]))
    np.testing.assert_allclose(list(after), np.asarray(wanted), atol=1e-14)
    assert seen[0] == 1.0


@compiled
@pytest.mark.parametrize("build", [pytest.param(gru, marks=pytest.mark.slow), leaky])
@pytest.mark.parametrize("wish", [0.2, -0.15, 5.0], ids=["up", "down", "out of reach"])
def test_targets_are_those_of_the_search_in_python(tmp_path, build, wish):
    model = build()
    library = load_c(compile_c(export_controller(model, CARD, SETUP, tmp_path / "own.c", name="own")))
    given, state = numbers(0.0), numbers(*np.zeros(model.state_size))
    status = library.own_target(numbers(wish), given, state)
    wanted = TargetFinder(model, ControlProblem()).find(np.array([wish]), np.zeros(1))
    assert wanted.reachable == (wish < 1)
    assert status == (0 if wanted.reachable else 1)
    # both go on until the output is off by 1e-6 at most, and the gain is about 1
    np.testing.assert_allclose(given[0], wanted.rest.input[0], atol=1e-5)
    np.testing.assert_allclose(list(state), wanted.rest.state, atol=1e-5)


@compiled
@pytest.mark.slow
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_targets_with_two_inputs(tmp_path, outputs):
    """One output: inputs to spare; three: the nearest output that can be reached."""
    cell = GRU(2, 4, timescales=(2.0, 6.0), key=jax.random.key(4))
    generator = np.random.default_rng(2)
    model = from_network(cell, generator.normal(size=(outputs, 4)), np.zeros(outputs))
    units = Scaling(np.zeros(2), np.ones(2)), Scaling(np.zeros(outputs), np.ones(outputs))
    names = Signals((Signal("a"), Signal("b")), tuple(Signal(f"y{i}") for i in range(outputs)), 1.0)
    path = export_controller(
        model, ModelCard(names, *units), ControlSettings(horizon=4), tmp_path / "own.c", name="own"
    )
    library, finder = load_c(compile_c(path)), TargetFinder(model, ControlProblem())
    for _ in range(10):
        wish = finder.rest(generator.uniform(-1.2, 1.2, 2)).output + (0.05 if outputs == 3 else 0.0)
        given, state = numbers(0.0, 0.0), numbers(*np.zeros(4))
        status = library.own_target(numbers(*wish), given, state)
        wanted = finder.find(wish, np.zeros(outputs))
        assert status == (0 if wanted.reachable else 1)
        np.testing.assert_allclose(list(given), wanted.rest.input, atol=2e-4)
        missed = [
            np.sum((finder.rest(np.array(u)).output - wish) ** 2) for u in (list(given), wanted.rest.input)
        ]
        assert missed[0] <= missed[1] + 1e-10


@compiled
def test_no_target_is_changed_by_a_wish_that_is_no_number(tmp_path):
    library = load_c(compile_c(export_controller(leaky(), CARD, SETUP, tmp_path / "own.c", name="own")))
    given, state = numbers(0.3), numbers(0.1, 0.2)
    assert library.own_target(numbers(np.nan), given, state) == 2
    assert (given[0], list(state)) == (0.3, [0.1, 0.2])


class Sample:
    """`own_sample` of a compiled controller, in plant units."""

    def __init__(self, path, model, horizon, precision="double"):
        library = load_c(compile_c(path))
        self.real = {"double": ctypes.c_double, "float": ctypes.c_float}[precision]
        states, inputs, outputs = model.state_size, model.input_size, model.output_size
        counts = (states, outputs, horizon * inputs, inputs, states, inputs)
        fields = [(f"part{index}", self.real * count) for index, count in enumerate(counts)]
        kind = type("Memory", (ctypes.Structure,), {"_fields_": [*fields, ("seen", ctypes.c_int * outputs)]})
        self.memory, self.stats, self.library = kind(), stats_type(precision)(), library
        self.inputs = inputs

    def numbers(self, values):
        return (self.real * len(values))(*values)

    def begin(self, given):
        self.library.own_begin(ctypes.byref(self.memory), self.numbers(given))

    def begin_at(self, measured, given):
        there = ctypes.byref(self.memory), self.numbers(measured), self.numbers(given)
        self.library.own_begin_at(*there)

    def __call__(self, measured, reference):
        now = self.numbers(np.zeros(self.inputs))
        there = ctypes.byref(self.memory), self.numbers(measured), self.numbers(reference)
        status = self.library.own_sample(*there, now, ctypes.byref(self.stats))
        return status, np.array(now)


@compiled
@pytest.mark.parametrize(("precision", "close"), [("double", 1e-4), ("float", 5e-3)])
def test_a_whole_sample_in_c_is_that_of_the_controller_in_python(tmp_path, precision, close):
    """Offset, target and plan; with a sensor that is lost for a while, and a reference that is no number."""
    model = leaky()
    setup = ExportSettings(horizon=6, move_weight=0.3, rate_limit=0.8, precision=precision)
    path = export_controller(model, CARD, setup, tmp_path / "own.c", name="own")
    in_c = Sample(path, model, 6, precision)
    limits = Limits(3.0, 7.0, rate=0.8)
    settings = ControllerSettings(6, SolverSettings(), None, 0.3)
    cost = TerminalCost(controller_code(model, CARD, setup).terminal_weight, local=True, decreases_after=1)
    controller = PredictiveController(model, CARD, setup.objective_of(model), limits, None, settings)
    controller.terminal = SimpleNamespace(at=lambda *_: cost)  # in C it is a constant
    controller.start(np.array([5.0]))
    in_c.begin([5.0])
    state = np.zeros(2)
    for sample in range(40):
        shown = -1.0 + 0.5 * (1.2 * (state[0] - state[1]) + 0.05)
        measured = np.nan if 12 <= sample < 25 else shown
        wish = np.nan if sample in (30, 31) else -1.05 if sample < 18 else -0.95
        decision = controller.act(np.array([measured]), np.array([wish]))
        status, now = in_c([measured], [wish])
        assert status == (3 if np.isnan(wish) else 0)
        np.testing.assert_allclose(now, decision.input, atol=close)
        with jax.enable_x64(True):
            state = np.asarray(model.step(jnp.asarray(state), jnp.asarray((decision.input - 5.0) / 2.0)))
    assert np.ptp([3.0, *now]) > 0.1


@compiled
def test_a_start_off_the_rest_of_its_input_is_that_of_python(tmp_path):
    """In C it was the rest under the input, in Python the rest that shows the outputs: other first moves."""
    model = leaky()
    setup = ControlSettings(horizon=6, move_weight=0.3, input_low=(4.0,), input_high=(6.5,))
    path = export_controller(model, CARD, setup, tmp_path / "own.c", name="own")
    assert "inputs stay within 4 to 6.5: as asked" in path.read_text()
    in_c = Sample(path, model, 6)
    code = controller_code(model, CARD, setup)
    np.testing.assert_allclose([*code.low, *code.high], [-0.5, 0.75])
    solver = SolverSettings(tolerance=1e-9)
    settings = ControllerSettings(6, solver, None, 0.3)
    limits = Limits(4.0, 6.5)
    controller = PredictiveController(model, CARD, setup.objective_of(model), limits, None, settings)
    cost = TerminalCost(code.terminal_weight, local=True, decreases_after=1)
    controller.terminal = SimpleNamespace(at=lambda *_: cost)
    shown, before = np.array([-0.9]), np.array([4.5])
    controller.start(before, shown)
    in_c.begin_at(shown, before)
    for _ in range(4):
        wanted = controller.act(shown, np.array([-0.6])).input
        status, now = in_c(shown, [-0.6])
        assert status == 0
        np.testing.assert_allclose(now, wanted, atol=1e-6)
    in_c.begin(before)
    assert abs(in_c(shown, [-0.6])[1] - wanted).max() > 1e-3
    in_c.begin([
        8.5
    ])  # beyond the training, 3 to 7, and beyond the limits: the plant rests under it all the same
    np.testing.assert_allclose(
        list(in_c.memory.part0), TargetFinder(model, ControlProblem()).rest(np.ones(1)).state, atol=1e-9
    )
    in_c.begin_at([np.nan], before)  # nothing was measured: as at rest
    here = list(in_c.memory.part0)
    in_c.begin(before)
    assert here == list(in_c.memory.part0)


def test_limits_that_no_input_keeps_are_refused():
    with pytest.raises(ConfigError, match="must lie below"):
        controller_code(leaky(), CARD, ControlSettings(input_low=(6.0,), input_high=(5.0,)))
    with pytest.raises(ShapeError, match="input_low has shape"):
        controller_code(leaky(), CARD, ControlSettings(input_low=(3.0, 4.0)))
    wide = controller_code(leaky(), CARD, ControlSettings(input_low=(-100.0,)))
    np.testing.assert_allclose([*wide.low, *wide.high], [-1.0, 1.0])


class Saddle(Cell):
    """x' = [[1.5, 0.1], [0, 0.5]] x + [0.2, 0.3] u: one direction grows."""

    input_size: int = 1
    hidden_size: int = 2

    def __call__(self, input, state, *, key=None):
        grown = jnp.array([[1.5, 0.1], [0.0, 0.5]]) @ state
        return grown + jnp.array([0.2, 0.3]) * input


def saddle():
    return from_network(Saddle(), [[1.0, 0.0]], [0.0])


@compiled
def test_a_controller_of_an_unstable_model_goes_without_terminal_cost_and_says_so():
    """P was infinite, and the message spoke of a matrix that is not semidefinite."""
    with pytest.warns(ExportWarning, match=r"does not rest stably .*1\.5 .*without a terminal cost"):
        code = controller_code(saddle(), CARD, SETUP)
    assert not code.terminal_weight.any()
    found = compare_controller(saddle(), CARD, SETUP)
    assert found.difference < 1e-6
    assert not found.elsewhere


def test_a_horizon_too_short_for_an_unstable_model_is_refused_with_the_one_that_does():
    short = ControlSettings(horizon=1, move_weight=1.0)
    with pytest.raises(ConfigError, match=r"give --horizon (\d+) or more") as told:
        controller_code(saddle(), CARD, short)
    enough = int(re.search(r"--horizon (\d+)", str(told.value))[1])
    with pytest.warns(ExportWarning):
        controller_code(saddle(), CARD, replace(short, horizon=enough))
    assert not controller_code(saddle(), CARD, replace(short, terminal="none")).terminal_weight.any()


class Valley(Cell):
    """x' = 0.3 x + 0.7 (u^2 - 0.3 u): the same output from two inputs."""

    input_size: int = 1
    hidden_size: int = 1

    def __call__(self, input, state, *, key=None):
        return 0.3 * state + 0.7 * (input**2 - 0.3 * input)


VALLEY = ControlSettings(horizon=4, move_weight=0.01)


@compiled
def test_two_local_minima_are_told_from_a_wrong_export():
    found = compare_controller(from_network(Valley(), [[1.0]], [0.0]), CARD, VALLEY)
    assert found.elsewhere
    assert all(one.difference > 0.1 for one in found.elsewhere)
    assert all(max(one.step_in_c, one.step_in_python) < 1e-6 for one in found.elsewhere)
    assert "several local minima" in str(found)
    assert found.difference < 1e-6


def test_a_solve_that_has_not_converged_is_no_second_minimum():
    """Both plans cost 96.01, and a step would still change one by 5e-5."""
    flat = OtherPlan(4.8e-4, 96.01, 96.01, 5e-5, 3e-9)
    told = str(ControllerCheck(1e-8, (flat,), 5))
    assert "one has not converged (a step would change them by 5e-05 in C" in told
    assert "minima" not in told
    other = OtherPlan(2.0, 38.8, 56.2, 1e-8, 3e-8)
    both = str(ControllerCheck(None, (flat, other), 5))
    assert "not converged" in both
    assert "several local minima" in both
    same = OtherPlan(2.0, 38.8, 38.8, 1e-8, 3e-8)  # mirrored plans
    assert "several local minima" in str(ControllerCheck(None, (same,), 5))


@compiled
def test_a_wrong_export_is_no_local_minimum(monkeypatch):
    from attractor.export.c import c_controller

    right = c_controller._arrays

    def wrong(code):
        return right(code) | {"Q": 3.0 * code.output_weight}

    monkeypatch.setattr(c_controller, "_arrays", wrong)
    with pytest.raises(AttractorError, match="the export is wrong"):
        compare_controller(leaky(), CARD, SETUP)


@compiled
def test_single_precision_is_compared_within_what_it_can_hold():
    found = compare_controller(leaky(), CARD, ExportSettings(horizon=6, move_weight=0.3, precision="float"))
    assert not found.elsewhere
    assert 1e-9 < found.difference < 1e-4
