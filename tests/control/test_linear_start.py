"""The linear model that networks start from: found through noise, and the same inside of a network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from attractor import PlantModel
from attractor.cells import Linear, NeuralStateSpace, late_inputs
from attractor.control.baselines import fit_arx
from attractor.control.identification.identification_task import free_run
from attractor.control.identification.linear_start import find_linear_start
from attractor.control.identification.output_error import fit_output_error, stabilised
from attractor.control.identification.plant_network import ENCODER_WIDTH, NetworkPlan
from attractor.control.identification.regressions import Start
from attractor.control.identification.remarks import drifting_outputs

PAST = 12
LIGHT = np.real(np.poly([0.995 * np.exp(0.3j), 0.995 * np.exp(-0.3j)]))
"""Poles of a structure whose ringing lasts for hundreds of samples."""


def ringing(rows=1500, noise=0.1, direct=False, seed=0):
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, rows)
    outputs = lfilter([0.5, 0.2] if direct else [0, 0.5, 0.2], LIGHT, inputs)
    outputs /= outputs.std()
    return inputs[:, None], (outputs + noise * draw.standard_normal(rows))[:, None]


def found(inputs, outputs, feedthrough=False, rows=1100):
    parts = [(inputs[:rows], outputs[:rows])], [(inputs[rows:], outputs[rows:])]
    return find_linear_start(*parts, Start(feedthrough, PAST, PAST)), parts


def test_poles_are_found_through_noise_that_misleads_least_squares():
    inputs, outputs = ringing(noise=0.3)
    model, start = fit_output_error([(inputs, outputs)], 2, 1)
    np.testing.assert_allclose(model.denominators[0], LIGHT[1:], atol=2e-3)
    assert np.abs(start.denominators[0] - LIGHT[1:]).max() > 0.1


def test_a_lightly_damped_structure_is_simulated_at_least_as_well_as_by_arx():
    inputs, outputs = ringing()
    model, (training, validation) = found(inputs, outputs)
    arx = fit_arx(training, validation, PAST)
    [(u, y)] = validation
    errors = [
        np.sqrt(np.mean((one - y[PAST:]) ** 2))
        for one in (model.simulate(u, y, PAST, PAST)[:-1], arx.simulate(u, y, PAST)[PAST:])
    ]
    assert errors[0] < 1.02 * errors[1]
    assert errors[0] < 0.15


@pytest.mark.parametrize("delays", [(), (3,)])
@pytest.mark.parametrize("direct", [False, True])
def test_a_start_is_read_right_under_inputs_that_training_never_saw(direct, delays):
    """The structure was swept below and about its resonance; now it is shaken fast, and hardly answers.

    A regression of states on rows started wrong there, by ten times the noise.
    """
    sweep = np.sin(2 * np.pi * np.cumsum(np.linspace(0.005, 0.12, 1100)))
    shaken = np.sin(2 * np.pi * 0.23 * np.arange(400))
    inputs = np.concatenate([sweep, shaken])[:, None]
    outputs = lfilter([0.5, 0.2] if direct else [0, 0.5, 0.2], LIGHT, late_inputs(inputs, delays)[:, 0])
    outputs /= outputs.std()
    noisy = outputs + 0.1 * np.random.default_rng(0).standard_normal(len(outputs))
    rows = [(inputs[:900], noisy[:900, None])], [(inputs[900:1100], noisy[900:1100, None])]
    model = find_linear_start(*rows, Start(direct, PAST, PAST), delays)
    errors = []
    for begin in range(1200, 1380, 20):
        part = slice(begin - PAST, begin + 60)
        run = model.simulate(inputs[part], noisy[part, None], PAST, PAST)
        run = run[1:] if direct else run[:-1]
        errors.append(run[:, 0] - outputs[begin : begin + 60])
    assert np.sqrt(np.mean(np.square(errors))) < 0.15


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("family", [Linear, NeuralStateSpace])
def test_a_network_that_starts_from_it_computes_the_same(family, direct):
    inputs, outputs = ringing(direct=direct)
    model, _ = found(inputs, outputs, direct)
    more = 0 if family is Linear else 2
    plan = NetworkPlan(family, model.size + more, 1, 1, 1, PAST, direct, ENCODER_WIDTH + model.size)
    network = model.builder(plan)(jax.random.key(0))
    simulated = free_run(network, jnp.asarray(inputs), jnp.asarray(outputs), PAST)
    expected = model.simulate(inputs, outputs, PAST, PAST)
    expected = expected[1:] if direct else expected[:-1]
    # The encoder's tanh bends the estimate of the start a little; afterwards both are the same.
    np.testing.assert_allclose(simulated, expected, atol=0.05)
    np.testing.assert_allclose(simulated[-200:], expected[-200:], atol=1e-2)


@pytest.mark.parametrize("seed", [2, 4])
def test_an_output_that_no_linear_model_follows_does_not_choose_the_order_of_another(seed):
    """The level of a tank with a wandering outflow, beside a structure of three modes: order 4 served it."""
    draw, rows = np.random.default_rng(seed), 600
    inputs = draw.uniform(-1, 1, (rows, 2))
    inputs[:, 1] = np.repeat(draw.uniform(-1, 1, rows // 30), 30)
    level = np.zeros(rows)
    for row in range(1, rows):
        outflow = np.sqrt(level[row - 1]) * (1 + 0.8 * np.sin(row / 40))
        level[row] = max(level[row - 1] + 0.1 * (1 + inputs[row - 1, 1] - outflow), 0)
    modes = [
        lfilter([0, 1, 0.3], [1, -2 * size * np.cos(turn), size**2], inputs[:, 0])
        for size, turn in ((0.97, 0.3), (0.95, 0.9), (0.93, 1.6))
    ]
    moved = sum(share * one / one.std() for share, one in zip((1, 0.15, 0.1), modes, strict=True))
    outputs = np.stack([level / level.std(), moved / moved.std()], axis=1)
    outputs += 0.02 * draw.normal(size=outputs.shape)
    both, (_, validation) = found(inputs, outputs, rows=400)
    alone, _ = found(inputs, outputs[:, 1:], rows=400)
    [(u, y)] = validation
    errors = [
        np.sqrt(np.mean((model.simulate(u, y[:, own], PAST, PAST)[:-1, -1] - y[PAST:, 1]) ** 2))
        for model, own in ((both, slice(None)), (alone, slice(1, 2)))
    ]
    assert errors[0] < 1.1 * errors[1] < 0.03


def drifting(seed, rows=900):
    """Slow plants whose outputs wander besides, as those of a furnace do."""
    draw = np.random.default_rng(seed)
    inputs = np.repeat(draw.normal(size=(rows // 8 + 1, 3)), 8, axis=0)[:rows]
    gains, poles = draw.normal(size=(2, 3)), draw.uniform(0.8, 0.98, (2, 3))
    parts = [
        [g * lfilter([0, 1 - p], [1, -p], u) for g, p, u in zip(*one, inputs.T, strict=True)]
        for one in zip(gains, poles, strict=True)
    ]
    moved = np.sum(parts, axis=1).T
    moved /= moved.std(axis=0)
    wander = np.cumsum(draw.normal(size=moved.shape), axis=0)
    return inputs, moved + 0.4 * wander / wander.std(axis=0) + 0.05 * draw.normal(size=moved.shape)


def test_a_free_run_begins_where_a_drift_stands():
    """Fifty rows ahead a drift is mostly where it was. Explained by what inputs did it misled for long."""
    ours, of_arx = [], []
    for seed in range(3):
        inputs, outputs = drifting(seed, rows=1000)
        model, (training, validation) = found(inputs[:800], outputs[:800], rows=640)
        arx = fit_arx(training, validation, PAST)
        for begin in range(800, 950, 10):
            part = slice(begin - PAST, begin + 50)
            u, y = inputs[part], outputs[part]
            ours.append(model.simulate(u, y, PAST, PAST)[:-1] - y[PAST:])
            of_arx.append(arx.simulate(u, y, PAST)[PAST:] - y[PAST:])
    assert np.sqrt(np.mean(np.square(ours))) < np.sqrt(np.mean(np.square(of_arx)))


def test_outputs_that_drift_are_known_and_others_are_not_said_to():
    inputs, outputs = drifting(2)
    model, _ = found(inputs, outputs[:, :1], rows=700)
    plan = NetworkPlan(Linear, model.size, 1, 3, 1, PAST, False, ENCODER_WIDTH + model.size)
    assert drifting_outputs(model.builder(plan)(jax.random.key(0))) == [0]
    model, _ = found(*ringing())
    plan = NetworkPlan(Linear, model.size, 1, 1, 1, PAST, False, ENCODER_WIDTH + model.size)
    assert drifting_outputs(model.builder(plan)(jax.random.key(0))) == []


def test_a_gain_at_rest_that_no_log_shows_is_called_a_guess():
    draw = np.random.default_rng(0)
    inputs = np.repeat(draw.uniform(-1, 1, 100), 10)[:, None]
    integrated = np.cumsum(0.05 * inputs, axis=0) + 0.02 * draw.normal(size=inputs.shape)
    assert "gain at rest is a guess" in " ".join(PlantModel("linear").fit(inputs, integrated).remarks_)
    settling = lfilter([0, 0.1], [1, -0.9], inputs, axis=0) + 0.02 * draw.normal(size=inputs.shape)
    assert "gain at rest" not in " ".join(PlantModel("linear").fit(inputs, settling).remarks_)


def test_what_is_beyond_the_linear_model_can_be_trained():
    model, _ = found(*ringing())
    plan = NetworkPlan(NeuralStateSpace, model.size + 2, 1, 1, 1, PAST, False, ENCODER_WIDTH + model.size)
    network = model.builder(plan)(jax.random.key(0))
    assert not network.cell.outer_weight.any()
    inputs, outputs = map(jnp.asarray, ringing(60))

    @eqx.filter_grad
    def slope(network):
        return jnp.sum((free_run(network, inputs, outputs, PAST) - outputs[PAST:] ** 3) ** 2)

    assert jnp.any(slope(network).cell.outer_weight != 0)


def test_too_few_rows_give_no_start():
    inputs, outputs = ringing(30)
    recordings = [(inputs, outputs)]
    assert find_linear_start(recordings, recordings, Start(False, PAST, PAST)) is None


def test_roots_outside_the_circle_come_in():
    roots = np.roots([1.0, *stabilised(np.poly([2.0, 1.0, 0.5])[1:])])
    np.testing.assert_allclose(np.sort(np.abs(roots)), [0.5, 0.5, 0.999 * 0.9995], rtol=1e-6)
