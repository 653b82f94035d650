"""Slopes at kinks: proved at the limit, refuted by pairs of inputs, and never wrongly on either side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.verify.kinks import KINKED
from attractor.certify.verify.proof import Answer
from attractor.certify.verify.slopes import Lipschitz as Limited
from attractor.certify.verify.slopes import Monotone, _written_out
from attractor.certify.verify.specifications import InBand, decide
from attractor.errors import UnsupportedError
from attractor.program import double_precision

_BOX = np.full(1, -1.0), np.ones(1)


def _clipped(x):
    return jnp.clip(x, -0.5, 0.5)


_PROVED = {
    "relu rises": (jax.nn.relu, Monotone(0)),
    "relu by one": (jax.nn.relu, Limited(1.0)),
    "the size by one": (jnp.abs, Limited(1.0)),
    "the size by one, euclidean": (jnp.abs, Limited(1.0, "euclidean")),
    "a clip rises": (_clipped, Monotone(0)),
    "a clip by one": (_clipped, Limited(1.0)),
    "six": (jax.nn.relu6, Limited(1.0)),
    "the smaller": (lambda x: jnp.minimum(x, 0.3), Monotone(0)),
    "the opposite falls": (lambda x: -jax.nn.relu(x), Monotone(0, rising=False)),
    "a choice": (lambda x: jnp.where(x > 0, 2 * x, x / 2), Monotone(0)),
    "the largest": (lambda x: jnp.max(jnp.stack([x[0], x[0] / 2, 0.1 + x[0] / 8])), Monotone(0)),
    "leaky": (lambda x: jax.nn.leaky_relu(x, 0.1), Limited(1.001)),
}


@pytest.mark.parametrize("name", list(_PROVED))
def test_a_limit_that_is_met_at_a_kink_is_proved(name):
    function, specification = _PROVED[name]
    found = decide(function, specification, *_BOX, seconds=5)
    assert found.answer is Answer.HOLDS
    assert found.shown_by is None


_REFUTED = {
    "the size": (jnp.abs, Limited(0.9)),
    "relu": (jax.nn.relu, Limited(0.99)),
    "falls before the kink": (jnp.abs, Monotone(0)),
    "rises behind it": (jnp.abs, Monotone(0, rising=False)),
    "a clip": (_clipped, Monotone(0, rising=False)),
    "smooth": (jnp.sin, Limited(0.95, "euclidean")),
    "of two parts": (jnp.abs, InBand(high=5.0) & Limited(0.9)),
    "of two choices": (jnp.abs, Limited(0.9) | Monotone(0)),
}


@pytest.mark.parametrize("name", list(_REFUTED))
def test_a_wrong_claim_is_refuted_by_two_inputs(name):
    function, specification = _REFUTED[name]
    found = decide(function, specification, *_BOX, seconds=5)
    assert found.answer is Answer.VIOLATED
    assert min(found.excess) > 0
    assert found.shown_by is not None
    assert found.shown_by.shape[0] in (2, 4)
    assert ((found.shown_by >= -1) & (found.shown_by <= 1)).all()
    before, after = (np.asarray(function(one), float) for one in found.shown_by[:2])
    change, size = (after - before)[0], (found.shown_by[1] - found.shown_by[0])[0]
    if isinstance(specification, Monotone):
        assert (change < 0) == specification.rising
    elif isinstance(specification, Limited):
        assert abs(change) > 0.9 * abs(size)
    assert "differences of" in str(found)


def test_pairs_of_several_inputs_break_the_limit():
    def net(x):
        return jnp.stack([jax.nn.relu(x[0]) - jnp.abs(x[1]), x[0] * x[1]])

    for norm, most, order in (("largest", 1.9, np.inf), ("euclidean", 1.3, 2)):
        found = decide(net, Limited(most, norm), -np.ones(2), np.ones(2), seconds=5)
        assert found.answer is Answer.VIOLATED
        one, other = found.shown_by
        change = np.abs(np.asarray(net(jnp.asarray(one)) - net(jnp.asarray(other)))).max()
        assert change > 0.999 * most * np.linalg.norm(one - other, ord=order)
    assert decide(net, Limited(2.01), -np.ones(2), np.ones(2), seconds=10).answer is Answer.HOLDS


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.maximum(-jnp.abs(x), 0.0),
        lambda x: jnp.minimum(jnp.abs(x), 0.0),
        lambda x: jnp.abs(x) - jnp.maximum(x, -x),
        lambda x: jax.nn.relu(x) - jax.nn.relu(-x) - x,
    ],
)
@pytest.mark.parametrize("at", [(-1.0, 1.0), (0.0, 1.0)])
def test_a_slope_that_a_kink_only_may_have_refutes_nothing(function, at):
    """Each of these is zero everywhere, though the rules of derivatives give other slopes at zero."""
    for specification in (Limited(0.25), Monotone(0), Monotone(0, rising=False)):
        found = decide(function, specification, [at[0]], [at[1]], seconds=0.1)
        assert found.answer is not Answer.VIOLATED


_JUMPS = {
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "round": jnp.round,
    "trunc": jnp.trunc,
    "sign": jnp.sign,
    "cast": lambda x: x.astype(int).astype(x.dtype),
    "truth value": lambda x: (x > 0.1).astype(x.dtype),
    "equal": lambda x: jnp.where(x == 0.25, 1.0, x),
    "inside": lambda x: jnp.tanh(3 * jnp.round(2 * x)),
    "straight through": lambda x: x + jax.lax.stop_gradient(jnp.round(x) - x),
}


@pytest.mark.parametrize("name", list(_JUMPS))
@pytest.mark.parametrize("specification", [Monotone(0), Limited(1.0), Limited(1e6) | InBand(high=9.0)])
def test_nothing_is_said_of_slopes_over_a_jump(name, specification):
    with pytest.raises(UnsupportedError, match="may jump"):
        decide(_JUMPS[name], specification, *_BOX, seconds=1)


_KINKED = {
    "max": lambda x: jnp.maximum(x, jnp.array([0.3, 5.0, -5.0])),
    "min": lambda x: jnp.minimum(jnp.array([0.3, 5.0, -5.0]), x),
    "abs": jnp.abs,
    "clamp": lambda x: jax.lax.clamp(-0.2, x, jnp.full(3, 0.4)),
    "reduce_max": lambda x: jnp.max(x.reshape(3, 1) * jnp.array([1.0, -2.0]), axis=1),
    "reduce_min": lambda x: jnp.min(jnp.outer(x, jnp.arange(5.0) - 2)),
}


def test_all_rules_are_tried():
    assert set(_KINKED) == set(KINKED)


@pytest.mark.parametrize("name", list(_KINKED))
def test_values_and_slopes_away_from_kinks_are_those_of_jax(name):
    function = _KINKED[name]
    with double_precision():
        for one in np.random.default_rng(0).normal(size=(5, 3)):
            x = jnp.asarray(one)
            written = _written_out(function, x)
            np.testing.assert_array_equal(written(x), np.ravel(function(x)))
            expected = np.asarray(jax.jacfwd(function)(x)).reshape(-1, 3)
            np.testing.assert_allclose(jax.jacfwd(written)(x), expected, atol=1e-15)


@pytest.mark.parametrize("seed", range(4))
def test_no_pair_breaks_what_is_proved_of_a_net_of_kinks(seed):
    generator = np.random.default_rng(seed)
    first, last = generator.normal(size=(6, 2)), generator.normal(size=(1, 6))

    def net(x):
        hidden = first.astype(x.dtype) @ x + 0.1
        return last.astype(x.dtype) @ jnp.concatenate([jax.nn.relu(hidden[:3]), jnp.abs(hidden[3:])])

    points = generator.uniform(-1, 1, (3000, 2))
    values = np.asarray(jax.vmap(net)(jnp.asarray(points)), float)[:, 0]
    change = np.abs(values[:1500] - values[1500:])
    steepest = float((change / np.abs(points[:1500] - points[1500:]).max(axis=1)).max())
    assert decide(net, Limited(0.97 * steepest), -np.ones(2), np.ones(2), seconds=5).answer is Answer.VIOLATED
    for most in (1.0001 * steepest, 1.5 * steepest, 3.0 * steepest):
        found = decide(net, Limited(most), -np.ones(2), np.ones(2), seconds=2)
        assert found.answer is not Answer.VIOLATED or found.shown_by is not None
    most = 1.0001 * float((np.abs(last) @ np.abs(first)).sum())
    assert decide(net, Limited(most), -np.ones(2), np.ones(2), seconds=2).answer is Answer.HOLDS
