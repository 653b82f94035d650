"""The Lipschitz cell against closed forms, Diffrax and the published update."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GatedLipschitz, Lipschitz, LipschitzForm, StateNoise, antisymmetric
from attractor.cells.lipschitz import structured
from attractor.certify import CertifySettings, Verdict, certify
from attractor.errors import ConfigError
from attractor.scan import unroll

KEY = jax.random.key(0)


def build(size=4, step=0.1, noise=None, **form):
    form = LipschitzForm(**{"scale": 2.0, "learned_step": "fixed"} | form)
    return Lipschitz(2, size, step=step, form=form, noise=noise or StateNoise(), key=KEY)


def test_the_symmetric_part_of_a_structured_matrix_is_known():
    with jax.enable_x64(True):
        free = jax.random.normal(KEY, (5, 5), jnp.float64)
        for skew, damping in ((0.5, 0.0), (0.75, 0.1), (1.0, 0.3)):
            found = structured(free, skew, damping)
            expected = (1 - skew) * (free + free.T) - damping * jnp.eye(5)
            np.testing.assert_allclose((found + found.T) / 2, expected, atol=1e-15)
        np.testing.assert_allclose(structured(free, 0.5, 0.2), free - 0.2 * jnp.eye(5), atol=1e-15)
        turning = jnp.linalg.eigvals(structured(free, 1.0, 0.3))
        np.testing.assert_allclose(turning.real, -0.3, atol=1e-13)


@pytest.mark.parametrize("learned_step", ["fixed", "one", "each"])
def test_a_step_without_noise_is_the_published_one(learned_step):
    cell = build(learned_step=learned_step, skew=0.8, damping=0.05, linear=0.7)
    h, u = np.linspace(-1, 1, 4), np.array([0.3, -0.8])
    b, c = np.asarray(cell.linear_weight, float), np.asarray(cell.state_weight, float)
    a, w = (0.8 * (m - m.T) + 0.2 * (m + m.T) - 0.05 * np.eye(4) for m in (b, c))
    drift = 0.7 * a @ h + np.tanh(w @ h + np.asarray(cell.input_weight) @ u + np.asarray(cell.bias))
    found = cell(jnp.asarray(u, jnp.float32), jnp.asarray(h, jnp.float32))
    np.testing.assert_allclose(found, h + 0.1 * drift, atol=1e-6)


class Increments(diffrax.AbstractPath):
    """A path with given increments on a grid, instead of a random one."""

    values: jax.Array
    step: float
    t0: float = 0.0
    t1: float = 1.0

    def evaluate(self, t0, t1=None, left=True):
        del t1, left
        return self.values[jnp.round(t0 / self.step).astype(int)]


@pytest.mark.parametrize("noise", ["independent", "common"])
def test_a_noisy_run_is_euler_maruyama_of_diffrax_with_the_same_increments(noise):
    steps, size = 10, 4
    with jax.enable_x64(True):
        cell = build(noise=StateNoise(0.3, 0.5, noise))
        cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), cell)
        inputs, state = jnp.tile(jnp.array([0.3, -0.8]), (steps, 1)), jnp.linspace(-1, 1, size)
        keys = jax.random.split(KEY, steps)
        shape = () if noise == "common" else (size,)
        drawn = jax.vmap(lambda key: jax.random.normal(key, shape, jnp.float64))(keys)
        moved = 0.1**0.5 * jnp.broadcast_to(drawn.reshape(steps, -1), (steps, size))
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, y, args: cell.drift(inputs[0], y)),
            diffrax.ControlTerm(
                lambda t, y, args: jnp.diag(0.3 + 0.5 * cell.drift(inputs[0], y)), Increments(moved, 0.1)
            ),
        )
        expected = diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, 1.0, 0.1, state).ys[-1]
        found = unroll(cell, inputs, state, key=KEY).last
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.slow
def test_the_official_noise_has_the_moments_of_the_published_code():
    cell = build(noise=StateNoise(0.02, 0.4, "official"))
    state, given = jnp.linspace(-1, 1, 4), jnp.array([0.3, -0.8])
    drawn = jax.vmap(lambda key: cell(given, state, key=key))(jax.random.split(KEY, 40_000))
    drift = 0.1 * cell.drift(given, state)
    np.testing.assert_allclose(drawn.mean(axis=0), state + (1 - 0.2) * drift, atol=6e-4)
    np.testing.assert_allclose(drawn.var(axis=0), 0.02**2 + 0.4**2 / 12 * drift**2, rtol=0.05)
    np.testing.assert_allclose(cell.equivalent_noise(), (0.02 / 0.1**0.5, 0.1**0.5 * 0.4 / 12**0.5))


def test_without_a_key_noise_levels_change_nothing():
    quiet, noisy = build(), build(noise=StateNoise(1.0, 1.0))
    inputs = jnp.ones((5, 2))
    np.testing.assert_array_equal(unroll(quiet, inputs).states, unroll(noisy, inputs).states)


def test_a_learned_step_stays_positive_and_has_a_gradient():
    cell = build(learned_step="each")
    gradient = eqx.filter_grad(lambda cell: jnp.sum(unroll(cell, jnp.ones((3, 2))).last ** 2))(cell)
    assert gradient.raw_step.shape == (4,)
    assert (gradient.raw_step != 0).all()
    pushed = eqx.tree_at(lambda cell: cell.raw_step, cell, jnp.full(4, -30.0))
    assert (pushed.step > 0).all()
    assert build().raw_step is None


@pytest.mark.slow
def test_a_damped_cell_is_proved_and_an_undamped_one_with_memory_is_refuted():
    settings = CertifySettings(levels=(1,))
    damped = certify(build(damping=1.0, scale=0.1), settings=settings).require()
    assert damped.rate < 1
    cell = build(size=1, damping=0.0, skew=0.5, step=0.5)
    cell = eqx.tree_at(
        lambda cell: (cell.linear_weight, cell.state_weight, cell.input_weight),
        cell,
        (jnp.array([[-1.0]]), jnp.array([[4.0]]), jnp.zeros((1, 2))),
    )  # two stable rests at +-1
    assert certify(cell, settings=settings).verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: build(step=0.0), "step"),
        (lambda: LipschitzForm(skew=0.4), "skew"),
        (lambda: LipschitzForm(damping=-1.0), "damping"),
        (lambda: LipschitzForm(learned_step="all"), "learned_step"),
        (lambda: StateNoise(additive=-1.0), "additive"),
        (lambda: StateNoise(kind="loud"), "kind"),
    ],
)
def test_values_outside_their_range_are_named(make, name):
    with pytest.raises(ConfigError, match=f"{name}="):
        make()


def test_a_gated_step_is_the_published_one_and_its_noise_that_of_the_plain_cell():
    form = LipschitzForm(skew=0.8, damping=0.05, linear=0.7, learned_step="fixed", scale=2.0)
    cell = GatedLipschitz(2, 4, step=0.2, form=form, noise=StateNoise(0.3, 0.5), key=KEY)
    h, u = np.linspace(-1, 1, 4), np.array([0.3, -0.8])
    b, c = np.asarray(cell.linear_weight, float), np.asarray(cell.state_weight, float)
    a, w = (0.8 * (m - m.T) + 0.2 * (m + m.T) - 0.05 * np.eye(4) for m in (b, c))
    plain = 0.7 * a @ h + np.tanh(w @ h + np.asarray(cell.input_weight) @ u + np.asarray(cell.bias))
    drift = plain / (1 + np.exp(-w @ h - np.asarray(cell.gate_weight) @ u - np.asarray(cell.gate_bias)))
    given = jnp.asarray(u, jnp.float32), jnp.asarray(h, jnp.float32)
    np.testing.assert_allclose(cell(*given), h + 0.2 * drift, atol=1e-6)
    drawn = np.asarray(jax.random.normal(KEY, (4,)))
    noise = 0.2**0.5 * (0.3 + 0.5 * drift) * drawn
    np.testing.assert_allclose(cell(*given, key=KEY), h + 0.2 * drift + noise, atol=1e-6)


def test_the_antisymmetric_cell_has_no_linear_part_and_turns_around_its_damping():
    cell = antisymmetric(2, 5, step=0.3, damping=0.2, key=KEY)
    assert cell.linear_weight is None
    assert cell.matrices[0] is None
    h, u, m = np.linspace(-1, 1, 5), np.array([0.3, -0.8]), np.asarray(cell.state_weight, float)
    turning = m - m.T - 0.2 * np.eye(5)
    bent = np.tanh(turning @ h + np.asarray(cell.input_weight) @ u + np.asarray(cell.bias))
    found = cell(jnp.asarray(u, jnp.float32), jnp.asarray(h, jnp.float32))
    np.testing.assert_allclose(found, h + 0.3 * bent, atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.eigvals(cell.matrices[1]).real, -0.2, atol=1e-5)
