"""Certificates of cells as users write them: complex numbers, counters, globals."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

import attractor
from attractor import unroll
from attractor.cells import GRU, Elman
from attractor.certify import CertifySettings, certify
from attractor.certify.stability.certificate import Verdict
from attractor.errors import ConfigError, ShapeError, UnsupportedError

QUICK = CertifySettings(levels=(1, 2), time_budget=120)


class Turning(eqx.Module):
    """x' = tanh(R x) + 0.1 u, with R the real matrix of a complex number that is a weight."""

    factor: Array
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.zeros(2, jnp.float32)

    def __call__(self, input, state, *, key=None):
        real, imaginary = jnp.real(self.factor), jnp.imag(self.factor)
        return jnp.tanh(jnp.array([[real, -imaginary], [imaginary, real]]) @ state) + 0.1 * input


def test_a_complex_weight_is_not_bounded_by_its_real_part():
    cell = Turning(2 * jnp.exp(1.5j))
    assert certify(cell, settings=QUICK).verdict is not Verdict.PROVED
    inputs = jnp.zeros((300, 1))
    apart = [unroll(cell, inputs, jnp.array(start)).last for start in ([0.5, 0.5], [-0.5, -0.5])]
    assert np.abs(apart[0] - apart[1]).max() > 0.1
    small = certify(Turning(0.4 * jnp.exp(1.5j)), settings=QUICK)
    assert small.verdict is Verdict.PROVED
    assert small.certificate.rate >= 0.4


class Oscillators(eqx.Module):
    """z' = lambda z + b u, complex and elementwise, with a counter beside it that nothing reads."""

    factors: Array
    gains: Array
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return {"z": jnp.zeros(2, jnp.complex64), "steps": jnp.asarray(0)}

    def exposed(self, state):
        return jnp.concatenate([jnp.real(state["z"]), jnp.imag(state["z"])])

    def __call__(self, input, state, *, key=None):
        return {"z": self.factors * state["z"] + self.gains * input[0], "steps": state["steps"] + 1}


def test_a_complex_state_is_proved_as_two_real_ones_and_a_counter_left_out():
    cell = Oscillators(jnp.array([0.5 + 0.3j, -0.2j]), jnp.array([1.0, 0.5 + 0.5j]))
    result = certify(cell, settings=QUICK)
    assert result.verdict is Verdict.PROVED
    proof = result.certificate
    assert len(proof.low) == 4
    # One step in the norm of the proof: |d Re z'| <= 0.5 |d Re z| + 0.3 |d Im z|, and the like.
    matrix = np.zeros((4, 4))
    matrix[:2, :2] = matrix[2:, 2:] = np.diag([0.5, 0.0])
    matrix[:2, 2:], matrix[2:, :2] = np.diag([0.3, 0.2]), np.diag([0.3, 0.2])
    assert proof.rate >= (matrix @ proof.weights / proof.weights).max() - 1e-6
    grown = Oscillators(cell.factors * 2.5, cell.gains)
    assert certify(grown, settings=QUICK).verdict is not Verdict.PROVED


class Alternating(eqx.Module):
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.asarray(0), jnp.zeros(1)

    def __call__(self, input, state, *, key=None):
        count, x = state
        return count + 1, jnp.where(count % 2 == 0, 0.5, 0.6) * x + input


def test_a_counter_that_decides_is_named():
    with pytest.raises(UnsupportedError, match=r"Alternating depends on \[0\]"):
        certify(Alternating())


class Surroundings:
    factor = 0.5


surroundings = Surroundings()


class Reading(eqx.Module):
    """x' = a x + 0.1 u with a read from a mutable object outside."""

    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return surroundings.factor * jnp.tanh(state) + 0.1 * input


def test_a_step_that_reads_a_changed_object_is_proved_anew(monkeypatch):
    cell = Reading()
    assert certify(cell).verdict is Verdict.PROVED
    monkeypatch.setattr(surroundings, "factor", 1.5)
    assert certify(cell).verdict is Verdict.REFUTED
    monkeypatch.setattr(surroundings, "factor", 0.7)
    assert certify(cell).certificate.rate == pytest.approx(0.7, abs=1e-6)


def test_a_proof_holds_from_the_starts_it_is_asked_for():
    cell = Elman(1, 2, key=jax.random.key(0))
    cell = eqx.tree_at(lambda one: one.state_weight, cell, 0.4 * jnp.eye(2))
    proof = certify(cell, starts=(np.array([-3.0, -2.0]), np.array([5.0, 1.5])), settings=QUICK).require()
    assert (proof.start_low <= [-3, -2]).all()
    assert (proof.start_high >= [5, 1.5]).all()
    state, inputs = np.array([5.0, -2.0]), np.random.default_rng(0).uniform(-1, 1, (proof.transient + 3, 1))
    given, begin = (jnp.asarray(values, cell.bias.dtype) for values in (inputs, state))
    states = np.asarray(unroll(cell, given, begin).states)
    inside = (proof.low <= states) & (states <= proof.high)
    assert inside[max(proof.transient - 1, 0) :].all()


def test_a_published_set_is_not_claimed_for_starts_outside_of_it():
    cell = GRU(1, 2, key=jax.random.key(0))
    cell = jax.tree.map(lambda leaf: 0.01 * leaf if eqx.is_array(leaf) else leaf, cell)
    quick = CertifySettings(levels=(0,), refute=False)
    assert certify(cell, settings=quick).verdict is Verdict.PROVED
    found = certify(cell, starts=(-1.5, 1.5), settings=quick)
    assert found.verdict is Verdict.UNKNOWN
    assert "starts reach 1.5" in found.reason


def test_the_own_start_of_a_cell_is_always_covered():
    cell = attractor.cell(lambda u, x: 0.5 * jnp.tanh(x) + 0.1 * u, 1, jnp.array([7.0]))
    assert certify(cell, settings=QUICK).require().contains(np.array([7.0]))


def test_starts_the_wrong_way_round_are_refused():
    with pytest.raises(ConfigError, match="the lowest start first"):
        certify(GRU(1, 2, key=jax.random.key(0)), starts=(1.0, -1.0), settings=QUICK)


@pytest.mark.parametrize("starts", [(np.zeros(1), np.ones(1)), (np.nan, 1.0), (np.zeros((2, 2)), 1.0)])
def test_starts_of_another_shape_are_refused(starts):
    with pytest.raises(ShapeError, match="starts of shape"):
        certify(GRU(1, 2, key=jax.random.key(0)), starts=starts, settings=QUICK)
