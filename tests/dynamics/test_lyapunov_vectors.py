"""Covariant vectors, summaries of spectra, and exponents inside a loss."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from dynamics_cases import KEY, linear

from attractor.cells import GRU, LSTM, Elman
from attractor.dynamics import (
    LyapunovSettings,
    covariant_vectors,
    entropy_rate_bound,
    kaplan_yorke_dimension,
    leading_exponents,
    lyapunov_exponents,
    participation_ratio,
)
from attractor.errors import ConfigError, InputDataError
from attractor.program import single_precision

INPUTS = np.random.default_rng(0).normal(size=(500, 1))
ALL = LyapunovSettings(count="all", burn_in=100)
PLAIN = Elman(1, 3, key=KEY)
GATES_ONLY = eqx.tree_at(lambda cell: cell.state_weight, LSTM(1, 3, key=KEY), jnp.zeros((12, 3)))


@pytest.mark.parametrize(
    ("exponents", "states", "dimension"),
    [
        ([1.0, 0.0, -2.0], 3, 2.5),
        ([-1.0, -2.0], 2, 0.0),
        ([1.0, -0.5], 2, 2.0),
        ([1.0, 0.5], 5, None),
        ([0.9, 0.0, -14.57], 3, 2 + 0.9 / 14.57),
        ([0.5, -np.inf], 2, 1.0),
    ],
)
def test_kaplan_yorke(exponents, states, dimension):
    assert kaplan_yorke_dimension(np.array(exponents), states) == pytest.approx(dimension)


def test_entropy_and_participation():
    assert entropy_rate_bound(np.array([0.5, 0.25, -3.0, -np.inf])) == 0.75
    generator = np.random.default_rng(0)
    for samples, states in ((4000, 6), (5, 40)):
        cloud = generator.normal(size=(samples, states))
        covariance = np.cov(cloud.T, bias=True)
        expected = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
        assert participation_ratio(cloud) == pytest.approx(expected)
    assert participation_ratio(np.ones((5, 3))) == 0.0
    plane = generator.normal(size=(20_000, 2)) @ np.linalg.qr(generator.normal(size=(8, 2)))[0].T
    assert participation_ratio(plane) == pytest.approx(2, abs=0.01)


def test_covariant_vectors_of_a_constant_map_are_its_eigenvectors():
    vectors = np.array([[1.0, 0.3, 0.0], [0.0, 1.0, 0.6], [0.5, 0.0, 1.0]]).T
    matrix = vectors @ np.diag([0.9, 0.5, 0.2]) @ np.linalg.inv(vectors)
    found = covariant_vectors(linear((matrix - np.eye(3)) / 0.1), 300, jnp.zeros(3), settings=ALL)
    expected = (vectors / np.linalg.norm(vectors, axis=0)).T
    for step in (0, -1):
        np.testing.assert_allclose(np.abs(np.sum(found.vectors[step] * expected, axis=1)), 1, atol=1e-6)
    np.testing.assert_allclose(
        found.growth, np.tile(np.log([0.9, 0.5, 0.2]), (len(found.growth), 1)), atol=1e-6
    )


def test_every_step_maps_covariant_vectors_onto_their_successors():
    cell = Elman(1, 5, key=KEY)
    cell = eqx.tree_at(lambda cell: cell.state_weight, cell, 3 * cell.state_weight)
    found = covariant_vectors(cell, INPUTS, settings=ALL)
    exponents = lyapunov_exponents(cell, INPUTS[:400], settings=ALL)  # the same stretch
    np.testing.assert_allclose(found.growth.mean(axis=0), exponents.per_step, atol=0.02)
    weight, driven, state = np.asarray(cell.state_weight, float), np.asarray(cell.input_weight, float), 0
    for step, row in enumerate(INPUTS[:300]):
        state = np.tanh((weight @ state if step else 0) + driven @ row)
        place = step - found.first_step
        if place >= 0:
            pushed = (1 - state**2) * (found.vectors[place] @ weight.T)
            turned = pushed / np.exp(found.growth[place])[:, None]
            agreement = np.abs(np.sum(turned * found.vectors[place + 1], axis=1))
            np.testing.assert_allclose(agreement, 1, atol=1e-6)
    angles = found.splitting_angles(1)
    assert np.all((angles > 0) & (angles <= np.pi / 2 + 1e-12))


def test_exponents_in_a_loss_are_those_that_are_measured_and_have_their_derivative():
    with jax.enable_x64(True):
        cell = Elman(1, 5, key=KEY)
        cell = jax.tree.map(lambda leaf: jnp.asarray(2.0 * leaf, jnp.float64), cell)

        @jax.jit  # one program for values and slope
        @jax.value_and_grad
        def sum_of_two(scale):
            scaled = eqx.tree_at(lambda cell: cell.state_weight, cell, scale * cell.state_weight)
            return jnp.sum(leading_exponents(scaled, jnp.asarray(INPUTS[:60]), count=2))

        found, slope = map(float, sum_of_two(1.0))
        difference = (sum_of_two(1 + 1e-6)[0] - sum_of_two(1 - 1e-6)[0]) / 2e-6
        np.testing.assert_allclose(slope, float(difference), rtol=1e-6)
    settings = LyapunovSettings(count=2, burn_in=0)
    # The bases start differently, so that the two agree up to a few nats over the path.
    assert lyapunov_exponents(cell, INPUTS[:60], settings=settings).per_step.sum() == pytest.approx(
        found, abs=0.1
    )


def _slopes(weight, count):
    with single_precision():
        cell = eqx.tree_at(lambda cell: cell.state_weight, Elman(1, 4, key=KEY), jnp.asarray(weight))
        found, slope = _penalised(cell, jnp.asarray(INPUTS[:30]), count)
    return found, max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(slope))


@eqx.filter_jit
def _penalised(cell, inputs, count):
    def penalty(cell):
        found = leading_exponents(cell, inputs, count=count)
        return jnp.sum(found**2), found

    (_, found), slope = eqx.filter_value_and_grad(penalty, has_aux=True)(cell)
    return found, slope


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_directions_that_a_step_forgets_have_no_slope_in_a_loss(rank):
    """Weights of low rank: exponents beyond it are -inf, and their slopes were NaN or rounding over zero."""
    left, right = np.random.default_rng(rank).normal(size=(2, 4, 4))
    # 1 on the diagonal of the product keeps the directions that count away from those that are forgotten
    weight = left[:, :rank] @ (left[:, :rank].T + 0.1 * right[:rank])
    found, largest = _slopes(weight, 4)
    forgotten = np.log(np.finfo(np.float32).eps)
    np.testing.assert_allclose(found[rank:], forgotten, rtol=1e-6)
    assert np.all(found[:rank] > forgotten / 2)
    assert largest < 2e3
    if rank == 0:
        assert largest == 0


def test_the_slope_of_what_is_not_forgotten_is_exact_beside_what_is():
    with jax.enable_x64(True):
        cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), Elman(1, 4, key=KEY))
        left = np.random.default_rng(1).normal(size=(4, 2))
        low = eqx.tree_at(lambda cell: cell.state_weight, cell, jnp.asarray(left @ left.T))

        @jax.jit  # one program for values and slope
        @jax.value_and_grad
        def second(scale):
            scaled = eqx.tree_at(lambda cell: cell.input_weight, low, scale * low.input_weight)
            return leading_exponents(scaled, jnp.asarray(INPUTS[:30]), count=3)[1]

        slope = second(1.0)[1]
        difference = (float(second(1 + 1e-6)[0]) - float(second(1 - 1e-6)[0])) / 2e-6
        np.testing.assert_allclose(slope, difference, rtol=1e-5)


@pytest.mark.slow
def test_a_term_in_the_loss_brings_exponents_to_zero():
    cell, inputs = GRU(1, 8, timescales=(2.0, 3.0), key=KEY), jnp.asarray(INPUTS[:40], jnp.float32)
    optimiser = optax.adam(0.05)
    measured = LyapunovSettings(count=1, burn_in=20)
    before = lyapunov_exponents(cell, INPUTS[:200], settings=measured).per_step[0]

    @eqx.filter_jit
    def step(cell, memory):
        loss, slope = eqx.filter_value_and_grad(lambda cell: jnp.sum(leading_exponents(cell, inputs) ** 2))(
            cell
        )
        moved, memory = optimiser.update(slope, memory)
        return eqx.apply_updates(cell, moved), memory, loss

    memory = optimiser.init(eqx.filter(cell, eqx.is_inexact_array))
    for _ in range(80):
        cell, memory, _ = step(cell, memory)
    after = lyapunov_exponents(cell, INPUTS[:200], settings=measured).per_step[0]
    assert before < -0.3
    assert abs(after) < 0.05


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (
            lambda: covariant_vectors(Elman(1, 3, key=KEY), INPUTS[:150], settings=ALL),
            InputDataError,
            "give more",
        ),
        (
            lambda: covariant_vectors(
                eqx.tree_at(lambda c: c.state_weight, LSTM(1, 3, key=KEY), jnp.zeros((12, 3))),
                400,
                settings=ALL,
            ),
            ConfigError,
            "ask for count=3",
        ),
        (
            lambda: covariant_vectors(Elman(1, 3, key=KEY), INPUTS, settings=ALL).splitting_angles(3),
            ConfigError,
            "1 to 2",
        ),
    ],
)
def test_a_mistake_is_named(call, kind, said):
    with pytest.raises(kind, match=said):
        call()
