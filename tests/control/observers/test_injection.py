"""Observers with gains: the proved rate holds at every sample, for extreme states and inputs as well."""

from itertools import pairwise

import equinox as eqx
import jax
import numpy as np
import pytest
from observer_cases import SIZE, one_step_pairs, random_model, simulate

from attractor.cells import GRU, LSTM, EchoState, Elman, ResetAfterGRU
from attractor.certify.stability.published import published_condition
from attractor.control.model import from_network
from attractor.control.observer import Observer, estimates
from attractor.control.observers import esn_observer, gru_observer, lstm_observer
from attractor.control.observers.injection import row_gains
from attractor.errors import ConfigError, ShapeError, UnsupportedError

PAIRS = 400

CASES = [
    (GRU, gru_observer, [0.1, 0.25, 0.4]),
    (ResetAfterGRU, gru_observer, [0.1, 0.2, 0.3]),
    (LSTM, lstm_observer, [0.03, 0.07, 0.11]),
]
IDS = ["GRU", "reset after", "LSTM"]


def extreme(draws, shape):
    """Half anywhere in [-1, 1], half at corners."""
    inside = draws.uniform(-1, 1, shape)
    return np.where(draws.uniform(size=(shape[0], 1)) < 0.5, np.sign(inside), inside)


def possible_states(draws, observer):
    """States within the set that the proof is about, many of them in corners; some pairs are close."""
    bound = np.asarray(observer.update_map.state_bound)
    first, second = (bound * extreme(draws, (PAIRS, len(bound))) for _ in range(2))
    near = draws.uniform(size=(PAIRS, 1)) < 0.3
    return first, np.where(near, 0.99 * first + 0.01 * second, second)


@pytest.mark.parametrize(("kind", "build", "scales"), CASES, ids=IDS)
@pytest.mark.parametrize("models", [6, pytest.param(90, marks=pytest.mark.slow)])
def test_the_error_shrinks_at_the_proved_rate_whatever_happens(kind, build, scales, models):
    draws, proved, tightest = np.random.default_rng(0), 0, 0.0
    for seed in range(models):
        model = random_model(kind, seed, scales[seed % 3], outputs=2)
        observer = build(model, input_bound=1.0)
        if not observer.statement.guaranteed:
            continue
        proved += 1
        weights = np.array(observer.statement.weights)
        pairs = possible_states(draws, observer)
        inputs = extreme(draws, (PAIRS, 2))
        noise = 0.3 * extreme(draws, (PAIRS, model.output_size))
        noise[: PAIRS // 2] = 0
        after = np.subtract(*one_step_pairs(model, observer.update_map, pairs, inputs, noise))
        before, after = (np.max(np.abs(error) / weights, axis=1) for error in (pairs[0] - pairs[1], after))
        rate, lasting = observer.statement.rate, observer.statement.gain_from_noise
        disturbed = lasting * (1 - rate) / weights.max() * np.abs(noise).max(axis=1)
        assert np.all(after <= rate * before + disturbed + 1e-12)
        tightest = max(tightest, np.max(after / (rate * before + disturbed + 1e-9)))
    assert proved >= models / 2
    assert tightest > 0.7  # the bound is not so loose that any observer would pass


@pytest.mark.parametrize(("kind", "build", "scales"), CASES, ids=IDS)
def test_a_wrong_start_is_forgotten_within_the_stated_number_of_samples(kind, build, scales):
    model = random_model(kind, 3, scales[0])
    observer = build(model)
    steps = observer.statement.settling_steps(0.01)
    inputs = np.random.default_rng(1).uniform(-1, 1, (steps + 1, 2))
    bound = np.asarray(observer.update_map.state_bound)
    states, outputs = simulate(model, 0.9 * bound, inputs)
    errors = np.abs(states - estimates(observer.update_map, -bound, inputs, outputs)).max(axis=1)
    bounds = observer.statement.amplification * observer.statement.rate ** np.arange(steps + 1)
    assert np.all(errors <= bounds * errors[0])
    assert errors[-1] <= 0.01 * errors[0]
    shown = np.abs(simulate_output(model, states[-1:] - errors[-1]) - outputs[-1:])
    assert shown.max() < 0.01 * np.abs(np.asarray(model.network.readout.weight)).sum() * 2


def simulate_output(model, states):
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(model.output)(jax.numpy.asarray(states)))


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_is_never_worse_than_the_published_one_and_gains_help(seed):
    model = random_model(GRU, seed, 0.04)
    cell = model.network.cell
    plain = published_condition(cell)
    observer = gru_observer(model)
    bare = gru_observer(model, largest_gain=0.0)
    assert plain.satisfied
    assert not np.asarray(bare.update_map.gain).any()
    assert observer.statement.rate <= bare.statement.rate <= plain.rate


@pytest.mark.parametrize(("kind", "build", "scales"), CASES, ids=IDS)
def test_nothing_is_claimed_where_nothing_is_proved(kind, build, scales):
    statement = build(random_model(kind, 0, 8.0)).statement
    assert statement.rate is None
    assert not statement.guaranteed
    assert statement.settling_steps(0.01) is None
    assert statement.text.startswith("none proved")


@pytest.mark.parametrize("with_bias", [True, False])
def test_equinox_cells_are_observed_like_our_own(with_bias):
    draws = np.random.default_rng(4)
    inputs = draws.uniform(-1, 1, (40, 2))
    for kind, build, size in (
        (eqx.nn.GRUCell, gru_observer, SIZE),
        (eqx.nn.LSTMCell, lstm_observer, 2 * SIZE),
    ):
        cell = kind(2, SIZE, use_bias=with_bias, key=jax.random.key(2))
        model = random_model(kind, 2, 0.05) if with_bias else with_cell(cell)
        observer = build(model)
        assert observer.statement.guaranteed
        states, outputs = simulate(model, np.full(size, 0.5), inputs)
        found = estimates(observer.update_map, np.full(size, -0.5), inputs, outputs)
        assert np.abs(states[-1] - found[-1]).max() < observer.statement.rate**39


def with_cell(cell):
    names = [name for name in ("weight_ih", "weight_hh") if hasattr(cell, name)]
    small = eqx.tree_at(
        lambda one: [getattr(one, name) for name in names],
        cell,
        [0.3 * getattr(cell, name) for name in names],
    )
    return from_network(small, np.ones((1, SIZE)), [0.0])


def test_a_reservoir_is_forgotten_at_the_rate_of_what_no_gain_can_reach():
    for seed, outputs in ((0, 1), (1, 2)):
        model = random_model(EchoState, seed, outputs=outputs)
        cell = model.network.cell
        observer = esn_observer(model)
        reservoir, seen = np.asarray(cell.reservoir), np.asarray(model.network.readout.weight)[:, :SIZE]
        blind = np.linalg.svd(seen)[2][outputs:]  # rows span the null space of C_x
        expected = 1 - cell.leak + cell.leak * np.linalg.norm(reservoir @ blind.T, 2)
        assert observer.statement.rate == pytest.approx(expected, rel=1e-9)
        inputs = np.random.default_rng(seed).uniform(-3, 3, (60, 2))
        states, outputs_seen = simulate(model, np.r_[np.full(SIZE, 0.8), 0.1, 0.2], inputs)
        start = np.r_[np.full(SIZE, -0.8), 0.1, 0.2]
        errors = np.linalg.norm(states - estimates(observer.update_map, start, inputs, outputs_seen), axis=1)
        assert all(new <= observer.statement.rate * old + 1e-15 for old, new in pairwise(errors))


def test_noise_moves_the_estimate_of_a_reservoir_by_no_more_than_stated():
    model = random_model(EchoState, 3)
    inputs, draws = np.random.default_rng(0).uniform(-1, 1, (400, 2)), np.random.default_rng(1)
    start = np.zeros(SIZE + 2)
    states, outputs = simulate(model, start, inputs)
    noise = 0.1 * np.sign(draws.normal(size=outputs.shape))
    observer = esn_observer(model)
    errors = np.abs(states - estimates(observer.update_map, start, inputs, outputs + noise))
    assert errors.max() <= 0.1 * observer.statement.gain_from_noise


def test_a_bound_on_the_gain_is_kept_and_costs_rate():
    model = random_model(GRU, 1, 0.05)
    free, capped = gru_observer(model), gru_observer(model, largest_gain=0.004)
    assert np.abs(np.asarray(capped.update_map.gain)).sum(axis=1).max() <= 0.004 + 1e-9
    assert free.statement.rate < capped.statement.rate
    assert capped.statement.gain_from_noise < free.statement.gain_from_noise
    reservoir = random_model(EchoState, 1)
    damped = esn_observer(reservoir, largest_gain=0.05)
    assert np.linalg.norm(np.asarray(damped.update_map.gain), 2) == pytest.approx(0.05, rel=1e-6)
    assert damped.statement.rate > esn_observer(reservoir).statement.rate
    for build, one in ((gru_observer, model), (esn_observer, reservoir)):
        with pytest.raises(ConfigError, match="largest_gain=-1"):
            build(one, largest_gain=-1.0)


def test_gains_of_one_output_are_a_weighted_median():
    """min over l of sum w_j |u_j - l c_j| is reached at a ratio u_j / c_j: all of them are tried."""
    draws = np.random.default_rng(0)
    weight, readout, scale = draws.normal(size=(4, 5)), draws.normal(size=(1, 5)), draws.uniform(0.1, 1, 5)
    found = row_gains(weight, readout, scale)

    def cost(row, gain):
        return np.sum(scale * np.abs(row - gain * readout[0]))

    for row, gain in zip(weight, found[:, 0], strict=True):
        best = min(cost(row, ratio) for ratio in row / readout[0])
        assert cost(row, gain) == pytest.approx(best, rel=1e-7)


def test_a_measurement_that_is_missing_leaves_the_model_alone_and_a_wild_one_is_cut():
    model = random_model(GRU, 2)
    observer = gru_observer(model)
    assert isinstance(observer, Observer)
    given = np.array([0.2, -0.3])
    expected = simulate(model, np.zeros(SIZE), np.stack([given, given]))[0][1]
    np.testing.assert_allclose(observer.update(given, np.array([np.nan])), expected, atol=1e-15)
    np.testing.assert_array_equal(observer.estimate, observer.estimate)
    observer.start(np.zeros(SIZE))
    wild = observer.update(given, np.array([1e9]))
    observer.start(np.zeros(SIZE))
    edge = np.asarray(observer.update_map.output_high)
    np.testing.assert_array_equal(wild, observer.update(given, edge))
    observer.start(np.full(SIZE, 7.0))
    np.testing.assert_array_equal(observer.estimate, np.ones(SIZE))


def test_what_does_not_fit_is_refused():
    model = random_model(GRU, 2)
    observer = gru_observer(model)
    with pytest.raises(ShapeError, match="measured output has shape"):
        observer.update(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="input holds values that are not finite"):
        observer.update(np.array([np.nan, 0.0]), np.zeros(1))
    other = eqx.tree_at(
        lambda one: one.network.cell,
        model,
        Elman(2, SIZE, key=jax.random.key(0)),
        is_leaf=lambda leaf: leaf is model.network.cell,
    )
    for build in (gru_observer, lstm_observer, esn_observer):
        with pytest.raises(UnsupportedError, match="Elman"):
            build(other)
