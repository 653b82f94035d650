"""Data at the edge of arithmetic: forgotten directions, steps that diverge, gates that never move.

Every warning is an error here. None of these results may hang on the LAPACK at hand: where one leaves an
exact zero, another leaves 1e-17.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import KEY, Map

from attractor.audit import CurvatureSettings, weight_curvature
from attractor.cells import GRU, LSTM, Elman
from attractor.control.identification.recordings import has_feedthrough
from attractor.data import Experiment, Record, Signal
from attractor.dynamics import (
    LyapunovSettings,
    covariant_vectors,
    flow_norms,
    jacobian_norms,
    lyapunov_exponents,
    participation_ratio,
    spectra_along,
)
from attractor.dynamics.equilibria.search import root_mean_square
from attractor.dynamics.lyapunov.exponents import only_rounding
from attractor.errors import ConfigError, DivergedError
from attractor.theory.regimes import regime_of

STEPS = np.zeros((60, 1))
ALL = LyapunovSettings(count="all", burn_in=10)
FORGETS_ONE = Map(lambda x: jnp.stack([0.5 * x[0] + 0.3, 0.0 * x[1]]), 2, 1)
FORGETS_ALL = Map(lambda x: 0.0 * x, 2, 1)
SQUARES = Map(lambda x: x**2 + 2.0, 2, 1)


@pytest.mark.parametrize("left", [0.0, 1e-17, -3e-16])
def test_a_zero_of_any_lapack_is_a_zero(left):
    triangles = np.array([[[2.0, 1.0], [0.0, left]], [[1e200, 1e190], [0.0, 1e190]]])
    for kind in (np.asarray, jnp.asarray):
        with jax.enable_x64(True):
            found = np.asarray(only_rounding(kind(triangles), 2))
        np.testing.assert_array_equal(found, [[False, True], [False, False]])
    np.testing.assert_array_equal(only_rounding(np.zeros((1, 2, 2)), 2), [[True, True]])


@pytest.mark.parametrize(
    ("cell", "said"), [(FORGETS_ONE, "ask for count=1"), (FORGETS_ALL, "this cell has no")]
)
def test_covariant_vectors_of_a_step_that_forgets_are_refused_without_a_warning(cell, said):
    with pytest.raises(ConfigError, match=said):
        covariant_vectors(cell, STEPS, settings=ALL, settling=10)
    found = lyapunov_exponents(cell, STEPS, settings=ALL)
    assert np.all(found.per_step[1:] == -np.inf)
    assert np.all(found.interval()[:, 1:] == -np.inf)
    assert found.to_dict()["per_step"][1] is None
    assert "are -inf" in str(found)
    assert found.kaplan_yorke.value == found.entropy_rate.value == 0.0


@pytest.mark.parametrize(
    "reading",
    [
        lambda: lyapunov_exponents(SQUARES, STEPS, settings=LyapunovSettings(count="all", burn_in=0)),
        lambda: covariant_vectors(SQUARES, STEPS, settings=ALL, settling=10),
        lambda: jacobian_norms(SQUARES, STEPS),
        lambda: flow_norms(SQUARES, STEPS),
        lambda: spectra_along(SQUARES, STEPS),
    ],
)
def test_an_orbit_that_diverges_is_named_by_its_step_without_a_warning(reading):
    """x -> x^2 + 2 from 0 passes 1e308 in its eleventh step, number 10."""
    with pytest.raises(DivergedError, match="not finite at step 10"):
        reading()


def test_sizes_beyond_the_square_root_of_the_largest_number():
    assert root_mean_square(np.array([3e200, -4e200])) == pytest.approx(5e200 / 2**0.5)
    assert root_mean_square(np.zeros(3)) == 0.0
    cloud = np.random.default_rng(0).normal(size=(50, 3))
    assert participation_ratio(1e200 * cloud) == pytest.approx(participation_ratio(cloud))


@pytest.mark.parametrize("bias", [0.0, 40.0, -40.0, 1000.0, -1000.0])
@pytest.mark.parametrize("build", [GRU, LSTM, Elman])
def test_gates_that_are_open_or_shut_for_good_have_a_position(build, bias):
    drawn = build(1, 6, key=KEY)
    cell = eqx.tree_at(lambda cell: cell.bias, drawn, jnp.full_like(drawn.bias, bias))
    for one in (cell, jax.tree.map(jnp.zeros_like, cell)):
        position = regime_of(one)
        assert 0 <= position.criticality
        assert not np.isnan(list(position.to_dict().values())).any()


def test_a_gate_that_is_open_to_the_last_digit_leaves_the_edge_where_it_is():
    """The edge of a GRU is 1 / r whatever the update gate does, also where 1 - z is 0 in float64."""
    cell = GRU(1, 6, key=KEY)
    for bias in (0.0, 36.0, 40.0, 200.0):
        held = eqx.tree_at(lambda cell: cell.bias, cell, cell.bias.at[:6].set(bias).at[6:12].set(0.0))
        assert regime_of(held).modes.edge_gain == pytest.approx(2.0)


def test_a_loss_without_curvature_has_rank_zero():
    found = weight_curvature(lambda weights: jnp.sum(weights) * 0.0, jnp.ones(3), CurvatureSettings(steps=2))
    assert found.effective_rank == 0.0


def test_a_signal_that_stands_still_has_no_feedthrough():
    drawn = np.random.default_rng(0).normal(size=(80, 1))
    still = Experiment("still", drawn, np.full((80, 1), 3.0))
    assert not has_feedthrough(Record((Signal("u"),), (Signal("y"),), (still,)))
