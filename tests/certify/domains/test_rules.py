"""Every rule against dense samples of values and derivatives, in cells that a user might write."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from written import Written, bounds_of_boxes, excess, random_boxes

from attractor.cells import GRU, LSTM, NNARX, EchoState, ResetAfterGRU, Stack
from attractor.certify.domains import RULES, Box, step_bounds
from attractor.errors import UnsupportedError
from attractor.program import step_program

ROUNDING = 1e-13
"""Samples are floats too: what may stick out, relative to 1 + |sample|."""
PERMUTED = np.array([2, 0, 1, 3])


def smooth(u, x):
    a, b, c = x[0], x[1], 3.0 + x[2]
    rows = [
        jnp.tanh(2 * a), jax.nn.sigmoid(3 * a + u[0]), jnp.exp(a - b), jnp.expm1(a), jnp.log(c), jnp.log1p(c),
        jnp.sqrt(c), jax.lax.rsqrt(c), jnp.sin(4 * a), jnp.cos(5 * b), jax.lax.erf(a), 1 / c, a / c, a**2,
        a**3, c**-2, c**1.7, c**b, 2.0**a, jnp.square(a), a / 3.0, 0.1 / c,
    ]  # fmt: skip
    return jnp.stack(rows)


def kinks(u, x):
    a, b = x[0], x[1]
    rows = [
        jnp.maximum(a, 0.1), jnp.minimum(a, b), jnp.maximum(a, b), jnp.abs(a), jax.lax.clamp(-0.3, a, 0.4),
        jnp.max(x[:3]), jnp.min(x[:3]), jax.nn.relu(a), jnp.where(a > 0, a, 0.1 * b),
        jnp.where(a <= b, 0.5, a), jnp.sign(b), jnp.floor(3 * a), jnp.where(u[0] >= 0.2, 1.0, -1.0),
        (a < b) * a, jnp.where(jnp.array([True])[0], a, b), jax.lax.clamp(a, u[0], b + 2),
        jnp.where(a == b, 1.0, 2.0), jnp.where(a != b, a, 2.0), jnp.minimum(0.2, a),
        jax.nn.leaky_relu(b), jax.nn.elu(a), jax.nn.selu(b), jax.nn.celu(a + b, 0.7),
        jnp.where(a > 0.25, 3 * a - 0.75, 0.0), jnp.where(0.0 < b, b, -0.3 * b),
    ]  # fmt: skip
    return jnp.stack(rows)


def activations(u, x):
    a, b = x[:4], x[4:8]
    normal = (a - a.mean()) / jnp.sqrt(a.var() + 0.01)
    heads = jnp.exp(b) / jnp.exp(b).sum()
    return jnp.concatenate([
        jax.nn.softplus(3 * a),
        jax.nn.gelu(a),
        jax.nn.gelu(b, approximate=False),
        jax.nn.silu(b * u),
        normal,
        heads,
    ])


def structure(u, x):
    a, b = jnp.split(x[:8], 2)
    padded = jnp.pad(a * b, (1, 2), constant_values=0.7)
    turned = x[:6].reshape(2, 3).T.ravel()[::-1]
    picked = jnp.take(a, jnp.array([3, 0]), mode="fill", fill_value=0.5)
    beyond = jnp.take(1 + a, jnp.array([1, 9]), mode="fill", fill_value=0.25)
    permuted = a[jnp.array(PERMUTED)] - a[jnp.array([0, 1, 2, 3])]
    cut = jax.lax.dynamic_slice(a, (1,), (2,)) - jax.lax.dynamic_slice(a, (2,), (2,))
    looped = jax.lax.fori_loop(0, 3, lambda i, y: 0.5 * y + jnp.tanh(y), b)
    wide = jnp.broadcast_to(a[0], (2,)) - jnp.broadcast_to(a[:1], (2,))
    inner = jax.lax.pad(a, x[0], ((1, 0, 1),))
    return jnp.concatenate([padded, turned, picked, beyond, permuted, cut, looped, wide, inner, u * a[:1]])


def products(u, x):
    matrix, vector = x[:4].reshape(2, 2), x[4:6]
    weight = jnp.array([[0.3, -0.7, 0.2], [0.5, 0.1, -0.4]])
    exact_left, exact_right = weight.T @ matrix, matrix @ weight
    mixed = x[0] * (1 - x[1]) + x[1] * x[2] * (x[0] - u[0])
    many = x[0] * x[1] * x[2] * x[3] * x[4] * x[5] * (u[0] + x[0])
    rows = [matrix @ vector, (matrix @ matrix).ravel(), jnp.outer(vector, vector).ravel(), exact_left.ravel()]
    rows += [exact_right.ravel(), jnp.stack([vector @ vector, mixed, many, (x[0] - x[0]) * 5, x[0] * x[0]])]
    return jnp.concatenate([*rows, jnp.einsum("ij,kj->ik", matrix, matrix).ravel()])


def logic(u, x):
    x = x[:8]
    inside, beyond = (x > -0.2) & (x < 0.9), ~(x * x < 1.5)
    turned = jnp.concatenate([inside[4:], beyond[:4]]) | beyond[::-1]
    most = jnp.broadcast_to(turned.reshape(2, 4).all(axis=0).any(), (8,))
    either = jnp.stack([inside, most]).any(axis=0)[jnp.array([1, 0, 3, 2, 5, 4, 7, 6])]
    return jnp.concatenate([jnp.where(turned, x, 2 * x), jnp.where(either & ~most, jnp.tanh(x), u * x)])


GROUPS = {
    "logic": logic,
    "smooth": smooth,
    "kinks": kinks,
    "activations": activations,
    "structure": structure,
    "products": products,
}


LONG = ("activations", "products", "smooth", "kinks")
"""Groups whose rules `test_attack.py` attacks one by one in the fast suite."""


@cache
def padded_state(update):
    """A cell whose state is as long as the update has rows; only the first components are read."""
    with jax.enable_x64(True):
        rows = len(jax.eval_shape(update, jnp.zeros(1), jnp.zeros(8)))
        return Written(lambda u, x: update(u, x), max(rows, 8))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in GROUPS]
)
def test_bounds_hold_dense_samples(name):
    with jax.enable_x64(True):
        cell = padded_state(GROUPS[name])
        found = excess(cell, *random_boxes(cell.hidden_size + 1, 7, seed=len(name)))
    for kind in ("value", "jacobian", "row sum"):
        assert (found[kind] <= ROUNDING).all(), (kind, np.flatnonzero(found[kind] > ROUNDING))


@pytest.mark.slow
def test_bounds_are_tight_where_they_can_be():
    """At a single point all bounds are the values; a product of independent factors has its exact range."""
    with jax.enable_x64(True):
        cell = padded_state(products)
        lows, highs = random_boxes(cell.hidden_size + 1, 7, seed=9)
        image, jacobian, _ = bounds_of_boxes(
            cell, *map(jnp.asarray, (lows, highs, np.ones(cell.hidden_size)))
        )
        assert float(jnp.max(image.high[0] - image.low[0])) < 1e-13
        assert float(jnp.max(jacobian.high[0] - jacobian.low[0])) < 1e-13
        x = [(lows[6, i], highs[6, i]) for i in (0, 1)]
        mixed = Written(lambda u, x: jnp.stack([x[1] * x[0] + (1 - x[1]) * 0.5, x[0]]), 2)
        box = Box(jnp.asarray([x[0][0], x[1][0], -1.0]), jnp.asarray([x[0][1], x[1][1], 1.0]), 2)
        corners = [b * a + (1 - b) * 0.5 for a in x[0] for b in x[1]]
        found = step_bounds(mixed, box).image
    np.testing.assert_allclose([found.low[0], found.high[0]], [min(corners), max(corners)], atol=1e-13)


def test_every_rule_is_exercised():
    with jax.enable_x64(True):
        seen = set()
        for update in GROUPS.values():
            seen |= set(step_program(padded_state(update)).primitives)
        cells = (GRU(1, 2, key=jax.random.key(0)), LSTM(1, 2, key=jax.random.key(0)))
        seen |= {name for cell in cells for name in step_program(cell).primitives}
    assert set(RULES) - seen <= {"add_any", "real", "expand_dims"}


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_bounds_of_the_cells_of_the_house_hold_dense_samples(scale):
    key = jax.random.key(1)
    cells = [
        GRU(2, 3, key=key), ResetAfterGRU(2, 3, key=key), LSTM(2, 3, key=key), EchoState(2, 4, key=key),
        NNARX(2, 5, order=2, key=key), Stack((GRU(2, 2, key=key), GRU(2, 3, key=key))),
        eqx.nn.GRUCell(2, 3, key=key), eqx.nn.LSTMCell(2, 3, key=key),
    ]  # fmt: skip
    with jax.enable_x64(True):
        for cell in cells:
            wide = jax.tree.map(
                lambda leaf: scale * jnp.asarray(leaf, float) if eqx.is_inexact_array(leaf) else leaf, cell
            )
            wrapped = wide if hasattr(wide, "initial_state") else _Named(wide)
            axes = wide.input_size + sum(leaf.size for leaf in jax.tree.leaves(wrapped.initial_state()))
            found = excess(wrapped, *random_boxes(axes, 6, seed=3))
            for kind in ("value", "jacobian", "row sum"):
                assert (found[kind] <= ROUNDING).all(), (type(cell).__name__, kind)


class _Named(eqx.Module):
    cell: eqx.Module

    @property
    def input_size(self):
        return self.cell.input_size

    def __call__(self, input, state, *, key=None):
        return self.cell(input, state)

    def initial_state(self):
        zeros = jnp.zeros(self.cell.hidden_size)
        return (zeros, zeros) if isinstance(self.cell, eqx.nn.LSTMCell) else zeros


def test_different_picks_of_one_state_do_not_cancel():
    """Two index arrays are traced under `jit` and look alike; read as one move, they would cancel."""
    with jax.enable_x64(True):
        cell = Written(lambda u, x: 2 * (x[jnp.array([0, 1])] - x[jnp.array([1, 0])]), 2)
        sums = bounds_of_boxes(cell, -jnp.ones((1, 3)), jnp.ones((1, 3)), jnp.ones(2))[2]
    assert (np.asarray(sums) >= 4).all()


@pytest.mark.parametrize(
    ("update", "named"),
    [
        (lambda u, x: 0.5 * x.astype(int).astype(float), "whole number"),
        (lambda u, x: jnp.sort(x), "sort"),
        (lambda u, x: x[jnp.argmax(x)] * x, "arg"),
        (lambda u, x: jnp.where((x > 0) ^ (x < 1), x, 0.0), "xor"),
    ],
)
def test_what_has_no_rule_is_named(update, named):
    with jax.enable_x64(True):
        cell = Written(update, 2)
        with pytest.raises(UnsupportedError, match=named):
            step_bounds(cell, Box(-jnp.ones(3), jnp.ones(3), 2))


def test_a_single_number_that_is_held_in_an_array_stays_known():
    """It is a constant of the program, and tells that both cases meet where the comparison changes."""
    level, slope = jnp.asarray(0.25), jnp.asarray(3.0)
    with jax.enable_x64(True):
        cell = Written(lambda u, x: jnp.where(x > level, slope * x - 0.75, 0.0), 2)
        found = step_bounds(cell, Box(-jnp.ones(3), jnp.ones(3), 2)).jacobian
    np.testing.assert_allclose(np.diagonal(found.high), [3, 3], rtol=1e-12)
    np.testing.assert_allclose(np.diagonal(found.low), [0, 0], atol=1e-12)
