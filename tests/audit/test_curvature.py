"""Curvature in states and weights against dense Hessians."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from audit_cases import KEY, linear, tanh_classifier
from jax.flatten_util import ravel_pytree

from attractor.audit import (
    CurvatureSettings,
    labelled_sequences,
    ritz_values,
    state_curvature,
    state_curvature_profile,
    trace_samples,
    weight_curvature,
)
from attractor.cells import GRU, LSTM, exposed, initial_state
from attractor.errors import ConfigError, InputDataError
from attractor.program import in_double_precision
from attractor.scan import unroll

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(4, 2))


@pytest.mark.parametrize("family", [GRU, LSTM])
def test_the_state_curvature_is_the_hessian_of_the_loss_from_that_state_on(family):
    with jax.enable_x64(True):
        cell = in_double_precision(family(2, 3, key=KEY))
        inputs, length = jnp.asarray(INPUTS).at[3].set(jnp.nan), 3

        def loss(seen):
            return -jax.nn.log_softmax(3 * seen)[0]

        found = eqx.filter_jit(state_curvature)(cell, loss, inputs, length)
        _, restore = ravel_pytree(initial_state(cell))
        state = initial_state(cell)
        for step in range(length + 1):

            def from_here(flat, step=step):
                last = unroll(cell, inputs[step:length], restore(flat)).last
                return loss(exposed(cell, last))

            hessian = jax.hessian(from_here)(ravel_pytree(state)[0])
            np.testing.assert_allclose(found.trace[step], jnp.trace(hessian), rtol=1e-9)
            np.testing.assert_allclose(found.largest[step], jnp.linalg.eigvalsh(hessian)[-1], rtol=1e-9)
            state = cell(inputs[step], state)
    assert np.isnan(found.trace[length + 1 :]).all()


def test_a_linear_cell_carries_the_hessian_back_by_its_matrix():
    """R_m = J'^(M-m) G J^(M-m) for |h|^2 / 2."""
    with jax.enable_x64(True):
        cell = in_double_precision(linear([[-1.0, 2.0], [-2.0, -0.5]]))
        found = state_curvature(cell, lambda seen: jnp.sum(seen**2) / 2, jnp.asarray(INPUTS[:, :1]))
        jacobian = np.eye(2) + 0.1 * np.asarray(cell.rate)
    for step in range(5):
        power = np.linalg.matrix_power(jacobian, 4 - step)
        np.testing.assert_allclose(found.trace[step], np.trace(power.T @ power), rtol=1e-12)
        np.testing.assert_allclose(found.largest[step], np.linalg.norm(power, 2) ** 2, rtol=1e-12)


def test_the_profile_of_a_batch_is_that_of_its_cases():
    network = tanh_classifier()
    data = labelled_sequences(RANDOM.normal(size=(3, 4, 2)), np.array([0, 1, 2]), np.array([4, 2, 3]))
    found = state_curvature_profile(network.cell, network.readout, data, batch=2)
    assert found.trace.shape == (3, 5)
    with jax.enable_x64(True):
        cell, readout = in_double_precision((network.cell, network.readout))
        one = state_curvature(
            cell, lambda seen: -jax.nn.log_softmax(readout(seen))[1], jnp.asarray(data.inputs[1, :2])
        )
    np.testing.assert_allclose(found.trace[1, :3], one.trace, rtol=1e-9)
    assert np.isnan(found.largest[1, 3:]).all()
    broken = labelled_sequences(np.full((1, 4, 2), np.nan), np.array([0]))
    with pytest.raises(InputDataError, match="case 0"):
        state_curvature_profile(network.cell, network.readout, broken)


def mean_loss(model):
    inputs = jnp.asarray(np.random.default_rng(1).normal(size=(8, 3, 2)))
    labels = jnp.arange(8) % 3
    scores = jax.vmap(lambda one: model(one, jnp.asarray(3)))(inputs)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1))


@pytest.fixture(scope="module")
def dense():
    """The network and the eigenvalues of the whole Hessian of its 43 weights."""
    network = tanh_classifier()
    with jax.enable_x64(True):
        weights, static = eqx.partition(in_double_precision(network), eqx.is_inexact_array)
        flat, restore = ravel_pytree(weights)
        hessian = jax.hessian(lambda flat: mean_loss(eqx.combine(restore(flat), static)))(flat)
        return network, np.linalg.eigvalsh(np.asarray(hessian))[::-1]


def test_weight_curvature_is_that_of_the_dense_hessian(dense):
    network, eigenvalues = dense
    found = weight_curvature(mean_loss, network, CurvatureSettings(eigenvalues=3, samples=200))
    np.testing.assert_allclose(found.largest, eigenvalues[:3], rtol=1e-8)
    assert abs(found.trace - eigenvalues.sum()) < 4 * found.trace_error
    assert found.trace_error < 0.2 * eigenvalues.sum()
    assert found.weights == len(eigenvalues)
    np.testing.assert_allclose(found.effective_rank, found.trace / eigenvalues[0], rtol=1e-8)
    assert found.to_dict()["largest"] == found.largest.tolist()


def test_errors_of_few_lanczos_steps_are_bounds(dense):
    network, eigenvalues = dense
    found = weight_curvature(mean_loss, network, CurvatureSettings(eigenvalues=2, steps=4, samples=2))
    for value, error in zip(found.largest, found.errors, strict=True):
        assert np.abs(eigenvalues - value).min() <= error + 1e-12
    assert found.errors.max() > 1e-6


def test_single_precision_agrees(dense):
    network, eigenvalues = dense
    found = weight_curvature(mean_loss, network, CurvatureSettings(samples=2, double_precision=False))
    np.testing.assert_allclose(found.largest[0], eigenvalues[0], rtol=1e-4)


@pytest.mark.parametrize("diagonal", [[-3.0, -2.0, -2.0, -1.0], [5.0, 5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 7.0]])
def test_lanczos_finds_distinct_eigenvalues_and_then_ends(diagonal):
    with jax.enable_x64(True):
        matrix = jnp.diag(jnp.asarray(diagonal, jnp.float64))
        found = ritz_values(lambda vector: matrix @ vector, jax.random.normal(KEY, (4,), jnp.float64), 4)
    np.testing.assert_allclose(found.values, np.unique(diagonal)[::-1], atol=1e-12)
    assert found.errors.max() < 1e-12


def test_trace_draws_are_exact_for_a_diagonal_matrix():
    like = jnp.zeros(4)
    draws = trace_samples(lambda vector: jnp.arange(4.0) * vector, like, jax.random.split(KEY, 3))
    np.testing.assert_allclose(draws, 6.0)


def test_mistakes_are_named(dense):
    network, _ = dense
    with pytest.raises(ConfigError, match="eigenvalues=5"):
        CurvatureSettings(eigenvalues=5, steps=4)
    with pytest.raises(ConfigError, match="samples=1"):
        CurvatureSettings(samples=1)
    with pytest.raises(ConfigError, match="no floating weights"):
        weight_curvature(lambda model: jnp.array(0.0), eqx.nn.Identity())
    with pytest.raises(ConfigError, match="steps=0"):
        ritz_values(lambda vector: vector, jnp.ones(2), 0)
    with pytest.raises(InputDataError, match="not finite"):
        weight_curvature(lambda model: jnp.nan * jnp.sum(model.readout.weight**2), network)
