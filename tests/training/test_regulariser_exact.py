"""The exact forms of P and Q: they agree, and closed forms are met."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regulariser_cases import KEY, MIXED, PROBLEMS, STEPS, Linear, problem, signal
from regulariser_reference import direct_sum, perturbation_trace

from attractor.cells import GRU, StateNoise
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.scan import unroll
from attractor.training.regulariser import (
    NoiseProblem,
    estimate,
    forward_moments,
    fragility,
    small_noise,
)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_forms_agree(name):
    with jax.enable_x64(True):
        one = PROBLEMS[name]()
        expected, moments = direct_sum(one), forward_moments(one).terms
        assert expected.flatness > 0
        assert abs(expected.curvature) > 1e-5 * expected.flatness
        np.testing.assert_allclose(moments.loss, expected.loss, rtol=1e-12)
        np.testing.assert_allclose(moments.flatness, expected.flatness, rtol=1e-9)
        np.testing.assert_allclose(moments.curvature, expected.curvature, rtol=1e-9)
        np.testing.assert_allclose(fragility(one).total, expected.total, rtol=1e-9)
        np.testing.assert_allclose(perturbation_trace(one), expected.total, rtol=1e-9)


def test_without_curvature_both_directions_give_p():
    with jax.enable_x64(True):
        one = PROBLEMS["gru"]()
        tube, profile = forward_moments(one, curvature=False), fragility(one, curvature=False)
        np.testing.assert_allclose(tube.terms.total, forward_moments(one).terms.flatness, rtol=1e-12)
        np.testing.assert_allclose(profile.total, tube.terms.total, rtol=1e-9)
        assert tube.terms.curvature is None
        assert (tube.shift == 0).all()
        assert (profile.profile > 0).all()  # of a convex loss


def linear_problem(noise):
    cell = Linear(0.5 * signal(3, 3, seed=2), signal(3, 2, seed=3))
    bend = signal(3, 3, seed=4)
    return NoiseProblem(cell, signal(STEPS, 2), lambda h: jnp.sum(h) + h @ bend @ h, noise), bend + bend.T


@pytest.mark.slow
def test_a_linear_step_and_a_quadratic_loss_have_no_q_and_nothing_beyond_second_order():
    with jax.enable_x64(True):
        one, hessian = linear_problem(StateNoise(0.7))
        found, spread = forward_moments(one), np.zeros((3, 3))
        for step in range(STEPS):
            spread = one.cell.matrix @ spread @ one.cell.matrix.T + 0.7**2 * np.eye(3)
            np.testing.assert_allclose(found.covariance[step], spread, rtol=1e-12)
        assert found.terms.curvature == 0
        np.testing.assert_allclose(found.terms.flatness, np.trace(hessian @ spread), rtol=1e-12)
        np.testing.assert_allclose(found.exposed_deviation[-1] ** 2, np.diag(spread), rtol=1e-12)
        check = small_noise(one, found.terms.total, KEY, strength=3.0, pairs=4_000)
        assert abs(check.simulated - check.second_order) < 4 * check.standard_error
        assert check.valid


def test_one_linear_unit_has_the_geometric_variance():
    with jax.enable_x64(True):
        slope, deviation = 1 - 0.1 * 0.8, 0.6 * 0.1**0.5  # a = -0.8, step 0.1, sigma = 0.6
        cell = Linear(jnp.array([[slope]]), jnp.zeros((1, 1)))
        one = NoiseProblem(cell, jnp.zeros((STEPS, 1)), lambda h: jnp.sum(h**2) / 2, StateNoise(deviation))
        expected = deviation**2 * sum(slope ** (2 * k) for k in range(STEPS))
        np.testing.assert_allclose(forward_moments(one).covariance[-1, 0, 0], expected, rtol=1e-13)
        np.testing.assert_allclose(fragility(one).total, expected, rtol=1e-13)


@pytest.mark.slow
def test_noise_in_the_last_step_alone_has_no_q_and_the_profile_shows_that_step():
    with jax.enable_x64(True):
        last = jnp.arange(STEPS) == STEPS - 1
        one = problem(GRU(2, 3, key=KEY), lambda u, old, new: u[1] * (0.3 + new))
        one = eqx.tree_at(lambda one: one.inputs, one, one.inputs.at[:, 1].set(last))
        found, end = fragility(one), unroll(one.cell, one.inputs).last
        hessian = jax.hessian(one.loss)(end)
        expected = jnp.diag(hessian) @ (0.3 + end) ** 2
        np.testing.assert_allclose(found.profile, jnp.where(last, expected, 0), rtol=1e-12)
        np.testing.assert_allclose(found.trace[-1], jnp.trace(hessian), rtol=1e-12)
        np.testing.assert_allclose(found.largest[-1], jnp.linalg.eigvalsh(hessian)[-1], rtol=1e-12)
        assert forward_moments(one).terms.curvature == 0


@pytest.mark.slow
def test_the_profile_is_the_hessian_of_the_loss_in_the_state_of_each_step():
    with jax.enable_x64(True):
        one, after = PROBLEMS["gru"](), 1
        states = unroll(one.cell, one.inputs).states
        rest = lambda h: one.loss(unroll(one.cell, one.inputs[after + 1 :], h).last)  # noqa: E731
        expected = jax.hessian(rest)(states[after])
        found = fragility(one)
        np.testing.assert_allclose(found.trace[after], jnp.trace(expected), rtol=1e-10)
        np.testing.assert_allclose(found.largest[after], jnp.linalg.eigvalsh(expected)[-1], rtol=1e-10)


@pytest.mark.slow
def test_terms_scale_with_the_noise_and_ignore_constants():
    with jax.enable_x64(True):
        one = PROBLEMS["gru"]()
        twice = NoiseProblem(one.cell, one.inputs, lambda h: one.loss(h) + 5.0, StateNoise(0.6, 1.0))
        found, doubled = forward_moments(one).terms, forward_moments(twice).terms
        np.testing.assert_allclose(doubled.flatness, 4 * found.flatness, rtol=1e-12)
        np.testing.assert_allclose(doubled.curvature, 4 * found.curvature, rtol=1e-12)
        silent = NoiseProblem(one.cell, one.inputs, one.loss, StateNoise())
        assert forward_moments(silent).terms.total == 0
        assert fragility(silent).total == 0


def test_the_order_of_units_does_not_matter():
    with jax.enable_x64(True):
        one, order = PROBLEMS["lipschitz"](), jnp.array([2, 0, 1])
        names = ("linear_weight", "state_weight", "input_weight", "bias", "raw_step")
        square = ("linear_weight", "state_weight")
        moved = [getattr(one.cell, name)[order] for name in names]
        moved = [leaf[:, order] if name in square else leaf for name, leaf in zip(names, moved, strict=True)]
        where = lambda one: [getattr(one.cell, name) for name in names] + [one.loss.weight]  # noqa: E731
        other = eqx.tree_at(where, one, [*moved, one.loss.weight[:, order]])
        found, expected = forward_moments(other), forward_moments(one)
        np.testing.assert_allclose(found.terms.flatness, expected.terms.flatness, rtol=1e-12)
        np.testing.assert_allclose(found.terms.curvature, expected.terms.curvature, rtol=1e-10)
        np.testing.assert_allclose(found.exposed_shift, expected.exposed_shift[:, order], rtol=1e-10)


@pytest.mark.slow
def test_a_tube_shows_what_the_cell_exposes_and_padding_is_left_out():
    with jax.enable_x64(True):
        one = PROBLEMS["lstm, common noise"]()
        tube = forward_moments(one)
        variances = jnp.diagonal(tube.covariance, axis1=1, axis2=2)
        np.testing.assert_allclose(tube.exposed_deviation, jnp.sqrt(variances[:, :2]), rtol=1e-12)
        np.testing.assert_allclose(tube.exposed_shift, tube.shift[:, :2], rtol=1e-12)
        padded = jnp.concatenate([one.inputs, jnp.full((3, 2), jnp.nan)])
        padded = NoiseProblem(one.cell, padded, one.loss, one.noise, length=STEPS)
        assert eqx.tree_equal(forward_moments(padded), tube)


class Bent(eqx.Module):
    """h' = bend(W h + u)."""

    weight: jax.Array
    bend: object = eqx.field(static=True)

    def __call__(self, input, state, *, key=None):
        return self.bend(self.weight @ state + input)

    def initial_state(self):
        return jnp.full(2, 0.3)


@pytest.mark.parametrize("bend", [jax.nn.relu, jnp.abs, lambda x: jnp.clip(x, -1, 1), jax.nn.leaky_relu])
def test_q_of_straight_pieces_is_refused_and_p_is_offered(bend):
    one = NoiseProblem(Bent(jnp.eye(2), bend), jnp.ones((3, 2)), lambda h: jnp.sum(h**2), StateNoise(0.1))
    for run in (direct_sum, perturbation_trace, forward_moments, fragility):
        with pytest.raises(ConfigError, match=r"straight pieces.*curvature=False"):
            run(one)
    with pytest.raises(ConfigError, match="straight pieces"):
        eqx.filter_jit(lambda one, key: estimate(one, key, curvature=True))(one, KEY)


def test_p_of_a_rectifier_is_that_of_its_straight_piece():
    cell = Bent(jnp.eye(2), jax.nn.relu)  # all states are positive here: the step is h + u
    one = NoiseProblem(cell, jnp.ones((3, 2)), lambda h: jnp.sum(h**2), StateNoise(0.1))
    np.testing.assert_allclose(fragility(one, curvature=False).total, 2 * 2 * 3 * 0.01, rtol=1e-6)
    mixed = NoiseProblem(Bent(jnp.eye(2), jax.nn.silu), one.inputs, one.loss, one.noise)
    assert jnp.isfinite(fragility(mixed).total)


def test_what_cannot_be_done_is_refused_with_a_remedy():
    cell, loss = GRU(1, 1024, key=KEY), jnp.sum
    large = NoiseProblem(cell, jnp.ones((5000, 1)), loss, StateNoise(0.1))
    for run in (forward_moments, direct_sum, perturbation_trace):
        with pytest.raises(ConfigError, match=r"GiB for 5000 steps of 1024 units.*`estimate`"):
            run(large)
    small = GRU(1, 2, key=KEY)
    with pytest.raises(ConfigError, match="GRU has no noise of its own"):
        fragility(NoiseProblem(small, jnp.ones((3, 1)), loss))
    with pytest.raises(ConfigError, match="kind='official'"):
        fragility(NoiseProblem(small, jnp.ones((3, 1)), loss, StateNoise(kind="official")))
    with pytest.raises(ShapeError, match="length=0"):
        fragility(NoiseProblem(small, jnp.ones((3, 1)), loss, MIXED, length=0))
    with pytest.raises(UnsupportedError, match="known"):
        jax.jit(lambda n: fragility(NoiseProblem(small, jnp.ones((3, 1)), loss, MIXED, length=n)))(2)
    turning = Linear(jnp.eye(2, dtype="complex64"), jnp.ones((2, 1)))
    with pytest.raises(UnsupportedError, match="complex"):
        fragility(NoiseProblem(turning, jnp.ones((3, 1)), lambda h: jnp.sum(h.real), MIXED))
