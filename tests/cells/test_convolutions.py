"""Random convolutions: the cell, its fast reading of whole series, and an implementation in plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import exposed, initial_state, take_step
from attractor.cells.convolutions import PATTERNS, TAPS, RandomConvolutions
from attractor.errors import ConfigError
from attractor.export import check_parity

DRAW = np.random.default_rng(0)
SERIES = DRAW.normal(size=(6, 30, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def cell():
    raw = RandomConvolutions(2, 500, length=30, key=jax.random.key(0))
    return raw.calibrated(jnp.asarray(SERIES), None, seed=0)


def by_hand(cell, series):
    """Shares of time above every threshold, one pattern at a time."""
    found = np.zeros(cell.thresholds.shape)
    for d, dilation in enumerate(cell.dilations):
        for kind, before in enumerate((np.zeros(2), series[0])):
            padded = np.concatenate([np.tile(before, (dilation * (TAPS - 1), 1)), series])
            for p, weights in enumerate(PATTERNS):
                seen = padded @ np.asarray(cell.channels[d, p], float)
                response = sum(
                    weights[tap] * seen[dilation * tap : dilation * tap + len(series)] for tap in range(TAPS)
                )
                thresholds = np.asarray(cell.thresholds[d, p], float)[kind::2]
                excess = (response[:, None] - thresholds) / (2 * float(cell.widths[d, p]))
                found[d, p, kind::2] = np.clip(0.5 + excess, 0, 1).mean(axis=0)
    return found.reshape(-1)


def run(cell, series):
    state = initial_state(cell)
    step = jax.jit(lambda row, state: take_step(cell, row, state))
    for row in series:
        state = step(jnp.asarray(row), state)
    return np.asarray(exposed(cell, state))


def test_whole_series_streams_and_plain_numpy_agree(cell):
    whole = np.asarray(cell.whole(jnp.asarray(SERIES[0])))
    np.testing.assert_allclose(whole, by_hand(cell, SERIES[0]), atol=2e-6)
    np.testing.assert_allclose(run(cell, SERIES[0]), whole, atol=2e-6)
    assert whole.shape == (cell.hidden_size,)


def test_what_lies_behind_the_length_changes_nothing(cell):
    padded = SERIES[1].copy()
    padded[11:] = 99
    found = np.asarray(cell.whole(jnp.asarray(padded), 11))
    np.testing.assert_allclose(found, by_hand(cell, SERIES[1][:11]), atol=2e-6)


def test_thresholds_lie_among_the_responses_of_the_series(cell):
    """At quantiles that fill (0, 1) evenly, so do the shares of time of the series they were taken from."""
    shares = np.mean([np.asarray(cell.whole(jnp.asarray(one))) for one in SERIES], axis=0)
    counts, _ = np.histogram(shares, bins=5, range=(0, 1))
    assert (counts > 0.1 * len(shares)).all()
    assert (np.asarray(cell.widths) > 0).all()


def test_constant_series_have_finite_features_and_gradients():
    flat = jnp.ones((3, 12, 1))
    cell = RandomConvolutions(1, 84, length=12, key=jax.random.key(0)).calibrated(flat, None, seed=0)
    assert np.isfinite(np.asarray(cell.whole(flat[0]))).all()
    gradient = jax.grad(lambda series: cell.whole(series).sum())(flat[0])
    assert np.isfinite(np.asarray(gradient)).all()


def test_inputs_have_gradients_and_the_patterns_none(cell):
    moved = jax.grad(lambda cell, series: cell.whole(series).var(), argnums=(0, 1), allow_int=True)
    own, series = moved(cell, jnp.asarray(SERIES[0]))
    assert all(not np.any(np.asarray(leaf)) for leaf in jax.tree.leaves(own))
    assert np.any(np.asarray(series))


@pytest.mark.parametrize("length", [1, 8, 9, 17, 200])
def test_patterns_reach_no_further_than_a_series(length):
    cell = RandomConvolutions(3, 5000, length=length, key=jax.random.key(1))
    assert cell.span <= max(length, TAPS)
    assert cell.hidden_size >= 4900
    seen = np.asarray(cell.channels).sum(axis=-1)
    assert seen.min() == 1
    assert seen.max() <= 3


def test_a_length_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="length=0: expected at least one sample"):
        RandomConvolutions(1, 84, length=0, key=jax.random.key(0))


def test_the_step_can_be_exported():
    small = RandomConvolutions(2, 84, length=12, key=jax.random.key(0))
    assert max(check_parity(small, samples=50).values()) < 1e-9
