"""What was once proved and is false, each by its symptom, and its brothers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from written import Written

from attractor.cells import GRU, LSTM, NNARX, Cell, EchoState, Elman, RecurrentEquilibrium, Stack
from attractor.certify import CertifySettings, Verdict, certify
from attractor.certify.stability.cell_metrics import cell_certificate
from attractor.certify.stability.lmi import QuadraticStatus, quadratic_certificate
from attractor.certify.stability.published import published_condition
from attractor.errors import ShapeError, UnsupportedError

KEY = jax.random.key(0)
BOUNDS = CertifySettings(levels=(1, 2), refute=False)


def narrow(kind):
    return lambda u, x: 0.99 * x.astype(kind).astype(x.dtype) + 0.01 * u


CHOICES = {
    "sine of the state": lambda u, x: jnp.where(jnp.sin(80 * x) > 0, 0.9 * x, 0.0) + 0.1 * u,
    "sine, equal to zero": lambda u, x: jnp.where(jnp.sin(80 * x) == 0, 0.9 * x, 0.0) + 0.1 * u,
    "sine of a sine": lambda u, x: jnp.where(jnp.tanh(jnp.sin(40 * x)) > 0, 0.9 * x, 0.1 * x),
    "a product with a zero": lambda u, x: jnp.where(jnp.array([0.0]) * x >= 0, 0.9 * x, 0.0) + 0.1,
    "a rectified gap": lambda u, x: jnp.where(jax.nn.relu(x - 0.2) > 0, 0.5, 0.0) * x + 0.4 * u,
    "a gap that jumps": lambda u, x: jnp.where(jnp.sign(x - 0.3) * x > 0, 0.9 * x, 0.1 * x),
    "a gap of a choice": lambda u, x: jnp.where(jnp.where(x > 0, x, 0.0) > 0, 0.9 * x, 0.5 * x - 0.1),
    "even powers": lambda u, x: jnp.where(x**2 > 0.04, 0.9 * x, 0.1 * x) + 0.4 * u,
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_a_gap_that_is_zero_elsewhere_makes_a_choice_jump(name):
    """`sin(80 x) > 0 ? 0.9 x : 0` was proved at 0.9, and starts 0.48 and 0.048 both stay at u = 0.48."""
    assert certify(Written(CHOICES[name], 1), settings=BOUNDS).verdict is Verdict.UNKNOWN


def test_a_gap_whose_zeros_are_those_of_the_cases_still_meets():
    def update(u, x):
        return jnp.where(jnp.tanh(2 * x) > 0, 0.9 * jnp.sin(x), 0.5 * x) + 0.1 * u

    assert certify(Written(update, 1), settings=BOUNDS).require().rate == pytest.approx(0.9)


@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_a_cast_that_rounds_the_state_is_never_proved(kind):
    """0.99 bfloat16(x) was proved at 0.99 and has five limits under one input."""
    result = certify(Written(narrow(kind), 1), settings=BOUNDS)
    assert result.verdict is Verdict.UNKNOWN
    assert np.dtype(kind).name in result.reason


F32 = jax.lax.DotAlgorithmPreset.F32_F32_F32


def through_bits(x):
    return jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, jnp.uint32), x.dtype)


ROUNDED = {
    "product": lambda u, x: 0.5 * jnp.dot(jnp.eye(1), x, preferred_element_type=jnp.float32),
    "precision": lambda u, x: 0.5 * jax.lax.reduce_precision(x, 8, 7),
    "algorithm": lambda u, x: 0.5 * jax.lax.dot(jnp.eye(1), x, precision=F32),
    "whole numbers": lambda u, x: 0.5 * jnp.round(8 * x) / 8,
    "integers": lambda u, x: 0.1 * (5 * x).astype(int).astype(float),
    "truth values": lambda u, x: 0.5 * x * (x > 0).any(),
    "argument of the largest": lambda u, x: 0.5 * x * jnp.argmax(jnp.concatenate([x, u])),
    "a place of the state": lambda u, x: 0.5 * jnp.array([0.1, 0.9])[(x > 0).astype(int)] * x,
    "a slice of the state": lambda u, x: jax.lax.dynamic_slice(0.5 * x, ((x[0] > 0).astype(int),), (1,)),
    "finite": lambda u, x: 0.5 * jnp.where(jnp.isfinite(1 / x), x, 0.0),
    "remainder": lambda u, x: 0.5 * jnp.fmod(5 * x, 1.0),
    "bits": lambda u, x: 0.5 * through_bits(x),
    "selected truth": lambda u, x: 0.5 * jnp.where(jnp.where(u > 0, x > 0, x < 0), x, 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUNDED)
def test_what_rounds_counts_or_picks_by_the_state_is_unknown_with_a_reason(name):
    result = certify(Written(ROUNDED[name], 1), settings=BOUNDS)
    assert result.verdict is Verdict.UNKNOWN
    assert len(result.reason) > 20


UNDEFINED = {
    "a test for NaN": lambda u, x: jnp.where(jnp.log(x) == jnp.log(x), 0.5 * x, 0.9 * x + 0.3),
    "isnan": lambda u, x: jnp.where(jnp.isnan(jnp.sqrt(x)), 0.9 * x + 0.3, 0.5 * x),
    "nan_to_num": lambda u, x: 0.5 * x + 0.1 * jnp.nan_to_num(jnp.sqrt(x), nan=1.0),
    "nothing divided by nothing": lambda u, x: 0.5 * x + (x - x) / jnp.zeros(1),
    "nothing times infinity": lambda u, x: 0.5 * x + (x - x) * jnp.array([jnp.inf]),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_no_number_somewhere_is_not_taken_for_one(name):
    """`y == y` was taken for true, also where y is NaN; and nothing times infinity for nothing."""
    assert certify(Written(UNDEFINED[name], 1), settings=BOUNDS).verdict is Verdict.UNKNOWN


def broken(cell, where, value):
    return eqx.tree_at(where, cell, jnp.full_like(where(cell), value))


BROKEN = {
    "Elman bias": (Elman(1, 2, key=KEY), lambda c: c.bias),
    "Elman input": (Elman(1, 2, key=KEY), lambda c: c.input_weight),
    "Elman state": (Elman(1, 2, key=KEY), lambda c: c.state_weight),
    "echo state input": (EchoState(1, 2, key=KEY), lambda c: c.input_weight),
    "echo state reservoir": (EchoState(1, 2, key=KEY), lambda c: c.reservoir),
    "NNARX bias": (NNARX(1, 2, order=1, key=KEY), lambda c: c.network.layers[0].bias),
    "GRU": (GRU(1, 2, key=KEY), lambda c: c.gate_weight),
    "LSTM": (LSTM(1, 2, key=KEY), lambda c: c.bias),
    "stack": (Stack((Elman(1, 2, key=KEY),)), lambda c: c.cells[0].bias),
    "equilibrium": (RecurrentEquilibrium(1, 2, key=KEY), lambda c: c.input_weight),
}


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", BROKEN)
def test_weights_that_are_not_finite_prove_nothing_at_any_entry(name, value):
    cell = broken(*BROKEN[name], value)
    result = certify(cell)
    assert result.verdict is Verdict.UNKNOWN
    assert "not finite" in result.reason
    assert not result.attempts
    condition = published_condition(cell)
    assert condition is None or not (condition.satisfied or condition.rate < 1)
    if type(cell) in (Elman, EchoState, RecurrentEquilibrium):
        assert cell_certificate(cell).status is QuadraticStatus.NOT_FINITE


def test_a_matrix_that_is_not_finite_is_no_error_of_the_solver():
    found = quadratic_certificate(np.array([[0.1, np.nan], [0.0, 0.1]]))
    assert found.status is QuadraticStatus.NOT_FINITE
    assert found.certificate is None


class Fewer(Cell):
    input_size: int = 1
    hidden_size: int = 1

    def __call__(self, input, state, *, key=None):
        return (0.5 * state[0] + input,)

    def initial_state(self):
        return jnp.zeros(1), jnp.zeros(1)


@pytest.mark.parametrize("cell", [Fewer(), Written(lambda u, x: 0.5 * x[:1], 2)])
def test_a_step_that_loses_a_part_of_its_state_is_refused(cell):
    with pytest.raises(ShapeError, match="initial_state"):
        certify(cell, settings=BOUNDS)


def test_a_subclass_with_another_step_has_no_quadratic_certificate_of_its_base():
    class Doubled(Elman):
        def __call__(self, input, state, *, key=None):
            return 2.0 * state

    with pytest.raises(UnsupportedError, match="Doubled"):
        cell_certificate(Doubled(1, 2, key=KEY))


def test_an_activation_that_is_the_identity_at_two_points_only_is_not_taken_for_it():
    cell = NNARX(1, 2, order=1, key=KEY)
    bent = eqx.tree_at(lambda c: c.network.final_activation, cell, lambda y: y * jnp.abs(y) / 2)
    assert published_condition(cell) is not None
    assert published_condition(bent) is None


@pytest.mark.parametrize(
    "update",
    [
        lambda u, x: 0.5 * x + jnp.array([0, 0.4]) * jnp.where(x > 0, 1, 0),
        lambda u, x: 0.5 * x + jnp.array([0, 0.4]) * jnp.where(jnp.any((x > 0) & (u[0] > -2)), 1, 0),
        lambda u, x: jnp.stack([0.5 * x[0] + 0.2 * u[0], 0.3 * x[1] + 0.5 * jnp.where(x[1] > 0, 1, -1)]),
        lambda u, x: jnp.clip(x * (2.4 - jax.lax.div(jnp.where(u[0] > -5, 3, 5), 2)), -1, 1),
        lambda u, x: 0.4 * x * (3 - (x > -5).astype(jnp.float16) * 60000 * 2 / 60000),
    ],
    ids=["relay", "relay by two conditions", "relay of both signs", "division of whole numbers", "overflow"],
)
def test_a_jump_of_whole_numbers_or_of_few_digits_is_no_slope(update):
    """A slope without bound was written as the least whole number, whose size is negative."""
    proof = certify(Written(update, 2), settings=CertifySettings(levels=(1, 2), refute=False))
    assert proof.verdict is not Verdict.PROVED
