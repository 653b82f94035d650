"""Missing values: each policy against a loop, and sample by sample against whole cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import MISSING, FillState, channel_blocks, fill
from attractor.errors import ConfigError, InputDataError

NAN = np.nan
GAPS = np.array([[[NAN, 1.0], [2.0, NAN], [NAN, NAN], [NAN, 4.0]]])
quick = settings(max_examples=60, derandomize=True, deadline=None)


@st.composite
def padded_cases(draw):
    cases, time, variables = (draw(st.integers(1, 4)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    values = rng.normal(size=(cases, time, variables))
    values[rng.random(values.shape) < draw(st.sampled_from([0.0, 0.5, 0.9]))] = NAN
    lengths = rng.integers(1, time + 1, cases)
    values[np.arange(time) >= lengths[:, None]] = NAN
    return values, lengths


def reference(case, policy):
    """One variable after the other, one step after the other."""
    time, variables = case.shape
    held, mask, age = (np.zeros((time, variables)) for _ in range(3))
    for variable in range(variables):
        last, since = 0.0, 0
        for step in range(time):
            if not np.isnan(case[step, variable]):
                last, since = case[step, variable], 0
            elif step:
                since += 1
            held[step, variable] = last
            mask[step, variable] = not np.isnan(case[step, variable])
            age[step, variable] = np.log(1 + since)
    zero = np.where(np.isnan(case), 0.0, case)
    return {
        "zero": zero,
        "forward": held,
        "forward+mask": np.hstack([held, mask]),
        "forward+mask+age": np.hstack([held, mask, age]),
        "cell": case,
    }[policy]


@pytest.mark.parametrize("policy", MISSING[1:])
@quick
@given(padded_cases())
def test_policies_agree_with_a_loop(policy, cases):
    values, lengths = cases
    channels = fill(values, lengths, policy)
    assert channels.shape == (*values.shape[:2], values.shape[2] * channel_blocks(policy))
    for case, length, filled in zip(values, lengths, channels, strict=True):
        # One rounding of a logarithm.
        np.testing.assert_allclose(filled[:length], reference(case[:length], policy), rtol=1e-15)
        np.testing.assert_array_equal(filled[length:], 0)


@pytest.mark.parametrize("policy", MISSING[1:])
@quick
@given(padded_cases())
def test_sample_by_sample_gives_the_same_bits(policy, cases):
    values, lengths = cases
    channels = fill(values, lengths, policy)
    for case, length, filled in zip(values, lengths, channels, strict=True):
        state = FillState.start(values.shape[2])
        for step in range(length):
            row, state = state.step(case[step], policy)
            np.testing.assert_array_equal(row, filled[step])


@quick
@given(padded_cases(), st.sampled_from(MISSING[1:]))
def test_more_padding_changes_nothing(cases, policy):
    values, lengths = cases
    wider = np.pad(values, ((0, 0), (0, 3), (0, 0)), constant_values=7.0)
    np.testing.assert_array_equal(
        fill(wider, lengths, policy)[:, : values.shape[1]], fill(values, lengths, policy)
    )


def test_a_known_case():
    channels = fill(GAPS, np.array([4]), "forward+mask+age")[0]
    np.testing.assert_array_equal(channels[:, :2], [[0, 1], [2, 1], [2, 1], [2, 4]])
    np.testing.assert_array_equal(channels[:, 2:4], [[0, 1], [1, 0], [0, 0], [0, 1]])
    np.testing.assert_allclose(np.expm1(channels[:, 4:]), [[0, 0], [0, 1], [1, 2], [2, 0]], atol=1e-15)


def test_gaps_are_refused_where_they_are_not_wanted():
    with pytest.raises(InputDataError, match="case 0, step 0, variable 0 is missing; choose"):
        fill(GAPS, np.array([4]), "error")
    with pytest.raises(InputDataError, match="is missing"):
        FillState.start(2).step(GAPS[0, 0], "error")
    whole = np.ones((1, 2, 1))
    np.testing.assert_array_equal(fill(whole, np.array([2]), "error"), whole)


def test_padding_is_not_missing():
    padded = np.array([[[1.0], [NAN]]])
    np.testing.assert_array_equal(fill(padded, np.array([1]), "error"), [[[1.0], [0.0]]])


def test_unknown_policies():
    for attempt in (
        lambda: fill(GAPS, np.array([4]), "mean"),
        lambda: FillState.start(2).step(GAPS[0, 0], "mean"),
        lambda: channel_blocks("mean"),
    ):
        with pytest.raises(ConfigError, match="missing='mean': expected one of error, zero"):
            attempt()
