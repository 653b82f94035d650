"""A cell whose state and input have an axis of nodes, (5, 2), through the readings of the house."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import Cell, check_cell, unroll
from attractor.certify import certify
from attractor.dynamics import lyapunov_exponents
from attractor.errors import ConfigError, ShapeError
from attractor.export import check_parity

NODES, FEATURES = 5, 2
RING = np.roll(np.eye(NODES), 1, axis=0)


class Ring(Cell):
    """x' = tanh(x A + (P x) B + u C): every node hears itself, its neighbour and its input."""

    own: jax.Array
    neighbour: jax.Array
    driven: jax.Array
    input_shape: tuple[int, int] = eqx.field(static=True, default=(NODES, FEATURES))
    input_size: int = eqx.field(static=True, default=NODES * FEATURES)
    hidden_size: int = eqx.field(static=True, default=NODES * FEATURES)

    def __call__(self, input, state, *, key=None):
        heard = jnp.asarray(RING, state.dtype) @ state
        return jnp.tanh(state @ self.own + heard @ self.neighbour + input @ self.driven)

    def initial_state(self):
        return jnp.zeros((NODES, FEATURES))

    def exposed(self, state):
        return state.ravel()


def made():
    rng = np.random.default_rng(0)
    return Ring(*(jnp.asarray(0.3 * rng.uniform(-1, 1, (FEATURES, FEATURES)), float) for _ in range(3)))


def signal(*shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=(*shape, NODES, FEATURES)), float)


def test_it_runs_over_time_and_in_batches_with_padding():
    cell, inputs = made(), signal(3, 7)
    batch = jax.vmap(lambda u, length: unroll(cell, u, length=length))(inputs, jnp.array([7, 4, 0]))
    assert batch.states.shape == (3, 7, NODES, FEATURES)
    state = cell.initial_state()
    for u in inputs[1, :4]:
        state = cell(u, state)
    np.testing.assert_allclose(batch.last[1], state, rtol=1e-5, atol=1e-6)


def test_inputs_of_another_shape_are_refused_with_the_expected_one():
    with pytest.raises(ShapeError, match=r"inputs of shape \(7, 10\) given to Ring, expected \(time, 5, 2\)"):
        unroll(made(), jnp.zeros((7, NODES * FEATURES)))
    with pytest.raises(ConfigError, match=r"Ring.input_shape is \(5, 2\), its input_size 9"):
        unroll(Ring(*(jnp.eye(FEATURES),) * 3, input_size=9), signal(7))


def test_exponents_are_the_same_for_inputs_in_nodes_and_row_by_row():
    inputs = np.asarray(signal(400))
    found = lyapunov_exponents(made(), inputs)
    again = lyapunov_exponents(made(), inputs.reshape(400, -1))
    assert found.per_step.shape == (NODES * FEATURES,)
    assert found.per_step[0] < 0
    np.testing.assert_array_equal(found.per_step, again.per_step)


def test_it_is_certified():
    assert certify(made()).verdict.name == "PROVED"


def test_its_readings_are_told_and_its_exports_agree():
    report = check_cell(made())
    assert report.input_size == NODES * FEATURES
    assert {one.name for one in report.readings if not one.available} <= {"control", "CasADi", "ONNX"}
    assert "inputs of shape (5, 2)" in report["control"].reason
    assert max(check_parity(made(), targets=("numpy", "c"), samples=20).values()) < 1e-12
