"""Curvature in states and weights against dense Hessians."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from audit_cases import KEY, tanh_classifier
from dynamics_cases import linear
from jax.flatten_util import ravel_pytree

from attractor.audit import (
    CurvatureSettings,
    labelled_sequences,
    state_curvature,
    state_hessians,
    weight_curvature,
)
from attractor.audit.loss_curvature import ritz_values, trace_samples
from attractor.cells import LSTM, exposed, initial_state
from attractor.errors import ConfigError, InputDataError
from attractor.program import in_double_precision
from attractor.scan import unroll

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(4, 2))


@pytest.mark.slow
def test_the_profile_is_the_hessian_of_the_loss_from_every_state_on():
    """The state of an LSTM is a pair of which a read-out sees one half; the second case is padded."""
    cell, readout = LSTM(2, 3, key=KEY), eqx.nn.Linear(3, 2, key=KEY)
    padded = np.concatenate([INPUTS, np.full((1, 2), np.nan)])
    data = labelled_sequences(np.stack([padded] * 3), np.array([0, 1, 0]), np.array([4, 3, 1]))
    found = state_curvature(cell, readout, data, batch=2)
    assert found.trace.shape == found.largest.shape == (3, 6)
    with jax.enable_x64(True):
        cell, readout = in_double_precision((cell, readout))
        _, restore = ravel_pytree(initial_state(cell))
        lengths, labels = jnp.asarray(data.lengths), jnp.asarray(data.labels)

        def from_there(flat, step, case):
            rest = jnp.roll(jnp.asarray(INPUTS), -step, axis=0)
            last = unroll(cell, rest, restore(flat), length=lengths[case] - step).last
            return -jax.nn.log_softmax(readout(exposed(cell, last)))[labels[case]]

        hessian = jax.jit(jax.hessian(from_there))
        state = initial_state(cell)
        for step in range(5):
            for case in np.flatnonzero(step <= data.lengths):
                expected = hessian(ravel_pytree(state)[0], step, case)
                np.testing.assert_allclose(found.trace[case, step], jnp.trace(expected), rtol=1e-9)
                largest = jnp.linalg.eigvalsh(expected)[-1]
                np.testing.assert_allclose(found.largest[case, step], largest, rtol=1e-9, atol=1e-15)
            state = cell(jnp.asarray(padded[step]), state)
    after = np.arange(6) > data.lengths[:, None]
    assert np.isnan(found.trace[after]).all()


def test_a_linear_cell_carries_the_hessian_back_by_its_matrix():
    """R_m = J'^(M-m) G J^(M-m) for |h|^2 / 2."""
    with jax.enable_x64(True):
        cell = in_double_precision(linear([[-1.0, 2.0], [-2.0, -0.5]]))
        compiled = eqx.filter_jit(state_hessians)
        found = compiled(cell, lambda seen: jnp.sum(seen**2) / 2, jnp.asarray(INPUTS[:, :1]))
        jacobian = np.eye(2) + 0.1 * np.asarray(cell.rate)
    for step in range(5):
        power = np.linalg.matrix_power(jacobian, 4 - step)
        np.testing.assert_allclose(found[step], power.T @ power, atol=1e-14)


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
        hessian = jax.jit(jax.hessian(lambda flat: mean_loss(eqx.combine(restore(flat), static))))(flat)
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


def test_errors_of_few_lanczos_steps_are_bounds():
    eigenvalues = np.geomspace(1e-3, 10, 30)
    with jax.enable_x64(True):
        matrix = jnp.asarray(eigenvalues)
        start = jax.random.normal(KEY, (30,), jnp.float64)
        found = ritz_values(lambda vector: matrix * vector, start, 6)
    for value, error in zip(found.values, found.errors, strict=True):
        assert np.abs(eigenvalues - value).min() <= error + 1e-12
    assert found.errors.max() > 1e-3
    np.testing.assert_allclose(found.values[0], 10.0, atol=found.errors[0])


@pytest.mark.slow
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
    broken = labelled_sequences(np.full((3, 5, 2), np.nan), np.array([0, 0, 0]))
    with pytest.raises(InputDataError, match="case 0"):
        state_curvature(LSTM(2, 3, key=KEY), eqx.nn.Linear(3, 2, key=KEY), broken, batch=2)
    huge = labelled_sequences(np.zeros((1, 100_000, 2)), np.array([0]))
    with pytest.raises(ConfigError, match=r"5.1 GB, more than 4 GB"):
        state_curvature(LSTM(2, 40, key=KEY), eqx.nn.Linear(40, 2, key=KEY), huge)
    with pytest.raises(InputDataError, match="not finite"):
        weight_curvature(lambda model: jnp.nan * jnp.sum(model.readout.weight**2), network)
