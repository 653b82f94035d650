"""Lyapunov exponents and Jacobian norms in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import KEY, linear
from jax.flatten_util import ravel_pytree

from attractor.cells import LSTM, Elman, Lipschitz, LipschitzForm, initial_state
from attractor.dynamics import LyapunovSettings, flow_norms, jacobian_norms, lyapunov_exponents
from attractor.errors import ConfigError, DivergedError, InputDataError, ShapeError
from attractor.scan import unroll

USUAL = jnp.ones(1).dtype
INPUTS = np.random.default_rng(0).normal(size=(300, 1))
SHORT = LyapunovSettings(burn_in=100)


def test_diagonal_rates_give_the_logarithms_of_their_steps():
    rates = [-1.0, 0.5, -2.5]
    found = lyapunov_exponents(linear(np.diag(rates)), INPUTS)
    expected = np.sort(np.log(np.abs(1 + 0.1 * np.array(rates))))[::-1]
    np.testing.assert_allclose(found.per_step, expected, atol=1e-6)
    np.testing.assert_allclose(found.per_time, expected / 0.1, atol=1e-5)
    assert found.steps == 200


class Rotation(eqx.Module):
    """h' = Q h + u with an orthogonal Q, the Cayley transform of an antisymmetric matrix."""

    turn: jax.Array
    hidden_size: int = eqx.field(static=True, default=4)
    input_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return self.turn @ state + input


def test_an_orthogonal_step_has_exponents_zero_and_norm_one():
    skew = np.random.default_rng(1).normal(size=(4, 4))
    skew = skew - skew.T
    with jax.enable_x64(True):
        cell = Rotation(jnp.asarray(np.linalg.solve(np.eye(4) + skew, np.eye(4) - skew)))
    found = lyapunov_exponents(cell, INPUTS)
    np.testing.assert_allclose(found.per_step, 0.0, atol=1e-12)
    assert found.per_time is None
    norms = jacobian_norms(cell, INPUTS)
    np.testing.assert_allclose([norms.mean, norms.largest], 1.0, atol=1e-12)


@pytest.mark.parametrize("build", [Elman, LSTM])
def test_the_sum_of_all_exponents_is_the_mean_log_determinant(build):
    cell = build(1, 3, key=KEY)
    states = 6 if build is LSTM else 3
    settings = LyapunovSettings(count=states, burn_in=0, seed=3)
    found = lyapunov_exponents(cell, INPUTS[:40], settings=settings)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), cell)
        state, logs = initial_state(wide), []

        @jax.jit
        def step(row, state):
            flat, restore = ravel_pytree(state)
            jacobian = jax.jacfwd(lambda flat: ravel_pytree(wide(row, restore(flat)))[0])(flat)
            return wide(row, state), jnp.log(jnp.abs(jnp.linalg.det(jacobian)))

        for row in jnp.asarray(INPUTS[:40]):
            state, log = step(row, state)
            logs.append(log)
        last = ravel_pytree(state)[0]
    np.testing.assert_allclose(found.per_step.sum(), np.mean(logs), rtol=1e-9)
    np.testing.assert_allclose(found.last_state[0], last, rtol=1e-12)


def test_noise_on_the_state_shifts_the_exponent_as_euler_maruyama_does():
    """N = 1, dh = a h dt + s h dB: the exponent is E log|1 + a d + s sqrt(d) z| / d."""
    rate, level, step = 0.3, 1.0, 0.02
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    logs = np.log(np.abs(1 + rate * step + level * step**0.5 * nodes))
    expected = weights @ logs / weights.sum()
    spread = np.sqrt(weights @ (logs - expected) ** 2 / weights.sum())
    cell, steps = linear([[rate]], step, level), 20_000
    # The state itself grows or falls without end, which float64 holds for so many steps at this rate.
    found = lyapunov_exponents(cell, np.zeros((steps, 1)), jnp.ones(1), settings=SHORT, key=KEY)
    assert abs(found.per_step[0] - expected) < 4 * spread / steps**0.5
    assert abs(expected / step - (rate - level**2 / 2)) < 0.05
    quiet = lyapunov_exponents(cell, np.zeros((300, 1)), jnp.ones(1), settings=SHORT)
    np.testing.assert_allclose(quiet.per_step, np.log(1 + rate * step), atol=1e-7)


def test_time_steps_come_from_the_cell_or_the_caller():
    form = LipschitzForm(learned_step="each")
    cell = Lipschitz(1, 3, step=0.25, form=form, key=KEY)
    found = lyapunov_exponents(cell, INPUTS, settings=LyapunovSettings(count=1))
    np.testing.assert_allclose(found.time_step, 0.25, rtol=1e-6)
    own = lyapunov_exponents(cell, INPUTS, settings=LyapunovSettings(count=1, time_step=2.0))
    np.testing.assert_allclose(own.per_time, own.per_step / 2)
    np.testing.assert_allclose(found.per_step, own.per_step)


def test_norms_follow_the_path():
    cell = Elman(1, 3, key=KEY)
    norms = jacobian_norms(cell, INPUTS[:20])
    weight, driven, state = np.asarray(cell.state_weight, float), np.asarray(cell.input_weight), np.zeros(3)
    for step, row in enumerate(INPUTS[:20]):
        state = np.tanh(weight @ state + driven.astype(float) @ row)  # biases start at zero
        expected = np.linalg.norm((1 - state**2)[:, None] * weight, 2)
        np.testing.assert_allclose(norms.norms[step], expected, rtol=1e-9)
    assert norms.largest == norms.norms.max()


def test_flow_norms_are_those_of_the_derivative_of_the_last_state():
    cell, inputs = Elman(1, 3, key=KEY), INPUTS[:70]  # more than one part of the path
    found = flow_norms(cell, inputs)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), cell)
        states = unroll(wide, jnp.asarray(inputs)).states
        for before in (0, 1, 40, 68, 69):
            start = jnp.zeros(3) if before == 0 else states[before - 1]
            last = jax.jacfwd(lambda state, rest: unroll(wide, rest, state).last)
            product = last(start, jnp.asarray(inputs[before:]))
            np.testing.assert_allclose(found.norms[before], np.linalg.norm(product, 2), rtol=1e-9)
    np.testing.assert_allclose(found.norms[-1], jacobian_norms(cell, inputs).norms[-1], rtol=1e-12)


def test_a_singular_step_forgets_a_direction_at_once():
    found = lyapunov_exponents(linear(np.diag([-10.0, 0.0])), INPUTS)
    np.testing.assert_allclose(found.per_step, [0.0, -np.inf], atol=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: lyapunov_exponents(linear(np.eye(2)), INPUTS[:100]), InputDataError, "burn_in=100"),
        (lambda: lyapunov_exponents(linear(np.eye(2)), np.ones((300, 2))), ShapeError, r"\(time, 1\)"),
        (lambda: lyapunov_exponents(linear(np.eye(2)), INPUTS * np.nan), InputDataError, "step 0, channel 0"),
        (
            lambda: lyapunov_exponents(linear(np.eye(2)), INPUTS, settings=LyapunovSettings(count=3)),
            ConfigError,
            "count=3 exponents of a state with 2",
        ),
        (lambda: LyapunovSettings(count=0), ConfigError, "count=0"),
        (lambda: LyapunovSettings(count="most"), ConfigError, "count='most'.*'leading', 'all'"),
        (lambda: LyapunovSettings(tolerance=0.0), ConfigError, "tolerance=0.0"),
        (
            lambda: lyapunov_exponents(linear(np.eye(2)), np.ones((2, 150, 1)), jnp.ones((3, 2))),
            ShapeError,
            "as many inputs or one",
        ),
        (lambda: lyapunov_exponents(linear(np.eye(2)), 150, jnp.ones((1, 3, 2))), ShapeError, "a start of"),
        (lambda: lyapunov_exponents(linear(np.eye(2)), 150, jnp.ones(3)), ShapeError, "a start of"),
        (lambda: LyapunovSettings(burn_in=-1), ConfigError, "burn_in=-1"),
        (lambda: LyapunovSettings(time_step=0), ConfigError, "time_step=0"),
        (lambda: jacobian_norms(linear(np.eye(2)), INPUTS[:0]), InputDataError, "without a step"),
        (lambda: flow_norms(linear(np.eye(2)), INPUTS[:0]), InputDataError, "without a step"),
        (lambda: jacobian_norms(linear([[1e5]]), INPUTS), DivergedError, "not finite at step"),
        (lambda: lyapunov_exponents(linear([[1e5]]), INPUTS), DivergedError, "not finite at step"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
    assert jnp.ones(1).dtype == USUAL  # double precision is off again
