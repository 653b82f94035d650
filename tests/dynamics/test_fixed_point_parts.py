"""Clusters, order and spectra: the parts of a search for fixed points, each against a plain reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixed_point_cases import Map

from attractor.dynamics.fixed_points.clusters import clustered, in_order
from attractor.dynamics.fixed_points.descent import Outcome, Walkers, places_for
from attractor.dynamics.fixed_points.distinct import distinct_points
from attractor.dynamics.fixed_points.spectrum import (
    PointKind,
    index_sum,
    kind_of,
    spectrum,
    time_constants,
)


def test_clusters_are_as_wide_as_their_points_are_uncertain():
    states = np.array([[0.0], [1e-3], [1.0], [1.0 + 1e-3], [1e-9]])
    radii = np.array([1e-8, 1e-8, 1e-2, 1e-8, 1e-8])
    heads, labels = clustered(states, radii)
    assert heads.tolist() == [0, 1, 3]
    assert labels.tolist() == [0, 1, 2, 2, 0]


def test_no_state_no_cluster():
    heads, labels = clustered(np.zeros((0, 3)), np.zeros(0))
    assert len(heads) == len(labels) == 0


def test_rounding_does_not_change_the_order():
    states = np.array([[0.0, 2.0], [1e-17, 1.0], [-1e-17, 3.0], [-1.0, 9.0]])
    assert in_order(states, 1e-9).tolist() == [3, 1, 0, 2]
    shuffled = np.random.default_rng(0).permutation(4)
    np.testing.assert_array_equal(states[shuffled][in_order(states[shuffled], 1e-9)], states[[3, 1, 0, 2]])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5, -0.2], PointKind.ATTRACTING),
        ([1.5, 0.5], PointKind.SADDLE),
        ([-1.5, 1.01], PointKind.REPELLING),
        ([1 + 1e-9, 0.5], PointKind.MARGINAL),
        ([0.6 + 0.8j, 0.6 - 0.8j], PointKind.MARGINAL),
    ],
)
def test_kinds_are_three_valued_about_the_unit_circle(values, kind):
    assert kind_of(np.array(values, complex)) is kind


def test_time_constants_of_decay_growth_and_rest():
    values = np.array([np.exp(-0.1), np.exp(0.2), 1.0, 0.0], complex)
    np.testing.assert_allclose(np.abs(time_constants(values, 2.0)), [20, 10, np.inf, 0], rtol=1e-12)
    assert (time_constants(values)[:2] > 0).tolist() == [True, False]


def test_a_defective_eigenvalue_keeps_unit_vectors():
    found = spectrum(np.array([[0.5, 1.0], [0.0, 0.5]]), 2)
    np.testing.assert_allclose(found.values, [0.5, 0.5], atol=1e-7)
    assert np.isfinite(found.left).all()


def test_states_that_ran_away_to_where_every_state_is_fixed_are_no_points():
    closed = Map(lambda x, u: jnp.where(jnp.abs(x) > 50, x, 0.5 * x), 1)
    states = np.array([[0.0], [100.0]])
    speeds = np.zeros(2)
    ended = Walkers(states, np.zeros((2, 1)), speeds, np.full(2, int(Outcome.CONVERGED)), speeds, speeds)
    with jax.enable_x64(True):
        near, far = (distinct_points(closed, ended, np.zeros(2, int), within) for within in (10.0, 200.0))
    np.testing.assert_array_equal(near.states, [[0.0]])
    assert sorted(far.states[:, 0]) == [0, 100]


def test_the_sum_of_indices_is_the_degree_of_a_map_of_a_ball():
    values = np.array([[0.5, 0.1], [2.0, 0.1], [0.3 + 1.2j, 0.3 - 1.2j], [1.5, -1.5]], complex)
    assert [index_sum(values[place : place + 1]) for place in range(4)] == [1, -1, 1, -1]
    assert index_sum(values) == 0
    assert np.isnan(index_sum(np.array([[1.0, 0.5]], complex)))


def test_places_are_a_power_of_two_that_fits():
    for starts, states in [(1, 1), (3, 2), (1000, 3), (1000, 64), (1000, 300), (5, 3000)]:
        places = places_for(starts, states)
        assert places & (places - 1) == 0
        assert 1 <= places < 2 * starts
        assert places == 1 or 48 * places * states**2 <= 2**28
