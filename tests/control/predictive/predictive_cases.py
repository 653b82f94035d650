"""Small models with known answers, and situations in which to plan for them."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor.cells import GRU, LSTM, Cell, Stack
from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard, from_network
from attractor.control.predictive import ControlProblem, Limits, Situation, TargetFinder
from attractor.data import Scaling, Signal
from attractor.program import single_precision


class LinearCell(Cell):
    """x' = A x + B u: a cell of a user's own."""

    transition: Array
    driven: Array
    input_size: int
    hidden_size: int

    def __call__(self, input, state, *, key=None):
        return self.transition @ state + self.driven @ input


def linear(transition, driven, reading):
    transition, driven = jnp.asarray(transition, float), jnp.asarray(driven, float)
    cell = LinearCell(transition, driven, driven.shape[1], len(transition))
    return from_network(cell, reading, np.zeros(len(reading)))


@cache
def linear_model():
    """Two inputs, three states, two outputs; spectral radius 0.8."""
    generator = np.random.default_rng(3)
    transition = generator.standard_normal((3, 3))
    transition *= 0.8 / np.abs(np.linalg.eigvals(transition)).max()
    # Numbers that float32 holds exactly, since cells are made in float32.
    rounded = [
        np.round(256 * one) / 256
        for one in (transition, generator.standard_normal((3, 2)), generator.standard_normal((2, 3)))
    ]
    return linear(*rounded), *rounded


@cache
@single_precision()  # draws the same weights whatever the process has set
def gru_model(hidden=4, inputs=1, outputs=1):
    cell = GRU(inputs, hidden, timescales=(2.0, 8.0), key=jax.random.key(5))
    reading = np.random.default_rng(6).standard_normal((outputs, hidden))
    return from_network(cell, reading, 0.1 * np.arange(outputs))


@cache
def gru_finder():
    return TargetFinder(gru_model(), ControlProblem(5, limits=Limits(-0.8, 0.8)))


@cache
def stack_model():
    first, second = LSTM(2, 2, key=jax.random.key(1)), GRU(2, 2, key=jax.random.key(2))
    return from_network(Stack((first, second)), np.array([[1.0, -0.5], [0.3, 2.0]]), [0.1, 0.2])


def situation(model, horizon, seed=0, **changes):
    """A random one; `changes` replace fields."""
    generator = np.random.default_rng(seed)
    states, inputs, outputs = model.state_size, model.input_size, model.output_size
    root = generator.standard_normal((states, states))
    fields = {
        "state": generator.uniform(-0.5, 0.5, states),
        "last_input": generator.uniform(-0.5, 0.5, inputs),
        "references": generator.uniform(-0.5, 0.5, (horizon, outputs)),
        "target_state": generator.uniform(-0.5, 0.5, states),
        "target_input": generator.uniform(-0.5, 0.5, inputs),
        "disturbance": generator.uniform(-0.1, 0.1, outputs),
        "terminal": root @ root.T,
    }
    return Situation(**(fields | changes))


def card(model, *, scale=2.0, offset=10.0):
    """Plant units that differ from scaled ones in scale and offset."""
    inputs, outputs = model.input_size, model.output_size
    signals = Signals(
        tuple(Signal(f"u{i}", "V") for i in range(inputs)),
        tuple(Signal(f"y{i}", "m") for i in range(outputs)),
        0.5,
    )
    return ModelCard(
        signals,
        Scaling(np.full(inputs, offset), np.full(inputs, scale)),
        Scaling(np.full(outputs, -offset), np.full(outputs, 3 * scale)),
    )
