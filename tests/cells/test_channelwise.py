"""The channel-wise LSTM against plain LSTM cells in a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_mgrn import GROUPS, KEY, signal

from attractor.cells import ChannelwiseLSTM, exposed, exposed_size
from attractor.errors import ConfigError
from attractor.scan import unroll

HIDDEN = 3


def build(**options):
    return ChannelwiseLSTM(6, HIDDEN, **{"groups": GROUPS, "joint_factor": 2, "key": KEY} | options)


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def lstm(weights, inputs):
    """h and c of all steps by the textbook."""
    w, u, b = map(np.asarray, weights)
    hidden = memory = np.zeros(u.shape[1])
    states = []
    for row in inputs:
        write, keep, candidate, show = np.split(w @ row + u @ hidden + b, 4)
        memory = sigmoid(keep) * memory + sigmoid(write) * np.tanh(candidate)
        hidden = sigmoid(show) * np.tanh(memory)
        states.append((hidden, memory))
    return np.array(states).swapaxes(0, 1)


@pytest.mark.slow
def test_all_groups_at_once_equal_lstms_in_a_loop():
    with jax.enable_x64(True):
        cell, inputs = build(), signal(12, 6)
        states = unroll(cell, inputs).states
    outputs = []
    for k, group in enumerate(GROUPS):
        whole = cell.marginal
        weights = (whole.input_weight[k][:, : len(group)], whole.state_weight[k], whole.bias[k])
        expected = lstm(weights, np.asarray(inputs)[:, list(group)])
        for found, own in zip(states.marginal, expected, strict=True):
            np.testing.assert_allclose(found[:, k], own, atol=1e-14)
        outputs.append(expected[0])
    joint = cell.joint
    expected = lstm((joint.input_weight, joint.state_weight, joint.bias), np.concatenate(outputs, axis=1))
    np.testing.assert_allclose(states.joint, expected, atol=1e-14)
    last = jax.tree.map(lambda leaf: leaf[-1], states)
    np.testing.assert_array_equal(exposed(cell, last), last.joint[0])
    assert exposed_size(build()) == 2 * HIDDEN


def test_the_count_of_parameters_is_the_published_one_for_one_direction():
    """K (4 H^2 + 4 H) + 4 H D + 4 s^2 H^2 + 4 s K H^2 + 4 s H with equal groups."""
    cell = build(groups=((0, 1), (2, 3), (4, 5)))
    count = sum(leaf.size for leaf in jax.tree.leaves(cell))
    squares = HIDDEN**2
    assert count == 3 * (4 * squares + 4 * HIDDEN) + 24 * HIDDEN + 16 * squares + 24 * squares + 8 * HIDDEN
    unfilled = np.broadcast_to(~build().partition.filled[:, None], build().marginal.input_weight.shape)
    assert (np.asarray(build().marginal.input_weight)[unfilled] == 0).all()


@pytest.mark.slow
def test_missing_values_freeze_a_group_or_the_whole():
    cell, inputs = build(), signal(3, 6)
    state = unroll(cell, inputs).last
    holed = inputs[0].at[jnp.array([0, 3])].set(jnp.nan)
    new, filled = cell(holed, state), cell(jnp.nan_to_num(holed), state)
    for one, other, old in zip(new.marginal, filled.marginal, state.marginal, strict=True):
        np.testing.assert_array_equal(one[0], old[0])
        np.testing.assert_array_equal(one[1:], other[1:])
        assert (one[1:] != old[1:]).all()
    assert (new.joint[0] != state.joint[0]).all()
    nothing = cell(jnp.full(6, jnp.nan), state)
    for one, other in zip(*map(jax.tree.leaves, (nothing, state)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_gradients_through_missing_values_are_finite():
    cell, inputs = build(), signal(6, 6, missing=0.5)
    gradient = jax.grad(lambda cell: jnp.sum(unroll(cell, inputs).last.joint[0] ** 2))(cell)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert (np.asarray(gradient.joint.state_weight) != 0).any()


def test_bad_groups_and_widths_are_refused():
    with pytest.raises(ConfigError, match="variable 1 in groups 0, 1"):
        build(groups=((0, 1), (1, 2, 3, 4, 5)))
    with pytest.raises(ConfigError, match="joint_factor=0"):
        build(joint_factor=0)
