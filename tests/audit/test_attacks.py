"""Attacks against linear classifiers, whose worst inputs are known, and their promises on a recurrent one."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from audit_cases import Weighted, tanh_classifier

from attractor.audit import ATTACKS, Attack, channel_range, class_margins, labelled_sequences, run_attack
from attractor.errors import ConfigError, InputDataError

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(6, 5, 2)).astype(np.float32)
LENGTHS = np.array([5, 4, 3, 2, 1, 5])
DATA = labelled_sequences(INPUTS, RANDOM.integers(0, 3, 6), LENGTHS)
VALID = (np.arange(5) < LENGTHS[:, None])[:, :, None]
QUICK = {name: replace(attack, steps=min(attack.steps, 5)) for name, attack in ATTACKS.items()}


@pytest.mark.parametrize(("name", "order"), [("fgsm", 1), ("pgd linf", 1), ("pgd l2", 2)])
def test_a_linear_margin_falls_by_epsilon_times_the_dual_norm(name, order):
    weight = RANDOM.normal(size=(2, 5, 2)).astype(np.float32)
    data = labelled_sequences(INPUTS, np.array([0, 1, 0, 1, 0, 1]), LENGTHS)
    # From a random start straight steps reach the Euclidean optimum only in the limit.
    attack = replace(ATTACKS[name], random_start=False)
    found = run_attack(Weighted(jnp.asarray(weight)), data, attack, 0.3)
    slope = (VALID * (weight[0] - weight[1])).reshape(6, -1)
    fall = 0.3 * np.linalg.norm(slope, order, axis=1)
    np.testing.assert_allclose(found.margins, found.clean_margins - fall, atol=2e-6)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_an_attack_never_helps_and_stays_in_its_ball(name):
    network = tanh_classifier()
    found = run_attack(network, DATA, QUICK[name], 0.5)
    assert (found.margins <= found.clean_margins).all()
    assert (found.margins < found.clean_margins - 1e-3).all()
    change = found.inputs - INPUTS
    order = np.inf if QUICK[name].norm == "linf" else 2
    assert (np.linalg.norm(change.reshape(6, -1), order, axis=1) <= 0.5 * (1 + 1e-5)).all()
    assert (change == 0)[~np.broadcast_to(VALID, change.shape)].all()
    again = labelled_sequences(found.inputs, DATA.labels, LENGTHS)
    np.testing.assert_allclose(class_margins(network, again), found.margins, atol=1e-6)
    assert found.accuracy == np.mean(found.margins > 0)


def test_epsilon_zero_gives_the_clean_inputs():
    found = run_attack(tanh_classifier(), DATA, QUICK["pgd l2"], 0.0)
    np.testing.assert_array_equal(found.inputs, INPUTS)
    np.testing.assert_array_equal(found.margins, found.clean_margins)


def test_a_case_is_attacked_alone():
    """Neither the size of a piece nor the other cases change what is found."""
    network = tanh_classifier()
    whole = run_attack(network, DATA, QUICK["pgd linf"], 0.3)
    parts = run_attack(network, DATA, QUICK["pgd linf"], 0.3, batch=4)
    np.testing.assert_allclose(whole.inputs, parts.inputs, atol=1e-6)


def test_only_chosen_channels_and_present_samples_move():
    holed = INPUTS.copy()
    holed[0, 2, 1] = np.nan

    def network(inputs, length):
        return jnp.array([1.0, -1.0]) * jnp.sum(jnp.nan_to_num(inputs))

    data = labelled_sequences(holed, np.zeros(6, int), LENGTHS)
    found = run_attack(network, data, replace(QUICK["pgd linf"], channels=(1,)), 0.3)
    np.testing.assert_array_equal(found.inputs[:, :, 0], holed[:, :, 0])
    assert np.isnan(found.inputs[0, 2, 1])
    assert (found.inputs[1, :4, 1] != holed[1, :4, 1]).all()


@pytest.mark.parametrize("name", ["pgd linf", "pgd l2"])
def test_clipped_samples_stay_in_their_range(name):
    limits = channel_range(np.clip(INPUTS, -0.5, 0.5), clip=True)
    found = run_attack(tanh_classifier(), DATA, QUICK[name], 1.0, limits=limits)
    low, high = np.minimum(INPUTS, limits.low), np.maximum(INPUTS, limits.high)
    assert (found.inputs >= low - 1e-6).all()
    assert (found.inputs <= high + 1e-6).all()


@pytest.mark.slow
def test_more_restarts_find_no_less():
    network = tanh_classifier()
    one, many = (
        run_attack(network, DATA, replace(QUICK["pgd l2"], steps=1, restarts=restarts), 2.0)
        for restarts in (1, 8)
    )
    assert many.margins.sum() < one.margins.sum() - 1e-3


def test_a_gradient_that_is_not_finite_is_an_error():
    def network(inputs, length):
        size = jnp.linalg.norm(inputs - inputs)  # no slope at zero
        return jnp.array([1.0, -1.0]) * (1 + size)

    with pytest.raises(InputDataError, match="case 0 is not finite"):
        run_attack(network, labelled_sequences(INPUTS, np.zeros(6, int)), QUICK["fgsm"], 0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Attack("a", norm="l1"), "norm='l1': expected one of 'linf', 'l2'"),
        (lambda: Attack("a", loss="square"), "loss='square'"),
        (lambda: Attack("a", steps=0), "steps=0"),
        (lambda: Attack("a", restarts=0), "restarts=0"),
        (lambda: Attack("a", relative_step=0.0), "relative_step"),
        (lambda: Attack("a", channels=()), "channels"),
        (lambda: Attack("a", (-1.0,)), "at least 0"),
        (lambda: run_attack(tanh_classifier(), DATA, Attack("a", channels=(2,)), 0.1), "channels 0 to 1"),
        (lambda: run_attack(tanh_classifier(), DATA, Attack("a"), -0.1), "at least 0"),
        (lambda: run_attack(tanh_classifier(), DATA, Attack("a"), 0.1, batch=0), "batch=0"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
