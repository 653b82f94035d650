"""Softmax and logarithms of sums of exponentials: the same values, bounds that wide boxes do not break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import bounds
from proved_claims import proved, shifted

from attractor.certify.dual.bounds import bounds_of
from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.lowering import network_of
from attractor.certify.recheck.checker import recheck
from attractor.program import double_precision, trace

_WEIGHTS = np.random.default_rng(0).normal(size=(3, 2))
_OFFSETS = np.array([0.3, -0.2, 0.5])


@pytest.fixture(autouse=True)
def _double():
    with double_precision():
        yield


def _logits(x):
    return _WEIGHTS @ x + _OFFSETS


def _by_hand(z, axis=-1):
    raised = jnp.exp(z - jnp.max(z, axis=axis, keepdims=True))
    return raised / jnp.sum(raised, axis=axis, keepdims=True)


SHARES = {
    "softmax": lambda x: jax.nn.softmax(_logits(x)),
    "without a shift": lambda x: jnp.exp(_logits(x)) / jnp.sum(jnp.exp(_logits(x))),
    "any shift": lambda x: _by_hand(_logits(x) - jnp.sin(x[0])),
    "of two": lambda x: jax.nn.softmax(x),
    "of columns": lambda x: jax.nn.softmax(jnp.outer(x, jnp.arange(3.0)), axis=0),
    "of rows": lambda x: jax.nn.softmax(jnp.outer(x, jnp.arange(3.0)), axis=1),
    "by hand": lambda x: _by_hand(jnp.outer(jnp.tanh(x), jnp.arange(4.0))),
}
LOGARITHMS = {
    "logsumexp": lambda x: jax.scipy.special.logsumexp(_logits(x)),
    "written out": lambda x: jnp.log(jnp.sum(jnp.exp(_logits(x)))),
    "log softmax": lambda x: jax.nn.log_softmax(_logits(x)),
    "log softmax of columns": lambda x: jax.nn.log_softmax(jnp.outer(x, jnp.arange(3.0)), axis=0),
    "of rows": lambda x: jax.scipy.special.logsumexp(jnp.outer(x, jnp.arange(4.0)), axis=1, keepdims=True),
}


def _lowered(function):
    network = network_of(trace(function, jnp.zeros(2)))
    inputs = np.random.default_rng(1).uniform(-4, 4, (60, 2))
    expected = np.stack([np.ravel(function(jnp.asarray(one))) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)
    return network


@pytest.mark.parametrize("name", list(SHARES))
def test_a_share_is_a_sigmoid_and_stays_between_zero_and_one(name):
    network = _lowered(SHARES[name])
    assert not {node.function for node in network.nodes} & {"exp", "reciprocal", "product"}
    for wide in (0.1, 5.0, 1e4):
        low, high = np.full((1, 2), -wide), np.full((1, 2), wide)
        (rule,) = [node.rule for node in network.nodes if node.function == "logistic"]
        least, most, boxes = bounds(network, low, high)
        ends = rule.range(boxes[-1])
        assert (ends[0] >= 0).all()
        assert (ends[1] <= 1).all()
        _holds(network, low, high, least, most)


@pytest.mark.parametrize("name", list(LOGARITHMS))
def test_a_logarithm_of_a_sum_grows_no_faster_than_its_exponents(name):
    network = _lowered(LOGARITHMS[name])
    assert not {node.function for node in network.nodes} & {"exp", "log"}
    for wide in (0.1, 5.0, 1e4):
        low, high = np.full((1, 2), -wide), np.full((1, 2), wide)
        least, most, _ = bounds(network, low, high)
        assert (most - least <= 40 * wide + 10).all()
        _holds(network, low, high, least, most)


def _holds(network, low, high, least, most):
    generator = np.random.default_rng(2)
    inputs = generator.uniform(low[0], high[0], (3000, 2))
    inputs[:1500] = np.where(generator.random((1500, 2)) < 0.5, low, high)
    values = network.evaluate(inputs)
    assert (values <= most[0] + 1e-12).all()
    assert (values >= least[0] - 1e-12).all()


@pytest.mark.parametrize(("wide", "loose"), [(0.1, 0.02), (1.0, 0.6)])
def test_bounds_of_a_softmax_are_near_what_is_attained(wide, loose):
    network = _lowered(SHARES["softmax"])
    low, high = np.full((1, 2), -wide), np.full((1, 2), wide)
    least, most, _ = bounds(network, low, high)
    grid = np.stack(np.meshgrid(*[np.linspace(-wide, wide, 101)] * 2), axis=-1).reshape(-1, 2)
    values = network.evaluate(grid)
    assert (most[0] - values.max(axis=0) < loose).all()
    assert (values.min(axis=0) - least[0] < loose).all()


def test_the_logarithm_of_a_share_is_never_above_zero():
    network = _lowered(LOGARITHMS["log softmax"])
    low, high = np.full((1, 2), -9.0), np.full((1, 2), 9.0)
    assert (bounds_of(network, low[0], high[0]).high <= 1e-12).all()
    assert (network.nodes[-1].rule.range(((low, high),))[0] >= 0).all()
    assert [node.function for node in network.nodes] == ["softplus", "softplus"]
    # What is taken away is the logarithm of another sum: the order of its entries matters.
    _lowered(lambda x: x[::-1] - jax.scipy.special.logsumexp(x))
    _lowered(lambda x: x - jax.scipy.special.logsumexp(jnp.outer(x, x), axis=0))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.exp(x) / jnp.sum(jnp.exp(2 * x)),
        lambda x: jnp.exp(x) / (1 + jnp.sum(jnp.exp(x))),
        lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x) * jnp.array([1.0, 2.0])),
        lambda x: jnp.exp(x)[::-1] / jnp.sum(jnp.exp(x), keepdims=True),
        lambda x: jnp.exp(x) / jnp.exp(x[::-1]),
        lambda x: jnp.exp(x - x[::-1]) / jnp.sum(jnp.exp(x)),
        lambda x: jnp.log(1 + jnp.sum(jnp.exp(x))),
        lambda x: jnp.log(jnp.sum(jnp.exp(x)) - jnp.exp(-9 - x[0])),
    ],
)
def test_what_only_looks_like_it_stays_as_it_is(function):
    assert any(node.function == "exp" for node in _lowered(function).nodes)


def test_numbers_that_were_taken_from_each_alone_do_not_cancel():
    """exp(x_i - c_i) with different c_i: the differences of the x alone would be other ones."""
    _lowered(lambda x: _by_hand(x - jnp.sin(x[::-1])))
    _lowered(lambda x: _by_hand(jnp.outer(x, jnp.arange(3.0)) - jnp.sin(x)[:, None], axis=0))
    _lowered(lambda x: jax.scipy.special.logsumexp(x - jnp.tanh(x[::-1])))


def test_a_proof_is_checked_again():
    network = _lowered(SHARES["softmax"])
    low, high = np.full(2, -0.5), np.full(2, 0.5)
    inputs = np.random.default_rng(3).uniform(low, high, (4000, 2))
    network = shifted(network, 0.02 - network.evaluate(inputs).min(axis=0))
    claim, tree = proved(network, low, high, of_clauses([[0], [1], [0, 1]], 3, [False, True, False]))
    assert recheck(claim, tree).accepted
