"""The perturbation suite against moments and closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.audit import PERTURBATIONS, ChannelRange, Perturbation, channel_range, perturbed
from attractor.errors import ConfigError, InputDataError, ShapeError

NAMES = sorted(PERTURBATIONS)
INPUTS = np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
LENGTHS = np.array([8, 5, 1])
LIMITS = channel_range(INPUTS)
LONG = np.ones((1, 20_000, 1), np.float32)


def with_holes():
    holed = INPUTS.copy()
    holed[0, 3, 1] = np.nan
    holed[1, 5:] = [np.nan, np.inf]
    return holed


@pytest.mark.parametrize("name", NAMES)
def test_level_zero_changes_nothing(name):
    np.testing.assert_array_equal(perturbed(name, 0.0, INPUTS, LENGTHS, LIMITS), INPUTS)


@pytest.mark.parametrize("name", NAMES)
def test_padding_and_missing_samples_stay_and_the_rest_is_finite_and_moves(name):
    holed = with_holes()
    found = perturbed(name, 0.6, holed, LENGTHS, LIMITS)
    valid = np.arange(8) < LENGTHS[:, None]
    np.testing.assert_array_equal(found[~valid], holed[~valid])
    np.testing.assert_array_equal(np.isnan(found), np.isnan(holed))
    assert np.isfinite(found[valid & ~np.isnan(holed).any(axis=2)]).all()
    assert (found[0] != holed[0])[~np.isnan(holed[0])].any()


@pytest.mark.parametrize("name", NAMES)
def test_draws_follow_from_the_seed_and_the_case_alone(name):
    both = perturbed(name, 0.5, INPUTS, LENGTHS, LIMITS)
    np.testing.assert_array_equal(both, perturbed(name, 0.5, INPUTS, LENGTHS, LIMITS))
    others = INPUTS + np.array([0, 1, 2], np.float32)[:, None, None]
    np.testing.assert_array_equal(perturbed(name, 0.5, others, LENGTHS, LIMITS)[0], both[0])
    padded = np.concatenate([INPUTS, np.full((3, 4, 2), np.nan, np.float32)], axis=1)
    np.testing.assert_array_equal(perturbed(name, 0.5, padded, LENGTHS, LIMITS)[:, :8], both)
    seeds = [perturbed(name, 0.5, INPUTS, LENGTHS, LIMITS, seed)[0] for seed in range(1, 5)]
    assert any((other != both[0]).any() for other in seeds)


@pytest.mark.parametrize("name", ["white", "multiplicative"])
def test_noise_has_its_standard_deviation(name):
    """On ones both are 1 + s z; the bounds are four standard errors of 20 000 draws."""
    found = perturbed(name, 0.3, LONG)
    assert abs(found.mean() - 1) < 4 * 0.3 / 20_000**0.5
    assert abs(found.std() - 0.3) < 4 * 0.3 / 40_000**0.5


def test_multiplicative_noise_is_relative():
    np.testing.assert_allclose(
        perturbed("multiplicative", 0.3, 5 * INPUTS), 5 * perturbed("multiplicative", 0.3, INPUTS), rtol=1e-5
    )


def test_salt_and_pepper_reach_the_ends_equally_often():
    limits = ChannelRange(np.array([-2.0]), np.array([7.0]))
    found = perturbed("salt and pepper", 0.2, LONG, None, limits)
    for end in (-2.0, 7.0):
        assert abs(np.mean(found == end) - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5
    assert set(np.unique(found)) == {-2.0, 1.0, 7.0}


def test_a_dropped_step_holds_the_last_one_in_all_channels():
    steps = np.arange(1000.0)
    found = perturbed("dropped samples", 0.3, np.stack([steps, 2 * steps], axis=1)[None])[0]
    held = found[1:] == found[:-1]
    arrived = found[1:] == np.stack([steps, 2 * steps], axis=1)[1:]
    assert (held ^ arrived).all()
    assert (held[:, 0] == held[:, 1]).all()
    assert abs(held[:, 0].mean() - 0.3) < 4 * (0.3 * 0.7 / 999) ** 0.5


def test_a_lost_step_holds_over_missing_samples():
    inputs = np.array([1.0, np.nan, np.nan, np.nan, np.nan, np.nan, 2.0, 2.0])[None, :, None]
    found = perturbed("dropped samples", 1.0, inputs)
    np.testing.assert_array_equal(found, inputs)
    draws = [perturbed("dropped samples", 0.5, inputs, seed=seed)[0, 6, 0] for seed in range(20)]
    assert set(draws) == {1.0, 2.0}  # held over the gap, or arrived (or nothing had come before)


def test_jitter_reads_a_line_at_ordered_times_inside_the_sequence():
    times = perturbed("time jitter", 2.0, np.arange(500.0)[None, :, None], np.array([300]))[0, :, 0]
    assert (np.diff(times[:300]) >= 0).all()
    assert times[:300].min() >= 0
    assert times[:300].max() <= 299
    np.testing.assert_array_equal(times[300:], np.arange(300.0, 500.0))


def test_small_jitter_moves_the_times_by_its_standard_deviation():
    """At 0.05 steps no two of them change places."""
    steps = np.arange(20_000.0)
    moved = perturbed("time jitter", 0.05, steps[None, :, None].astype(np.float64))[0, :, 0] - steps
    assert abs(moved[1:-1].std() - 0.05) < 0.05 * 4 / 40_000**0.5 + 1e-3  # float32 times up to 20 000


def test_a_ramp_ends_at_its_size_with_a_sign_for_every_channel():
    found = perturbed("drift", 0.5, np.zeros((20, 8, 2)), np.full(20, 5))
    ramp = np.broadcast_to(0.1 * np.arange(1, 6)[:, None], (20, 5, 2))
    np.testing.assert_allclose(np.abs(found[:, :5]), ramp, rtol=1e-6)
    signs = np.sign(found[:, 0])
    assert (np.abs(signs.mean(axis=0)) < 1).all()
    assert (signs[:, 0] != signs[:, 1]).any()


def test_clipping_keeps_the_range_of_every_channel():
    limits = channel_range(INPUTS, clip=True)
    found = perturbed("white", 3.0, INPUTS, LENGTHS, limits)
    valid = np.arange(8) < LENGTHS[:, None]
    assert (found >= INPUTS.min(axis=(0, 1)))[valid].all()
    assert (found <= INPUTS.max(axis=(0, 1)))[valid].all()
    assert (perturbed("white", 3.0, INPUTS, LENGTHS, LIMITS)[valid] > INPUTS.max()).any()


def test_the_range_is_that_of_valid_samples():
    found = channel_range(with_holes(), LENGTHS)
    valid = np.concatenate([with_holes()[0], INPUTS[1, :5], INPUTS[2, :1]])
    np.testing.assert_array_equal(found.low, np.nanmin(valid, axis=0))
    np.testing.assert_array_equal(found.high, np.nanmax(valid, axis=0))
    with pytest.raises(InputDataError, match="channel 1"):
        channel_range(np.stack([np.ones((2, 3)), np.full((2, 3), np.nan)], axis=2))


def test_a_perturbation_of_the_users_own():
    def flip(inputs, length, level, limits, key):
        return level * inputs[::-1]

    own = Perturbation("flip", flip, (1.0,), "factor", "relative")
    np.testing.assert_array_equal(perturbed(own, 2.0, INPUTS[:1]), 2 * INPUTS[:1, ::-1])
    wrong = Perturbation("cut", lambda inputs, *rest: inputs[1:], (1.0,), "", "")
    with pytest.raises(ShapeError, match="keep the shape"):
        perturbed(wrong, 1.0, INPUTS)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: perturbed("wihte", 0.1, INPUTS), ConfigError, "unknown perturbation 'wihte'; known: white"),
        (lambda: perturbed("white", -0.1, INPUTS), ConfigError, "at least 0"),
        (lambda: perturbed("dropped samples", 1.5, INPUTS), ConfigError, "at most 1"),
        (lambda: perturbed("salt and pepper", 0.1, INPUTS), ConfigError, "channel_range"),
        (lambda: perturbed("white", 0.1, INPUTS[0]), ShapeError, r"expected \(cases, time, channels\)"),
        (lambda: perturbed("white", 0.1, INPUTS[:, :0]), ShapeError, "at least one of each"),
        (
            lambda: perturbed("white", 0.1, INPUTS, np.array([8, 9, 1])),
            InputDataError,
            "case 1 has the length 9",
        ),
        (lambda: perturbed("white", 0.1, with_holes()), InputDataError, "case 1, step 5, channel 1"),
        (
            lambda: perturbed("white", 0.1, INPUTS, None, ChannelRange(jnp.ones(2), jnp.zeros(2))),
            InputDataError,
            "channel 0",
        ),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
