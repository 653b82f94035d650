"""Wrong labels on purpose: how many, which, and the same ones every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import corrupt
from attractor.data.sequence_labels import NOISES
from attractor.errors import ConfigError, InputDataError, ShapeError

LABELS = np.random.default_rng(1).integers(0, 5, 4000)
ANNOTATORS = np.random.default_rng(2).integers(0, 40, 4000)


def groups_for(kind):
    return ANNOTATORS if kind == "group" else None


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.sampled_from(NOISES), st.floats(0, 1), st.integers(0, 3))
def test_the_share_and_the_mask_are_exact(kind, share, seed):
    noisy, wrong = corrupt(LABELS, 5, share, kind, seed, groups_for(kind))
    np.testing.assert_array_equal(wrong, noisy != LABELS)
    assert noisy.min() >= 0
    assert noisy.max() < 5
    if kind == "symmetric-all":
        assert wrong.sum() <= round(share * 4000)
    else:
        assert wrong.sum() == round(share * 4000)
    again, _ = corrupt(LABELS, 5, share, kind, seed, groups_for(kind))
    np.testing.assert_array_equal(noisy, again)


@pytest.mark.parametrize("kind", NOISES)
def test_another_seed_is_another_draw_and_the_input_stays(kind):
    before = LABELS.copy()
    one, _ = corrupt(LABELS, 5, 0.3, kind, 0, groups_for(kind))
    two, _ = corrupt(LABELS, 5, 0.3, kind, 1, groups_for(kind))
    assert (one != two).any()
    np.testing.assert_array_equal(LABELS, before)


def test_symmetric_noise_is_spread_evenly():
    noisy, wrong = corrupt(LABELS, 5, 0.5, "symmetric-other")
    counts = np.bincount((noisy - LABELS)[wrong] % 5, minlength=5)
    assert counts[0] == 0
    # 2000 draws of four kinds: 500 each with a deviation of 19; five of them are far out.
    np.testing.assert_allclose(counts[1:], 500, atol=100)


def test_one_in_as_many_as_there_are_classes_keeps_its_label():
    _, wrong = corrupt(LABELS, 5, 0.5, "symmetric-all")
    # 2000 draws, 0.8 of them wrong: 1600 with a deviation of 18.
    assert abs(wrong.sum() - 1600) < 90


def test_pair_noise_moves_to_the_next_class():
    noisy, wrong = corrupt(LABELS, 5, 0.4, "pair")
    np.testing.assert_array_equal(noisy[wrong], (LABELS[wrong] + 1) % 5)


def test_bad_annotators_are_wrong_alike_and_the_others_right():
    noisy, wrong = corrupt(LABELS, 5, 0.3, "group", 0, ANNOTATORS)
    shares = np.array([wrong[ANNOTATORS == one].mean() for one in range(40)])
    assert np.sum((shares > 0) & (shares < 1)) <= 1
    for one in np.flatnonzero(shares):
        mine = wrong & (ANNOTATORS == one)
        pairs = set(zip(LABELS[mine].tolist(), noisy[mine].tolist(), strict=True))
        assert len({true for true, _ in pairs}) == len(pairs) == len({said for _, said in pairs})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((5, 0.1, "asymmetric"), ConfigError, "kind='asymmetric': expected one of symmetric-other"),
        ((5, 1.1, "pair"), ConfigError, "share=1.1"),
        ((5, float("nan"), "pair"), ConfigError, "share=nan"),
        ((1, 0.1, "pair"), ConfigError, "classes=1"),
        ((4, 0.1, "pair"), InputDataError, r"case \d+ has label 4, expected 0 to 3"),
        ((5, 0.1, "group"), ConfigError, "needs groups"),
        ((5, 0.1, "group", 0, [1, 2]), ShapeError, "2 groups for 4000 cases"),
        ((5, 0.1, "pair", 0, ANNOTATORS), ConfigError, "not for 'pair'"),
    ],
)
def test_what_makes_no_sense_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        corrupt(LABELS, *arguments)
