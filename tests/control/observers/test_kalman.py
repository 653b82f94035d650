"""The extended Kalman filter is the linear one on a linear cell, and finds the state of others."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from observer_cases import random_model, simulate

from attractor.cells import GRU, Cell
from attractor.control.model import from_network
from attractor.control.observer import estimates
from attractor.control.observers import NoiseLevels, kalman_observer
from attractor.errors import ConfigError

A = np.array([[0.9, 0.2, 0.0], [-0.1, 0.8, 0.1], [0.0, 0.3, 0.95]])
B = np.array([[0.1, 0.0], [0.2, -0.1], [0.0, 0.3]])
C = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, -0.2]])
OFFSET = np.array([0.3, -0.1])


class Linear(Cell):
    """x' = A x + B u, written by a user."""

    transition: Array
    drive: Array
    input_size: int = 2
    hidden_size: int = 3

    def __call__(self, input, state, *, key=None):
        return self.transition @ state + self.drive @ input


def riccati(inputs, outputs, start, noise):
    """The linear Kalman filter by its textbook recursion, in the covariance form without Joseph's trick."""
    state, covariance = start, np.diag(np.square(noise.initial))
    process, measurement = np.diag(np.square(noise.process)), np.diag(np.square(noise.measurement))
    found, covariances = [], []
    for given, seen in zip(inputs, outputs, strict=True):
        found.append(state)
        covariances.append(covariance)
        rows = np.isfinite(seen)
        part, levels = C[rows], measurement[np.ix_(rows, rows)]
        gain = A @ covariance @ part.T @ np.linalg.inv(part @ covariance @ part.T + levels)
        state = A @ state + B @ given + gain @ (seen[rows] - part @ state - OFFSET[rows])
        covariance = A @ covariance @ A.T + process - gain @ part @ covariance @ A.T
    return np.array(found), covariances


@pytest.mark.parametrize("with_gaps", [False, True])
def test_on_a_linear_cell_it_is_the_linear_filter(with_gaps):
    draws = np.random.default_rng(0)
    model = from_network(Linear(jnp.asarray(A, jnp.float32), jnp.asarray(B, jnp.float32)), C, OFFSET)
    model = exact(model)
    noise = NoiseLevels((0.1, 0.2, 0.3), (0.2, 0.4), (1.0, 0.5, 2.0))
    inputs, outputs = draws.normal(size=(60, 2)), draws.normal(size=(60, 2))
    if with_gaps:
        outputs[5:12, 0] = np.nan
        outputs[9:20, 1] = np.nan
    start = np.array([0.5, -0.5, 1.0])
    observer = kalman_observer(model, noise, start)
    expected, covariances = riccati(inputs, outputs, start, noise)
    np.testing.assert_allclose(estimates(observer.update_map, start, inputs, outputs), expected, atol=1e-10)
    for given, seen in zip(inputs[:-1], outputs[:-1], strict=True):
        observer.update(given, seen)
    np.testing.assert_allclose(observer.estimate, expected[-1], atol=1e-10)
    np.testing.assert_allclose(observer._memory[1], covariances[-1], atol=1e-10)


def exact(model):
    """The same model with the matrices in all digits."""
    with jax.enable_x64(True):
        return eqx.tree_at(
            lambda one: (one.network.cell.transition, one.network.cell.drive),
            model,
            (jnp.asarray(A), jnp.asarray(B)),
        )


def test_it_finds_the_state_of_a_gru_sooner_than_the_model_forgets_its_start():
    model = random_model(GRU, 7, 0.5)
    inputs = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    states, outputs = simulate(model, np.full(3, 0.9), inputs)
    observer = kalman_observer(model, NoiseLevels(measurement=1e-3))
    found = estimates(observer.update_map, np.full(3, -0.9), inputs, outputs)
    alone = simulate(model, np.full(3, -0.9), inputs)[0]
    errors, without = (np.abs(states - one).max(axis=1) for one in (found, alone))
    assert errors[15:40].mean() < 0.5 * without[15:40].mean()
    assert not observer.statement.guaranteed
    assert "none proved" in observer.statement.text


def test_deviations_that_make_no_sense_are_refused():
    model = random_model(GRU, 0)
    for noise, name in (
        (NoiseLevels(process=-1.0), "process"),
        (NoiseLevels(process=(0.1, 0.2)), "process"),
        (NoiseLevels(measurement=0.0), "measurement"),
        (NoiseLevels(initial=float("nan")), "initial"),
    ):
        with pytest.raises(ConfigError, match=name):
            kalman_observer(model, noise)
