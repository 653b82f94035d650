"""Rounding, casts and arithmetic in whole numbers: read rightly, and never proved past their type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.dual.attack import Attack
from attractor.certify.dual.lowering import network_of
from attractor.certify.recheck.certificate import load
from attractor.certify.recheck.checker import recheck
from attractor.certify.verify import prove
from attractor.certify.verify.proof import Answer, claim_of
from attractor.errors import UnsupportedError
from attractor.program import double_precision, trace

_WHOLE = np.array([-2.5, -2.0, -1.5, -0.5, 0.5, 1.0, 1.5, 2.5])
# XLA takes the numbers that are nearest to zero for zero.
_EDGES = np.concatenate([
    _WHOLE, np.nextafter(_WHOLE, 9), np.nextafter(_WHOLE, -9), [0.0, -0.0, 1e-300, -1e-300]
])  # fmt: skip

_PROGRAMS = {
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "round": jnp.round,
    "two digits": lambda x: jnp.round(x, 1),
    "away": lambda x: jax.lax.round(x, jax.lax.RoundingMethod.AWAY_FROM_ZERO),
    "trunc": jnp.trunc,
    "sign": jnp.sign,
    "cast": lambda x: x.astype(jnp.int32),
    "cast and back": lambda x: x - x.astype(jnp.int64).astype(x.dtype),
    "truth values": lambda x: (x > 0.5).astype(jnp.int32) + (x == -0.5).astype(x.dtype),
    "to a truth value": lambda x: x.astype(jnp.int32).astype(bool).astype(x.dtype),
    "arithmetic": lambda x: 3 * x.astype(jnp.int32) - x.astype(jnp.int32) * (x * 2).astype(jnp.int32) + 7,
    "sums": lambda x: jnp.cumsum(x.astype(jnp.int32)) + jnp.sum(jnp.sign(x).astype(jnp.int8)),
    "choices": lambda x: jnp.clip(jnp.maximum(x.astype(jnp.int32), 1 - x.astype(jnp.int32)), -1, 2),
    "moves": lambda x: jnp.pad(
        jnp.concatenate([x.astype(jnp.int32)[1:], jnp.array([0, 5, 1])]), 2, constant_values=3
    ),
    "a matrix": lambda x: (jnp.arange(6).reshape(2, 3) - 2) @ x[:3].astype(jnp.int32),
    "one hot": lambda x: jax.nn.one_hot(x.astype(jnp.int32), 3),
}


@pytest.mark.parametrize("name", list(_PROGRAMS))
def test_a_program_is_read_as_it_is_computed(name):
    """At numbers where rounding turns over, by JAX's own arithmetic in float64."""
    function = _PROGRAMS[name]
    with double_precision():
        network = network_of(trace(function, jnp.asarray(_EDGES)))
        expected = np.asarray(function(jnp.asarray(_EDGES)), float).ravel()
    np.testing.assert_allclose(network.evaluate(_EDGES[None])[0], expected, atol=1e-15)


def test_cutting_off_by_a_choice_is_one_function():
    with double_precision():
        network = network_of(trace(jnp.trunc, jnp.zeros(2)))
    assert [node.function for node in network.nodes] == ["trunc"]


_WRAPS = {
    "too large": lambda x: (300 * x).astype(jnp.int8),
    "below zero": lambda x: (x - 2).astype(jnp.uint8),
    "a product": lambda x: (2 * x).astype(jnp.int8) * jnp.int8(100),
    "a sum": lambda x: (100 * x).astype(jnp.int8) + (100 * x).astype(jnp.int8),
    "the opposite": lambda x: -(x + 1).astype(jnp.uint8),
    "the size": lambda x: jnp.abs((-100 * x - 28).astype(jnp.int8)),
    "narrower": lambda x: (300 * x).astype(jnp.int32).astype(jnp.int8),
    "a total": lambda x: jnp.sum(jnp.stack([(100 * x).astype(jnp.int8)] * 2), axis=0, dtype=jnp.int8),
}


@pytest.mark.parametrize("name", list(_WRAPS))
def test_what_begins_anew_behind_the_largest_number_is_not_proved(name, monkeypatch):
    """Real arithmetic would prove each of these; a computer may give anything there."""
    monkeypatch.setattr(Attack, "tried", lambda *_: False)
    monkeypatch.setattr(Attack, "round", lambda *_: False)

    def excess(x):
        return _WRAPS[name](x).astype(x.dtype) - 1000

    assert prove(excess, [1.0], [1.5], seconds=0.3).answer is Answer.OPEN
    if name not in ("below zero", "the opposite"):
        assert prove(excess, [0.0], [0.2], seconds=5).answer is Answer.HOLDS


def test_the_largest_number_of_64_bits_is_not_taken_for_one_more():
    with double_precision():
        network = network_of(trace(lambda x: x.astype(jnp.int64), jnp.zeros(1)))
    least, most = network.nodes[-1].parameters
    assert (int(least), int(most)) == (-(2**63), 2**63 - 1024)


def test_whole_numbers_that_floats_round_are_refused():
    with double_precision(), pytest.raises(UnsupportedError, match="from 2\\^53 on"):
        network_of(trace(lambda x: x.astype(jnp.int64) + (2**53 + 1), jnp.zeros(1)))


_HOLD = {
    "floor": (lambda x: jnp.floor(x) - 2, -3.0, np.nextafter(3.0, 0)),
    "never above": (lambda x: jnp.floor(x) - x - 1e-9, -3.0, 3.0),
    "never one below": (lambda x: x - jnp.floor(x) - 1 - 1e-9, -3.0, 3.0),
    "ceil": (lambda x: jnp.ceil(x) - 3, -3.0, 3.0),
    "half to even": (lambda x: jnp.round(x) - 2, -3.0, 2.5),
    "digits": (lambda x: jnp.abs(jnp.round(x, 1) - x) - 0.0500001, -3.0, 3.0),
    "cast": (lambda x: x.astype(int) - 2, -3.5, np.nextafter(3.0, 0)),
    "sign": (lambda x: jnp.sign(x) * x - jnp.abs(x) - 1e-6, -1.0, 1.0),
    "quantised": (lambda x: jnp.tanh(x) - jnp.round(16 * jnp.tanh(x)) / 16 - 0.032, -1.0, 1.0),
}


@pytest.mark.parametrize("name", list(_HOLD))
def test_a_certificate_over_jumps_is_checked_and_a_forged_one_is_not(name, tmp_path):
    function, low, high = _HOLD[name]
    found = prove(function, [low], [high], seconds=20, certificate=tmp_path / "c.npz")
    assert found.answer is Answer.HOLDS
    assert "checked on" in found.certificate
    (part,) = load(tmp_path / "c.npz").parts
    assert recheck(part.claim, part.tree).accepted
    samples = np.linspace(low, high, 2001)
    with double_precision():
        reached = max(float(function(jnp.asarray([x]))[0]) for x in samples[::40])
    wrong = claim_of(lambda x: function(x) - (reached - 1e-3), [low], [high])
    assert not recheck(wrong, part.tree).accepted


_FAIL = {
    "floor": (lambda x: jnp.floor(x) - 2, -3.0, 3.0),
    "ceil": (lambda x: jnp.ceil(x) - 3, -3.0, 3.1),
    "half to even": (lambda x: jnp.round(x) - 2, -3.0, 2.6),
    "cast towards zero": (lambda x: -2 - x.astype(int), -3.0, 0.0),
    "cast": (lambda x: x - x.astype(int) - 0.9, 0.0, 2.0),
}


@pytest.mark.parametrize("name", list(_FAIL))
def test_a_violation_over_a_jump_is_found_and_checked(name, tmp_path):
    function, low, high = _FAIL[name]
    found = prove(function, [low], [high], seconds=10, certificate=tmp_path / "c.npz")
    assert found.answer is Answer.VIOLATED
    assert min(found.excess) > 0
    assert "checked on" in found.certificate
