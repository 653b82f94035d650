"""Networks that begin as the best regression, so that training starts where linear identification ends."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from attractor.cells import NeuralStateSpace, late_inputs
from attractor.control.baselines import Autoregression, Recordings, fit_polynomial_narx
from attractor.program import single

from .plant_network import Encoder, NetworkPlan, PlantNetwork

WEIGHTS = (1.0, 2.0)
"""Of the squared errors over training and validation data."""
_IN_LINE = 0.05
"""Slope of the encoder's units that carry the linear estimate of a state; tanh is nearly linear there."""


@dataclass(frozen=True)
class Start:
    """How a recording starts.

    Args:
        feedthrough: whether an input acts on the output of the same sample.
        settled: rows that do not count.
        past: rows from which the initial state is read; 0 starts from rest.
    """

    feedthrough: bool
    settled: int
    past: int

    @property
    def first(self) -> int:
        """The first lag of an input that acts."""
        return 0 if self.feedthrough else 1


class FromRegression(eqx.Module):
    """Builds a network that begins as a regression, from a key.

    The numbers of the regression are arrays of it, so that trainings from regressions of one size share their
    compiled programs.

    Args:
        plan: builds the network.
        begin: puts the numbers into it.
        numbers: of the regression.
    """

    plan: NetworkPlan = eqx.field(static=True)
    begin: Callable[..., PlantNetwork] = eqx.field(static=True)
    numbers: tuple[Array, ...]

    def __call__(self, key: PRNGKeyArray) -> PlantNetwork:
        """A fresh network."""
        return self.begin(self.plan(key), self.numbers)


def begin_as_linear(network: PlantNetwork, numbers: tuple[Array, ...]) -> PlantNetwork:
    """A network of a `Linear` or `NeuralStateSpace` cell with the numbers of a `LinearStart`."""
    transition, gain, shown, offset, reading, reading_offset = numbers
    cell: Any = network.inner
    readout: Any = network.readout  # neither family makes outputs itself
    size = len(transition)
    states = cell.transition.at[:size].set(0.0).at[:, :size].set(0.0).at[:size, :size].set(transition)
    cell = eqx.tree_at(
        lambda c: (c.transition, c.input_weight), cell, (states, cell.input_weight.at[:size].set(gain))
    )
    if isinstance(cell, NeuralStateSpace):
        cell = eqx.tree_at(lambda c: c.outer_weight, cell, jnp.zeros_like(cell.outer_weight))
    weight = jnp.zeros_like(readout.weight).at[:, :size].set(shown)
    readout = eqx.tree_at(lambda r: (r.weight, r.bias), readout, (weight, offset))
    encoder = None if network.encoder is None else _reading_encoder(network.encoder, reading, reading_offset)
    return replace(network.with_inner(cell), readout=readout, encoder=encoder)


def _reading_encoder(encoder: Encoder, reading: Array, reading_offset: Array) -> Encoder:
    """Its first units carry the linear estimate, the others are silent at first."""
    first, last = encoder.network.layers
    size, bias = len(reading), jnp.asarray(first.bias)
    out = jnp.zeros_like(last.weight).at[:size, :size].set(jnp.eye(size) / _IN_LINE)
    values = (
        first.weight.at[:size].set(_IN_LINE * reading),
        bias.at[:size].set(_IN_LINE * reading_offset),
        out,
        jnp.zeros(size if last.bias is None else last.bias.shape),
    )
    return eqx.tree_at(
        lambda e: (
            e.network.layers[0].weight,
            e.network.layers[0].bias,
            e.network.layers[1].weight,
            e.network.layers[1].bias,
        ),
        encoder,
        values,
    )


def begin_as_polynomial(network: PlantNetwork, numbers: tuple[Array, ...]) -> PlantNetwork:
    """A network of a `PolynomialNARX` cell with the numbers of a regression: weights, and both limits."""
    cell: Any = network.inner
    filled = eqx.tree_at(lambda c: (c.weights, c.low, c.high), cell, numbers)
    return replace(network.with_inner(filled), readout=None)


@dataclass(frozen=True, eq=False)
class PolynomialStart:
    """A regression on past samples and their products.

    Args:
        model: on scaled signals.
    """

    model: Autoregression

    @property
    def order(self) -> int:
        """Past samples of every signal."""
        return self.model.order

    def builder(self, plan: NetworkPlan) -> "FromRegression":
        """What builds a network of a `PolynomialNARX` cell that computes what this model does."""
        found = self.model
        return FromRegression(
            plan, begin_as_polynomial, tuple(map(single, (found.weights, found.low, found.high)))
        )


def find_polynomial_start(
    training: Recordings, validation: Recordings, start: Start, delays: tuple[int, ...] = ()
) -> PolynomialStart | None:
    """The model whose order and penalty simulate training and validation data best, as of the linear one.

    None where there are too few rows.

    Args:
        training: scaled inputs and outputs.
        validation: the same, for the choice; it counts twice.
        start: how a recording starts; the rows that tell the state must hold all past samples.
        delays: samples by which the inputs are late before they act; empty for none.
    """
    learned, judged = ([(late_inputs(u, delays), y) for u, y in side] for side in (training, validation))
    found = fit_polynomial_narx(learned, judged, start.settled, (start.first,), WEIGHTS)
    return None if found is None or 0 < start.settled < found.order else PolynomialStart(found)
