"""Weights of examples against closed forms and identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from attractor.errors import ConfigError
from attractor.training.reweighting import (
    Classes,
    Reweighting,
    balanced,
    capped,
    class_medians,
    degree_of_suspicion,
    effective_size,
    fit_mixture,
    log_weights,
    shared_by_groups,
    strength_for,
)

EXAMPLES = 200


@pytest.fixture
def totals():
    return jnp.asarray(np.random.default_rng(0).gamma(1.0, 3.0, EXAMPLES), jnp.float32)


def weights(totals, strength):
    return np.exp(np.asarray(log_weights(jnp.asarray(totals), jnp.asarray(strength)), float))


def test_weights_are_a_distribution_that_shifts_and_permutations_leave_alone(totals):
    p = weights(totals, 0.3)
    assert p.sum() == pytest.approx(1, abs=1e-6)  # float32
    np.testing.assert_allclose(weights(totals + 100, 0.3), p, rtol=2e-4)  # 100 has 1e-5 of resolution
    order = np.random.default_rng(1).permutation(EXAMPLES)
    np.testing.assert_array_equal(weights(totals[order], 0.3), p[order])


def test_no_strength_and_equal_losses_mean_equal_weights(totals):
    np.testing.assert_allclose(weights(totals, 0.0), 1 / EXAMPLES, rtol=1e-6)
    np.testing.assert_allclose(weights(jnp.full(EXAMPLES, 7.0), 10.0), 1 / EXAMPLES, rtol=1e-6)


@pytest.mark.parametrize("x64", [False, True])
def test_huge_losses_stay_finite(x64):
    with jax.enable_x64(x64):
        totals = jnp.linspace(0, 1e8, EXAMPLES)
        logs = log_weights(totals, jnp.asarray(10.0))
        assert np.isfinite(np.asarray(logs)).all()
        assert float(jnp.exp(logs).sum()) == pytest.approx(1, abs=1e-6)
        lightest = jax.nn.softmax(logs[-20:])  # each of them underflows on its own
        assert float(jnp.exp(logs[-20:]).max()) == 0
        assert float(lightest.sum()) == pytest.approx(1, abs=1e-6)


def test_an_update_lowers_the_weighted_loss_by_the_symmetric_divergence():
    """sum (p' - p) l = -(KL(p|p') + KL(p'|p)) / eta for p' proportional to p exp(-eta l)."""
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        for strength in (0.01, 0.5, 3.0):
            before, losses = rng.gamma(1, 2, 50), rng.gamma(1, 2, 50)
            p = weights(before, strength)
            q = weights(before + losses, strength)
            divergence = ((p - q) * np.log(p / q)).sum()
            assert ((q - p) @ losses) == pytest.approx(-divergence / strength, abs=1e-12)


@pytest.mark.slow
def test_logistic_regression_with_flipped_labels_follows_the_closed_log_ratio():
    """ln(p_flipped / p_clean) = -eta * sum of theta, and theta leaves the biased optimum far behind."""
    share, strength, rate = 0.4, 0.1, 0.5
    theta, total_clean, total_flipped, thetas = 0.0, 0.0, 0.0, 0.0
    with jax.enable_x64(True):
        for _ in range(2000):
            clean, flipped = weights([total_clean, total_flipped], strength)
            mass = share * flipped / (share * flipped + (1 - share) * clean)
            slope = 1 / (1 + np.exp(-theta))
            theta -= rate * (mass * slope - (1 - mass) * (1 - slope))
            total_clean += np.logaddexp(0, -theta)
            total_flipped += np.logaddexp(0, theta)
            thetas += theta
        logs = log_weights(jnp.asarray([total_clean, total_flipped]), jnp.asarray(strength))
        assert float(logs[1] - logs[0]) == pytest.approx(-strength * thetas, rel=1e-9)
    assert theta == pytest.approx(6.89, abs=0.01)
    assert theta > 10 * np.log((1 - share) / share)


@pytest.mark.slow
def test_least_squares_recovers_what_most_examples_say():
    """45 % at 0, 30 % at 3, 25 % at -2: the plurality wins, where the mean is 0.4; 60 % at 1 win over 0."""
    assert _fixed_point([0.0, 3.0, -2.0], [0.45, 0.30, 0.25]) == pytest.approx(0, abs=1e-6)
    assert _fixed_point([0.0, 1.0], [0.51, 0.49]) == pytest.approx(0, abs=1e-6)
    assert _fixed_point([0.0, 1.0], [0.40, 0.60]) == pytest.approx(1, abs=1e-6)


def _fixed_point(places, shares, strength=0.03, rate=0.5, steps=4000):
    places, shares = np.array(places), np.array(shares)
    with jax.enable_x64(True):
        theta, totals = shares @ places, np.zeros(len(places))
        for _ in range(steps):
            p = shares * weights(totals, strength)
            theta -= rate * (theta - (p @ places) / p.sum())
            totals += (theta - places) ** 2 / 2
    return theta


def test_the_strength_has_the_effective_size_asked_for(totals):
    for share in (0.95, 0.6, 0.3):
        strength = strength_for(totals, jnp.asarray(share))
        size = float(effective_size(log_weights(totals, strength)))
        assert size == pytest.approx(share * EXAMPLES, rel=1e-3)
    assert float(strength_for(totals, jnp.asarray(1.0))) == 0


def test_equal_losses_have_a_strength_without_a_nan():
    strength = strength_for(jnp.full(10, 3.0), jnp.asarray(0.5))
    np.testing.assert_allclose(weights(jnp.full(10, 3.0), strength), 0.1, rtol=1e-6)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_the_cap_is_the_projection_by_bisection(totals, share):
    p, largest = weights(totals, 1.0), 1 / (share * EXAMPLES)
    scale = brentq(lambda s: np.minimum(s * p, largest).sum() - 1, 0, 1e9, xtol=1e-12)
    new = np.exp(np.asarray(capped(jnp.log(jnp.asarray(p, jnp.float32)), largest)))
    np.testing.assert_allclose(new, np.minimum(scale * p, largest), rtol=1e-4)
    assert new.max() <= largest * (1 + 1e-5)
    assert new.sum() == pytest.approx(1, abs=1e-5)


def test_the_smallest_cap_makes_all_weights_equal(totals):
    new = np.exp(np.asarray(capped(log_weights(totals, jnp.asarray(2.0)), 1 / EXAMPLES)))
    np.testing.assert_allclose(new, 1 / EXAMPLES, rtol=1e-4)


def test_a_cap_that_nothing_exceeds_changes_nothing(totals):
    logs = log_weights(totals, jnp.asarray(0.1))
    np.testing.assert_allclose(np.asarray(capped(logs, 1.0)), np.asarray(logs), rtol=1e-5)


def test_balanced_classes_keep_their_share(totals):
    labels = jnp.asarray(np.random.default_rng(3).choice(3, EXAMPLES, p=[0.7, 0.2, 0.1]))
    p = np.exp(np.asarray(balanced(log_weights(totals, jnp.asarray(1.0)), Classes(labels, 3))))
    for label in range(3):
        member = np.asarray(labels) == label
        assert p[member].sum() == pytest.approx(member.mean(), rel=1e-4)


def test_members_of_a_group_share_its_mean():
    groups = jnp.asarray([0, 1, 0, 2])
    shared = shared_by_groups(jnp.asarray([1.0, 2.0, 3.0, 4.0]), groups, 3)
    np.testing.assert_array_equal(np.asarray(shared), [2.0, 2.0, 2.0, 4.0])


def test_a_mixture_of_two_normal_humps_is_found():
    rng = np.random.default_rng(4)
    mixture = fit_mixture(jnp.asarray(np.concatenate([rng.normal(0, 1, 500), rng.normal(10, 2, 500)])))
    np.testing.assert_allclose(np.asarray(mixture.means), [0, 10], atol=0.2)
    np.testing.assert_allclose(np.asarray(mixture.deviations), [1, 2], rtol=0.1)
    np.testing.assert_allclose(np.asarray(mixture.shares), 0.5, atol=0.02)


def losses_of_a_training(seed=4):
    """Totals and last losses of 700 right and 300 wrong labels, where chance is a loss of 2."""
    rng = np.random.default_rng(seed)
    right, wrong = rng.lognormal(1.5, 0.4, 700), rng.lognormal(4.0, 0.3, 300)
    latest = np.concatenate([right / 50, wrong / 10])
    return jnp.asarray(np.concatenate([right, wrong]), jnp.float32), jnp.asarray(latest, jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize("count", [46_341, 100_000])
def test_counts_whose_square_leaves_int32_split_like_small_ones(count):
    """`count**2` died from 46 341 on, and `below * (count - below)` wrapped round from 92 682 on."""
    few = np.concatenate([np.linspace(-1, 1, 30), np.linspace(5, 7, 11)])
    small, large = (fit_mixture(jnp.asarray(x, jnp.float32)) for x in (few, np.resize(few, count)))
    # The copies are not quite equally many: of each hump at most one of its `count // 41` copies is cut,
    # whose values lie within 1 of its centre. Rounding adds an eps of the largest value in each of 40 rounds.
    nearly = 1 / (count // len(few)) + 40 * 7 * np.finfo(np.float32).eps
    for one, two in zip(small, large, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=nearly)


def test_wrong_labels_are_the_upper_of_two_humps_and_still_unlikely():
    totals, latest = losses_of_a_training()
    found = np.asarray(degree_of_suspicion(totals, latest, jnp.asarray(2.0)))
    assert found[700:].mean() > 0.98
    assert found[:700].mean() < 0.02
    learned = degree_of_suspicion(totals, latest / 100, jnp.asarray(2.0))
    assert float(learned.max()) == 0
    one_hump = degree_of_suspicion(totals[:700], jnp.full(700, 5.0), jnp.asarray(2.0))
    assert float(one_hump.max()) == 0
    assert float(degree_of_suspicion(jnp.zeros(10), jnp.zeros(10), jnp.asarray(2.0)).max()) == 0


@pytest.mark.slow
def test_a_class_that_is_hard_as_a_whole_is_not_a_class_of_wrong_labels():
    rng = np.random.default_rng(5)
    labels = np.arange(600) % 3
    totals = jnp.asarray(rng.lognormal(1.5, 0.3, 600) * np.where(labels == 2, 20, 1), jnp.float32)
    latest, chance = jnp.full(600, 3.0), jnp.asarray(2.0)
    classes = Classes(jnp.asarray(labels), 3)
    assert float(degree_of_suspicion(totals, latest, chance).mean()) > 0.3
    assert float(degree_of_suspicion(totals, latest, chance, classes).max()) == 0
    medians = np.asarray(class_medians(totals, classes))
    np.testing.assert_allclose(medians, [np.median(np.asarray(totals)[labels == k]) for k in range(3)])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("strength", -1.0),
        ("strength", float("nan")),
        ("strength", "much"),
        ("score", "guess"),
        ("batch", "all"),
        ("balance", "groups"),
        ("cap", 1.5),
        ("warmup", -0.1),
        ("memory", 0.0),
        ("floor", 2.0),
    ],
)
def test_bad_settings_name_the_option(option, value):
    with pytest.raises(ConfigError, match=option):
        Reweighting(**{option: value})
