"""Open loop, encoder, measured state, and the choice among observers."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from observer_cases import random_model, simulate

from attractor.cells import GRU, NNARX, EchoState, NeuralStateSpace, Stack
from attractor.certify.stability.published import published_condition
from attractor.control.identification.plant_network import Encoder, PlantNetwork
from attractor.control.model import ControlModel, from_network
from attractor.control.observer import Convergence, Observer, estimates, open_loop_observer
from attractor.control.observers import learned_observer, measured_observer, observer_for
from attractor.errors import ConfigError, UnsupportedError
from attractor.program import in_double_precision

INPUTS = np.random.default_rng(0).uniform(-1, 1, (40, 2))


def test_open_loop_is_the_model_and_converges_at_the_certified_rate():
    model = random_model(GRU, 1, 0.05)
    condition = published_condition(model.network.cell)
    certificate = SimpleNamespace(rate=condition.rate, weights=np.ones(3))
    observer = open_loop_observer(model, certificate)
    steps = observer.statement.settling_steps(0.01)
    inputs = np.random.default_rng(0).uniform(-1, 1, (steps + 1, 2))
    states, outputs = simulate(model, np.ones(3), inputs)
    found = estimates(observer.update_map, -np.ones(3), inputs, outputs)
    np.testing.assert_allclose(found, simulate(model, -np.ones(3), inputs)[0], atol=1e-14)
    errors = np.abs(found - states).max(axis=1)
    assert np.all(errors <= 2 * condition.rate ** np.arange(steps + 1))
    assert errors[-1] < 0.02
    # The published condition does not say its weights: the rate is known, the start of it is not.
    assert open_loop_observer(model, condition).statement.settling_steps(0.01) is None


@pytest.mark.parametrize("certificate", [None, SimpleNamespace(rate=1.2), SimpleNamespace(rate=float("nan"))])
def test_open_loop_states_nothing_without_a_certificate(certificate):
    statement = open_loop_observer(random_model(GRU, 1), certificate).statement
    assert statement.text.startswith("none stated")
    assert statement.settling_steps(0.5) is None


def test_settling_steps_follow_from_rate_and_amplification():
    assert Convergence(0.9, True, "").settling_steps(0.01) == 44
    assert Convergence(0.9, True, "", amplification=2.0).settling_steps(0.01) == 51
    assert Convergence(0.9, False, "").settling_steps(0.01) is None
    assert Convergence(0.0, True, "").settling_steps(0.01) == 1
    with pytest.raises(ConfigError, match="tolerance=1"):
        Convergence(0.9, True, "").settling_steps(1.0)


def nnarx_model(order=3, outputs=2):
    cell = NNARX(2, 5, output_size=outputs, order=order, key=jax.random.key(1))
    with jax.enable_x64(True):
        return ControlModel(in_double_precision(PlantNetwork(cell, None, None, feedthrough=False)))


def test_the_state_of_nnarx_is_exact_after_one_sample_more_than_its_order():
    model = nnarx_model()
    states, outputs = simulate(model, np.linspace(-1, 1, 12), INPUTS)
    observer = measured_observer(model)
    found = estimates(observer.update_map, np.zeros(12), INPUTS, outputs)
    after = observer.statement.settling_steps(0.01)
    assert after == 4
    np.testing.assert_allclose(found[after:], states[after:], atol=1e-14)
    assert np.abs(found[after - 1] - states[after - 1]).max() > 1e-3


def test_noise_enters_the_state_of_nnarx_by_no_more_than_stated():
    model = nnarx_model()
    states, outputs = simulate(model, np.zeros(12), INPUTS)
    noise = 0.1 * np.sign(np.random.default_rng(1).normal(size=outputs.shape))
    observer = measured_observer(model)
    errors = np.abs(estimates(observer.update_map, np.zeros(12), INPUTS, outputs + noise) - states)
    assert 0.1 - 1e-12 <= errors.max() <= 0.1 * observer.statement.gain_from_noise + 1e-12


def encoded_model(past=4):
    model = random_model(GRU, 3)
    encoder = Encoder(past, 3, 3, width=6, key=jax.random.key(5))
    with jax.enable_x64(True):
        encoder = in_double_precision(encoder)
    return eqx.tree_at(lambda one: one.network.encoder, model, encoder, is_leaf=lambda leaf: leaf is None)


def test_the_encoder_is_asked_as_soon_as_it_has_its_samples():
    model = encoded_model()
    outputs = np.random.default_rng(2).normal(size=(40, 1))
    observer = learned_observer(model, np.full(3, 0.3))
    found = [observer.update(*sample) for sample in zip(INPUTS, outputs, strict=True)]
    alone = simulate(model, np.full(3, 0.3), INPUTS)[0]
    np.testing.assert_allclose(found[:3], alone[1:4], atol=1e-14)
    with jax.enable_x64(True):
        for last in (3, 10, 39):
            window = slice(last - 3, last + 1)
            expected = model.start(jnp.asarray(INPUTS[window]), jnp.asarray(outputs[window]))
            np.testing.assert_allclose(found[last], expected, atol=1e-14)
    assert not observer.statement.guaranteed


def test_the_one_that_suits_is_chosen():
    assert observer_for(nnarx_model()).statement.exact_after == 4
    assert observer_for(random_model(GRU, 1, 0.05)).statement.guaranteed
    assert observer_for(random_model(EchoState, 1)).statement.guaranteed
    stack = Stack((GRU(2, 3, key=jax.random.key(0)), GRU(3, 3, key=jax.random.key(1))))
    free = NeuralStateSpace(2, 3, key=jax.random.key(0))
    for cell in (stack, free):
        chosen = observer_for(from_network(cell, np.ones((1, 3)), [0.0]))
        assert isinstance(chosen, Observer)
        assert type(chosen.update_map).__name__ == "KalmanMap"
    wild = eqx.tree_at(
        lambda one: one.network.encoder,
        random_model(GRU, 0, 8.0),
        encoded_model().network.encoder,
        is_leaf=lambda leaf: leaf is None,
    )
    assert type(observer_for(wild).update_map).__name__ == "KalmanMap"
    assert type(observer_for(wild, "learned").update_map).__name__ == "LearnedMap"


@pytest.mark.parametrize("kind", ["measured", "learned", "injection"])
def test_a_kind_that_does_not_fit_is_refused(kind):
    model = from_network(NeuralStateSpace(2, 3, key=jax.random.key(0)), np.ones((1, 3)), [0.0])
    with pytest.raises(UnsupportedError, match=r"read off|encoder|no gains"):
        observer_for(model, kind)
    with pytest.raises(ConfigError, match="unknown observer 'luenberger'"):
        observer_for(model, "luenberger")
    assert observer_for(model, "open-loop").estimate.shape == (3,)
