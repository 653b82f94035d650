"""Clusters, order and spectra: the parts of a search for fixed points, each against a plain reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fixed_point_cases import Map, wells

from attractor.dynamics.equilibria.descent import Descents, Outcome, descend, slots_for
from attractor.dynamics.equilibria.distinct import clustered, distinct_points, in_order, joined
from attractor.dynamics.equilibria.points import PointKind, index_sum, kind_of, spectrum
from attractor.dynamics.jacobians import time_scale
from attractor.dynamics.trajectory import analysed
from attractor.progress import SilentReporter


def test_clusters_are_as_wide_as_their_points_are_uncertain():
    states = np.array([[0.0], [1e-3], [1.0], [1.0 + 1e-3], [1e-9]])
    radii = np.array([1e-8, 1e-8, 1e-2, 1e-8, 1e-8])
    heads, labels = clustered(states, radii)
    assert heads.tolist() == [0, 1, 3]
    assert labels.tolist() == [0, 1, 2, 2, 0]


def test_the_most_exact_solution_stands_for_its_cluster():
    states = np.array([[0.0], [1e-9], [1.0], [2e-9]])
    heads, labels = clustered(states, np.full(4, 1e-8), errors=np.array([1e-13, 1e-14, 1e-12, 1e-16]))
    assert heads.tolist() == [3, 2]
    assert labels.tolist() == [0, 0, 1, 0]


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
    np.testing.assert_allclose(
        np.abs(time_scale(values, continuous=False, time_step=2.0)), [20, 10, np.inf, 0], rtol=1e-12
    )
    assert (time_scale(values, continuous=False)[:2] > 0).tolist() == [True, False]


def test_a_defective_eigenvalue_keeps_unit_vectors():
    found = spectrum(np.array([[0.5, 1.0], [0.0, 0.5]]))
    np.testing.assert_allclose(found.values, [0.5, 0.5], atol=1e-7)
    assert np.isfinite(found.left).all()


def test_states_that_ran_away_to_where_every_state_is_fixed_are_no_points():
    closed = Map(lambda x, u: jnp.where(jnp.abs(x) > 50, x, 0.5 * x), 1)
    states = np.array([[0.0], [100.0]])
    speeds = np.zeros(2)
    ended = Descents(states, np.zeros((2, 1)), speeds, np.full(2, int(Outcome.CONVERGED)), speeds, speeds)
    with jax.enable_x64(True):
        near, far = (
            distinct_points(analysed(closed).still("a test"), ended, np.zeros(2, int), within)
            for within in (10.0, 200.0)
        )
    np.testing.assert_array_equal(near.states, [[0.0]])
    assert sorted(far.states[:, 0]) == [0, 100]


def converged(states):
    speeds = np.zeros(len(states))
    outcomes = np.full(len(states), int(Outcome.CONVERGED))
    return Descents(states, np.zeros((len(states), 1)), speeds, outcomes, speeds, speeds)


def test_further_ends_are_counted_at_known_points_and_kept_where_they_are_new():
    none = np.zeros(2, int)
    with jax.enable_x64(True):
        cell = analysed(Map(wells, 2)).still("a test")
        known = distinct_points(cell, converged(np.array([[0.0, 0.0], [1.0, 1.0]])), none, 10.0)
        more = converged(np.array([[1.0, 1.0 + 1e-11], [1.0, -1.0], [0.0, 0.0]]))
        more.outcomes[2] = Outcome.UNFINISHED
        both = joined(cell, known, more, np.array([0, 0, 0]), 10.0)
        other = joined(cell, known, converged(np.array([[1.0, 1.0]])), np.ones(1, int), 10.0)
    times = {
        tuple(np.round(state, 9)): count
        for state, count in zip(both.states, both.multiplicities, strict=True)
    }
    assert times == {(0, 0): 1, (1, 1): 2, (1, -1): 1}
    assert sorted(other.conditions) == [0, 0, 1]


def test_more_starts_than_the_pool_holds_all_come_to_their_ends():
    starts = np.random.default_rng(0).normal(size=(5000, 2))
    with jax.enable_x64(True):
        ended = descend(
            analysed(Map(wells, 2)).still("a test"),
            starts,
            np.zeros((5000, 1)),
            (1e-12, 100),
            SilentReporter(),
        )
    assert set(ended.outcomes) == {Outcome.CONVERGED}
    np.testing.assert_allclose(ended.states**3, ended.states, atol=1e-10)


def test_the_sum_of_indices_is_the_degree_of_a_map_of_a_ball():
    values = np.array([[0.5, 0.1], [2.0, 0.1], [0.3 + 1.2j, 0.3 - 1.2j], [1.5, -1.5]], complex)
    assert [index_sum(values[place : place + 1]) for place in range(4)] == [1, -1, 1, -1]
    assert index_sum(values) == 0
    assert np.isnan(index_sum(np.array([[1.0, 0.5]], complex)))


def test_places_are_a_power_of_two_that_fits():
    for starts, states in [(1, 1), (3, 2), (1000, 3), (1000, 64), (1000, 300), (5, 3000)]:
        places = slots_for(starts, states)
        assert places & (places - 1) == 0
        assert 1 <= places < 2 * starts
        assert places == 1 or 48 * places * states**2 <= 2**28
