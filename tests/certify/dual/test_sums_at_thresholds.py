"""Sums that meet a threshold exactly: decided without rounding, and never said to hold where they do not."""

from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proved_claims import alone

from attractor.certify.dual.exact import least_sum
from attractor.certify.dual.expressions import plus
from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.network import Affine, Network
from attractor.certify.recheck.certificate import load
from attractor.certify.recheck.checker import recheck
from attractor.certify.recheck.claim import Claim
from attractor.certify.recheck.sound import is_below_zero
from attractor.certify.verify import Lipschitz, Monotone, decide, prove
from attractor.certify.verify.proof import Answer, claim_of

_BOX = -np.ones(3), np.ones(3)

_MET = {
    "a sum": lambda x: x[0] + x[1] - 2,
    "a segment sum": lambda x: jax.ops.segment_sum(x, np.array([0, 0, 1]), 2) - 2,
    "written": lambda x: x.at[1].set(2 * x[0]) - 2,
    "a scan": lambda x: jax.lax.associative_scan(jnp.add, x) - 3,
    "rectifiers": lambda x: jnp.sum(jax.nn.relu(x)) - 3,
    "steps": lambda x: jnp.sum(jnp.round(3 * x)) - 9,
    "weights that no float holds": lambda x: (
        -(0.1 * jax.nn.relu(x[0]) + 0.7 * (x[1] > 0) + 0.3 * jax.nn.relu(x[2]))
    ),
}


@pytest.mark.parametrize("name", list(_MET))
def test_what_meets_its_threshold_is_proved_and_checked(name, tmp_path):
    found = prove(_MET[name], *_BOX, seconds=10, certificate=tmp_path / "c.npz")
    assert found.answer is Answer.HOLDS
    assert "checked on" in found.certificate
    (part,) = load(tmp_path / "c.npz").parts
    for by in (1e-15, 1e-3):
        forged = claim_of(lambda x, by=by: _MET[name](x) + by, *_BOX)
        assert not recheck(forged, part.tree).accepted


def test_a_net_of_positive_weights_is_monotone():
    weights = np.abs(np.random.default_rng(0).normal(size=(4, 2)))

    def net(x):
        return weights.T.astype(x.dtype) @ jax.nn.relu(weights.astype(x.dtype) @ x - 0.3)

    assert decide(net, Monotone(0), -np.ones(2), np.ones(2), seconds=5).answer is Answer.HOLDS
    weights[2, 0] = -1e-6
    found = decide(lambda x: net(x), Monotone(0), -np.ones(2), np.ones(2), seconds=5)
    assert found.answer is not Answer.HOLDS


def test_a_limit_of_two_kinks_is_met():
    def net(x):
        return jax.nn.relu(x[0]) + jnp.abs(x[1])

    assert decide(net, Lipschitz(2.0), -np.ones(2), np.ones(2), seconds=5).answer is Answer.HOLDS
    below = float(np.nextafter(2.0, 0))
    assert decide(net, Lipschitz(below), -np.ones(2), np.ones(2), seconds=0.5).answer is not Answer.HOLDS


def _random(generator, roundings):
    """An affine function of two values, known up to so many units, and the ends of these values."""
    terms = {source: Dense(generator.normal(size=(1, 3))) for source in (0, 1)}
    sizes = {
        source: Dense(np.abs(part.matrix) + 5 * generator.random((1, 3))) for source, part in terms.items()
    }
    one = Affine(terms, generator.normal(size=1), sizes, 3 * np.ones(1), roundings)
    ends = np.sort(generator.choice([-1.0, 0.0, 0.5, 2.0], (2, 2, 3)), axis=0)
    return one, ends


@pytest.mark.parametrize("roundings", [0, 1, 2**20])
def test_no_numbers_within_their_doubt_make_a_smaller_sum(roundings):
    generator = np.random.default_rng(roundings)
    for _ in range(40):
        one, (low, high) = _random(generator, roundings)
        least = least_sum(one, 0, list(low), list(high))
        unit, found = Fraction(roundings, 2**52), []
        for _ in range(60):
            total = Fraction(float(one.bias[0])) + unit * int(generator.choice([-1, 0, 1])) * 3
            for source in (0, 1):
                for k in range(3):
                    doubt = (
                        unit
                        * Fraction(float(one.sizes[source].matrix[0, k]))
                        * int(generator.choice([-1, 0, 1]))
                    )
                    value = Fraction(float(generator.choice([low[source, k], high[source, k]])))
                    total += (Fraction(float(one.terms[source].matrix[0, k])) + doubt) * value
            found.append(total)
        assert least <= min(found)
        # Both evaluations agree where the search has shifted the sum to zero, and on which side of it.
        for by in (-least, -least - Fraction(1, 2**40), -least + Fraction(1, 2**40)):
            shifted = replace(one, bias=one.bias + float(by))
            own = least_sum(shifted, 0, list(low), list(high))
            ranges = [(low[source][None], high[source][None]) for source in (0, 1)]
            assert is_below_zero(shifted, 0, 0, ranges) == (own < 0)


def test_values_without_bounds_are_below_zero_for_all_one_knows():
    one = Affine({0: Dense(np.array([[1.0, 0.0]]))}, np.zeros(1))
    for low in (-np.inf, np.nan):
        ends = np.array([[low, 0.0]]), np.array([[1.0, 1.0]])
        assert least_sum(one, 0, [ends[0][0]], [ends[1][0]]) is None
        assert is_below_zero(one, 0, 0, [ends])
    ends = np.array([[0.0, -np.inf]]), np.array([[1.0, np.inf]])
    assert not is_below_zero(one, 0, 0, [ends])  # what is not read may be anything


def test_a_doubt_about_a_value_that_is_never_zero_is_kept():
    """(1 +- u) v - 1 for v from 1 on may be below zero; (1 +- u) v for v from 0 on is not."""
    rounded = Affine({0: Dense(np.eye(1))}, np.array([-1.0]), None, np.zeros(1), 2)
    claim = Claim(
        Network(1, (), rounded), np.ones(1), np.full(1, 2.0), np.ones((1, 1), bool), np.ones(1, bool)
    )
    assert is_below_zero(rounded, 0, 0, [(np.ones((1, 1)), 2 * np.ones((1, 1)))])
    at_zero = replace(rounded, bias=np.zeros(1))
    assert not is_below_zero(at_zero, 0, 0, [(np.zeros((1, 1)), 2 * np.ones((1, 1)))])
    assert not recheck(claim, alone()).accepted
    wide = Claim(Network(1, (), at_zero), np.zeros(1), claim.high, claim.members, claim.strict)
    assert recheck(wide, alone()).accepted
    assert not recheck(replace(wide, strict=np.zeros(1, bool)), alone()).accepted  # 0 <= 0 holds at zero


def test_sums_of_maps_are_exact_where_nothing_is_lost():
    def of(*numbers):
        return Affine({0: Dense(np.array([numbers]))}, np.zeros(1))

    assert plus(of(0.1, 0.0), of(0.0, 0.3)).roundings == 0
    assert plus(of(1.0, 0.5), of(2.0, 0.25)).roundings == 0
    assert plus(of(0.1, 0.0), of(0.2, 0.0)).roundings > 0
