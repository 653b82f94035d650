"""Hold-out of whole cases: by class, and by group."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import stratified_hold_out
from attractor.errors import ConfigError, ShapeError


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(any), st.floats(0.05, 0.95), st.integers(0, 5)
)
def test_every_class_gives_its_share(counts, share, seed):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held = stratified_hold_out(labels, share, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(labels)))
    taken = np.bincount(labels[held], minlength=len(counts))
    for count, number in zip(counts, taken, strict=True):
        assert abs(number - share * count) <= 0.5 or number == count - 1
        assert number < max(count, 1) or count == 0


def test_a_class_of_one_case_stays_in_training():
    kept, held = stratified_hold_out(np.array([0, 1, 1, 1, 1]), 0.9)
    assert 0 in kept
    assert len(held) == 3


def test_seeds():
    labels = np.arange(100) % 4
    one, again, other = (stratified_hold_out(labels, 0.3, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert set(one.tolist()) != set(other.tolist())


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(2, 30), st.integers(0, 20), st.floats(0.1, 0.5))
def test_groups_stay_whole_and_no_class_is_lost(groups, seed, share):
    rng = np.random.default_rng(seed)
    names = rng.integers(0, groups, 120)
    labels = rng.integers(0, 3, 120)
    kept, held = stratified_hold_out(labels, share, seed, groups=[f"p{one}" for one in names])
    assert not set(names[kept]) & set(names[held])
    assert set(labels[kept]) == set(labels)
    assert len(kept) + len(held) == 120


def test_many_small_groups_come_close_to_the_share():
    rng = np.random.default_rng(0)
    labels, names = rng.integers(0, 3, 600), np.arange(600) // 4
    _, held = stratified_hold_out(labels, 0.2, groups=names)
    wanted = 0.2 * np.bincount(labels)
    # A group has four cases: no class can be further off than one of them.
    np.testing.assert_allclose(np.bincount(labels[held]), wanted, atol=4.5)


def test_what_makes_no_sense_is_named():
    for share in (0, 1, -0.1):
        with pytest.raises(ConfigError, match="expected a share above 0 and below 1"):
            stratified_hold_out(np.array([0, 1]), share)
    with pytest.raises(ShapeError, match="1 groups for 2 cases"):
        stratified_hold_out(np.array([0, 1]), 0.5, groups=["a"])
