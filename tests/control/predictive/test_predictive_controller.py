"""The controller in plant units: limits, offset-free control, alarms and what comes after them."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from predictive_cases import card, linear

from attractor.control.observer import Observer, open_loop_observer
from attractor.control.observers import observer_for
from attractor.control.predictive import (
    ControllerSettings,
    ControlObjective,
    Limits,
    PredictiveController,
    SolverSettings,
    SolveStatus,
)
from attractor.errors import InputDataError, ShapeError

MODEL = linear([[0.75]], [[0.25]], [[1.0]])
UNITS = card(MODEL, scale=2.0, offset=10.0)  # u = 10 + 2 scaled, y = -10 + 6 scaled
LIMITS = Limits(9.0, 11.5, rate=0.5)


def make(**options):
    limits, observer = options.pop("limits", LIMITS), options.pop("observer", None)
    return PredictiveController(
        MODEL, UNITS, None, limits, observer, ControllerSettings(horizon=8, **options)
    )


@pytest.fixture(scope="module")
def shared():
    return make()


@pytest.fixture
def controller(shared):
    shared.start()
    return shared


class Process:
    """The truth: more gain than the model, and a constant on the output, in plant units."""

    def __init__(self, gain=1.3, shift=0.7):
        self.state, self.gain, self.shift = 0.0, gain, shift

    @property
    def output(self):
        return np.array([-10.0 + 6.0 * self.state + self.shift])

    def apply(self, given):
        self.state = 0.75 * self.state + 0.25 * self.gain * (given[0] - 10.0) / 2.0


def run(controller, reference, samples, process=None):
    process, decisions = process or Process(), []
    for _ in range(samples):
        decisions.append(controller.act(process.output, np.array([reference])))
        process.apply(decisions[-1].input)
    return process, decisions


def test_without_offset_where_the_model_is_wrong(controller):
    process, decisions = run(controller, -8.0, 60)
    np.testing.assert_allclose(process.output, -8.0, atol=1e-6)
    inputs = np.array([one.input[0] for one in decisions])
    assert (inputs >= 9.0).all()
    assert (inputs <= 11.5).all()
    assert (np.abs(np.diff([10.0, *inputs])) <= 0.5 + 1e-12).all()
    assert np.abs(np.diff([10.0, *inputs])).max() > 0.49
    assert all(one.status is SolveStatus.CONVERGED for one in decisions)
    last = decisions[-1]
    np.testing.assert_allclose(last.target_output, -8.0, atol=1e-6)
    np.testing.assert_allclose(last.outputs, -8.0, atol=1e-4)
    np.testing.assert_allclose(last.target_input, last.input, atol=1e-4)


def test_with_the_offset_that_the_wrong_gain_leaves_when_it_is_switched_off():
    certificate = SimpleNamespace(weights=np.ones(1), rate=0.75)  # a terminal cost from a proof, for once
    process, decisions = run(make(offset_gain=0.0, terminal=certificate), -8.0, 60)
    # The model believes that u = 10 + 2/3 gives -8; the process then shows 1.3 times the rise, and the shift.
    np.testing.assert_allclose(process.output, -10.0 + 1.3 * 2.0 + 0.7, atol=1e-6)
    np.testing.assert_array_equal(decisions[-1].disturbance, 0.0)


def test_a_wish_out_of_reach_is_flagged_and_the_nearest_output_held(controller):
    process, decisions = run(controller, 0.0, 60)
    assert not decisions[-1].reachable
    np.testing.assert_allclose(decisions[-1].input, 11.5, atol=1e-9)
    np.testing.assert_allclose(decisions[-1].target_output, process.output, atol=1e-6)
    _, decisions = run(controller, -9.0, 40, process)
    assert decisions[-1].reachable
    np.testing.assert_allclose(process.output, -9.0, atol=1e-3)


def test_a_reference_that_is_no_number_has_a_status_of_its_own_and_is_got_over(controller):
    process, decisions = run(controller, -8.5, 5)
    held = controller.act(process.output, np.array([np.nan]))
    assert held.status is SolveStatus.REFERENCE_NOT_FINITE
    assert held.status.alarm
    assert "reference" in held.status.value
    np.testing.assert_allclose(held.input, decisions[-1].input, atol=1e-12)
    np.testing.assert_array_equal(held.plan, np.tile(held.input, (8, 1)))
    process.apply(held.input)
    process, decisions = run(controller, -8.5, 60, process)
    assert decisions[0].status is SolveStatus.CONVERGED
    np.testing.assert_allclose(process.output, -8.5, atol=1e-6)


@pytest.mark.parametrize("shown", [np.nan, np.inf])
def test_a_lost_sensor_freezes_nothing(controller, shown):
    """Plans go on with what model and last disturbance say: the process goes where they would send it."""
    process, _ = run(controller, -8.5, 40)
    inputs = []
    for _ in range(60):
        decision = controller.act(np.array([shown]), np.array([-8.0]))
        assert decision.status is SolveStatus.CONVERGED
        assert decision.missing.all()
        inputs.append(decision.input[0])
        process.apply(decision.input)
    assert np.ptp(inputs) > 0.05
    # The disturbance was learned at -8.5; at -8 the gain of 1.3 instead of 1 leaves 0.3 of the step of 0.5.
    np.testing.assert_allclose(process.output, -8.0 + 0.3 * 0.5 / 1.3, atol=0.05)
    process, decisions = run(controller, -8.0, 60, process)
    assert not decisions[0].missing.any()
    np.testing.assert_allclose(process.output, -8.0, atol=1e-6)


def test_the_first_sample_may_be_lost(controller):
    decision = controller.act(np.array([np.nan]), np.array([-8.5]))
    assert decision.status is SolveStatus.CONVERGED
    np.testing.assert_array_equal(decision.disturbance, 0.0)
    process, _ = run(controller, -8.5, 60)
    np.testing.assert_allclose(process.output, -8.5, atol=1e-6)


@pytest.mark.parametrize("kind", ["open-loop", "kalman"])
def test_one_lost_sensor_of_two_leaves_the_other_one_at_work(kind):
    """Both outputs of a coupled plant follow while one is not seen; what is seen keeps no offset."""
    two = linear([[0.7, 0.1], [0.05, 0.8]], [[0.3, 0.0], [0.0, 0.2]], [[1.0, 0.0], [0.0, 1.0]])
    units = card(two, scale=2.0, offset=10.0)
    controller = PredictiveController(
        two, units, None, None, observer_for(two, kind), ControllerSettings(horizon=8)
    )
    truth, state = np.array([[0.7, 0.1], [0.05, 0.8]]), np.zeros(2)
    wish = np.array([-8.0, -9.0])
    for sample in range(120):
        shown = -10.0 + 6.0 * state + np.array([0.3, 0.0])
        seen = np.where([False, sample >= 20], np.nan, shown)
        reference = wish if sample < 60 else wish + np.array([-1.0, 0.6])
        decision = controller.act(seen, reference)
        assert decision.status is SolveStatus.CONVERGED
        np.testing.assert_array_equal(decision.missing, [False, sample >= 20])
        state = truth @ state + np.array([0.3, 0.2]) * (decision.input - 10.0) / 2.0
    np.testing.assert_allclose(shown, [-9.0, -8.4], atol=1e-3)


class Broken:
    """An observer that loses its mind once."""

    def __init__(self):
        self.inner, self.calls, self.seen = open_loop_observer(MODEL), 0, []

    def start(self, state):
        self.inner.start(state)

    def update(self, given, measured):
        self.calls += 1
        self.seen.append((np.asarray(given), np.asarray(measured)))
        state = self.inner.update(given, measured)
        return np.full_like(state, np.nan) if self.calls == 3 else state

    @property
    def estimate(self):
        return self.inner.estimate

    @property
    def statement(self):
        return self.inner.statement


def test_an_estimate_that_is_not_finite_is_replaced():
    observer = Broken()
    assert isinstance(observer, Observer)
    controller = make(observer=observer)
    process, decisions = run(controller, -8.5, 4)
    assert [one.status.alarm for one in decisions] == [False, False, False, True]
    np.testing.assert_allclose(decisions[3].input, decisions[2].input, atol=1e-12)
    process, decisions = run(controller, -8.5, 60, process)
    assert not any(one.status.alarm for one in decisions)
    np.testing.assert_allclose(process.output, -8.5, atol=1e-6)


def test_the_observer_sees_scaled_inputs_and_outputs_without_the_disturbance():
    observer = Broken()
    controller = make(observer=observer)
    first = controller.act(np.array([-9.0]), np.array([-8.5]))
    controller.act(np.array([-9.0]), np.array([-8.5]), applied=np.array([10.2]))
    given, measured = observer.seen[0]
    np.testing.assert_allclose(given, 0.1)
    np.testing.assert_allclose(measured, (-9.0 + 10.0 - first.disturbance) / 6.0)


def test_a_preview_acts_before_the_change(controller):
    rows = np.array([[-10.0], [-10.0], [-10.0], [-8.0]])
    ahead = controller.act(np.array([-10.0]), rows)
    controller.start()
    blind = controller.act(np.array([-10.0]), rows[0])
    np.testing.assert_allclose(blind.input, 10.0, atol=1e-9)
    assert ahead.input[0] > 10.01
    np.testing.assert_allclose(ahead.target_output, -8.0)


def test_it_starts_from_recent_samples(controller):
    inputs, state, outputs = np.full((200, 1), 10.6), 0.0, []
    for given in inputs[:, 0]:
        outputs.append([-10.0 + 6.0 * state])
        state = 0.75 * state + 0.25 * (given - 10.0) / 2.0
    controller.start_from(inputs, np.array(outputs))
    decision = controller.act(np.array([-10.0 + 6.0 * state]), np.array([-10.0 + 6.0 * state]))
    np.testing.assert_allclose(decision.estimate, 0.3, atol=1e-9)
    np.testing.assert_allclose(decision.input, 10.6, atol=1e-6)


def test_the_real_time_iteration_and_a_model_of_many_limits(controller):
    limits = Limits(9.0, 11.5, rate=0.5, output_high=-8.2)
    soft = make(limits=limits, solver=SolverSettings(iterations=1))
    process, decisions = run(soft, -7.5, 80)
    assert all(one.status is SolveStatus.REAL_TIME for one in decisions)
    # The limit of the output wins over the wish.
    np.testing.assert_allclose(process.output, -8.2, atol=1e-3)


def test_arrays_that_do_not_fit_are_refused(controller):
    with pytest.raises(ShapeError, match="measured"):
        controller.act(np.zeros(2), np.zeros(1))
    with pytest.raises(ShapeError, match="reference"):
        controller.act(np.zeros(1), np.zeros((4, 2)))
    with pytest.raises(InputDataError, match="not finite"):
        controller.act(np.zeros(1), np.zeros(1), applied=np.array([np.nan]))
    with pytest.raises(ShapeError, match="the input"):
        controller.start(np.zeros(3))


def test_weights_of_the_inputs_pull_to_the_target():
    heavy = PredictiveController(
        MODEL, UNITS, ControlObjective(input_weight=100.0), None, None, ControllerSettings(horizon=5)
    )
    decision = heavy.act(np.array([-10.0]), np.array([-8.0]))
    np.testing.assert_allclose(decision.input, decision.target_input, atol=0.02)
    with jax.enable_x64(True):
        assert jnp.asarray(decision.input).dtype == jnp.float64
