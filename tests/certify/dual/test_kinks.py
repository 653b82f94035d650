"""Limits and rectifiers as programs write them: one node each, the same values, the exact range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import bounds

from attractor.certify.dual.lowering import network_of
from attractor.certify.dual.relaxation import Region, output_box
from attractor.program import double_precision, trace

_WEIGHTS = np.random.default_rng(0).normal(size=(3, 4))


@pytest.fixture(autouse=True)
def _double():
    with double_precision():
        yield


def _lowered(function, size=4):
    """The network, which computes what the function does, on inputs with all signs and kinks."""
    network = network_of(trace(function, jnp.zeros(size)))
    inputs = np.random.default_rng(1).uniform(-8, 8, (60, size))
    inputs[:5] = np.array([-1.0, 0.0, 1.0, 0.5, 3.0])[:, None]
    expected = np.stack([np.ravel(function(jnp.asarray(one))) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)
    return network


LIMITS = {
    "minimum of maximum": (lambda x: jnp.minimum(jnp.maximum(x, -1.0), 0.5), (-1.0, 0.5)),
    "maximum of minimum": (lambda x: jnp.maximum(jnp.minimum(0.5, x), -1.0), (-1.0, 0.5)),
    "relu6": (jax.nn.relu6, (0.0, 6.0)),
    "hard sigmoid": (jax.nn.hard_sigmoid, (0.0, 1.0)),
    "clip": (lambda x: jnp.clip(x, -1.0, 0.5), (-1.0, 0.5)),
    "rounded before": (lambda x: jnp.clip(_WEIGHTS @ x, -1.0, 0.5), (-1.0, 0.5)),
}


@pytest.mark.parametrize("name", list(LIMITS))
def test_two_limits_are_one_function_with_the_range_of_both(name):
    function, (low, high) = LIMITS[name]
    network = _lowered(function)
    assert [node.function for node in network.nodes] == ["clip"]
    ends = np.full((1, 4), -10.0), np.full((1, 4), 10.0)
    region = Region(network, ends[0][0], ends[1][0])
    least, most = output_box(region, *ends, region.root)
    np.testing.assert_allclose(least, low, atol=1e-12)
    np.testing.assert_allclose(most, high, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.minimum(jnp.maximum(x, 1.0), -0.5),
        lambda x: jnp.maximum(jnp.maximum(x, 1.0), -0.5),
        lambda x: jnp.minimum(1.0 + jnp.maximum(x, 0.0), 3.0),
        lambda x: jnp.minimum(jnp.maximum(x, 1.0)[::-1], 3.0),
        lambda x: jnp.minimum(-jnp.maximum(x, 1.0), 3.0),
        lambda x: jnp.minimum(jnp.maximum(x, np.arange(4.0)), 3.0),
    ],
)
def test_what_only_looks_like_two_limits_stays_as_it_is(function):
    assert all(node.function == "relu" for node in _lowered(function).nodes)


@pytest.mark.parametrize(
    "function",
    [
        jax.nn.leaky_relu,
        lambda x: jnp.where(x > 0, x, 0.1 * x),
        lambda x: jnp.where(x <= 0, 0.1 * x, x),
        lambda x: jnp.where(x < 0, -x, x),
        lambda x: jnp.where(x >= 0, 3 * x, -0.7 * x),
        lambda x: jnp.where(x > 0, x, 0.0),
        lambda x: jnp.where(0.0 >= x, 0.0, 0.3 * x),
        jnp.abs,
    ],
)
def test_a_choice_whose_cases_meet_is_a_rectifier(function):
    network = _lowered(function)
    assert [node.function for node in network.nodes] == ["relu"]
    low, high = np.full((1, 4), -1.0), np.full((1, 4), 2.0)
    least, most, _ = bounds(network, low, high)
    line = np.asarray(function(jnp.asarray(np.linspace(-1, 2, 3001))))
    # The hull of two straight pieces: exact above at an end; below at an end or the kink, up to the slope
    # that the relaxation chose there.
    assert (most >= line.max() - 1e-12).all()
    assert (most <= line.max() + 1e-6).all()
    assert (least <= line.min() + 1e-12).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.where(x > 0.1, x, 2 * x),
        lambda x: jnp.where(x > 0, x + 1, x),
        lambda x: jnp.where(x > 0, x[::-1], 2 * x),
    ],
)
def test_a_choice_whose_cases_are_apart_keeps_its_jump(function):
    assert any("positive" in node.function for node in _lowered(function).nodes)


def test_a_number_is_not_less_than_itself():
    """So what guards against no number, as softplus does, adds nothing."""
    assert _lowered(lambda x: jnp.where(jnp.isnan(x), 5.0, x)).nodes == ()
    assert _lowered(lambda x: jnp.where(jnp.greater_equal(x, x) & ~jnp.less(x, x), x, 7.0)).nodes == ()
    assert not any(node.function == "is_zero" for node in _lowered(jax.nn.softplus).nodes)
