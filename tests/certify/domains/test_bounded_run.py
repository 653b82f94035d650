"""Bounds that are trained against hold every value, follow what their inputs do, and have a gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, LSTM, MemoryGated, initial_state, take_step
from attractor.certify.domains import Interval
from attractor.certify.domains.affine import unrelated
from attractor.certify.domains.bounded_run import Bound, bounded, bounded_run
from attractor.errors import ShapeError, UnsupportedError

STEPS, INPUTS = 6, 2
# Twice the rounding of a few hundred operations of numbers up to ten.
ROUNDING = 1e-12


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


class Leaky(eqx.Module):
    """A cell as a user writes one: a leak, a rectifier, a product with its own state, a choice."""

    weight: jax.Array
    input_size: int = eqx.field(static=True, default=INPUTS)

    def initial_state(self):
        return {"level": jnp.zeros(3), "mean": jnp.zeros(())}

    def __call__(self, input, state, *, key=None):
        seen = jnp.maximum(self.weight @ jnp.concatenate([input, state["level"]]), 0.0)
        level = 0.6 * state["level"] + 0.4 * jnp.where(seen > 0.5, seen, seen * state["mean"]) / (1 + seen**2)
        return {"level": level, "mean": 0.9 * state["mean"] + 0.1 * jnp.sin(level).mean()}


CELLS = {
    "GRU": lambda key: GRU(INPUTS, 3, key=key),
    "LSTM": lambda key: LSTM(INPUTS, 3, key=key),
    "mGRN": lambda key: MemoryGated(INPUTS, 2, key=key),
    "own": lambda key: Leaky(jax.random.normal(key, (3, INPUTS + 3))),
}


def in_double(cell):
    return jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_inexact_array(leaf) else leaf, cell)


def bounds_and_runs(cell, radius, *, relaxed, window=4, length=None, runs=400):
    """Bounds of the last state, and last states of random and extreme inputs of the box."""
    middle = jax.random.normal(jax.random.key(1), (STEPS, INPUTS))
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), initial_state(cell))

    def step(input, state):
        return take_step(cell, input, state)

    @jax.jit
    def bound(low, high):
        box = Interval(low, high)
        return bounded_run(step, start, box, length=length, relaxed=relaxed, window=window)

    draws = jax.random.uniform(jax.random.key(2), (runs, STEPS, INPUTS), minval=-1.0)
    draws = jnp.concatenate([draws, jnp.sign(draws)])[:, : STEPS if length is None else length]
    inputs = middle[: draws.shape[1]] + radius * draws
    last = jax.vmap(lambda values: jax.lax.scan(lambda s, u: (step(u, s), None), start, values)[0])(inputs)
    return bound(middle - radius, middle + radius), last


def leaves(tree):
    return jax.tree.leaves(tree, is_leaf=lambda one: isinstance(one, Bound))


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_every_run_stays_inside(name, relaxed):
    cell = in_double(CELLS[name](jax.random.key(0)))
    for radius in (0.05, 0.6):
        bounds, runs = bounds_and_runs(cell, radius, relaxed=relaxed)
        for bound, values in zip(leaves(bounds), jax.tree.leaves(runs), strict=True):
            assert (values >= bound.low - ROUNDING).all()
            assert (values <= bound.high + ROUNDING).all()
            if bound.affine is not None:
                low, high = bound.affine.interval
                assert (values >= low - ROUNDING).all()
                assert (values <= high + ROUNDING).all()


@pytest.mark.parametrize("name", ["GRU", "own"])
def test_without_a_change_the_bound_is_the_run(name):
    cell = in_double(CELLS[name](jax.random.key(0)))
    bounds, runs = bounds_and_runs(cell, 0.0, relaxed=True, runs=1)
    for bound, values in zip(leaves(bounds), jax.tree.leaves(runs), strict=True):
        np.testing.assert_allclose(bound.low, values[0], atol=1e-9)
        np.testing.assert_allclose(bound.high, values[0], atol=1e-9)


def test_affine_forms_are_nearer_to_what_runs_reach_than_intervals():
    cell = in_double(LSTM(INPUTS, 3, key=jax.random.key(0)))
    plain, runs = bounds_and_runs(cell, 0.1, relaxed=False)
    relaxed, _ = bounds_and_runs(cell, 0.1, relaxed=True, window=STEPS)
    widths = [np.concatenate([one.high - one.low for one in leaves(tree)]) for tree in (plain, relaxed)]
    reached = np.concatenate([np.ptp(leaf, axis=0) for leaf in jax.tree.leaves(runs)])
    assert (widths[1] - reached).sum() < 0.3 * (widths[0] - reached).sum()


def test_steps_behind_the_length_change_nothing():
    cell = in_double(GRU(INPUTS, 3, key=jax.random.key(0)))
    bounds, runs = bounds_and_runs(cell, 0.2, relaxed=True, length=3)
    again, _ = bounds_and_runs(cell, 0.2, relaxed=True, length=3)
    (bound,), (values,) = leaves(bounds), jax.tree.leaves(runs)
    assert (values >= bound.low - ROUNDING).all()
    assert (values <= bound.high + ROUNDING).all()
    np.testing.assert_array_equal(bound.low, leaves(again)[0].low)
    assert (bound.high - bound.low < 1.2 * np.ptp(values, axis=0) + 0.1).all()


def test_the_gradient_is_that_of_the_bound():
    weight = jax.random.normal(jax.random.key(0), (2, 2))
    box = Interval(jnp.full((3, 2), -0.3), jnp.full((3, 2), 0.2))

    @jax.jit
    def width(shift):
        last = bounded_run(lambda u, s: jnp.tanh((weight + shift) @ s + u), jnp.zeros(2), box)
        return (last.high - last.low).sum()

    slope, step = jax.jit(jax.grad(width))(0.0), 1e-6
    np.testing.assert_allclose(slope, (width(step) - width(-step)) / (2 * step), rtol=1e-5)


def square_box(low, high):
    """Two numbers of a box, each with a symbol of its own."""
    interval = Interval(jnp.asarray(low, float), jnp.asarray(high, float))
    plain = unrelated(interval, 2)
    return Bound(interval, plain._replace(generators=jnp.diag(plain.rest), rest=jnp.zeros(2)))


FUNCTIONS = {
    "what cancels": (lambda x: x[:1] - x[:1] + 2 * x[1:] - 2 * x[1:], 1e-12),
    "moves and sums": (lambda x: (x[::-1] * 2)[1:] + jnp.stack([x[1], x[0]])[:1] - x.sum() - x[:1], 1e-12),
    "matrices": (lambda x: jnp.array([[2.0, -1.0], [4.0, -2.0]]) @ x @ jnp.array([[-2.0], [1.0]]), 1e-12),
    "divided": (lambda x: x[:1] / 4 - 0.25 * x[:1], 1e-12),
    "a bent function": (lambda x: jnp.tanh(x[:1]) - 0.9 * x[:1], 0.2),
    "a product": (lambda x: x[:1] * x[1:], 0.3),
    "of two": (lambda x: jnp.exp(x) @ jnp.exp(-x) + jnp.maximum(x[0], x[1]), 3.0),
    "known": (lambda x: jnp.ones(1), 1e-12),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_held_as_tightly_as_first_order_can(name):
    function, most = FUNCTIONS[name]
    low, high = np.array([-0.4, 0.1]), np.array([0.3, 0.6])
    found = bounded(function, square_box(low, high))
    draws = np.random.default_rng(0).uniform(low, high, (500, 2))
    values = np.asarray(jax.vmap(function)(draws)).reshape(500, -1)
    assert (values >= found.low.ravel() - ROUNDING).all()
    assert (values <= found.high.ravel() + ROUNDING).all()
    assert (found.high - found.low <= np.ptp(values, axis=0) + most).all()


@pytest.mark.parametrize("name", ["sqrt", "abs", "sin", "logistic", "integer_pow", "log", "floor"])
def test_curved_functions_hold_at_their_edges(name):
    functions = {
        "sqrt": jnp.sqrt, "abs": jnp.abs, "sin": jnp.sin, "logistic": jax.nn.sigmoid,
        "integer_pow": lambda x: x**3, "log": jnp.log, "floor": jnp.floor,
    }  # fmt: skip
    generator, function = np.random.default_rng(0), functions[name]
    for _ in range(8):
        low = generator.uniform(0.0 if name in ("sqrt", "log") else -4.0, 3.0, 2) * generator.integers(0, 2)
        high = low + generator.uniform(0, 3, 2) * generator.integers(0, 2, 2)
        low, high = (low + 0.01, high + 0.01) if name == "log" else (low, high)
        found = bounded(function, square_box(low, high))
        values = np.asarray(function(jnp.linspace(low, high, 200)))
        affine = found.affine.interval
        for least, most in ((found.low, found.high), affine):
            assert (values >= least - 1e-9).all()
            assert (values <= most + 1e-9).all()


def test_a_step_that_returns_something_else_is_refused():
    box = Interval(jnp.zeros((3, 1)), jnp.ones((3, 1)))
    with pytest.raises(ShapeError, match="another tree"):
        bounded_run(lambda u, s: jnp.concatenate([s, u]), jnp.zeros(1), box)


def test_a_primitive_without_a_rule_is_named():
    box = Interval(jnp.zeros((3, 1)), jnp.ones((3, 1)))
    with pytest.raises(UnsupportedError, match="sort"):
        bounded_run(lambda u, s: jnp.sort(s + u), jnp.zeros(1), box)


def test_a_state_with_a_counter_is_refused():
    box = Interval(jnp.zeros((3, 1)), jnp.ones((3, 1)))
    with pytest.raises(UnsupportedError, match="the state holds int"):
        bounded_run(lambda u, s: (s[0] + u, s[1] + 1), (jnp.zeros(1), jnp.asarray(0)), box)
