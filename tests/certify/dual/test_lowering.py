"""Programs in normal form compute what the programs compute, and what bounds cannot read is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, LSTM, Elman
from attractor.certify.dual.lowering import network_of
from attractor.errors import UnsupportedError
from attractor.program import double_precision, in_double_precision, trace

_KERNEL = np.random.default_rng(0).normal(size=(2, 1, 3))


def _convolved(x):
    return jax.lax.conv_general_dilated(x.reshape(1, 1, 6), jnp.asarray(_KERNEL, x.dtype), (2,), [(1, 1)])


FUNCTIONS = {
    "softplus": jax.nn.softplus,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "softmax": jax.nn.softmax,
    "leaky": jax.nn.leaky_relu,
    "norm": lambda x: x / jnp.sqrt(1 + jnp.sum(x**2)),
    "largest": lambda x: jnp.max(x.reshape(2, 3), axis=1) - jnp.min(x),
    "choice": lambda x: jnp.where(x > 0.1, x, 2 * x) + jnp.where(x <= 0.0, 1.0, 0.0),
    "logic": lambda x: jnp.where((x > 0) & ~(x > 0.3) | (x == 0.2), x, -x),
    "powers": lambda x: x**3 + x**2 + (x**2 + 1) ** 0.5 + (x + 2) ** -2,
    "clip": lambda x: jnp.clip(x, -0.2, 0.3) + jax.lax.clamp(-0.1, x, 0.2),
    "quotient": lambda x: x / (2 + x[::-1]) + 1 / (3 + x) + x / 3,
    "waves": lambda x: jnp.sin(3 * x) + jnp.cos(2 * x),
    "outer": lambda x: jnp.einsum("i,j,j->i", x, x, x) + jnp.outer(x, x) @ x,
    "moves": lambda x: jnp.concatenate([x[jnp.array([0, 2, 0])] * jnp.arange(3.0), jnp.roll(x, 2)[::2]]),
    "stack": lambda x: jnp.stack([x, jnp.tile(x[:3], 2)], axis=1).T.ravel() + jnp.pad(x, (2, 4)),
    "matrices": lambda x: x.reshape(2, 3) @ np.arange(6.0).reshape(3, 2) + x.reshape(3, 2).T[:, :2],
    "batched": lambda x: jnp.einsum("bij,bjk->bik", x.reshape(1, 2, 3), jnp.ones((1, 3, 2))),
    "convolution": _convolved,
    "loop": lambda x: jax.lax.scan(lambda c, u: (jnp.tanh(c + u), c), x[0], x)[1],
    "log": lambda x: jnp.log(x + 2) + jnp.log1p(x + 1) + jnp.expm1(x),
    "erf": lambda x: jax.scipy.special.erf(x) + jnp.abs(x),
    "constant": lambda x: jnp.ones(3) + 0 * x[:3],
    "gates": lambda x: jax.nn.sigmoid(x) * jnp.tanh(x[::-1]) + (1 - jax.nn.sigmoid(x)) * x,
}


@pytest.fixture(autouse=True)
def _double():
    with double_precision():
        yield


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_the_network_computes_what_the_program_computes(name):
    function = FUNCTIONS[name]
    network = network_of(trace(function, jnp.zeros(6)))
    inputs = np.random.default_rng(1).uniform(-0.6, 0.6, (20, 6))
    inputs[0, 0] = 0.2
    expected = np.stack([np.ravel(function(jnp.asarray(row))) for row in inputs])
    np.testing.assert_allclose(network.evaluate(inputs), expected, atol=1e-12)


@pytest.mark.parametrize("kind", [GRU, LSTM, Elman])
def test_a_cell_over_three_steps_is_a_network(kind):
    cell = in_double_precision(kind(2, 3, key=jax.random.key(0)))

    def last(inputs):
        state = cell.initial_state()
        for step in range(3):
            state = cell(inputs[step], state)
        return cell.exposed(state)

    network = network_of(trace(last, jnp.zeros((3, 2))))
    inputs = np.random.default_rng(2).uniform(-1, 1, (5, 3, 2))
    expected = np.stack([last(jnp.asarray(one)) for one in inputs])
    np.testing.assert_allclose(network.evaluate(inputs.reshape(5, -1)), expected, atol=1e-12)


def test_the_gradient_is_that_of_the_program():
    function = FUNCTIONS["gates"]
    network = network_of(trace(function, jnp.zeros(6)))
    inputs = np.random.default_rng(3).uniform(-1, 1, (4, 6))
    rows = np.random.default_rng(4).normal(size=(4, 6))
    expected = [
        jax.grad(lambda x, row=row: jnp.dot(function(x), row))(jnp.asarray(one))
        for one, row in zip(inputs, rows, strict=True)
    ]
    np.testing.assert_allclose(network.gradient(inputs, rows), np.stack(expected), atol=1e-12)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (lambda x: jnp.sort(x), "sort"),
        (lambda x: x.astype(jnp.float16).astype(x.dtype), "float16"),
        (lambda x: (-2.0) ** (x[0] * x), "exponent depends"),
        (lambda x: x[jnp.int32(x[0])], "an index that depends"),
        (lambda x: jnp.arange(3.0)[jnp.int32(x[0])], "an index that depends"),
        (lambda x: jax.lax.dynamic_slice(x, (jnp.int32(x[0]),), (2,)), "an index that depends"),
        (lambda x: jnp.zeros(3).at[jnp.int32(x[0])].set(1.0), "an index that depends"),
        (lambda x: jnp.int32(x) // 2, "whole numbers that depend"),
        (lambda x: ~jnp.int32(x), "whole numbers that depend"),
        (lambda x: jnp.int32(x) & 1, "whole numbers that depend"),
        (lambda x: x[:2] + jax.random.normal(jax.random.key(0), (2,)), "random numbers"),
    ],
)
def test_what_bounds_cannot_read_is_named_with_its_line(function, named):
    with pytest.raises(UnsupportedError, match=named) as caught:
        network_of(trace(function, jnp.zeros(6)))
    assert "test_lowering.py" in str(caught.value)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cumulative_sums_are_sums(axis, reverse):
    with double_precision():
        inputs = np.random.default_rng(0).normal(size=(3, 2, 4))
        network = network_of(trace(lambda x: jax.lax.cumsum(x, axis, reverse=reverse), jnp.asarray(inputs)))
        expected = np.asarray(jax.lax.cumsum(jnp.asarray(inputs), axis, reverse=reverse)).ravel()
    np.testing.assert_allclose(network.evaluate(inputs.ravel()[None])[0], expected, atol=1e-12)
