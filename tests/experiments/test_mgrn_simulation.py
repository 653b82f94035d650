"""The simulation of two series and its best predictor."""

import equinox as eqx
import jax
import numpy as np
import pytest

from attractor.errors import ConfigError
from attractor.training import TrainingSettings
from experiments import mgrn_simulation as simulation
from experiments.mgrn import NETWORKS, StudySettings, closed, reproduce, split_rows

DRAWS = 200_000


@pytest.mark.parametrize("mean", [-0.6, 0.0, 0.8])
def test_the_moments_are_those_of_random_draws(mean):
    generator = np.random.default_rng(0)
    w, logarithm = generator.normal(size=DRAWS), mean + 0.1 * generator.normal(size=DRAWS)
    for power, moment in ((1, simulation.first_moment), (2, simulation.second_moment)):
        drawn = w**power * np.exp(w * logarithm)
        error = drawn.std() / DRAWS**0.5
        np.testing.assert_allclose(drawn.mean(), moment(np.array([mean]), 0.01)[0], atol=4 * error)


def test_the_expected_product_is_that_of_random_draws():
    generator = np.random.default_rng(1)
    means = np.array([0.07, -3.1, 0.1, 0.6, -2.9, 0.7, 0.5]), np.array([0.02, -3.3, 0.4, 0.6, -2.8, 0.6, 0.4])
    shared, values = generator.normal(size=DRAWS), []
    for one in means:
        latent = one[:, None] + 0.1 * generator.normal(size=(7, DRAWS))
        alpha, (beta, up, down, gamma, own_up, own_down) = latent[0], np.exp(latent[1:])
        own = generator.normal(size=DRAWS)
        values.append(alpha + beta * shock(shared, up, down) + gamma * shock(own, own_up, own_down))
    drawn = values[0] * values[1]
    error = drawn.std() / DRAWS**0.5
    expected = simulation.expected_product(*(one[:, None] for one in means))
    np.testing.assert_allclose(drawn.mean(), expected[0], atol=4 * error)
    assert error < 0.02 * expected[0]


def shock(w, up, down):
    return w * ((up**w + down ** (-w)) / 4 + 1)


def test_the_parameters_follow_the_published_recursion():
    made = simulation.simulate_pair("IBM", "KO", 3000, seed=2)
    logarithm = np.log(made.inputs[:, 2])  # beta of the first series
    expected = 0.3 * np.log(simulation.MEANS["IBM"][1] / 10)
    np.testing.assert_allclose(expected, -0.942, atol=1e-3)
    past = np.array([logarithm[4 - k : -1 - k] for k in range(5)])
    shocks = logarithm[5:] - expected - np.array([0.9, -0.8, 0.7, -0.6, 0.5]) @ past
    np.testing.assert_allclose(shocks.std(), 0.1, atol=4 * 0.1 / (2 * 3000) ** 0.5)
    np.testing.assert_allclose(shocks.mean(), 0, atol=4 * 0.1 / 3000**0.5)
    np.testing.assert_allclose(made.target[:-1], 100 * made.inputs[1:, 0] * made.inputs[1:, 8])


def test_no_function_of_the_best_predictor_improves_it():
    made = simulation.simulate_pair("IBM", "KO", 20_000, seed=3)
    assert np.isnan(made.best[:4]).all()
    best, rest = made.best[4:], (made.target - made.best)[4:]
    floor = np.mean(rest**2)
    assert 14 < floor < 43
    assert best.var() > 1
    for feature in (np.ones_like(best), best, best**2, *made.inputs[4:].T):
        product = rest * (feature - feature.mean() * (feature.std() > 0))
        assert abs(product.mean()) < 4 * product.std() / len(product) ** 0.5


def test_windows_do_not_reach_over_the_borders_of_the_parts():
    parts = split_rows(100)
    assert [(one[0], one[-1]) for one in (parts.training, parts.validation, parts.test)] == [
        (4, 69),
        (74, 84),
        (89, 99),
    ]
    with pytest.raises(ConfigError, match="length=20: too short"):
        split_rows(20)


@pytest.mark.parametrize(
    ("arguments", "said"), [(("IBM", "XYZ", 50), "unknown series 'XYZ'"), (("IBM", "KO", 3), "length=3")]
)
def test_bad_requests_are_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        simulation.simulate_pair(*arguments)


def test_rivals_never_have_fewer_parameters():
    sizes = {}
    for name, build in NETWORKS.items():
        cell = eqx.filter_eval_shape(build, jax.random.key(0))
        sizes[name] = sum(leaf.size for leaf in jax.tree.leaves(cell))
    assert sizes["mGRN, two groups"] == 1836
    assert sizes["mGRN, total split"] == 1872
    assert all(1872 <= size <= 1920 for name, size in sizes.items() if "mGRN" not in name), sizes


@pytest.mark.slow
def test_a_short_study_reports_errors_and_distances_that_belong_together():
    training = TrainingSettings(steps=20, batch_size=16, validate_every=10, seeds=2)
    settings = StudySettings(length=1000, rates=(1e-2,), training=training)
    (row,) = reproduce(settings, ("mGRN, total split",))
    assert row.parameters == 1872
    assert row.rates == (1e-2, 1e-2)
    made = simulation.simulate_pair("IBM", "KO", 1000)
    test = split_rows(1000).test
    np.testing.assert_allclose(row.floor, np.mean((made.target - made.best)[test] ** 2))
    assert row.errors[0] != row.errors[1]
    for error, distance in zip(row.errors, row.distances, strict=True):
        crossed = error - row.floor - distance  # twice a mean product, which Cauchy and Schwarz bound
        assert 0 < abs(crossed) < 2 * (distance * row.floor) ** 0.5
    assert closed(row, row) == 0


@pytest.mark.slow
def test_a_group_for_each_variable_closes_part_of_the_gap():
    training = TrainingSettings(steps=1000, batch_size=128, validate_every=50, seeds=2)
    settings = StudySettings(rates=(1e-2,), training=training)
    gru, split = reproduce(settings, ("GRU", "mGRN, total split"))
    assert closed(split, gru) > 0.2
