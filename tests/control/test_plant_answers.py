"""Whether a plant answers as its model foresees: wrong gains and speeds are told, noise is not."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import Linear
from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard, from_network
from attractor.control.plant_answers import plant_answers, undisturbed_rows, usual_errors
from attractor.control.predictive import ClosedLoop, SolveStatus
from attractor.data import Scaling, Signal

ROWS, SAMPLES = 200, 15
CARD = ModelCard(
    Signals((Signal("pump", "V"),), (Signal("level", "cm"),), 2.0),
    Scaling(np.array([5.0]), np.array([4.0])),
    Scaling(np.array([30.0]), np.array([10.0])),
)
USUAL = np.array([0.02])


def lag(pole, inputs):
    """y' = pole y + (1 - pole) u, scaled, from rest at 0."""
    states = [0.0]
    for value in inputs[:-1]:
        states.append(pole * states[-1] + (1 - pole) * value)
    return np.array(states)


@pytest.fixture(scope="module")
def model():
    """The model is a lag of 0.9, and a gain of one."""
    cell = Linear(1, 1, key=jax.random.key(0))
    parts = lambda one: (one.transition, one.input_weight)  # noqa: E731
    return from_network(
        eqx.tree_at(parts, cell, (jnp.full((1, 1), 0.9), jnp.full((1, 1), 0.1))), [[1.0]], [0]
    )


def looped(answer):
    """A loop with steps of the input, whose plant answers so to scaled inputs."""
    inputs = np.repeat(np.random.default_rng(0).uniform(-1, 1, ROWS // 20), 20)
    outputs = CARD.outputs.to_engineering(answer(inputs)[:, None])
    nothing = np.zeros((ROWS, 0))
    return ClosedLoop(
        times=2.0 * np.arange(ROWS),
        references=outputs,
        measured=outputs,
        outputs=outputs,
        inputs=CARD.inputs.to_engineering(inputs[:, None]),
        disturbances=nothing,
        estimates=lag(np.float32(0.9), inputs)[:, None],
        offsets=np.zeros((ROWS, 1)),
        reachable=np.ones(ROWS, bool),
        statuses=(SolveStatus.CONVERGED,) * ROWS,
        solve_seconds=np.zeros(ROWS),
        seconds=np.zeros(ROWS),
    )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda u: -lag(0.9, u), "level moves the other way than foreseen"),
        (lambda u: 3 * lag(0.9, u), "level moves 3 times as far as foreseen"),
        (lambda u: 0 * lag(0.9, u), "level moves hardly, whatever is foreseen"),
        (lambda u: lag(0.99, u), "level moves 0.1"),  # ten times as slow
    ],
    ids=["sign", "size", "none", "speed"],
)
def test_a_plant_with_other_gains_or_speeds_answers_otherwise(model, answer, words):
    found = plant_answers((model, CARD), looped(answer), SAMPLES, USUAL)
    assert found.otherwise == (True,)
    assert str(found).startswith("The plant answers otherwise than the model: over 15 samples ")
    assert words in str(found)
    # 10 cm a scaled unit; at worst the errors at both ends of a move have nothing in common
    assert f"{0.02 * np.sqrt(2) * 10:.2g} at most by its errors on validation data" in str(found)


@pytest.mark.parametrize(
    "answer",
    [
        lambda u: lag(0.9, u),
        lambda u: lag(0.9, u) + 2.0,  # an offset, which the controller takes out
        lambda u: 1.25 * lag(0.9, u),
        lambda u: lag(0.9, u) + 0.02 * np.random.default_rng(1).normal(size=ROWS),
    ],
    ids=["itself", "offset", "a quarter more", "noise"],
)
def test_what_is_near_the_model_or_noise_is_not_accused(model, answer):
    found = plant_answers((model, CARD), looped(answer), SAMPLES, USUAL)
    assert found.otherwise == (False,)
    assert str(found).startswith("Over 15 samples the model misses ")


def test_errors_of_the_size_of_those_on_validation_are_the_model_and_not_the_plant(model):
    """A poor model that errs here as it did there is told to be poor where it was judged."""
    found = plant_answers((model, CARD), looped(lambda u: -lag(0.9, u)), SAMPLES, np.array([0.6]))
    assert found.share[0] > 1
    assert found.otherwise == (False,)


def test_a_short_loop_tells_nothing_and_neither_do_rows_under_disturbances(model):
    loop = looped(lambda u: -lag(0.9, u))
    assert plant_answers((model, CARD), loop, SAMPLES, USUAL, rows=30) is None
    disturbed = replace(loop, disturbances=np.where(np.arange(ROWS) < 120, 0.5, 0.6)[:, None])
    assert undisturbed_rows(disturbed, np.array([0.5])) == 120
    assert undisturbed_rows(disturbed, np.array([0.7])) == 0
    assert undisturbed_rows(loop, np.zeros(0)) == ROWS


def test_without_validation_data_a_tenth_of_a_standard_deviation_is_usual():
    np.testing.assert_array_equal(usual_errors(None, 2), [0.1, 0.1])
