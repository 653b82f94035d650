"""The study of one network: regimes, points and planes of cells whose answers are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import KEY, Listener, linear

from attractor.cells import Cell, Elman
from attractor.dynamics import DynamicsPlan, Regime, dynamics_study
from attractor.errors import ConfigError, InputDataError

PLAN = DynamicsPlan(steps=300, starts=16, points=3)
INPUTS = np.random.default_rng(0).normal(size=(300, 1))


class Switch(Cell):
    """x' = tanh(2 x + u) for every unit: two attracting points and one between them at u = 0."""

    hidden_size: int = eqx.field(static=True, default=1)
    input_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return jnp.tanh(2 * state + input)


def test_a_switch_has_three_points_and_is_stable_where_inputs_are_small():
    listener = Listener()
    study = dynamics_study(Switch(), 0.01 * INPUTS - 0.01 * INPUTS.mean(), PLAN, listener)
    assert listener.heard[-5:] == [(done, 4) for done in range(5)]
    assert study.regime is Regime.STABLE
    assert sorted(kind.name for kind in study.points.kinds) == ["ATTRACTING", "ATTRACTING", "REPELLING"]
    assert study.points.index_sums[0] == 1
    root = 0.957504
    np.testing.assert_allclose(np.sort(study.points.states[:, 0]), [-root, 0.0, root], atol=1e-6)
    slope = 2 * (1 - root**2)
    assert study.driven.per_step[0] == pytest.approx(np.log(slope), abs=0.02)
    assert study.forgetting == pytest.approx(-1 / np.log(slope), rel=0.02)
    assert study.resting.per_step[0] == pytest.approx(np.log(slope), abs=0.02)
    assert study.to_dict()["regime"] == "stable"


@pytest.mark.slow
def test_a_turning_plane_is_at_the_edge_and_its_plane_is_found():
    angle, axes = 0.3, np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    turning = np.diag([0.0, 0.0, 0.5, 0.4, 0.3])
    turning[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix = axes @ turning @ axes.T
    start = jnp.asarray(axes[:, 0], jnp.float32)
    study = dynamics_study(linear((matrix - np.eye(5)) / 0.1), 0 * INPUTS, PLAN, state=start)
    assert study.regime is Regime.EDGE
    assert study.participation == pytest.approx(2, abs=0.05)
    np.testing.assert_allclose(study.plane.shares[:2].sum(), 1, atol=1e-3)
    np.testing.assert_allclose(np.abs(np.linalg.det(study.plane.axes @ axes[:, :2])), 1, atol=1e-3)
    turned = study.plane.axes @ axes[:, :2]  # from the plane's own axes to those of the study
    change = (turning[:2, :2] - np.eye(2)).T
    np.testing.assert_allclose(study.plane.drift, study.plane.grid @ turned @ change @ turned.T, atol=1e-2)


@pytest.mark.slow
def test_a_network_with_large_weights_is_chaotic():
    cell = Elman(1, 40, key=KEY)
    cell = eqx.tree_at(lambda cell: cell.state_weight, cell, 8 * cell.state_weight)
    study = dynamics_study(cell, 0 * INPUTS, PLAN, state=jax.random.normal(KEY, (40,)))
    assert study.regime is Regime.CHAOTIC
    assert study.driven.kaplan_yorke > 1
    assert study.participation > 1.2
    assert "chaotic" in str(study)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: DynamicsPlan(steps=5), ConfigError, "steps=5"),
        (lambda: dynamics_study(Switch(), INPUTS[:10], PLAN), InputDataError, "10 steps are too few"),
    ],
)
def test_a_mistake_is_named(call, kind, said):
    with pytest.raises(kind, match=said):
        call()
