"""What is handed to a reading that cannot take it: flows, batches, networks that rest at zero."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import KEY, Map

from attractor.cells import Cell, Elman, Flow, GatedFlow, initial_state
from attractor.dynamics import (
    LyapunovSettings,
    count_fixed_points,
    covariant_vectors,
    fixed_points,
    flow_norms,
    follow_fixed_point,
    jacobian_norms,
    jacobian_spectrum,
    leading_exponents,
    lyapunov_exponents,
    portrait,
    sampled_starts,
    spectra_along,
)
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.theory import DynamicsSettings, dynamics_study
from attractor.theory.regimes import Agreement, EdgeStatus, initialise

INPUTS = np.random.default_rng(0).normal(size=(60, 1))


class Turning(Flow):
    """dx/dt = tanh(W x) - x + u: at the edge where the real part of the eigenvalues of W is 1."""

    weight: jax.Array
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=2)

    def vector_field(self, input, state):
        return jnp.tanh(self.weight @ state) - state + input


TURNING = Turning(jnp.array([[0.5, -0.8], [0.8, 0.5]]))


@pytest.mark.parametrize("flow", [TURNING, GatedFlow(1, 3, key=KEY)])
@pytest.mark.parametrize(
    "reading",
    [
        lambda flow: lyapunov_exponents(flow, INPUTS),
        lambda flow: covariant_vectors(flow, INPUTS),
        lambda flow: leading_exponents(flow, jnp.asarray(INPUTS)),
        lambda flow: fixed_points(flow),
        lambda flow: count_fixed_points(flow),
        lambda flow: sampled_starts(flow, INPUTS),
        lambda flow: follow_fixed_point(lambda scale: flow, initial_state(flow), (0.0, 1.0)),
        lambda flow: jacobian_norms(flow, INPUTS),
        lambda flow: flow_norms(flow, INPUTS),
        lambda flow: spectra_along(flow, INPUTS),
        lambda flow: portrait(flow, np.zeros((4, 2)), np.zeros(1), np.zeros((1, 2))),
        lambda flow: dynamics_study(flow, INPUTS, DynamicsSettings(steps=60, starts=4)),
    ],
)
def test_a_flow_is_refused_by_name_with_the_remedy(reading, flow):
    with pytest.raises(ConfigError, match=rf"{type(flow).__name__} is a flow.*discretise\(flow, step\)"):
        reading(flow)


def test_a_flow_with_a_complex_pair_comes_to_the_edge_by_its_real_part():
    """Both eigenvalues are i omega there: the modulus is omega, and not 0."""
    made = initialise(TURNING, "edge", key=KEY)
    assert made.edge.value == pytest.approx(2.0, abs=1e-3)
    assert made.edge.residual < 1e-4
    assert str(made.edge).startswith(str(EdgeStatus.FOUND))
    values = jacobian_spectrum(made.cell, jnp.zeros(2)).values[0]
    np.testing.assert_allclose(values.real, 0.0, atol=1e-3)
    np.testing.assert_allclose(np.abs(values.imag), 1.6, atol=1e-3)
    assert made.status is Agreement.MET, made.warnings


def test_a_network_that_rests_at_zero_still_gives_different_starts():
    cell = Elman(1, 3, key=KEY)
    starts = sampled_starts(cell, 0 * INPUTS, count=64)
    assert len(np.unique(starts, axis=0)) == 64
    assert 0.05 < starts.std() < 0.2  # a share 0.1 of 1
    decayed = Map(lambda x: 1e-3 * x + 1e-12, 2, 1)
    assert sampled_starts(decayed, INPUTS, count=64).std() > 0.05
    assert len(np.unique(sampled_starts(cell, 0 * INPUTS, count=9, noise=0.0), axis=0)) == 1  # as asked


def test_a_sequence_whose_trajectory_runs_away_is_named():
    inputs = np.stack([np.zeros((8, 1)), np.full((8, 1), 200.0)])
    with pytest.raises(InputDataError, match="sequence 1 leaves the finite numbers at step 3"):
        sampled_starts(Scaled(), inputs)


class Scaled(Cell):
    """x' = exp(u) (x + 1), which passes 1e308 in its fourth step with u = 200."""

    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return jnp.exp(input) * (state + 1)


@pytest.mark.parametrize("starts", [2, 3])
def test_covariant_vectors_take_one_trajectory(starts):
    settings = LyapunovSettings(count=1, burn_in=10)
    with pytest.raises(ShapeError, match=rf"a batch of {starts} was given; call once for each"):
        covariant_vectors(Elman(1, 3, key=KEY), INPUTS, jnp.ones((starts, 3)), settings=settings, settling=10)
