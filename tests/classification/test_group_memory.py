"""Contributions and time scales of groups: blind networks, gates with known memories."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from labelled_ramps import copied, fitted, ramps

from attractor.cells import Elman, MemoryGated
from attractor.classification.group_memory import (
    JOINT,
    _gates,
    _quantiles,
    group_memory,
    group_names,
)
from attractor.errors import UnsupportedError


def steady(keep, joint):
    """A cell whose gates are these shares, whatever it sees."""
    cell = MemoryGated(3, 2, groups=((0, 1), (2,)), key=jax.random.key(0))
    cell = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, cell)
    logit = jax.scipy.special.logit
    bias = jnp.zeros((2, 6)).at[:, 2:4].set(logit(jnp.array(keep))[:, None])
    return eqx.tree_at(lambda c: (c.bias, c.gate_bias), cell, (bias, jnp.full(4, logit(joint))))


@pytest.mark.slow
def test_time_scales_of_gates_that_stand_still():
    """A share of 0.9 a step is forgotten to 1/e in 9.49 steps; padding and absent groups do not count."""
    inputs = jnp.ones((2, 5, 3)).at[:, :, 2].set(jnp.nan).at[:, 0, 2].set(1.0)
    keep, joint = map(np.asarray, _gates(steady([0.9, 0.5], 0.8), inputs, jnp.array([5, 3])))
    assert _quantiles(keep[0, :, 0]) == pytest.approx([-1 / np.log(0.9)] * 5, rel=1e-5)
    assert _quantiles(keep[0, :, 1]) == pytest.approx([-1 / np.log(0.5)] * 5, rel=1e-5)
    assert _quantiles(joint[0]) == pytest.approx([-1 / np.log(0.8)] * 5, rel=1e-5)
    assert np.isnan(_quantiles(keep[0, 1:, 1])).all()


@pytest.fixture(scope="module")
def data():
    return ramps(cases=30, seed=1)


@pytest.fixture(scope="module")
def model():
    return fitted(
        cell="mgrn", hidden_size=2, groups="up_*,noise", training__epochs=8, training__learning_rate=0.05
    )


def test_shares_add_to_one_and_name_the_informative_group(model, data):
    found = group_memory(model, data)
    assert list(found.shares) == ["up_*", "noise"]
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.shares["up_*"] > 0.9
    assert found.exact
    assert set(found.time_scales) == {"up_*", "noise", JOINT}
    for row in found.time_scales.values():
        assert (np.diff(row) >= 0).all()
    assert type(found)(**found.to_dict()) == found


def test_a_group_that_nothing_reads_contributes_nothing(model, data):
    blind = copied(model)
    blind.replicas_ = eqx.tree_at(
        lambda network: (network.cell.input_weight, network.cell.gate_input_weight),
        model.replicas_,
        replace_fn=lambda weight: weight.at[:, 1].set(0) if weight.ndim == 4 else weight.at[:, :, 2].set(0),
    )
    found = group_memory(blind, data)
    assert found.shares["noise"] == 0
    assert found.drops["noise"] == found.accuracy_drops["noise"] == 0
    assert found.shares["up_*"] == 1


def test_groups_are_called_as_the_user_calls_them(model):
    for groups, names in (
        (None, ("up_x", "up_y", "noise")),
        (("0-1", 2), ("0-1", "2")),
        ((("up_x", "up_y"), "noise"), ("up_x+up_y", "noise")),
        (("a" * 30 + "1", "a" * 30 + "2"), ("a" * 23 + "… (1)", "a" * 23 + "… (2)")),
    ):
        renamed = copied(model).set_params(groups=groups)
        assert group_names(renamed) == names


def test_a_cell_without_groups_is_refused(model, data):
    plain = copied(model)
    shapes = eqx.filter_eval_shape(lambda: Elman(3, 2, key=jax.random.key(0)))  # no weight is looked at
    plain.replicas_ = eqx.tree_at(lambda network: network.cell, model.replicas_, shapes)
    with pytest.raises(UnsupportedError, match="Elman has no memories of groups; use mgrn"):
        group_memory(plain, data)
