"""Fixed and slow points of maps whose points are known, and of networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from dynamics_cases import Listener
from fixed_point_cases import Map, lorenz, wells

from attractor.cells import GRU, Elman, cell
from attractor.dynamics import (
    CountSettings,
    FixedPointSettings,
    PointKind,
    count_fixed_points,
    fixed_points,
    sampled_starts,
)
from attractor.errors import ConfigError, DivergedError, InputDataError, ShapeError
from attractor.scan import unroll

FEW = FixedPointSettings(starts=64, midpoint_waves=0)


def test_the_three_points_of_lorenz_are_found_with_their_eigenvalues():
    found = fixed_points(
        Map(lorenz, 3, step=0.01),
        settings=FixedPointSettings(starts=64, scales=(1, 10, 30), midpoint_waves=0),
    )
    root = np.sqrt(72.0)
    expected = [[0, 0, 0], [-root, -root, 27], [root, root, 27]]
    np.testing.assert_allclose(found.states, expected, atol=1e-10)
    assert found.residuals.max() < 1e-12
    assert found.unstable.tolist() == [1, 2, 2]
    assert found.kinds == [PointKind.SADDLE] * 3
    assert found.multiplicities.sum() == found.counts.converged == found.counts.starts == 64
    rate = (-11 + np.sqrt(121 + 1080)) / 2  # the unstable eigenvalue of the flow at the origin
    np.testing.assert_allclose(found.time_constants[0, 0], -1 / rate, rtol=1e-4)  # fourth-order steps


def test_nine_points_of_two_double_wells_of_every_kind_and_none_invented():
    found = fixed_points(Map(wells, 2), settings=FEW)
    expected = {(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)}
    assert {tuple(np.round(state, 9) + 0.0) for state in found.states} == expected
    assert len(found) == 9
    assert [kind.name for kind in found.kinds] == ["ATTRACTING"] * 4 + ["SADDLE"] * 4 + ["REPELLING"]
    assert found.unstable.tolist() == [0] * 4 + [1] * 4 + [2]


def test_progress_is_reported_to_the_last_start():
    listener = Listener()
    fixed_points(Map(wells, 2), settings=FEW, reporter=listener)
    assert listener.heard[-1] == (64, 64)
    assert listener.closed == 1
    assert [done for done, _ in listener.heard] == sorted(done for done, _ in listener.heard)


def test_order_and_points_do_not_depend_on_the_starts():
    one, other = (
        fixed_points(Map(wells, 2), settings=FixedPointSettings(starts=64, seed=seed)) for seed in (1, 2)
    )
    np.testing.assert_allclose(one.states, other.states, atol=1e-12)


@pytest.mark.slow
def test_constant_inputs_are_searched_one_by_one():
    found = fixed_points(Map(wells, 2), np.array([[0.0], [1.0]]), settings=FEW)
    assert np.bincount(found.conditions).tolist() == [9, 1]
    tilted = found.states[found.conditions == 1]
    np.testing.assert_allclose(tilted**3 - tilted, np.ones((1, 2)), atol=1e-12)
    assert found.slow.conditions.tolist() == [1] * len(found.slow)
    assert found.index_sums.tolist() == [1, 1]


def test_points_closer_than_a_millionth_stay_apart():
    gap = 1e-7
    near = Map(lambda x, u: x + 0.5 * x * (x - gap) * (x + 1) / gap, 1)
    found = fixed_points(near, settings=FEW)
    np.testing.assert_allclose(np.sort(found.states[:, 0]), [-1, 0, gap], atol=1e-12)


@pytest.mark.parametrize("power", [2, 3])
def test_ends_scattered_around_a_multiple_zero_are_one_marginal_point(power):
    found = fixed_points(Map(lambda x, u: x - 0.1 * x**power, 1), settings=FEW)
    assert found.kinds == [PointKind.MARGINAL]
    assert found.multiplicities.tolist() == [64]


def test_a_curve_of_fixed_points_is_marginal_everywhere():
    line = Map(lambda x, u: jnp.stack([x[0], 0.5 * x[1] + 0.1 * x[0] ** 2]), 2)
    found = fixed_points(line, settings=FEW)
    assert len(found) > 50
    assert set(found.kinds) == {PointKind.MARGINAL}
    assert np.isnan(found.index_sums).all()
    np.testing.assert_allclose(found.states[:, 1], 0.2 * found.states[:, 0] ** 2, atol=1e-12)
    assert (np.abs(found.time_constants[:, 0]) > 1e12).all()  # infinite, but for the last bits of LAPACK


def test_the_ghost_of_a_fold_is_a_slow_point():
    found = fixed_points(Map(lambda x, u: x - 0.1 * (1e-4 + x**2), 1), settings=FEW)
    assert len(found) == 0
    np.testing.assert_allclose(found.slow.states, [[0.0]], atol=1e-6)
    np.testing.assert_allclose(found.slow.speeds, [1e-5], rtol=1e-9)
    assert found.slow.multiplicities.sum() == found.counts.slow == 64


def test_where_the_drift_fades_at_infinity_no_point_is_invented():
    found = fixed_points(Map(lambda x, u: x + jnp.exp(-x), 1), settings=FEW)
    assert len(found) == len(found.slow) == 0
    assert found.counts.unfinished == 64


def test_a_step_without_a_number_is_not_one_without_a_fixed_point():
    with pytest.raises(DivergedError, match=r"not finite at any of the 256 states"):
        fixed_points(cell(lambda _, state: jnp.nan * state, 1, jnp.zeros(1)))


def test_starts_where_the_step_is_not_finite_are_retired():
    found = fixed_points(Map(lambda x, u: x + 0.1 * jnp.log(x), 1), settings=FEW)
    np.testing.assert_allclose(found.states, [[1.0]], atol=1e-12)
    assert found.counts.not_finite > 10
    assert found.counts.not_finite + found.counts.converged == 64


def bistable(bits):
    """Every unit remembers a sign: h' = tanh(2 h + u)."""
    cell = Elman(bits, bits, key=jax.random.key(0))
    weights = lambda cell: (cell.state_weight, cell.input_weight)  # noqa: E731
    return eqx.tree_at(weights, cell, (2 * jnp.eye(bits), jnp.eye(bits)))


def test_a_flip_flop_has_a_stable_point_for_every_memory():
    cell = bistable(3)
    inputs = np.random.default_rng(0).choice([-2.0, 0.0, 2.0], size=(4, 30, 3), p=[0.1, 0.8, 0.1])
    found = fixed_points(cell, starts=sampled_starts(cell, inputs, 256))
    height = 0.9575040240772688  # of h = tanh(2 h)
    assert len(found) == 27
    stable = found.states[found.unstable == 0]
    assert {tuple(np.sign(state)) for state in stable} == {
        (x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)
    }
    np.testing.assert_allclose(np.abs(stable), height, rtol=1e-12)
    count = count_fixed_points(cell)
    assert count.found == 27
    assert count.stable
    assert count.unseen < 1
    assert count.index_sum == 1
    assert count.coverage > 0.99


@pytest.mark.slow
def test_saddles_are_found_between_the_attractors_that_trajectories_show():
    cell = bistable(3)
    corners = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
    few = fixed_points(cell, starts=corners, settings=FixedPointSettings(midpoint_waves=0))
    assert (len(few), few.index_sums[0]) == (8, 8)
    more = fixed_points(cell, starts=np.tile(corners, (8, 1)))
    assert (len(more), more.index_sums[0]) == (27, 1)


def test_counting_says_when_it_is_not_done():
    settings = CountSettings(most_starts=8, search=FixedPointSettings(starts=4, midpoint_waves=0))
    count = count_fixed_points(bistable(3), settings=settings)
    assert not count.stable
    assert count.history[-1] == (8, count.found)
    assert count.index_sum != 1
    assert count.unseen > 0


@pytest.mark.parametrize("kind", [pytest.param(eqx.nn.GRUCell, marks=pytest.mark.slow), eqx.nn.LSTMCell])
def test_cells_of_equinox_with_any_state(kind):
    cell = kind(2, 4, key=jax.random.key(0))
    found = fixed_points(cell, np.ones(2), settings=FixedPointSettings(starts=64, scales=(0.3,)))
    assert found.kinds[0] is PointKind.ATTRACTING
    reached = jax.tree.map(np.asarray, unroll(cell, jnp.ones((300, 2))).last)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found.state(0), reached)
    again = fixed_points(cell, np.ones(2), starts=jax.tree.map(lambda leaf: leaf[None], found.state(0)))
    np.testing.assert_allclose(again.states, found.states[:1], atol=1e-14)


def test_left_and_right_vectors_are_those_of_the_jacobian():
    matrix = np.array([[0.5, 1.0, 0.0], [0.0, 0.25, 0.3], [0.2, 0.0, 0.9]])
    with jax.enable_x64(True):
        weight = jnp.asarray(matrix)
    found = fixed_points(Map(lambda x, u: weight @ x, 3), settings=FEW)
    modes = found.modes(0)
    values, right, left = modes.values, modes.right, modes.left
    np.testing.assert_allclose(found.eigenvalues[0], values, atol=1e-14)
    np.testing.assert_allclose(matrix @ right, right * values, atol=1e-14)
    np.testing.assert_allclose(left.conj().T @ matrix, values[:, None] * left.conj().T, atol=1e-14)
    np.testing.assert_allclose(left.conj().T @ right, np.eye(3), atol=1e-13)
    assert (np.diff(np.abs(values)) <= 1e-12).all()


def test_starts_from_trajectories_lie_on_them_without_noise():
    cell = bistable(3)
    inputs = np.random.default_rng(1).normal(size=(20, 3))
    visited = np.asarray(unroll(cell, jnp.asarray(inputs, jnp.float32)).states)
    starts = sampled_starts(cell, inputs, 50, noise=0)
    distances = np.linalg.norm(starts[:, None] - visited[None], axis=-1).min(axis=1)
    assert distances.max() < 1e-5  # the visited states are in float32
    np.testing.assert_array_equal(starts, sampled_starts(cell, inputs, 50, noise=0))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fixed_points(bistable(3), np.ones(2)), ShapeError, "expected"),
        (lambda: fixed_points(bistable(3), np.full(3, np.nan)), InputDataError, "not finite"),
        (lambda: fixed_points(bistable(3), np.ones((1, 1, 3))), ShapeError, "conditions"),
        (lambda: fixed_points(bistable(3), starts=np.ones((5, 2))), ShapeError, "starts"),
        (lambda: fixed_points(lambda u, x: x), ConfigError, "attractor.cell"),
        (lambda: FixedPointSettings(starts=0), ConfigError, "starts=0"),
        (lambda: FixedPointSettings(tolerance=1.0), ConfigError, "tolerance"),
        (lambda: CountSettings(most_starts=1), ConfigError, "most_starts"),
        (lambda: count_fixed_points(bistable(3), np.ones((2, 3))), ConfigError, "one input"),
        (lambda: sampled_starts(bistable(3), np.ones(3)), ShapeError, "time"),
        (lambda: sampled_starts(bistable(3), np.ones((4, 3)), 0), ConfigError, "count=0"),
    ],
)
def test_bad_requests_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def flip_flop_task(bits, steps, batch, seed):
    """Rare pulses of +-1; the target is the sign of the last pulse of every channel."""
    source = np.random.default_rng(seed)
    inputs = source.choice([-1.0, 0.0, 1.0], size=(batch, steps, bits), p=[0.1, 0.8, 0.1])
    inputs[:, 0] = source.choice([-1.0, 1.0], size=(batch, bits))
    targets = inputs.copy()
    for step in range(1, steps):
        targets[:, step] = np.where(inputs[:, step] == 0, targets[:, step - 1], inputs[:, step])
    return jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)


def trained_flip_flop(bits, hidden, rounds):
    keys = jax.random.split(jax.random.key(3))
    network = GRU(bits, hidden, key=keys[0]), eqx.nn.Linear(hidden, bits, key=keys[1])
    optimiser = optax.adam(5e-3)

    @eqx.filter_jit
    def improved(network, moments, inputs, targets):
        def loss(network):
            cell, readout = network
            states = jax.vmap(lambda one: unroll(cell, one).states)(inputs)
            return jnp.mean((jax.vmap(jax.vmap(readout))(states) - targets) ** 2)

        value, slope = eqx.filter_value_and_grad(loss)(network)
        change, moments = optimiser.update(slope, moments)
        return eqx.apply_updates(network, change), moments, value

    moments, value = optimiser.init(eqx.filter(network, eqx.is_inexact_array)), np.inf
    for seed in range(rounds):
        network, moments, value = improved(network, moments, *flip_flop_task(bits, 40, 64, seed))
    return network, float(value)


@pytest.mark.slow
def test_a_trained_flip_flop_stores_its_bits_in_stable_points():
    (cell, readout), loss = trained_flip_flop(bits=2, hidden=24, rounds=800)
    assert loss < 0.01
    inputs, _ = flip_flop_task(2, 60, 8, seed=10_000)
    found = fixed_points(cell, starts=sampled_starts(cell, inputs, 512, noise=0.3))
    stable = found.states[found.unstable == 0]
    shown = np.asarray(jax.vmap(readout)(jnp.asarray(stable, jnp.float32)))
    assert len(stable) == 4
    assert {tuple(row) for row in np.sign(shown)} == {(-1, -1), (-1, 1), (1, -1), (1, 1)}
    np.testing.assert_allclose(np.abs(shown), 1, atol=0.25)
    assert found.residuals.max() < 1e-12


def test_a_map_on_a_domain_far_from_zero_is_searched_about_its_own_start():
    """log(x - 100) + 105 is defined above 100 alone: none of the starts about zero lay there."""
    far = cell(lambda x: jnp.log(x - 100) + 105, 0, jnp.full(1, 107.0))
    found = fixed_points(far, settings=FEW)
    for root in found.states[:, 0]:
        assert np.log(root - 100) + 105 == pytest.approx(root)
    assert found.kinds[0] is PointKind.ATTRACTING


def test_what_to_call_next_on_points_that_were_not_found():
    none = fixed_points(Map(lambda x, u: x + jnp.exp(-x), 1), settings=FEW)
    assert len(none) == 0
    assert repr(none).endswith("next: .slow.states, .counts, fixed_points(cell, starts=...)")
    with pytest.raises(ConfigError, match="no fixed point was found"):
        none.state(0)


def test_a_plain_function_is_refused_with_the_line_to_write():
    def halved(x):
        return x / 2

    for search in (fixed_points, count_fixed_points):  # "has no `input_size`: give `input`, a vector"
        with pytest.raises(ConfigError, match=r"Halved = attractor\.cell\(halved, 0, jnp\.zeros"):
            search(halved)
