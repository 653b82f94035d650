"""What the terminal costs promise: the decrease under the target's input, and bounds on the cost to come."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from attractor.cells import GRU, LSTM
from attractor.control.model import from_network
from attractor.control.predictive import (
    CertifiedTerminal,
    ComparisonTerminal,
    LocalTerminal,
    NoTerminal,
)
from attractor.control.predictive.terminal import check_comparison, diagonal_comparison_cost, terminal_rule
from attractor.errors import ConfigError, ShapeError


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def row_sum(*matrices):
    return np.abs(np.concatenate([np.atleast_2d(one.T).T for one in matrices], axis=1)).sum(axis=1).max()


def lstm_comparison(cell):
    """The comparison matrix of an LSTM of one unit for (|h|, |c|), after arXiv 2304.02975."""
    weight, recurrent, bias = (
        np.asarray(one, float) for one in (cell.input_weight, cell.state_weight, cell.bias)
    )
    parts = zip(np.split(weight, 4), np.split(recurrent, 4), np.split(bias, 4), strict=True)
    write, keep, candidate, show = (row_sum(w, u, b[:, None]) for w, u, b in parts)
    write, keep, show, candidate = sigmoid(write), sigmoid(keep), sigmoid(show), np.tanh(candidate)
    most = write * candidate / (1 - keep)
    u_write, u_keep, u_candidate, u_show = np.abs(recurrent[:, 0])
    cross = u_keep * most / 4 + write * u_candidate + u_write * candidate / 4
    hidden = [cross * show + np.tanh(most) * u_show / 4, show * keep]
    return np.array([hidden, [cross, keep]]), most


def small(cell, factor):
    return jax.tree.map(lambda leaf: factor * leaf if hasattr(leaf, "dtype") else leaf, cell)


@pytest.fixture(scope="module")
def lstm():
    cell = small(LSTM(1, 1, timescales=(1.5, 2.0), key=jax.random.key(0)), 0.5)
    matrix, most = lstm_comparison(cell)
    return from_network(cell, [[0.7]], [0.0]), matrix, most


def lstm_pairs(model, most):
    """Steps of random pairs under one input: differences before and after, and of the outputs after."""
    generator = np.random.default_rng(0)
    count = 400
    scale = np.array([1.0, most])
    with jax.enable_x64(True):
        one, two = (jnp.asarray(scale * generator.uniform(-1, 1, (count, 2))) for _ in range(2))
        inputs = jnp.asarray(generator.uniform(-1, 1, (count, 1)))
        ahead = jax.jit(jax.vmap(model.step))
        after_one, after_two = ahead(one, inputs), ahead(two, inputs)
        shown = jax.vmap(model.output)(after_one) - jax.vmap(model.output)(after_two)
        return np.asarray(one - two), np.asarray(after_one - after_two), np.asarray(shown)


def test_comparison_costs_fall_by_what_they_promise(lstm):
    """f(10): the decrease along true steps of an LSTM."""
    model, matrix, most = lstm
    before, after, shown = lstm_pairs(model, most)
    assert (np.abs(after) <= np.abs(before) @ matrix.T + 1e-14).all()
    squares = (before**2).sum(axis=1)
    diagonal = diagonal_comparison_cost(matrix, 2.0)
    smooth = [(one**2) @ diagonal for one in (before, after)]
    assert (smooth[1] - smooth[0] <= -2.0 * squares + 1e-12).all()
    # As a terminal rule it falls by at least the cost of the outputs of the next sample.
    cost = ComparisonTerminal(matrix).at(np.zeros((2, 2)), np.array([[0.7, 0.0]]), np.array([3.0]))
    fall = [np.einsum("ki,ij,kj->k", one, cost.matrix, one) for one in (before, after)]
    assert (fall[1] - fall[0] <= -3.0 * shown[:, 0] ** 2 + 1e-12).all()
    assert (cost.local, cost.decreases_after) == (False, 1)


def test_the_diagonal_cost_exists_for_every_contracting_comparison_matrix():
    generator = np.random.default_rng(1)
    for size in (1, 2, 5, 9):
        matrix = generator.random((size, size)) * (generator.random((size, size)) < 0.7)
        matrix *= 0.97 / max(np.abs(np.linalg.eigvals(matrix)).max(), 0.1)
        diagonal = np.diag(diagonal_comparison_cost(matrix, 1.0))
        assert np.linalg.eigvalsh(diagonal - matrix.T @ diagonal @ matrix - np.eye(size)).min() > -1e-8


def test_the_local_cost_is_the_cost_to_come_of_the_linearisation():
    generator = np.random.default_rng(2)
    jacobian, reading = generator.standard_normal((4, 4)), generator.standard_normal((2, 4))
    jacobian *= 0.9 / np.abs(np.linalg.eigvals(jacobian)).max()
    weight = np.array([1.0, 3.0])
    cost = LocalTerminal().at(jacobian, reading, weight)
    seen = reading @ jacobian
    expected = scipy.linalg.solve_discrete_lyapunov(jacobian.T, seen.T @ np.diag(weight) @ seen)
    np.testing.assert_allclose(cost.matrix, expected, rtol=1e-9, atol=1e-12)
    state, total = generator.standard_normal(4), 0.0
    start = state
    for _ in range(400):
        state = jacobian @ state
        total += weight @ (reading @ state) ** 2
    np.testing.assert_allclose(start @ cost.matrix @ start, total, rtol=1e-9)
    assert cost.local


@pytest.mark.parametrize("radius", [1.0, 1.3])
def test_without_a_stable_target_there_is_no_local_cost(radius):
    cost = LocalTerminal().at(np.diag([radius, 0.5]), np.ones((1, 2)), np.ones(1))
    np.testing.assert_array_equal(cost.matrix, 0.0)
    assert cost.decreases_after is None


@dataclass
class Certificate:
    weights: np.ndarray
    rate: float


def contracting_gru():
    """A GRU with its published rate, for weights of one (arXiv 2011.06806, layout of Cho et al.)."""
    cell = small(GRU(1, 3, timescales=(1.5, 2.5), key=jax.random.key(3)), 0.6)
    weight, gates, inner, bias = (
        np.asarray(one, float)
        for one in (cell.input_weight, cell.gate_weight, cell.candidate_weight, cell.bias)
    )
    keep = sigmoid(row_sum(weight[:3], gates[:3], bias[:3, None]))
    reset = sigmoid(row_sum(weight[3:6], gates[3:], bias[3:6, None]))
    candidate = np.tanh(row_sum(weight[6:], inner, bias[6:, None]))
    beta = row_sum(inner) * (reset + row_sum(gates[3:]) / 4)
    rate = keep + (1 - keep) * beta + (1 + candidate) * row_sum(gates[:3]) / 4
    return from_network(cell, [[1.0, -0.5, 0.3]], [0.0]), Certificate(np.ones(3), float(rate))


def test_the_certified_cost_bounds_the_cost_to_come_and_falls_when_it_says():
    model, certificate = contracting_gru()
    assert certificate.rate < 1
    rule = terminal_rule(certificate)
    reading = np.array([[1.0, -0.5, 0.3]])
    cost = rule.at(np.eye(3), reading, np.array([2.0]))
    within = cost.decreases_after
    assert 3 * certificate.rate ** (2 * within) < 1
    assert within == 1 or 3 * certificate.rate ** (2 * within - 2) >= 1
    generator = np.random.default_rng(4)
    with jax.enable_x64(True):

        def run(state, target, given):
            def ahead(pair, _):
                pair = tuple(model.step(one, given) for one in pair)
                return pair, (pair[0] - pair[1], model.output(pair[0]) - model.output(pair[1]))

            return jax.lax.scan(ahead, (state, target), None, 300)[1]

        start, target, given = (jnp.asarray(generator.uniform(-1, 1, (60, n))) for n in (3, 3, 1))
        apart, shown = (np.asarray(one) for one in jax.jit(jax.vmap(run))(start, target, given))
    first = np.asarray(start - target)
    before = np.einsum("bi,ij,bj->b", first, cost.matrix, first)
    later = np.einsum("bi,ij,bj->b", apart[:, within - 1], cost.matrix, apart[:, within - 1])
    assert (later < before).all()
    assert (2.0 * (shown[..., 0] ** 2).sum(axis=1) <= before * (1 + 1e-12)).all()
    # The left form of the docstring falls in every sample, at the proven rate.
    size = np.abs(np.concatenate([first[:, None], apart], axis=1)).max(axis=2)
    assert (size[:, 1:] <= certificate.rate * size[:, :-1] + 1e-15).all()


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: CertifiedTerminal(np.ones(2), 1.0), ConfigError, "rate"),
        (lambda: CertifiedTerminal(np.array([1.0, 0.0]), 0.5), ConfigError, "positive"),
        (lambda: diagonal_comparison_cost(np.array([[0.5, -0.1], [0.0, 0.5]])), ConfigError, "at least 0"),
        (lambda: diagonal_comparison_cost(np.array([[1.0]])), ConfigError, "spectral radius"),
        (lambda: check_comparison(np.ones((1, 2))), ShapeError, "square"),
        (lambda: terminal_rule(3), ConfigError, "certificate"),
        (
            lambda: CertifiedTerminal(np.ones(2), 0.5).at(np.eye(3), np.ones((1, 3)), np.ones(1)),
            ShapeError,
            "weights",
        ),
    ],
)
def test_what_is_no_proof_is_refused(build, error, text):
    with pytest.raises(error, match=text):
        build()


def test_no_terminal_cost_is_zero():
    np.testing.assert_array_equal(NoTerminal().at(np.eye(2), np.ones((1, 2)), np.ones(1)).matrix, 0.0)
