"""Estimates of P and Q for training, and the noise that they stand for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regulariser_cases import FORM, KEY, MIXED, PROBLEMS, STEPS, often, problem, signal

from attractor.cells import GRU, Lipschitz, StateNoise
from attractor.errors import ConfigError
from attractor.scan import unroll
from attractor.training import NoisyState, with_noise_factor
from attractor.training.regulariser import (
    NoiseProblem,
    estimate,
    forward_moments,
    fragility,
    regularised_loss,
    small_noise,
)
from attractor.training.regulariser.exact import flat
from attractor.training.regulariser.problem import derivatives_at_the_end


def estimates(one, draws, *, curvature=True):
    keys = jax.random.split(KEY, draws)
    return jax.jit(jax.vmap(lambda key: estimate(one, key, curvature=curvature)))(keys)


@pytest.mark.parametrize("name", [often(name) for name in PROBLEMS])
def test_the_mean_of_the_estimates_is_exact(name):
    draws = 4_000
    with jax.enable_x64(True):
        one = PROBLEMS[name]()
        expected, found = forward_moments(one).terms, estimates(one, draws)
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-12)
        assert (found.flatness > 0).all()  # of a convex loss, for every draw
        for term in ("flatness", "curvature"):
            error = getattr(found, term).std(ddof=1) / draws**0.5
            assert abs(getattr(found, term).mean() - getattr(expected, term)) < 4 * error


@pytest.mark.slow
def test_p_alone_is_the_p_of_both_and_draws_are_signs():
    with jax.enable_x64(True):
        one = PROBLEMS["gru"]()
        both, alone = estimates(one, 5), estimates(one, 5, curvature=False)
        assert alone.curvature is None
        np.testing.assert_allclose(alone.flatness, both.flatness, rtol=1e-12)
        np.testing.assert_allclose(alone.total, both.total - both.curvature, rtol=1e-12)
        assert len(set(np.asarray(both.flatness).round(9))) == 5
        once = NoiseProblem(one.cell, one.inputs[:1], one.loss, StateNoise(0.3, 0.5, "common"))
        exact = forward_moments(once).terms.flatness  # one step and one sign: nothing is left to chance
        np.testing.assert_allclose(estimates(once, 3).flatness, exact, rtol=1e-12)


@pytest.mark.slow
def test_no_strength_is_the_plain_loss_and_no_noise_has_no_terms():
    with jax.enable_x64(True):
        one = PROBLEMS["gru"]()
        plain = one.loss(unroll(one.cell, one.inputs).last)
        np.testing.assert_allclose(
            regularised_loss(one, KEY, strength=0.0, curvature=True), plain, rtol=1e-14
        )
        silent = NoiseProblem(one.cell, one.inputs, one.loss, StateNoise())
        assert estimate(silent, KEY, curvature=True).total == 0
        found = estimate(one, KEY, curvature=True)
        whole = regularised_loss(one, KEY, strength=0.2, curvature=True)
        np.testing.assert_allclose(whole, plain + 0.02 * found.total, rtol=1e-13)


@pytest.mark.parametrize("curvature", [False, True])
@pytest.mark.parametrize("name", ["gru", "lipschitz"])
def test_gradients_in_the_weights_are_those_of_differences(name, curvature):
    with jax.enable_x64(True):
        one = PROBLEMS[name]()
        arrays, static = eqx.partition(one, eqx.is_inexact_array)

        def loss(arrays):
            return regularised_loss(eqx.combine(arrays, static), KEY, strength=0.7, curvature=curvature)

        gradient = jax.jit(jax.grad(loss))(arrays)
        along = jax.tree.map(lambda leaf: signal(*leaf.shape, seed=leaf.size), arrays)
        moved = jax.jit(lambda size: loss(jax.tree.map(lambda a, b: a + size * b, arrays, along)))
        step = 1e-4  # a stencil of fourth order: rounding 1e-12 and truncation 1e-13 of the size
        near, far = moved(step) - moved(-step), moved(2 * step) - moved(-2 * step)
        expected = (8 * near - far) / (12 * step)
        found = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, along)))
        np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.slow
def test_a_batch_has_lengths_and_its_padding_reaches_neither_values_nor_gradients():
    one = problem(GRU(2, 3, key=KEY), StateNoise(0.3, 0.5, "common"))
    cell, readout = one.cell, one.loss
    batch, lengths = jnp.stack([one.inputs, -one.inputs]), jnp.array([1, STEPS])
    keys = jax.random.split(KEY, 2)

    @jax.jit
    def run(batch):
        def total(cell):
            terms = jax.vmap(
                lambda inputs, length, key: estimate(
                    NoiseProblem(cell, inputs, readout, one.noise, length), key, curvature=True
                )
            )(batch, lengths, keys)
            return terms.total.sum(), terms.total

        return jax.grad(total, has_aux=True)(cell)

    gradient, totals = run(batch)
    dirty_gradient, dirty = run(batch.at[0, 1:].set(jnp.nan))
    assert eqx.tree_equal((gradient, totals), (dirty_gradient, dirty))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    once = NoiseProblem(cell, batch[0], readout, one.noise, length=1)
    np.testing.assert_allclose(totals[0], fragility(once).total, rtol=1e-5)
    _, other = run(batch.at[0].set(7.0))
    assert other[1] == totals[1]
    assert other[0] != totals[0]


@pytest.mark.parametrize(
    "name", [pytest.param("wrapped stack", marks=pytest.mark.slow), "lipschitz", "lipschitz, official noise"]
)
def test_the_noise_of_a_cell_itself_has_the_moments_of_its_terms(name):
    runs = 20_000
    with jax.enable_x64(True):
        one = PROBLEMS[name]()
        one = eqx.tree_at(lambda one: one.cell, one, weakened(one.cell))
        tube, (path, _) = forward_moments(one), derivatives_at_the_end(one, 0, None)
        run = jax.jit(jax.vmap(lambda key: flat(unroll(one.cell, one.inputs, key=key).last)))
        ends = np.asarray(run(jax.random.split(KEY, runs)))
        spread, centre = np.asarray(tube.covariance[-1]), flat(path) + tube.shift[-1]
        scale = np.sqrt(np.outer(np.diag(spread), np.diag(spread)))
        # Five errors of a sample of normal numbers; the weak noise keeps fourth orders below one of them.
        np.testing.assert_allclose(np.cov(ends.T) / scale, spread / scale, atol=5 * (2 / runs) ** 0.5)
        error = np.sqrt(np.diag(spread) / runs)
        assert (np.abs(ends.mean(axis=0) - centre) < 4 * error).all()
        off = np.abs(ends.mean(axis=0) - flat(unroll(one.cell, one.inputs).last)).max() > 20 * error.max()
        assert off == (name == "lipschitz, official noise")


def weakened(cell):
    if isinstance(cell, NoisyState):
        return with_noise_factor(cell, 0.1)
    levels = StateNoise(0.02, 0.2, "official") if cell.noise.kind == "official" else StateNoise(0.05, 0.05)
    return eqx.tree_at(
        lambda cell: cell.raw_step, Lipschitz(2, 3, form=FORM, noise=levels, key=KEY), cell.raw_step
    )


@pytest.mark.slow
def test_the_difference_from_simulation_falls_as_the_square_of_the_strength():
    with jax.enable_x64(True):
        one = PROBLEMS["lipschitz"]()
        exact = fragility(one).total
        found = [small_noise(one, exact, KEY, strength=eps, pairs=20_000) for eps in (0.4, 0.2, 0.1, 0.05)]
        simulated = [check.simulated for check in found]
        # With the same draws the error of the sample is the same at every strength and drops out.
        slope = np.log2((simulated[0] - simulated[1]) / (simulated[1] - simulated[2]))
        assert abs(slope - 2) < 0.3
        assert abs(simulated[-1] - exact) < 4 * found[-1].standard_error + 0.02 * abs(exact)
        assert found[-1].valid


def test_noise_outside_the_theory_is_told_and_nonsense_is_refused():
    with jax.enable_x64(True):
        one = PROBLEMS["gru"]()
        exact = fragility(one).total
        wild = small_noise(one, exact, KEY, strength=20.0, pairs=2_000)
        assert not wild.valid
        assert wild.gap > 0.2
        assert "too strong" in wild.message
        for options in ({"strength": 0.0}, {"pairs": 1}):
            with pytest.raises(ConfigError, match="expected a strength above 0"):
                small_noise(one, exact, KEY, **options)


def test_two_noises_in_one_cell_are_refused():
    inner = Lipschitz(2, 3, noise=MIXED, key=KEY)
    with pytest.raises(ConfigError, match="take one of the two"):
        estimate(problem(NoisyState(inner, MIXED)), KEY)
