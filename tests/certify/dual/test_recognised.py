"""Functions that programs write out of others: one node each, the same values, bounds near the true range."""

import math
from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import bounds
from proved_claims import alone, layered, proved, shifted

from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.functions import FUNCTIONS
from attractor.certify.dual.lowering import network_of
from attractor.certify.dual.network import Network
from attractor.certify.recheck.checker import recheck
from attractor.certify.recheck.claim import Claim
from attractor.certify.recheck.well_formed import RefusedError, check_claim
from attractor.errors import UnsupportedError
from attractor.program import double_precision, trace

_WEIGHTS = np.random.default_rng(0).normal(size=(3, 4))
_OFFSETS = np.array([0.3, -0.2, 1.0])


@pytest.fixture(autouse=True)
def _double():
    with double_precision():
        yield


def _lowered(function, size=4):
    """The network, which computes what the function does."""
    network = network_of(trace(function, jnp.zeros(size)))
    inputs = np.random.default_rng(1).uniform(-4, 4, (60, size))
    inputs[:5] = np.array([-1.0, 0.0, 1.0, 0.5, 3.0])[:, None]
    expected = np.stack([np.ravel(function(jnp.asarray(one))) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)
    return network


def _erf_gelu(x):
    return 0.5 * x * (1 + jax.scipy.special.erf(x * np.sqrt(0.5)))


def _quotient_gelu(x):
    return x * (1 + jax.scipy.special.erf(x / np.sqrt(2))) / 2


def _layer(function):
    return lambda x: function(_WEIGHTS @ x + _OFFSETS)


KNOWN = {
    "silu": (jax.nn.silu, "silu"),
    "gate first": (lambda x: jax.nn.sigmoid(x) * x, "silu"),
    "swish": (lambda x: x * jax.nn.sigmoid(1.5 * x), "silu"),
    "less a gate": (lambda x: 3 * x * (1 - 2 * jax.nn.sigmoid(x)), "silu"),
    "gelu": (lambda x: jax.nn.gelu(x, approximate=False), "gelu"),
    "gelu by erf": (_erf_gelu, "gelu"),
    "gelu turned": (lambda x: x * (1 - jax.scipy.special.erf(0.7 * x)), "gelu"),
    "erf only": (lambda x: x * jax.scipy.special.erf(x), "gelu"),
    "gelu by a quotient": (_quotient_gelu, "gelu"),
    "half a gelu first": (lambda x: (x / 2) * (jax.scipy.special.erf(x / np.sqrt(2)) + 1), "gelu"),
    "gelu turned by a quotient": (lambda x: x * (1 + jax.scipy.special.erf(x / -1.7)), "gelu"),
    "silu by a quotient": (lambda x: x * jax.nn.sigmoid(x / 3), "silu"),
    "layer of gelu by a quotient": (_layer(lambda z: _quotient_gelu(z)), "gelu"),
    "softplus": (jax.nn.softplus, "softplus"),
    "log sigmoid": (jax.nn.log_sigmoid, "softplus"),
    "layer of silu": (_layer(jax.nn.silu), "silu"),
    "layer of gelu": (_layer(lambda z: jax.nn.gelu(z, approximate=False)), "gelu"),
    "layer of softplus": (_layer(jax.nn.softplus), "softplus"),
    "elu": (jax.nn.elu, "elu"),
    "deep elu": (lambda x: jax.nn.elu(x, 0.3), "elu"),
    "selu": (jax.nn.selu, "elu"),
    "celu": (lambda x: jax.nn.celu(x, 2.0), "elu"),
    "elu by hand": (lambda x: jnp.where(x >= 0, x, 0.5 * (jnp.exp(x) - 1)), "elu"),
    "elu of parts": (lambda x: jax.nn.relu(x) + 0.7 * jnp.expm1(jnp.minimum(x, 0)), "elu"),
    "layer of elu": (_layer(jax.nn.elu), "elu"),
    "exponent to base two": (jnp.exp2, "exp2"),
    "cube root": (jnp.cbrt, "cbrt"),
    "complement": (jax.scipy.special.erfc, "erf"),
}


@pytest.mark.parametrize("name", list(KNOWN))
def test_what_is_written_out_is_one_function(name):
    function, node = KNOWN[name]
    assert [one.function for one in _lowered(function).nodes] == [node]


def test_single_numbers_are_recognised_as_well():
    for name in ("silu", "gelu", "gelu by erf", "less a gate", "softplus", "log sigmoid", "selu", "celu"):
        function, node = KNOWN[name]
        found = _lowered(lambda x, function=function: function(x[0]) + function(x[1] / 4))
        assert [one.function for one in found.nodes] == [node, node]


@pytest.mark.parametrize("name", ["silu", "gelu", "softplus", "selu"])
def test_its_bounds_are_the_true_range_where_it_turns(name):
    low, high = np.full((1, 4), -2.0), np.full((1, 4), 1.0)
    least, most, _ = bounds(_lowered(KNOWN[name][0]), low, high)
    line = np.asarray(KNOWN[name][0](jnp.asarray(np.linspace(-2, 1, 3001))))
    assert (most >= line.max()).all()
    assert (least <= line.min()).all()
    network = _lowered(KNOWN[name][0])
    lowest, highest = network.nodes[0].rule.range(((low, high),))
    if name == "selu":
        lowest, highest = (1.0507009873554805 * end for end in (lowest, highest))
    np.testing.assert_allclose(lowest, line.min(), atol=1e-6)
    np.testing.assert_allclose(highest, line.max(), atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * jax.nn.sigmoid(x[::-1]),
        lambda x: x * jax.nn.sigmoid(x + 1),
        lambda x: x * jax.nn.sigmoid(-x),
        lambda x: x * jax.nn.sigmoid(np.arange(1.0, 5.0) * x),
        lambda x: (x + 1) * jax.scipy.special.erf(x),
        lambda x: x[::-1] * jax.scipy.special.erf(x / np.sqrt(2)),
        lambda x: x * jax.scipy.special.erf(x / np.arange(3.0, 7.0)),
        lambda x: x * jax.nn.sigmoid(x / -3),
        lambda x: x * jax.scipy.special.erf(x / 3e6),
        lambda x: x * jax.scipy.special.erf((x + 1) / 3),
        lambda x: jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x[::-1]))),
        lambda x: jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-2 * jnp.abs(x))),
        lambda x: jnp.maximum(x, 0) + jnp.log1p(2 * jnp.exp(-jnp.abs(x))),
        lambda x: jnp.maximum(x, 0) - jnp.log1p(jnp.exp(-jnp.abs(x))),
        lambda x: 2 * jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))),
        lambda x: jnp.where(x > 0, x, jnp.expm1(x[::-1])),
        lambda x: jnp.where(x > 0.5, x, jnp.expm1(x)),
        lambda x: jnp.where(x > 0, 2 * x, jnp.expm1(x)),
        lambda x: jnp.where(x > 0, x, -jnp.expm1(x)),
        lambda x: jnp.where(x > 0, x, jnp.exp(x)),
        lambda x: jnp.where(x > 0, jnp.expm1(x), x),
        lambda x: jax.nn.relu(x) + jnp.expm1(x),
        lambda x: jax.nn.relu(x) + jnp.expm1(jnp.minimum(x[::-1], 0)),
        lambda x: jax.nn.relu(x) + jnp.expm1(jnp.minimum(x, 0.1)),
        lambda x: jnp.minimum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x))),
    ],
)
def test_what_only_looks_like_it_stays_as_it_is(function):
    found = {node.function for node in _lowered(function).nodes}
    assert not found & {"silu", "gelu", "softplus", "elu"}


@pytest.mark.parametrize("divisor", [np.sqrt(2), 3.0, 0.7, 49.0])
@pytest.mark.parametrize("gate", [math.erf, lambda z: 1 / (1 + math.exp(-z))])
def test_what_a_rounded_rate_may_cost_is_told(divisor, gate):
    """Where z g(z / c) differs most from z g(r z) the difference lies within the remainder, with room."""
    rate, steps = 1 / divisor, np.linspace(-8, 8, 4001) * divisor
    slope = np.array([(gate(z / divisor + 1e-6) - gate(z / divisor - 1e-6)) / 2e-6 for z in steps])
    exact = abs(Fraction(rate) * Fraction(divisor) - 1)
    most = float(exact) * np.abs(steps * (steps / divisor) * slope).max()
    function = jax.scipy.special.erf if gate is math.erf else jax.nn.sigmoid
    output = _lowered(lambda x: x * function(x / divisor)).output
    assert output.roundings * 2.0**-52 * output.reach_bias.min() > 2 * most


def test_bounds_of_a_gelu_by_a_quotient_are_those_of_a_gelu():
    low, high = np.full((1, 4), -2.0), np.full((1, 4), 1.0)
    found = [bounds(_lowered(KNOWN[name][0]), low, high)[:2] for name in ("gelu", "gelu by a quotient")]
    np.testing.assert_allclose(found[1], found[0], atol=1e-13)
    assert (found[1][0] <= _quotient_gelu(-0.7517915)).all()


@pytest.mark.parametrize("rate", [1e-6, 0.02, 1.0, 1e6])
@pytest.mark.parametrize("name", ["silu", "gelu"])
@pytest.mark.parametrize("sign", [1, -1])
def test_gates_of_any_rate_hold_a_grid_where_slopes_are_nearly_theirs(name, rate, sign):
    """Slopes of the function itself, moved by next to nothing, at points near the turns of its slope."""
    generator = np.random.default_rng(2)
    function = FUNCTIONS[name](rate)
    low = generator.uniform(-6, 6, 4000) / rate
    high = low + generator.choice([0.0, 1e-9, 0.5, 8.0, 60.0], 4000) / rate
    at = np.clip(generator.choice([-2.4, -1.0, 0.0, 1.0, 2.4], 4000) / rate, low, high)
    slope = function.gradient((at,))[0] + generator.choice([0.0, 1e-15, -1e-15, 1e-9, -1e-9], 4000)
    found = function.extreme(sign, (slope,), ((low, high),))
    grid = np.clip(low + np.linspace(0, 1, 801)[:, None] * (high - low), low, high)
    gains = sign * (function.value((grid,)) - slope * grid)
    size = 1 / rate + np.abs(grid).max(axis=0)
    assert (sign * found.value >= gains.max(axis=0) - 1e-15 * size).all()
    (point,) = found.point
    met = sign * (function.value((point,)) - slope * point)
    assert (sign * found.value - met <= 1e-9 * size).all()


def test_what_is_defined_everywhere_is_finite_and_what_may_not_be_is_named():
    network = _lowered(lambda x: jnp.where(jnp.isfinite(jnp.exp(x) * x), jnp.tanh(x), 7.0))
    assert [node.function for node in network.nodes] == ["tanh"]
    for function in (
        lambda x: jnp.where(jnp.isfinite(1 / x), 0.0, 1.0),
        lambda x: jnp.where(jnp.isfinite(jnp.maximum(jnp.log(x), 0.0)), 0.0, 1.0),
        lambda x: jnp.where(jnp.isfinite(jnp.inf * x), 0.0, 1.0),
    ):
        with pytest.raises(UnsupportedError, match=r"finite number.*test_recognised.py"):
            network_of(trace(function, jnp.zeros(2)))


@pytest.mark.parametrize(
    "name",
    ["layer of silu", "layer of gelu", "layer of gelu by a quotient", "layer of softplus", "layer of elu"],
)
def test_a_proof_is_checked_again(name):
    network = _lowered(KNOWN[name][0])
    low, high = np.full(4, -0.5), np.full(4, 0.5)
    inputs = np.random.default_rng(3).uniform(low, high, (4000, 4))
    network = shifted(network, 0.05 - network.evaluate(inputs).min(axis=0))
    claim, tree = proved(network, low, high, of_clauses([[0], [1], [0, 1]], 3, [False, True, False]))
    assert recheck(claim, tree).accepted


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        ("silu", (0.0,)),
        ("silu", (-1.0,)),
        ("gelu", (np.inf,)),
        ("gelu", ()),
        ("elu", (1.0,)),
        ("elu", (1.0, -1.0)),
        ("elu", (0.0, 1.0)),
        ("softplus", (1.0,)),
    ],
)
def test_parameters_that_are_none_are_refused(function, parameters):
    network = layered((2, 3, 1), 0, "softplus")
    wrong = replace(network.nodes[0], function=function, parameters=parameters)
    ends = np.zeros(2), np.ones(2)
    claim = Claim(Network(2, (wrong,), network.output), *ends, np.ones((1, 1), bool), np.zeros(1, bool))
    assert not recheck(claim, alone()).accepted
    with pytest.raises(RefusedError, match="node 0"):
        check_claim(claim)
