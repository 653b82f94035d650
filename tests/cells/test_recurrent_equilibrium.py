from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import RecurrentEquilibrium
from attractor.errors import ConfigError
from attractor.program import interpret, step_program
from attractor.scan import explain, unroll

KEY = jax.random.key(0)
built = eqx.filter_jit(RecurrentEquilibrium)  # one program in place of dozens
CELL = built(2, 3, neurons=4, key=KEY)
STEP = eqx.filter_jit(lambda cell, u, x: cell(u, x))
MATRICES = eqx.filter_jit(lambda cell: cell.matrices())


@cache
def shapes(rate):
    return eqx.filter_eval_shape(lambda: RecurrentEquilibrium(2, 3, neurons=4, rate=rate, key=KEY))


def drawn(rate, seed=0, size=1.0):
    """A cell in float64 with all weights drawn anew, by NumPy; use it inside `jax.enable_x64(True)`."""
    draw = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jax.device_put(size * draw.standard_normal(leaf.shape)), shapes(rate))


@jax.jit
@jax.vmap
def distances(cell, u, one, other):
    """Of pairs of states before and after a step, in the metric of the cell."""
    metric, _ = cell.metric()
    before, after = one - other, jax.vmap(cell)(u, one) - jax.vmap(cell)(u, other)
    return tuple(jnp.einsum("ki,ij,kj->k", d, metric, d) for d in (before, after))


def blocks(cell):
    """The matrices of the implicit model, in the letters of the paper."""
    factor = np.asarray(cell.factor)
    h = factor.T @ factor + 1e-4 * np.eye(10)
    n, m = 3, 7
    skew = np.asarray(cell.skew)
    p = h[m:, m:]
    return {
        "F": h[m:, :n],
        "B1": h[m:, n:m],
        "P": p,
        "C1": -h[n:m, :n],
        "E": (h[:n, :n] + p / cell.rate**2 + skew - skew.T) / 2,
        "Lambda": np.diag(h[n:m, n:m]) / 2,
        "D11": -np.tril(h[n:m, n:m], -1),
    }


def test_a_step_solves_the_implicit_equations():
    with jax.enable_x64(True):
        cell = drawn(0.9)
        draw = np.random.default_rng(1)
        u, x = draw.standard_normal(2), draw.standard_normal(3)
        new = np.asarray(STEP(cell, jnp.asarray(u), jnp.asarray(x)))
        cell = jax.tree.map(np.asarray, cell)
    made = blocks(cell)
    w = np.zeros(4)
    for index in range(4):
        heard = (made["C1"] @ x + made["D11"] @ w)[index] / made["Lambda"][index]
        w[index] = np.tanh(heard + (cell.neuron_input_weight @ u + cell.neuron_bias)[index])
    direct = made["E"] @ (cell.input_weight @ u + cell.bias)
    # Entries up to about 10, and one solution of 3 equations.
    np.testing.assert_allclose(made["E"] @ new, made["F"] @ x + made["B1"] @ w + direct, atol=1e-12)


@pytest.mark.parametrize("rate", [1.0, 0.8])
@pytest.mark.parametrize("size", [0.3, 3.0])
def test_two_runs_under_the_same_inputs_approach_each_other_at_the_promised_rate(rate, size):
    """60 networks, 40 pairs each, inputs up to a hundred: 2400 steps without an exception."""
    with jax.enable_x64(True):
        cells = [drawn(rate, seed, size) for seed in range(60)]
        many = jax.tree.map(lambda *leaves: np.stack(leaves), *cells)
        draw = np.random.default_rng(0)
        u, one, other = (draw.standard_normal((60, 40, k)) for k in (2, 3, 3))
        u = u * 10.0 ** draw.integers(-1, 3, (60, 40, 1))
        before, after = map(np.asarray, distances(many, u, one, other))
    assert np.all(np.isfinite(after))
    assert np.all(before > 0)
    assert np.all(after <= rate**2 * before * (1 + 1e-9))
    assert np.max(after / before) > 0.05 * rate**2, "the promise is not an empty one"


@pytest.mark.parametrize("rate", [1.0, 0.8])
def test_the_metric_is_that_of_the_paper(rate):
    with jax.enable_x64(True):
        cell = drawn(rate, 3)
        metric = np.asarray(MATRICES(cell).metric)
    made = blocks(cell)
    np.testing.assert_allclose(metric, made["E"].T @ np.linalg.solve(made["P"], made["E"]), rtol=1e-9)
    assert np.linalg.eigvalsh(0.5 * (metric + metric.T))[0] > 0
    assert np.linalg.cond(made["E"]) < np.inf


def test_gradients_reach_all_parameters():
    def loss(cell):
        return jnp.sum(unroll(cell, jnp.ones((4, 2))).states ** 2)

    gradient = eqx.filter_jit(eqx.filter_grad(loss))(CELL)
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == 6
    for leaf in leaves:
        assert np.all(np.isfinite(leaf))
        assert np.any(leaf != 0)


def test_the_matrices_are_made_once_a_sequence():
    told = explain(CELL, jnp.zeros((5, 2)))
    made = len(jax.make_jaxpr(lambda cell: cell.matrices()[:4])(CELL).jaxpr.eqns)
    assert told.once >= made - 2


@pytest.mark.slow
def test_the_program_of_a_step_is_the_step():
    program = step_program(CELL)
    u, x = jnp.array([0.3, -0.8]), jnp.array([0.1, -0.2, 0.4])
    [found] = interpret(program, {}, [u, x], "evaluation")
    np.testing.assert_allclose(found, STEP(CELL, u, x), atol=1e-6)


def test_states_forget_with_the_promised_time_constants():
    cell = built(1, 4, timescales=(2.0, 54.0), key=KEY)
    found = np.sort(np.abs(np.linalg.eigvals(np.asarray(MATRICES(cell).transition))))
    # The random part of X shortens memories a little.
    np.testing.assert_allclose(1 - found, 1 / np.array([2, 6, 18, 54]), rtol=0.3)


def test_a_rate_shortens_memories_that_it_forbids():
    cell = built(1, 4, rate=0.6, timescales=(2.0, 54.0), key=KEY)
    assert cell.rate == 0.6
    assert np.max(np.abs(np.linalg.eigvals(np.asarray(MATRICES(cell).transition)))) < 0.6


def test_an_ensemble_is_built_by_vmap_over_keys():
    build = eqx.filter_jit(eqx.filter_vmap(lambda key: RecurrentEquilibrium(2, 3, key=key)))
    many = build(jax.random.split(KEY, 2))
    assert many.factor.shape == (2, 9, 9)
    assert not np.allclose(many.factor[0], many.factor[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "rate=0.0"),
        ({"rate": 1.5}, "rate=1.5"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"neurons": 0}, "neurons=0"),
        ({"timescales": (0.5, 3.0)}, "timescales"),
    ],
)
def test_an_option_outside_its_range_is_refused_by_name(options, message):
    with pytest.raises(ConfigError, match=message):
        RecurrentEquilibrium(2, 3, key=KEY, **options)
