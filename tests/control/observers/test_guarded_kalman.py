"""A filter whose gain is held back keeps the rate that it promises, and is still a filter."""

import numpy as np
import pytest
from observer_cases import random_model, simulate

from attractor.cells import GRU, Cell
from attractor.certify.stability.published import published_condition
from attractor.control.model import from_network
from attractor.control.observer import estimates
from attractor.control.observers import Contraction, NoiseLevels, guarded_kalman_observer, kalman_observer
from attractor.errors import ConfigError, ShapeError, UnsupportedError

SHARP = NoiseLevels(process=0.3, measurement=0.01)


def contraction(model, size=3):
    """The published condition of a GRU: the largest component over the unit box."""
    rate = published_condition(model.network.cell).rate
    return Contraction(rate, np.ones(size), -np.ones(size), np.ones(size))


def errors(observer, model, inputs, scale=1.0):
    """Largest component of the error over time, from opposite corners of a box of this size."""
    corner = scale * np.array([1.0, -1.0, -1.0])
    states, outputs = simulate(model, corner, inputs)
    return np.abs(states - estimates(observer.update_map, -corner, inputs, outputs)).max(axis=1)


def test_the_rate_is_kept_where_the_filter_alone_breaks_it():
    """The filter removes the mean of the error (1, -1, -1), whose largest component grows by a third."""
    model = from_network(Shrinking(), np.ones((1, 3)), [0.0])
    box = Contraction(0.95, np.ones(3), -np.ones(3), np.ones(3))
    inputs = np.zeros((30, 2))
    alone = errors(kalman_observer(model, SHARP), model, inputs, 0.5)
    found = errors(guarded_kalman_observer(model, box, SHARP), model, inputs, 0.5)
    assert alone[1] == pytest.approx(4 / 3 * 0.95, rel=1e-2)
    assert np.all(found[1:] <= 0.95**0.5 * found[:-1] + 1e-14)
    assert found[1] > 0.95 + 1e-3  # part of the gain is used


def test_the_rate_is_kept_at_every_sample():
    inputs = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    for seed in range(2):
        model = random_model(GRU, seed, 0.04)
        observer = guarded_kalman_observer(model, contraction(model), SHARP)
        found = errors(observer, model, inputs)
        assert np.all(found[1:] <= observer.statement.rate * found[:-1] + 1e-14)


def test_without_need_the_gain_is_not_touched():
    model = random_model(GRU, 1, 0.04)
    inputs = np.random.default_rng(1).uniform(-1, 1, (30, 2))
    calm = NoiseLevels(process=1e-3, measurement=1.0, initial=0.05)
    guarded = guarded_kalman_observer(model, contraction(model), calm)
    np.testing.assert_allclose(
        errors(guarded, model, inputs, 0.5),
        errors(kalman_observer(model, calm), model, inputs, 0.5),
        atol=1e-12,
    )


def test_what_is_no_proof_is_refused():
    model = random_model(GRU, 1, 0.04)
    good = contraction(model)
    with pytest.raises(ConfigError, match="rate=1"):
        guarded_kalman_observer(model, Contraction(1.0, good.weights, good.low, good.high))
    with pytest.raises(ConfigError, match="that of the contraction"):
        guarded_kalman_observer(model, good, rate=0.1)
    with pytest.raises(ShapeError, match="model of 3 states"):
        guarded_kalman_observer(model, contraction(model, 2))
    with pytest.raises(UnsupportedError, match="Squaring may show a nonlinear function"):
        guarded_kalman_observer(from_network(Squaring(), np.ones((1, 3)), [0.0]), good)
    plain = guarded_kalman_observer(from_network(Shrinking(), np.ones((1, 3)), [0.0]), good)
    assert plain.statement.guaranteed


class Shrinking(Cell):
    """A cell of a user who shows the state as it is."""

    input_size: int = 2
    hidden_size: int = 3

    def __call__(self, input, state, *, key=None):
        return 0.95 * state


class Squaring(Shrinking):
    """Another one who does not."""

    def exposed(self, state):
        return state**2
