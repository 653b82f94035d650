"""Sums of products with a common factor: one node, the same values, no larger network, tighter bounds."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import bounds

from attractor.certify.dual.expressions import Expression, Lowering
from attractor.certify.dual.fusion import finished, merged
from attractor.certify.dual.linear_maps import Selection, identity
from attractor.certify.dual.lowering import network_of
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.relaxation import Region
from attractor.program import double_precision, trace

_WEIGHTS = np.random.default_rng(0).normal(size=(9, 3)) * 0.7
_OWN = np.random.default_rng(1).normal(size=(9, 3)) * 0.7
_BIAS = np.random.default_rng(2).normal(size=9) * 0.3
_sigmoid = jax.nn.sigmoid


@pytest.fixture(autouse=True)
def _double():
    with double_precision():
        yield


def _update_of_new(u, h):
    """PyTorch: the reset gate after the product, (1 - z) n + z h."""
    a, b = _WEIGHTS @ u + _BIAS, _OWN @ h
    r, z = _sigmoid(a[:3] + b[:3]), _sigmoid(a[3:6] + b[3:6])
    n = jnp.tanh(a[6:] + r * b[6:])
    return (1 - z) * n + z * h


def _update_of_old(u, h):
    """Cho et al.: the reset gate before the product, z n + (1 - z) h, gates sliced after the sigmoid."""
    gates = _sigmoid(_WEIGHTS[:6] @ u + _OWN[:6] @ h + _BIAS[:6])
    r, z = jnp.split(gates, 2)
    return z * jnp.tanh(_WEIGHTS[6:] @ u + _OWN[6:] @ (r * h)) + (1 - z) * h


def _minimal(u, h):
    f = _sigmoid(_WEIGHTS[:3] @ u + _OWN[:3] @ h)
    return (1.0 - f) * h + f * jnp.tanh(_WEIGHTS[3:6] @ u + _OWN[3:6] @ (f * h))


def _highway(u, h):
    """The carried value is an affine function whose folding was rounded."""
    t = _sigmoid(_WEIGHTS[:3] @ u + _OWN[:3] @ h)
    carried = _WEIGHTS[3:6] @ u + 0.5 * h
    return t * jnp.tanh(_OWN[6:] @ h) + (1 - t) * carried


def _leaky(u, h):
    z = _sigmoid(_WEIGHTS[:3] @ u + _OWN[:3] @ h)
    return h + 0.3 * (z * jnp.tanh(_WEIGHTS[3:6] @ u + h)) - 0.3 * (z * h)


def _of_a_user(u, h):
    """Three gated terms, one of them with a factor and turned."""
    g = _sigmoid(_WEIGHTS[:3] @ u + _OWN[:3] @ h)
    return h - g * h + jnp.sin(u) * g - 0.7 * (g * jnp.tanh(_OWN[3:6] @ h))


CELLS = {
    "new": (_update_of_new, 2),
    "old": (_update_of_old, 2),
    "minimal": (_minimal, 2),
    "highway": (_highway, 1),
    "leaky": (_leaky, 1),
    "user": (_of_a_user, 1),
}


def _unrolled(cell, steps):
    def last(inputs):
        state = jnp.zeros(3) + inputs[-1]
        for step in range(steps):
            state = cell(inputs[step], state)
        return state

    return last, jnp.zeros((steps + 1, 3))


@pytest.mark.parametrize("name", list(CELLS))
def test_a_gated_step_has_one_product_for_its_update_and_computes_the_same(name):
    cell, gated = CELLS[name]
    last, like = _unrolled(cell, 3)
    network = network_of(trace(last, like))
    counted = Counter(node.function for node in network.nodes)
    assert counted["gated"] == 3 * gated
    assert not counted["product"]
    assert not counted["logistic"]
    inputs = np.random.default_rng(3).uniform(-1, 1, (9, like.size))
    expected = [last(jnp.asarray(one.reshape(like.shape))) for one in inputs]
    np.testing.assert_allclose(network.evaluate(inputs), np.stack(expected), atol=1e-12)


@pytest.mark.parametrize("name", list(CELLS))
def test_no_sample_leaves_the_bounds_of_a_gated_cell(name):
    last, like = _unrolled(CELLS[name][0], 3)
    network = network_of(trace(last, like))
    generator = np.random.default_rng(4)
    low = generator.uniform(-0.8, 0.8, (3, like.size))
    high = low + np.array([[0.0], [0.1], [1.0]])
    least, most, _ = bounds(network, low, high)
    for piece in range(3):
        inputs = generator.uniform(low[piece], high[piece], (3000, like.size))
        inputs[:1500] = np.where(generator.random((1500, like.size)) < 0.5, low[piece], high[piece])
        values = network.evaluate(inputs)
        assert (values <= most[piece] + 1e-14).all()
        assert (values >= least[piece] - 1e-14).all()


def test_where_both_cases_are_one_the_gate_does_not_matter():
    """z h + (1 - z) h is h: two products would leave a width for the gate."""
    network = network_of(trace(lambda x: _sigmoid(x[0]) * x[1] + (1 - _sigmoid(x[0])) * x[1], jnp.zeros(2)))
    least, most, _ = bounds(network, np.array([[-2.0, -1.0]]), np.array([[2.0, 1.0]]))
    np.testing.assert_allclose([least[0, 0], most[0, 0]], [-1.0, 1.0], atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:2] * x[2:4] + x[:2] * x[4:],
        lambda x: x[2:4] * x[:2] - x[:2] * x[4:],
        lambda x: 2 * (x[:2] * x[2:4]) + x[4:] * x[:2] + x[:2],
    ],
)
def test_plain_products_with_a_common_factor_are_one(function):
    network = network_of(trace(function, jnp.zeros(6)))
    assert [node.function for node in network.nodes] == ["product"]
    inputs = np.random.default_rng(5).normal(size=(5, 6))
    expected = np.stack([function(jnp.asarray(one)) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: _sigmoid(x[:2]) * x[2:4] + _sigmoid(x[4:]) * x[2:4],
        lambda x: x[:2] * x[2:4] + x[2:4][::-1] * x[4:],
        lambda x: _sigmoid(x[:2]) * x[2:4] + _sigmoid(2 * x[:2]) * x[4:],
        lambda x: _sigmoid(x[:2]) * x[2:4] + _sigmoid(x[:2])[::-1] * x[4:],
    ],
)
def test_products_with_different_gates_or_factors_stay_apart(function):
    network = network_of(trace(function, jnp.zeros(6)))
    assert len(network.nodes) == 2
    inputs = np.random.default_rng(5).normal(size=(5, 6))
    expected = np.stack([function(jnp.asarray(one)) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)


def test_a_merged_node_whose_parts_are_read_apart_is_taken_back():
    def function(x):
        gate = _sigmoid(x[:2])
        one, other = gate * x[2:4], gate * x[4:]
        return jnp.concatenate([_WEIGHTS[:2, :2] @ (one - 3 * other), one, jnp.tanh(other)])

    network = network_of(trace(function, jnp.zeros(6)))
    assert Counter(node.function for node in network.nodes) == {"gated": 2, "tanh": 1}
    inputs = np.random.default_rng(6).normal(size=(5, 6))
    expected = np.stack([function(jnp.asarray(one)) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)
    least, most, _ = bounds(network, inputs - 0.1, inputs + 0.1)
    assert (least <= expected).all()
    assert (expected <= most).all()


def _two_products(function):
    """y_1 is large, y_1 + y_2 is zero: what folding lost of each is not lost of their sum."""
    lowering = Lowering(2)
    x, y = (Affine({0: Selection(np.array([i]), np.ones(1), 2)}, np.zeros(1)) for i in (0, 1))
    minus = Affine({0: Selection(np.array([1]), -np.ones(1), 2)}, np.zeros(1))
    lowering.nodes += [Node(function, (x, y)), Node(function, (x, minus))]
    ones = {1: identity(1), 2: identity(1)}
    return lowering, Affine(ones, np.zeros(1), ones, np.zeros(1), 5)


def test_magnitudes_outlive_the_products_that_they_were_of():
    lowering, whole = _two_products("gated")
    found = merged(lowering, Expression((1,), whole))
    assert set(found.affine.terms) == {3}
    network = finished(Network(2, tuple(lowering.nodes), found.affine), lowering.merges)
    assert len(network.nodes) == 1
    region = Region(network, np.full(2, -1e6), np.full(2, 1e6))
    assert region.magnitudes.output[0] >= 2e6


def test_rounded_sums_of_plain_products_stay_as_they_are():
    lowering, whole = _two_products("product")
    assert merged(lowering, Expression((1,), whole)).affine is whole
    assert len(lowering.nodes) == 2


def _lstm(u, h):
    """The state and the cell's memory are one: h is the memory, and what is shown is the last line."""
    gates = _WEIGHTS @ u + _OWN @ h + _BIAS
    memory = _sigmoid(gates[:3]) * h + _sigmoid(gates[3:6]) * jnp.tanh(gates[6:])
    return -jnp.tanh(memory) * _sigmoid(u)


def test_a_sigmoid_times_a_tanh_is_one_function_where_the_tanh_is_not_read_elsewhere():
    last, like = _unrolled(_lstm, 2)
    network = network_of(trace(last, like))
    assert Counter(node.function for node in network.nodes) == {"gated_tanh": 4, "gated": 2}
    inputs = np.random.default_rng(7).uniform(-1, 1, (9, like.size))
    expected = [last(jnp.asarray(one.reshape(like.shape))) for one in inputs]
    np.testing.assert_allclose(network.evaluate(inputs), np.stack(expected), atol=1e-12)
    kept = network_of(trace(lambda x: (lambda t: t * _sigmoid(x[::-1]) + t)(jnp.tanh(x)), jnp.zeros(3)))
    assert sorted(node.function for node in kept.nodes) == ["gated", "tanh"]


def test_a_tanh_times_a_number_keeps_its_argument():
    def function(x):
        return jnp.tanh(x[:2]) * x[2:] + (1 - jnp.tanh(x[:2])) * x[2:][::-1]

    network = network_of(trace(function, jnp.zeros(4)))
    assert [node.function for node in network.nodes] == ["tanh_product"]
    inputs = np.random.default_rng(8).normal(size=(5, 4))
    expected = np.stack([function(jnp.asarray(one)) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)
