"""Closed loops on the true equations of a plant, and the figures that judge them."""

import numpy as np
import pytest
from predictive_cases import linear

from attractor.control import PHNeutralisation, simulate, steady_state
from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard
from attractor.control.predictive import (
    ClosedLoop,
    ControllerSettings,
    Limits,
    PredictiveController,
    Scenario,
    SolveStatus,
    loop_metrics,
    run_closed_loop,
)
from attractor.data import Scaling
from attractor.errors import InputDataError, ShapeError

PLANT = PHNeutralisation()


@pytest.fixture(scope="module")
def controller():
    """A crude linear model of the pH plant: first order, 100 s, 0.7 pH per ml/s."""
    model = linear([[0.875]], [[0.125]], [[1.0]])
    card = ModelCard(
        Signals(PLANT.inputs, PLANT.outputs, 10.0),
        Scaling(np.array([14.75]), np.array([2.25])),
        Scaling(np.array([6.5]), np.array([0.7 * 2.25])),
    )
    return PredictiveController(
        model, card, limits=Limits(12.5, 17.0), settings=ControllerSettings(horizon=10)
    )


class Recorder:
    def __init__(self):
        self.reports, self.closed = [], 0

    def update(self, done, total, message=""):
        self.reports.append((done, total, message))

    def close(self):
        self.closed += 1


@pytest.mark.slow
def test_the_plant_in_the_loop_is_the_plant_of_the_simulator(controller):
    disturbances = np.tile([16.6, 0.5], (20, 1))
    loop = run_closed_loop(controller, PLANT, Scenario(np.full((20, 1), 7.3), disturbances))
    start, _ = steady_state(PLANT, disturbances=(16.6, 0.5))
    _, outputs = simulate(PLANT, loop.inputs, 10.0, state=start, disturbances=disturbances)
    np.testing.assert_allclose(loop.outputs, outputs, atol=1e-7)


def test_the_record_is_what_happened(controller):
    samples = 60
    disturbances = np.tile([16.6, 0.55], (samples, 1))
    disturbances[30:, 1] = 0.45
    scenario = Scenario(np.full((samples, 1), 7.3), disturbances, noise=0.02, seed=3)
    recorder = Recorder()
    loop = run_closed_loop(controller, PLANT, scenario, reporter=recorder)
    noise = loop.measured - loop.outputs
    np.testing.assert_allclose(noise.std(), 0.02, rtol=0.3)
    np.testing.assert_array_equal(loop.times, 10.0 * np.arange(samples))
    assert recorder.reports[-1][:2] == (samples, samples)
    assert recorder.closed == 1
    # Even a crude model holds the reference, before and after the buffer flow has changed.
    figures = loop_metrics(loop, 0.1, controller.problem.limits.__class__(12.5, 17.0))
    assert [one.begin for one in figures.segments] == [0, 30]
    for segment in figures.segments:
        assert abs(segment.offset[0]) < 0.03
        assert segment.settling[0] <= 250
    assert (figures.input_violations, figures.alarms, figures.fallbacks) == (0, 0, 0)
    again = run_closed_loop(controller, PLANT, scenario)
    np.testing.assert_array_equal(loop.inputs, again.inputs)


def test_scenarios_that_cannot_be_are_refused(controller):
    with pytest.raises(ShapeError, match="references"):
        run_closed_loop(controller, PLANT, Scenario(np.zeros((5, 2))))
    with pytest.raises(ShapeError, match="disturbances"):
        run_closed_loop(controller, PLANT, Scenario(np.full((5, 1), 7.0), np.zeros((4, 2))))
    with pytest.raises(InputDataError, match=r"references.*row 1"):
        run_closed_loop(controller, PLANT, Scenario(np.array([[7.0], [np.nan]])))
    negative = np.tile([-16.6, 0.55], (5, 1))
    negative[0] = [16.6, 0.55]
    with pytest.raises(InputDataError, match="do not hold"):
        run_closed_loop(controller, PLANT, Scenario(np.full((5, 1), 7.0), negative))


def made_up(outputs, inputs, references, statuses):
    rows = len(outputs)
    column = np.zeros((rows, 1))
    return ClosedLoop(
        times=2.0 * np.arange(rows),
        references=np.array(references, float)[:, None],
        measured=column,
        outputs=np.array(outputs, float)[:, None],
        inputs=np.array(inputs, float)[:, None],
        disturbances=column,
        estimates=column,
        offsets=column,
        reachable=np.ones(rows, bool),
        statuses=tuple(statuses),
        solve_seconds=np.zeros(rows),
        seconds=np.zeros(rows),
    )


def test_figures_of_a_loop_made_by_hand():
    loop = made_up(
        outputs=[0.0, 0.0, 0.0, 0.5, 1.2, 0.95, 1.05, 1.0, 1.0, 0.9, 0.8, 0.6],
        inputs=[0, 0, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1],
        references=[0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        statuses=[SolveStatus.CONVERGED] * 9
        + [SolveStatus.ITERATION_LIMIT, SolveStatus.REAL_TIME, SolveStatus.STATE_NOT_FINITE],
    )
    figures = loop_metrics(loop, 0.1, Limits(0.0, 1.5, rate=1.0, output_high=1.1))
    assert [(one.begin, one.end) for one in figures.segments] == [(0, 2), (2, 9), (9, 12)]
    assert figures.segments[0].settling[0] == 0.0
    assert figures.segments[1].settling[0] == 6.0  # in the band for good from row 5 on, 3 samples of 2 s
    assert np.isnan(figures.segments[2].settling[0])
    np.testing.assert_allclose(figures.segments[2].offset, 0.6)
    # Three inputs above 1.5, of which one was also reached too fast.
    assert (figures.input_violations, figures.output_violations) == (3, 1)
    assert (figures.alarms, figures.fallbacks) == (1, 2)
    np.testing.assert_allclose(figures.travel, 3 / 11)
    np.testing.assert_allclose(
        figures.absolute_error, (0 + 0 + 1 + 0.5 + 0.2 + 0.05 * 2 + 0.9 + 0.8 + 0.6) / 12
    )
