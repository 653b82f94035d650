"""A fitted classifier as one step over samples in the unit of the data, for exports."""

from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import Cell, State
from attractor.errors import UnsupportedError

from .classifier import SequenceClassifier
from .sequence_network import SequenceNetwork, Stream


class StreamCell(Cell):
    """The state of a classifier after one more sample.

    Args:
        network: takes scaled samples.
        offset: what is taken off every variable.
        scale: by what it is then divided.
    """

    network: SequenceNetwork
    offset: Float[Array, " variables"]
    scale: Float[Array, " variables"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, network: SequenceNetwork, offset: np.ndarray, scale: np.ndarray) -> None:
        self.network = network
        self.offset, self.scale = (jnp.asarray(part, jnp.float32) for part in (offset, scale))
        self.input_size = len(offset)
        self.hidden_size = sum(np.size(leaf) for leaf in jax.tree.leaves(network.start()))

    def __call__(
        self, input: Float[Array, " variables"], state: State, *, key: PRNGKeyArray | None = None
    ) -> State:
        """One more sample, in the unit of the data."""
        _, stream = self.network.step((input - self.offset) / self.scale, cast(Stream, state))
        return stream

    def initial_state(self) -> State:
        """Nothing seen."""
        return self.network.start()


class StreamedClassifier(eqx.Module):
    """A cell and its output: the probabilities of the classes after the samples so far.

    Args:
        cell: takes samples in the unit of the data.
        temperature: by which logits are divided.
    """

    cell: StreamCell
    temperature: float = eqx.field(static=True)

    def read(self, state: State) -> Float[Array, " classes"]:
        """Calibrated probabilities, in the order of the classes."""
        logits = self.cell.network.logits(cast(Stream, state)) / self.temperature
        weights = jnp.exp(logits - jnp.max(logits))
        return weights / jnp.sum(weights)


def streamed(model: SequenceClassifier) -> StreamedClassifier:
    """A fitted classifier as a step that can be exported.

    Raises:
        UnsupportedError: a model that fills gaps, which an exported step cannot.
    """
    if model.missing != "error":
        raise UnsupportedError(
            f"this model was trained with missing={model.missing!r}; an exported step takes samples without "
            "gaps: train with missing='error' for it"
        )
    scaling = model.scaling_
    cell = StreamCell(model.network(), np.asarray(scaling.offset), np.asarray(scaling.scale))
    return StreamedClassifier(cell, float(model.temperature_))
