"""A cell and a flow that a user wrote go through every call of the room."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.cells import discretise
from attractor.dynamics import (
    BifurcationKind,
    CountSettings,
    FixedPointSettings,
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
    sampled_starts,
    scaled_input,
    spectra_along,
)
from attractor.theory import DynamicsSettings, dynamics_study, spectral_curve

INPUTS = np.random.default_rng(0).normal(size=(120, 1))
UNITS = 6


class Own(attractor.Cell):
    """Leaky units with one matrix; the state is a dictionary, as nobody else has it."""

    weight: jax.Array
    decay: jax.Array
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=UNITS)

    def __call__(self, input, state, *, key=None):
        keep = jax.nn.sigmoid(self.decay)
        return {"x": keep * state["x"] + (1 - keep) * jnp.tanh(self.weight @ state["x"] + input[0])}

    def initial_state(self):
        return {"x": jnp.zeros(UNITS, self.weight.dtype)}

    def exposed(self, state):
        return state["x"]


class OwnFlow(attractor.Flow):
    """dx/dt = -x + tanh(W x + u)."""

    weight: jax.Array
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=UNITS)

    def vector_field(self, input, state):
        return jnp.tanh(self.weight @ state + input[0]) - state


WEIGHT = 1.2 * jax.random.normal(jax.random.key(0), (UNITS, UNITS), jnp.float32) / UNITS**0.5
CELLS = {
    "cell": Own(WEIGHT, jnp.linspace(-1.0, 2.0, UNITS)),
    "flow": discretise(OwnFlow(WEIGHT), 0.2, "heun"),
}


@pytest.fixture(params=["cell", pytest.param("flow", marks=pytest.mark.slow)])
def cell(request):
    return CELLS[request.param]


def test_exponents_and_vectors(cell):
    settings = LyapunovSettings("all", 20, alignment=20)
    found = lyapunov_exponents(cell, INPUTS, settings=settings)
    assert found.per_step.shape == (UNITS,)
    assert found.per_step[0] < 0
    vectors = covariant_vectors(cell, INPUTS, settings=settings, settling=20)
    np.testing.assert_allclose(vectors.growth.mean(axis=0), found.per_step, atol=0.05)
    loss = lambda cell: jnp.sum(leading_exponents(cell, jnp.asarray(INPUTS[:20], jnp.float32), count=2))  # noqa: E731
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(eqx.filter_grad(loss)(cell)))
    assert flow_norms(cell, INPUTS[:20]).norms[-1] == pytest.approx(
        jacobian_norms(cell, INPUTS[:20]).norms[-1]
    )


def test_fixed_points_and_their_paths(cell):
    some = fixed_points(cell, starts=sampled_starts(cell, INPUTS, 8))
    found = fixed_points(cell, settings=FixedPointSettings(starts=64))
    assert np.all(found.residuals < 1e-10)
    assert len(some) <= len(found) == 3
    assert found.index_sums[0] == 1
    assert count_fixed_points(cell, settings=CountSettings(most_starts=128)).found == 3
    branch = follow_fixed_point(scaled_input(cell, np.ones(1)), found.state(0), (0.0, 0.5))
    folds = [one.parameter for one in branch.bifurcations if one.kind is BifurcationKind.FOLD]
    assert folds == pytest.approx([0.117289], abs=1e-5)  # cell and flow rest at the same states


def test_spectra_and_the_study(cell):
    state = jax.tree.map(lambda leaf: 0.1 + 0 * leaf, cell.initial_state())
    values = jacobian_spectrum(cell, state).values
    assert values.shape == (1, UNITS)
    assert spectra_along(cell, INPUTS, points=2).values.shape == (2, UNITS)
    curve = spectral_curve(cell, state)
    np.testing.assert_allclose(
        np.sort_complex(curve.spectrum.values[0]), np.sort_complex(values[0]), atol=1e-9
    )
    study = dynamics_study(cell, INPUTS, DynamicsSettings(steps=120, starts=4, points=1))
    assert study.regime.name == "STABLE"
