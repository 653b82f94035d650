"""Plants of a user's own, in plain NumPy: what they may leave out, and what is said where they are wrong."""

from types import SimpleNamespace

import numpy as np
import pytest

from attractor.control import QuadrupleTank
from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard
from attractor.control.plants.own_plant import own_plant
from attractor.control.plants.process import MatchedPlant, Process, SimulatedPlant
from attractor.control.study import lost_sensors
from attractor.data import Scaling, Signal
from attractor.errors import AttractorError, ConfigError, InputDataError

CARD = ModelCard(
    Signals((Signal("pump", "V"), Signal("valve")), (Signal("level", "cm"), Signal("flow")), 2.0),
    Scaling(np.array([5.0, 0.5]), np.array([4.0, 0.5])),
    Scaling(np.array([30.0, 1.0]), np.array([10.0, 1.0])),
)


class Tank:
    """Two states, three of everything stated."""

    inputs = {"valve": "", "pump": "V"}  # noqa: RUF012
    outputs = ["flow", "level [cm]"]  # noqa: RUF012
    start = (20.0, 1.0)
    input_low, input_high = 0.0, (1.0, 10.0)
    measurement_noise = 0.1

    def derivative(self, state, inputs):
        return np.array([-0.1 * state[0] + inputs[1], -0.5 * state[1] + inputs[0]])

    def measure(self, state):
        return state[::-1]


def made(**changes):
    """A plant of functions; None leaves one out."""
    parts = {
        "inputs": ["pump", "valve"],
        "outputs": ["level", "flow"],
        "start": [1.0, 2.0],
        "step": lambda state, inputs: 0.5 * state + inputs,
    }
    return SimpleNamespace(**{name: part for name, part in (parts | changes).items() if part is not None})


def test_a_derivative_is_solved_and_signals_go_by_name():
    """x' = -a x + b is x(2) = e^(-2a) x + (1 - e^(-2a)) b / a; the model has its signals in another order."""
    plant = MatchedPlant(own_plant(Tank, CARD, "Tank"), CARD.signals)
    assert isinstance(plant, Process)
    np.testing.assert_array_equal([plant.input_low, plant.input_high], [[0.0, 0.0], [10.0, 1.0]])
    np.testing.assert_array_equal(plant.nominal_inputs, [5.0, 0.5])
    plant.begin(np.asarray(plant.nominal_inputs), np.zeros(0))
    np.testing.assert_array_equal(plant.measure(), [20.0, 1.0])
    plant.advance(np.array([3.0, 0.2]), np.zeros(0))
    wanted = [np.exp(-0.2) * 20 + (1 - np.exp(-0.2)) * 30, np.exp(-1) + (1 - np.exp(-1)) * 0.4]
    np.testing.assert_allclose(plant.measure(), wanted, rtol=1e-6)
    plant.begin(np.asarray(plant.nominal_inputs), np.zeros(0))  # the second loop begins where the first did
    np.testing.assert_array_equal(plant.measure(), [20.0, 1.0])
    assert not plant.remarks


def test_what_a_plant_does_not_say_is_assumed_and_said():
    plant = own_plant(lambda state, inputs: 0.5 * state + inputs, CARD, "tank")
    assert [one.name for one in plant.inputs] == ["pump", "valve"]
    np.testing.assert_array_equal(plant.nominal_inputs, [5.0, 0.5])
    np.testing.assert_array_equal(plant.measure(), [30.0, 1.0])
    plant.advance(np.array([1.0, 2.0]), np.zeros(0))
    np.testing.assert_array_equal(plant.measure(), [16.0, 2.5])
    said = " ".join(plant.remarks)
    for words in (
        "pump, valve, in this order",
        "one sample of the model, 2 s",
        "exact",
        "middle of the training",
    ):
        assert words in said
    assert plant.input_low is None


def test_disturbances_come_third():
    step = lambda state, inputs, nature: state + nature  # noqa: E731
    plant = own_plant(made(step=step, disturbances="rain", nominal_disturbances=0.5), CARD, "tank")
    plant.advance(np.zeros(2), np.array([2.0]))
    np.testing.assert_array_equal(plant.measure(), [3.0, 4.0])
    np.testing.assert_array_equal(plant.nominal_disturbances, [0.5])


def test_a_plant_cannot_change_what_it_is_given():
    def spoils(state, inputs):
        state += 1.0
        inputs *= 0.0
        return state

    plant, given = own_plant(made(step=spoils), CARD, "tank"), np.ones(2)
    np.testing.assert_array_equal(plant.measure(), [1.0, 2.0])
    plant.advance(given, np.zeros(0))
    np.testing.assert_array_equal(given, 1.0)
    np.testing.assert_array_equal(plant.measure(), [2.0, 3.0])


def test_an_input_that_the_model_does_not_know_is_held():
    step = lambda state, inputs: inputs[:2] + inputs[2]  # noqa: E731
    source = made(step=step, inputs=["pump", "valve", "heater"], nominal_inputs=[1.0, 1.0, 7.0])
    plant = MatchedPlant(own_plant(source, CARD, "tank"), CARD.signals)
    plant.begin(np.ones(2), np.zeros(0))
    plant.advance(np.array([1.0, 2.0]), np.zeros(0))
    np.testing.assert_array_equal(plant.measure(), [8.0, 9.0])
    assert any("heater" in one for one in plant.remarks)


def test_equations_in_jax_may_be_given_too():
    plant = own_plant(QuadrupleTank, CARD, "tank")
    assert isinstance(plant, SimulatedPlant)


def test_a_function_without_arguments_makes_the_plant():
    def make():
        return made()

    np.testing.assert_array_equal(own_plant(make, CARD, "make").measure(), [1.0, 2.0])


def failing(state, inputs):
    return state / 0.0 if len(state) == 0 else {}["pressure"]


WRONG = {
    "no motion": ({"step": None}, "neither step nor derivative"),
    "two motions": ({"derivative": lambda state, inputs: state}, "both step and derivative"),
    "three arguments": ({"step": lambda state, inputs, time: state}, r"step takes \(state, inputs, time\)"),
    "order": ({"step": lambda u, x: x}, "the state comes first"),
    "no start": ({"start": None, "measure": lambda state: state}, "no start"),
    "start": ({"start": "high"}, "expected the numbers of a state"),
    "nan start": ({"start": [np.nan, 1.0]}, "expected finite numbers"),
    "states": ({"start": [1.0, 2.0, 3.0]}, r"3 states and 2 outputs; write measure\(state\)"),
    "size": ({"step": lambda state, inputs: state[:1]}, r"shape \(1,\); expected 2 numbers"),
    "measured": ({"measure": lambda state: state[0]}, r"measure of tank gives .*expected 2 numbers"),
    "nan": ({"step": lambda state, inputs: state * np.nan}, "not finite"),
    "nan seen": ({"measure": lambda state: state * np.nan}, "measure of tank gives"),
    "code": ({"step": failing}, r"step of tank failed at sample 0 \(test_own_plants.py:\d+\): KeyError"),
    "text": ({"step": lambda state, inputs: "far"}, "ValueError"),
    "one limit": ({"input_low": 0.0}, "input_low alone"),
    "empty limits": ({"input_low": 1.0, "input_high": 1.0}, "must lie below"),
    "limits": ({"input_low": [0.0] * 3, "input_high": [1.0] * 3}, "expected one number, or 2"),
    "noise": ({"measurement_noise": -1.0}, "at least 0"),
    "sampling time": ({"sampling_time": 1.0}, "a step of tank is 1 s, a sample of the model 2 s"),
    "misspelt": ({"input_lo": 0.0}, "did you mean 'input_low'"),
    "names": ({"inputs": 3}, "expected names"),
    "twice": ({"inputs": ["pump", "pump"]}, "its own name"),
    "unknown input": ({"inputs": ["Pump", "valve"]}, r"'pump' in the plant \('Pump' looks like it\)"),
    "unknown output": ({"outputs": ["level", "x"]}, "no output 'flow'"),
    "unit": ({"outputs": ["level [m]", "flow"]}, "in cm in the log of the model and in m in the plant"),
    "not to be moved": (
        {"inputs": ["pump"], "disturbances": ["valve"], "step": lambda x, u, d: x},
        "valve is a disturbance of this plant",
    ),
    "unknown level": ({"inputs": ["pump", "valve", "heater"]}, "say by nominal_inputs"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plant_that_is_wrong_is_told_why(name):
    changes, words = WRONG[name]
    with pytest.raises((ConfigError, InputDataError), match=words):
        own_plant(made(**changes), CARD, "tank")


@pytest.mark.parametrize("source", [3, None, "plant", np.zeros(2)])
def test_what_is_no_plant_is_refused(source):
    with pytest.raises(AttractorError):
        own_plant(source, CARD, "thing")


def test_a_class_with_arguments_is_refused():
    class Wants:
        def __init__(self, size):
            self.size = size

    with pytest.raises(ConfigError, match="give every argument a default"):
        own_plant(Wants, CARD, "Wants")


def test_a_plant_that_runs_away_is_named_with_its_sample():
    with pytest.raises(InputDataError, match=r"derivative of tank gives .* at sample 0, in the state"):
        own_plant(made(step=None, derivative=lambda state, inputs: state**2), CARD, "tank")


def test_lost_sensors_are_read():
    outputs = CARD.signals.outputs
    lost = lost_sensors(("flow=2:4", "level=0:3"), outputs, 5)
    np.testing.assert_array_equal(np.argwhere(lost), [[0, 0], [1, 0], [2, 0], [2, 1], [3, 1]])
    assert lost_sensors((), outputs, 5) is None
    for text in ("temperature=0:3", "level=3:9", "level", "level=2:1"):
        with pytest.raises(AttractorError):
            lost_sensors((text,), outputs, 5)
