"""Every number of a certificate is attacked, not its verdict alone; and a false number is found."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest
from attack_certificates import attack_certificate

from attractor.cells import GRU, LSTM, NNARX, EchoState, Elman, RecurrentEquilibrium, ResetAfterGRU
from attractor.certify import CertifySettings, certify

KEY = jax.random.key(0)


def scaled(cell, factor):
    return jax.tree.map(lambda leaf: factor * leaf if eqx.is_inexact_array(leaf) else leaf, cell)


def euclidean_reservoir():
    """One of which the Euclidean norm is the smaller one."""
    cell = EchoState(1, 2, norm=0.9, key=KEY)
    turned = np.array([[0.6, 0.5], [-0.5, 0.6]])
    return eqx.tree_at(lambda c: (c.reservoir, c.input_weight), cell, (turned, np.array([[1.9], [0.4]])))


CELLS = {
    "Elman": scaled(Elman(2, 3, key=KEY), 0.4),
    "Elman, Euclidean": eqx.tree_at(
        lambda c: c.state_weight, Elman(2, 2, key=KEY), np.array([[0.6, 0.5], [-0.5, 0.6]])
    ),
    "echo state": EchoState(1, 3, norm=0.6, key=KEY),
    "echo state, Euclidean": euclidean_reservoir(),
    "slow echo state": EchoState(1, 3, norm=0.9, leak=0.05, key=KEY),
    "NNARX": scaled(NNARX(1, 3, order=2, key=KEY), 0.4),
    "GRU": scaled(GRU(1, 2, key=KEY), 0.3),
    "GRU, reset after": scaled(ResetAfterGRU(1, 2, key=KEY), 0.3),
    "LSTM": scaled(LSTM(1, 2, key=KEY), 0.3),
    "LSTM, Equinox": scaled(eqx.nn.LSTMCell(1, 2, key=KEY), 0.3),
    "GRU, Equinox": scaled(eqx.nn.GRUCell(1, 2, key=KEY), 0.3),
}


@pytest.mark.parametrize("name", CELLS)
def test_the_numbers_of_a_published_condition_hold_in_the_norm_that_it_names(name):
    """The gain of a reservoir was max(g, 1) in a norm where it is sqrt(g^2 + 1)."""
    proof = certify(CELLS[name], settings=CertifySettings(levels=(0,), refute=False)).require()
    assert proof.level == 0
    assert not attack_certificate(CELLS[name], proof)


@pytest.mark.parametrize("name", ["echo state", "Elman, Euclidean", "equilibrium"])
def test_the_numbers_of_a_quadratic_metric_hold(name):
    cell = CELLS.get(name) or RecurrentEquilibrium(1, 3, key=KEY)
    proof = certify(cell, settings=CertifySettings(levels=(4,), refute=False)).require()
    assert proof.level == 4
    assert not attack_certificate(cell, proof)


def test_a_reservoir_states_the_gain_of_its_last_input_too():
    proof = certify(CELLS["echo state, Euclidean"], settings=CertifySettings(levels=(0,))).require()
    driven = 0.5 * np.hypot(1.9, 0.4)
    assert proof.input_gain == pytest.approx(np.hypot(driven, 1.0))
    assert proof.input_order == 2


WRONG = {
    "rate": lambda proof: replace(proof, rate=0.8 * proof.rate),
    "gain": lambda proof: replace(proof, input_gain=0.3 * proof.input_gain),
    "norm": lambda proof: replace(proof, weights=np.array([1.0, 30.0, 1.0])),
    "box": lambda proof: replace(proof, low=0.5 * proof.low, high=0.5 * proof.high),
    "start": lambda proof: replace(proof, start_high=0.5 * proof.start_high, transient=0),
    "transient": lambda proof: replace(proof, transient=0),
}


@pytest.fixture(scope="module")
def refined():
    cell = scaled(GRU(1, 3, key=jax.random.key(3)), 0.8)
    return cell, certify(cell, settings=CertifySettings(levels=(2,), refute=False)).require()


def test_the_numbers_of_a_refined_box_hold(refined):
    assert refined[1].transient > 0
    assert not attack_certificate(*refined)


@pytest.mark.parametrize("number", WRONG)
def test_a_number_that_is_wrong_is_found(refined, number):
    cell, proof = refined
    assert attack_certificate(cell, WRONG[number](proof))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 1 - 1e-9])
def test_the_settling_time_is_the_first_power_below_the_tolerance(rate, refined):
    steps = replace(refined[1], rate=rate, transient=0).settling_steps(0.01)
    assert rate**steps <= 0.01 < rate ** (steps - 1)


def test_a_slow_reservoir_is_proved_at_a_rate_below_one_or_not_at_all():
    """`EchoState(leak=1e-3)` was proved at the rate 1, and its settling time divided by zero."""
    cell = EchoState(1, 3, norm=0.9, leak=1e-3, key=KEY)
    for levels in ((0,), (4,)):
        proof = certify(cell, settings=CertifySettings(levels=levels, refute=False)).require()
        assert proof.rate < 1
        assert proof.settling_steps() > 1000


def test_a_large_bound_of_the_inputs_is_no_overflow():
    result = certify(
        LSTM(1, 2, key=KEY), input_bound=1e3, settings=CertifySettings(levels=(0,), refute=False)
    )
    assert result.certificate is None
    assert result.reason
