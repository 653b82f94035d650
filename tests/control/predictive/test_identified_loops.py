"""From a recording to a controlled plant: identify a GRU, control the true equations with the defaults."""

import numpy as np
import pytest

from attractor.control import PlantModel, plant_by_name, record_experiments, steady_state
from attractor.control.model import control_model
from attractor.control.predictive import (
    ControllerSettings,
    Limits,
    PredictiveController,
    Scenario,
    SolveStatus,
    loop_metrics,
    run_closed_loop,
)
from attractor.data import assign_roles
from attractor.training import TrainingSettings

pytestmark = pytest.mark.slow


def identified(plant, hidden):
    roles = assign_roles(record_experiments(plant, 8000, seed=0))
    settings = TrainingSettings(steps=4000, seeds=1)
    model = PlantModel("gru", hidden_size=hidden, feedthrough=False, training=settings)
    return control_model(model.fit(roles.training, validation=roles.validation))


@pytest.fixture(scope="module")
def ph_model():
    return identified(plant_by_name("ph"), 8)


def ph_loop(model, **options):
    """Set-points 7, 8, 6.5, 7 with noise; then the buffer flow drops for a while and the acid flow moves."""
    plant = plant_by_name("ph")
    references = np.repeat([7.0, 8.0, 6.5, 7.0], [60, 60, 80, 300])[:, None]
    disturbances = np.tile([16.6, 0.55], (500, 1))
    disturbances[260:320, 1] = 0.35
    disturbances[380:440, 0] *= 1.05
    disturbances[440:, 0] *= 0.95
    limits = Limits(plant.input_low, plant.input_high)
    controller = PredictiveController(*model, limits=limits, settings=ControllerSettings(**options))
    loop = run_closed_loop(controller, plant, Scenario(references, disturbances, noise=0.01, seed=1))
    return loop, loop_metrics(loop, 0.05, limits)


def test_the_ph_plant_follows_without_offset_and_rejects_disturbances(ph_model):
    loop, figures = ph_loop(ph_model)
    assert figures.input_violations == 0
    assert set(loop.statuses) == {SolveStatus.CONVERGED}
    assert loop.reachable.all()
    assert len(figures.segments) == 8
    for segment in figures.segments:
        assert segment.settling[0] <= 400
        assert abs(segment.offset[0]) < 0.02


def test_without_offset_free_control_disturbances_stay(ph_model):
    _, figures = ph_loop(ph_model, offset_gain=0.0)
    assert figures.input_violations == 0
    assert abs(figures.segments[4].offset[0]) > 0.1
    assert abs(figures.segments[6].offset[0]) > 0.1


@pytest.fixture(scope="module")
def tank_loop():
    """A closed loop on the quadruple tank, with sensors lost as asked."""
    plant = plant_by_name("quadruple-tank")
    operating = ([3.0, 3.0], [2.5, 2.8], [2.9, 2.2], [2.5, 2.5])
    references = np.repeat([steady_state(plant, inputs)[1] for inputs in operating], 100, axis=0)
    limits = Limits(plant.input_low, plant.input_high)
    controller = PredictiveController(*identified(plant, 12), limits=limits)

    def run(lost=None):
        loop = run_closed_loop(controller, plant, Scenario(references, seed=1, lost=lost))
        return loop, loop_metrics(loop, 0.2, limits)

    return run


def test_the_quadruple_tank_follows_two_set_points_at_once(tank_loop):
    _, figures = tank_loop()
    assert figures.input_violations == 0
    assert not figures.alarms
    for segment in figures.segments:
        assert (segment.settling <= 60).all()
        assert (np.abs(segment.offset) < 0.03).all()


@pytest.mark.parametrize("sensor", [0, 1])
def test_a_lost_level_costs_millimetres(tank_loop, sensor):
    """Both inputs used to freeze: 2 to 3 cm off after 80 samples. Now the last 300 samples go without it."""
    lost = np.zeros((400, 2), bool)
    lost[100:, sensor] = True
    loop, figures = tank_loop(lost)
    assert set(loop.statuses) == {SolveStatus.CONVERGED}
    assert figures.lost == 300
    for segment in figures.segments[1:]:
        assert (np.abs(segment.offset) < 0.2).all()
        assert np.abs(segment.offset[1 - sensor]) < 0.05
