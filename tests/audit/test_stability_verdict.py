"""Stability verdicts against simulation: what is claimed happens, and noise helps where the formula says."""

from math import isinf

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from audit_cases import KEY

from attractor.audit import (
    NoiseKind,
    StabilityVerdict,
    StateDiffusion,
    drift_bounds,
    stability,
)
from attractor.audit.stability_verdict import noise_term
from attractor.cells import Elman, Lipschitz, LipschitzForm, StateNoise
from attractor.certify import CertifySettings
from attractor.dynamics import LyapunovSettings, lyapunov_exponents
from attractor.errors import ConfigError
from attractor.program import in_double_precision

FORMS = (
    LipschitzForm(skew=0.5, damping=0.5, scale=1.0),
    LipschitzForm(skew=0.75, damping=0.2, scale=1.0),
    LipschitzForm(skew=0.8, damping=1.0, scale=2.0, linear=0.5),
    LipschitzForm(skew=1.0, damping=0.1, scale=1.0),
)
CONTRACTING, STABILISED, UNKNOWN = StabilityVerdict


def free_matrices(cell):
    return cell.linear_weight, cell.state_weight


def random_cells(form, count):
    """Cells whose weights differ in size by a factor of 300, with steps of their own for all units."""

    def build(key):
        key, own = jax.random.split(key)
        cell = Lipschitz(2, 6, form=form, key=key)
        first, second = jax.random.split(own)
        size = 10 ** jax.random.uniform(first, (), minval=-1.5, maxval=1.0)
        cell = eqx.tree_at(free_matrices, cell, replace_fn=lambda matrix: size * matrix)
        return eqx.tree_at(lambda cell: cell.raw_step, cell, -2 + 0.2 * jax.random.normal(second, (6,)))

    return eqx.filter_vmap(build)(jax.random.split(KEY, count))


@eqx.filter_jit
def distances(cells):
    """Of 20 pairs under common random inputs, shape (cells, pairs, steps)."""

    def of_cell(cell):
        def of_pair(key):
            first, second = jax.random.split(key)
            inputs = 2 * jax.random.normal(first, (60, 2), jnp.float64)

            def step(pair, row):
                new = jax.vmap(lambda state: cell(row, state))(pair)
                return new, jnp.linalg.norm(new[0] - new[1])

            pair = 3 * jax.random.normal(second, (2, 6), jnp.float64)
            started = jnp.linalg.norm(pair[0] - pair[1])
            return jnp.append(started, jax.lax.scan(step, pair, inputs)[1])

        return jax.vmap(of_pair)(jax.random.split(KEY, 20))

    return eqx.filter_vmap(of_cell)(cells)


@pytest.mark.slow
def test_no_claim_about_200_random_cells_is_false():
    claims, grown = 0, 0
    for form in FORMS:
        cells = random_cells(form, 50)
        with jax.enable_x64(True):
            found = np.asarray(distances(in_double_precision(cells)))
        for number in range(50):
            cell = jax.tree.map(lambda leaf, number=number: leaf[number], cells)
            bounds, path = stability(cell), found[number]
            grown += (path[:, -1] > path[:, 0]).any()
            # From one step to the next, as far as float64 resolves a difference of states of this size.
            assert (path[:, 1:] <= bounds.step_factor * path[:, :-1] + 1e-12).all()
            if bounds.verdict is CONTRACTING:
                claims += 1
                assert bounds.step_factor < 1
                assert (path[:, -1] < path[:, 0]).all()
    assert claims > 40
    assert grown > 20  # there was something to be wrong about


def test_a_flow_that_contracts_may_have_steps_that_are_too_large():
    form = LipschitzForm(damping=1.5, scale=0.1, learned_step="fixed")
    small, large = (stability(Lipschitz(2, 4, step=step, form=form, key=KEY)) for step in (0.1, 3.0))
    assert small.verdict is CONTRACTING
    assert large.verdict is UNKNOWN
    assert large.one_sided == small.one_sided < 0
    assert "steps may be too large" in large.reason


def with_growth(kind=NoiseKind.NONE, level=0.0):
    """N = 8, and a one-sided Lipschitz constant a little above 0."""
    form = LipschitzForm(damping=0.3, scale=1.0, learned_step="fixed")
    cell = Lipschitz(1, 8, step=0.02, form=form, key=KEY)
    return cell, stability(cell, StateDiffusion(kind, level))


class CommonNoise(eqx.Module):
    """A Lipschitz cell with s h dB, one noise for all units."""

    cell: Lipschitz
    level: float = eqx.field(static=True)

    @property
    def input_size(self):
        return self.cell.input_size

    @property
    def step(self):
        return self.cell.step

    def initial_state(self):
        return self.cell.initial_state()

    def __call__(self, input, state, *, key=None):
        moved = self.cell(input, state)
        if key is None:
            return moved
        return moved + self.level * jnp.sqrt(self.cell.step) * jax.random.normal(key, (), state.dtype) * state


def simulated_exponent(cell, level, steps):
    """The largest exponent of two solutions under the same inputs and noise; the key is always the same."""
    inputs = np.random.default_rng(0).normal(size=(steps, 1))
    settings = LyapunovSettings(count=1, burn_in=500)
    return float(lyapunov_exponents(CommonNoise(cell, level), inputs, settings=settings, key=KEY).per_time[0])


def check_stabilisation(levels, steps):
    cell, quiet = with_growth()
    assert quiet.verdict is UNKNOWN
    base = simulated_exponent(cell, 0.0, steps)
    for level in levels:
        _, bounds = with_growth(NoiseKind.COMMON, level)
        found = simulated_exponent(cell, level, steps)
        error = 4 * level / (0.02 * (steps - 500)) ** 0.5  # standard error of a Brownian motion's mean slope
        euler = 0.02 * level**4  # E log(1 + x) = -v/2 - 3 v^2/4 for a normal x of variance v = s^2 d
        assert abs(found - base + level**2 / 2) < error + euler
        assert found < bounds.exponent[1] + error
        np.testing.assert_allclose(bounds.exponent[1], quiet.exponent[1] - level**2 / 2, rtol=1e-9)
        assert bounds.verdict is (STABILISED if quiet.exponent[1] < level**2 / 2 else UNKNOWN)


@pytest.mark.slow
def test_common_noise_stabilises_by_half_its_square():
    check_stabilisation((1.5,), 20_000)


@pytest.mark.slow
def test_common_noise_stabilises_by_half_its_square_at_every_level():
    check_stabilisation((0.5, 1.0, 1.5), 400_000)


def test_independent_and_additive_noise_promise_nothing():
    for kind in (NoiseKind.INDEPENDENT, NoiseKind.ADDITIVE, NoiseKind.COMMON_DRIFT):
        _, bounds = with_growth(kind, 1.5)
        assert bounds.verdict is UNKNOWN
        assert bounds.exponent[1] >= bounds.one_sided
        assert kind.value in str(bounds)


@pytest.mark.parametrize("learned_step", ["fixed", "each"])
@pytest.mark.parametrize("kind", [NoiseKind.COMMON, NoiseKind.INDEPENDENT, *list(NoiseKind)[4:]])
def test_the_noise_term_lies_between_its_bounds(kind, learned_step):
    """Psi of random pairs of states, from its definition; noise on the drift is that of the cell's step."""
    form = LipschitzForm(damping=1.0, scale=2.0, learned_step=learned_step)
    cell = Lipschitz(2, 5, step=0.1, form=form, key=KEY)
    if learned_step == "each":
        cell = eqx.tree_at(lambda cell: cell.raw_step, cell, jnp.array([-3.0, -2.0, -1.0, -1.5, -2.5]))
    bounds, level = drift_bounds(cell), 0.7
    low, high = noise_term(bounds, StateDiffusion(kind, level))
    with jax.enable_x64(True):
        wide = in_double_precision(cell)
        h, other = 3 * jax.random.normal(KEY, (2, 2000, 5), jnp.float64)
        drift = jax.vmap(lambda state: wide.drift(jnp.ones(2), state))
        apart = np.asarray(h - other)
        scale = np.sqrt(np.asarray(wide.step) / bounds.time_step)
        moved = (
            apart if kind in (NoiseKind.COMMON, NoiseKind.INDEPENDENT) else scale * (drift(h) - drift(other))
        )
    moved, square = level * np.asarray(moved), np.sum(apart**2, axis=1)
    if kind in (NoiseKind.COMMON, NoiseKind.COMMON_DRIFT):
        along = np.sum(moved * apart, axis=1) ** 2
    else:
        along = np.sum((moved * apart) ** 2, axis=1)
    psi = np.sum(moved**2, axis=1) / (2 * square) - along / square**2
    assert low - 1e-12 <= psi.min()
    assert psi.max() <= high + 1e-12


def test_the_noise_of_a_cell_is_read_from_it():
    def kind(**options):
        cell = Lipschitz(1, 3, step=0.04, noise=StateNoise(**options), key=KEY)
        return StateDiffusion.of(cell)

    assert kind() == StateDiffusion()
    assert kind(additive=0.1) == StateDiffusion(NoiseKind.ADDITIVE, 0.1)
    assert kind(additive=0.1, multiplicative=0.2).kind is NoiseKind.INDEPENDENT_DRIFT
    assert kind(multiplicative=0.2, kind="common") == StateDiffusion(NoiseKind.COMMON_DRIFT, 0.2)
    np.testing.assert_allclose(kind(multiplicative=0.6, kind="official").level, 0.2 * 0.6 / 12**0.5)


def test_a_contracting_cell_stays_so_under_little_noise_and_is_unknown_under_much():
    form = LipschitzForm(damping=1.5, scale=0.1)
    cell = Lipschitz(2, 4, step=0.1, form=form, key=KEY)
    little, much = (
        stability(cell, StateDiffusion(NoiseKind.INDEPENDENT_DRIFT, level)) for level in (0.1, 5.0)
    )
    assert little.verdict is CONTRACTING
    assert "with noise" in little.reason
    assert much.verdict is UNKNOWN


def test_other_cells_ask_for_a_certificate():
    settings = CertifySettings(levels=(0, 1))
    calm = Elman(1, 2, key=KEY)
    weights = (0.1 * calm.state_weight, 5.0 * jnp.eye(2))
    calm, wild = (eqx.tree_at(lambda cell: cell.state_weight, calm, weight) for weight in weights)
    proved = stability(calm, settings=settings)
    assert proved.verdict is CONTRACTING
    assert proved.step_factor == proved.certificate.certificate.rate < 1
    noisy = stability(calm, StateDiffusion(NoiseKind.ADDITIVE, 0.1), settings=settings)
    assert noisy.verdict is UNKNOWN
    assert "only Lipschitz cells" in noisy.reason
    open_ = stability(wild, settings=settings)
    assert open_.verdict is UNKNOWN
    assert "refuted" in open_.reason
    assert isinf(open_.one_sided)


def test_words_never_say_unstable():
    _, bounds = with_growth(NoiseKind.COMMON, 1.5)
    texts = [*(one.value for one in StabilityVerdict), *(one.value for one in NoiseKind), str(bounds)]
    assert not any("unstable" in text for text in texts)
    assert str(bounds).startswith("stabilised by noise (almost surely)")
    assert f"{bounds.one_sided:.4g}" in str(bounds)


@pytest.mark.parametrize("level", [-0.1, float("nan"), float("inf")])
def test_levels_are_checked(level):
    with pytest.raises(ConfigError, match="level="):
        StateDiffusion(NoiseKind.COMMON, level)
