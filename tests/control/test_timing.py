"""When inputs act: found in the data, told, and the same for running, control, exports and proofs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

import attractor
from attractor.cells import GRU, NNARX, Delayed, Linear, late_inputs
from attractor.certify import CertifySettings, Verdict, certify
from attractor.control import PlantModel
from attractor.control.identification.plant_network import NetworkPlan
from attractor.control.model import control_model
from attractor.control.observers import observer_for
from attractor.data import Experiment
from attractor.errors import ConfigError, UnsupportedError
from attractor.export import check_parity
from attractor.training import TrainingSettings

KEY = jax.random.key(0)
INPUTS = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (30, 2)), jnp.float32)


def waiting(rows=900, delay=13, seed=0):
    """First order behind a long pipe."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, rows).repeat(3)[:rows]
    outputs = lfilter([0.0] * delay + [0.3], [1, -0.7], inputs)
    return inputs[:, None], outputs + 0.01 * draw.standard_normal(rows)


def direct(rows=900, seed=0):
    """An input that acts within its row."""
    draw = np.random.default_rng(seed)
    inputs = draw.uniform(-1, 1, rows)
    return inputs[:, None], lfilter([0.5, 0.2], [1, -0.7], inputs) + 0.01 * draw.standard_normal(rows)


def linear(log, **options):
    return PlantModel("linear", **options).fit(*log)


@pytest.fixture(scope="module")
def late():
    return linear(waiting())


@pytest.fixture(scope="module")
def shifted():
    return linear(direct())


def test_a_delayed_cell_is_its_cell_under_late_inputs():
    inner = GRU(2, 3, key=KEY)
    cell = Delayed(inner, (4, 0))
    expected = attractor.unroll(
        inner,
        jnp.asarray(
            np.where(np.arange(30)[:, None] < np.array([4, 0]), 0.0, late_inputs(np.asarray(INPUTS), (4, 0)))
        ),
    ).states
    np.testing.assert_allclose(attractor.unroll(cell, INPUTS).states[1], expected, atol=1e-6)


def test_late_inputs_hold_the_first_value():
    rows = np.arange(6.0).reshape(3, 2)
    expected = [[0, 1], [0, 3], [0, 5]]
    assert late_inputs(rows, (2, 0)).tolist() == expected
    assert late_inputs(jnp.asarray(rows), (2, 0)).tolist() == expected


@pytest.mark.parametrize("delays", [(1,), (0, 0), (-1, 2)])
def test_delays_that_fit_no_cell_are_refused(delays):
    with pytest.raises(ConfigError, match="one for every input"):
        Delayed(GRU(2, 3, key=KEY), delays)


@pytest.mark.parametrize("family", [GRU, NNARX])
def test_a_network_goes_on_from_measured_rows_with_inputs_under_way(family):
    """The state after all rows is the state after some of them, run over the rest."""
    plan = NetworkPlan(family, 3, 1, 2, 1, 0, False, delays=(3, 1))
    network = plan(KEY)
    first, rest = INPUTS[:20], INPUTS[20:]
    start = network.start(first, jnp.zeros((20, 1)))
    again = attractor.unroll(network.cell, rest, start).last
    register = again[0]
    np.testing.assert_allclose(register, INPUTS[-3:], atol=1e-6)
    np.testing.assert_allclose(start[0], first[-3:], atol=1e-6)


def test_a_long_delay_is_found_taken_out_and_told(late):
    assert late.timing_.delays == (11,)
    assert "u0 by 11 samples" in late.remarks_[0]
    assert isinstance(late.network().cell, Delayed)
    assert late.score(*waiting(seed=1)) > 95


def test_a_delay_that_is_stated_is_taken(tmp_path):
    inputs, outputs = waiting(delay=3)
    assert linear((inputs, outputs)).timing_.delays == ()
    model = linear((inputs, outputs), delay=2)
    assert model.timing_.delays == (2,)
    model.save(tmp_path / "run")
    again = PlantModel.load(tmp_path / "run")
    assert again.timing_ == model.timing_
    np.testing.assert_array_equal(again.predict(inputs, outputs), model.predict(inputs, outputs))
    with pytest.raises(ConfigError, match="one for each of 1 inputs"):
        linear((inputs, outputs), delay=(1, 2))


def test_a_delay_of_zero_leaves_it_to_the_model():
    assert linear(waiting(400), delay=0).timing_.delays == ()


def test_a_controller_sees_inputs_that_are_under_way(late):
    """The control model, from measured rows on, is the free run; the rest of the chain takes it as it is."""
    inputs, outputs = waiting(200, seed=2)
    model, card = control_model(late)
    u, y = late.input_scaling_.to_unit(inputs), late.output_scaling_.to_unit(outputs[:, None])
    with jax.enable_x64(True):
        state = model.start(jnp.asarray(u[:20]), jnp.asarray(y[:20]))
        assert len(state) == model.state_size == 11 + late.structure_.hidden_size
        shown = []
        for row in range(20, 60):
            shown.append(np.asarray(model.output(state)))
            state = model.step(state, jnp.asarray(u[row]))
    expected = late.simulate(Experiment("one", inputs, outputs[:, None]))[20:60]
    np.testing.assert_allclose(card.outputs.to_engineering(np.array(shown)), expected, atol=1e-4)
    assert observer_for(model, "kalman").update(np.zeros(1), np.zeros(1)).shape == (model.state_size,)


def test_a_delayed_cell_is_exported_and_proved(late):
    assert max(check_parity(late.network().cell, samples=20).values()) < 1e-12
    cell = Delayed(Linear(1, 1, key=KEY), (3,))
    settings = CertifySettings(levels=(1, 2), refute=False)
    assert certify(cell, settings=settings).verdict is Verdict.PROVED


def test_an_input_within_its_row_is_shifted_and_told(shifted):
    assert (shifted.timing_.feedthrough, shifted.timing_.shifted, shifted.feedthrough_) == (False, True, True)
    assert "shifted by one row" in shifted.remarks_[0]


def test_a_shift_serves_prediction_as_feedthrough_does_and_a_controller_besides(shifted):
    test = direct(seed=3)
    through = linear(direct(), feedthrough=True)
    assert shifted.score(*test) == pytest.approx(through.score(*test), abs=0.5)
    assert linear(direct(), feedthrough=False).score(*test) < shifted.score(*test) - 20
    assert control_model(shifted)[0].state_size == shifted.structure_.hidden_size
    with pytest.raises(UnsupportedError, match="--feedthrough shift"):
        control_model(through)


def test_the_input_of_the_same_row_counts_and_later_ones_do_not(shifted):
    inputs, outputs = direct(60, seed=4)
    base = shifted.predict(inputs, outputs)
    moved = inputs.copy()
    moved[40] += 0.5
    changed = np.flatnonzero(np.abs(shifted.predict(moved, outputs) - base)[20:] > 1e-6) + 20
    assert changed[0] == 40


def test_a_recording_that_starts_at_rest_keeps_the_input_of_its_first_row():
    quick = {"hidden_size": 2, "window": 20, "training": TrainingSettings(steps=1, batch_size=2)}
    model = PlantModel("esn", initial_state="zero", **quick).fit(*direct(300))
    assert (model.timing_.feedthrough, model.timing_.shifted) == (True, False)
    with pytest.raises(ConfigError, match="first row would be lost"):
        PlantModel("esn", initial_state="zero", feedthrough="shift", **quick).fit(*direct(300))
