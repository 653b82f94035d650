"""A plant model: a cell, a read-out and, if wanted, an encoder of the initial state."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from attractor.cells import (
    CellLike,
    Delayed,
    State,
    exposed,
    exposed_size,
    initial_state,
    name_of,
    take_step,
    trained_cell,
)
from attractor.cells.building import CellBuilder
from attractor.program import layout_of
from attractor.scan import unroll
from attractor.training.networks import stacked

ENCODER_WIDTH = 32
"""Hidden units of an encoder."""


class Encoder(eqx.Module):
    """The state after a few measured samples, by a small tanh network.

    x_W = E(u_0, y_0, ..., u_{W-1}, y_{W-1}) (Masti and Bemporad 2021; Beintema, Toth and Schoukens 2021).

    Args:
        past: W, number of samples.
        signals: inputs plus outputs.
        state_size: numbers in the state of the cell.
        width: hidden units.
        key: draws the weights.
    """

    network: eqx.nn.MLP
    past: int = eqx.field(static=True)

    def __init__(
        self, past: int, signals: int, state_size: int, *, width: int = ENCODER_WIDTH, key: PRNGKeyArray
    ) -> None:
        self.network = eqx.nn.MLP(past * signals, state_size, width, 1, _tanh, _unchanged, key=key)
        self.past = past

    @property
    def reach(self) -> tuple[Float[np.ndarray, " real"], Float[np.ndarray, " real"]]:
        """Lowest and highest states that it can give, whatever the samples are: its units stay within 1."""
        last = self.network.layers[-1]
        weight, bias = (np.asarray(part, float) for part in (last.weight, last.bias))
        width = (1 + 1e-5) * np.abs(weight).sum(axis=1) + 1e-5 * np.abs(bias)  # for the rounding of float32
        return bias - width, bias + width

    def __call__(self, inputs: Float[Array, "past inputs"], outputs: Float[Array, "past outputs"]) -> Array:
        """The flat state."""
        return self.network(jnp.concatenate([inputs, outputs], axis=1).ravel())


def _tanh(values: Array) -> Array:
    """Tanh as a function that can be pickled, as that of JAX cannot."""
    return jnp.tanh(values)


def _unchanged(values: Array) -> Array:
    """The identity as a function that can be pickled, as the default of Equinox cannot."""
    return values


class PlantNetwork(eqx.Module):
    """y_k = C h(x_{k+1}) + c with feedthrough, y_k = C h(x_k) + c without; x_{k+1} = cell(u_k, x_k).

    All signals are scaled. A cell that makes outputs itself (NNARX) has no read-out.

    Args:
        cell: any cell.
        readout: C and c; None if the cell exposes the outputs.
        encoder: gives the state after the washout from measured samples; None starts from the cell's own
            initial state.
        feedthrough: whether u_k may act on y_k.
    """

    cell: CellLike
    readout: eqx.nn.Linear | None
    encoder: Encoder | None
    feedthrough: bool = eqx.field(static=True)

    def __call__(
        self, inputs: Float[Array, "time inputs"], state: State, valid: Bool[Array, " time"] | None = None
    ) -> tuple[Float[Array, "time outputs"], State]:
        """Outputs in free run and the last state; rows after the valid ones leave the state untouched."""
        length = None if valid is None else valid.sum()
        shown, last = unroll(self.cell, inputs, state, length=length, read=self._shown)
        if not self.feedthrough:
            shown = jnp.concatenate([self._shown(state)[None], shown[:-1]])
        return (shown if self.readout is None else jax.vmap(self.readout)(shown)), last

    @property
    def reads_state(self) -> bool:
        """Whether `start` reads measured outputs."""
        return self.encoder is not None or hasattr(self.inner, "measured_state")

    @property
    def inner(self) -> CellLike:
        """The cell, without the delays before it."""
        return self.cell.cell if isinstance(self.cell, Delayed) else self.cell

    def with_inner(self, cell: CellLike) -> "PlantNetwork":
        """The network with another cell behind the same delays."""
        return replace(self, cell=Delayed(cell, self.cell.delays) if isinstance(self.cell, Delayed) else cell)

    @property
    def starts(self) -> tuple[Float[np.ndarray, " real"], Float[np.ndarray, " real"]] | None:
        """The box of states from which a simulation may start; None where there is no encoder.

        What the encoder can give, the cell's own start, and states within +- 1, where a controller may begin.
        Inputs under way are within [-1, 1], the range of the training data.
        """
        if self.encoder is None:
            return None
        low, high = self.encoder.reach
        if isinstance(self.cell, Delayed):
            under_way = np.ones(self.cell.longest * len(self.cell.delays))
            low, high = np.concatenate([-under_way, low]), np.concatenate([under_way, high])
        rest = initial_state(self.cell)
        layout = layout_of(rest, name_of(self.cell))
        own = np.asarray(layout.flatten(rest), float)[: layout.real_size]
        return np.minimum(np.minimum(low, own), -1.0), np.maximum(np.maximum(high, own), 1.0)

    def read(self, state: State) -> Float[Array, " outputs"]:
        """The output that a state shows."""
        shown = self._shown(state)
        return shown if self.readout is None else self.readout(shown)

    def _shown(self, state: State) -> Float[Array, " exposed"]:
        return exposed(self.cell, state)

    def start(self, inputs: Float[Array, "past inputs"], outputs: Float[Array, "past outputs"]) -> State:
        """The state after measured samples, as the model estimates it.

        A measurable state is read off; an encoder is asked; otherwise the cell runs over the samples from
        its initial state and has forgotten it at their end. No samples: the cell's initial state.
        """
        if len(inputs) == 0:
            return initial_state(self.cell)
        if isinstance(self.cell, Delayed):
            seen = inputs if self.encoder is not None else self.cell.late(inputs)
            return self.cell.register(inputs), replace(self, cell=self.cell.cell).start(seen, outputs)
        if hasattr(self.cell, "measured_state"):
            return self._read_off(inputs, outputs)
        if self.encoder is None:
            return unroll(self.cell, inputs).last
        past = self.encoder.past
        return self._encoded(inputs, self.encoder(inputs[-past:], outputs[-past:]))

    def _encoded(self, inputs: Float[Array, "past inputs"], vector: Float[Array, " real"]) -> State:
        """A state with these numbers in its real part, its counters, flags and keys as after the samples."""
        rest = initial_state(self.cell)
        layout = layout_of(rest, name_of(self.cell), vector.dtype)
        if not layout.discrete:
            return layout.restore(vector)
        return layout.with_real(unroll(self.cell, inputs, rest).last, vector)

    def _read_off(self, inputs: Float[Array, "past inputs"], outputs: Float[Array, "past outputs"]) -> State:
        """The state after measured samples of a cell whose state they are.

        Without feedthrough the state that shows y_k was made by u_{k-1}, so that the newest sample makes one
        step more; what came before the first sample is taken to be the first input.
        """
        cell: Any = self.cell  # one with a `measured_state`
        if self.feedthrough:
            return cell.measured_state(inputs, outputs)
        before = jnp.concatenate([inputs[:1], inputs[:-1]])
        return take_step(cell, inputs[-1], cell.measured_state(before, outputs))


@dataclass(frozen=True)
class NetworkPlan:
    """Everything that decides the structure of a network; calling it with a key builds one.

    Args:
        cell: `cell(input_size, hidden_size, *, key)` builds a cell.
        hidden_size: units a layer.
        layers: cells in the stack.
        inputs: number of inputs.
        outputs: number of outputs.
        past: number of measured samples that the encoder reads; 0 for no encoder.
        feedthrough: whether u_k may act on y_k.
        encoder_width: hidden units of the encoder.
        delays: samples by which every input is late; empty for none.
    """

    cell: CellBuilder
    hidden_size: int
    layers: int
    inputs: int
    outputs: int
    past: int
    feedthrough: bool
    encoder_width: int = ENCODER_WIDTH
    delays: tuple[int, ...] = ()

    def __call__(self, key: PRNGKeyArray) -> PlantNetwork:
        """A fresh network."""
        cell_key, readout_key, encoder_key = jax.random.split(key, 3)
        cell = stacked(self._cell, self.layers, self.inputs, cell_key)
        readout = None
        if not hasattr(cell, "output_size"):
            readout = eqx.nn.Linear(exposed_size(cell), self.outputs, key=readout_key)
        encoder = None
        # A fixed cell has its read-out fitted in one go: nothing would train its encoder.
        if self.past and not hasattr(cell, "measured_state") and not getattr(cell, "fixed", False):
            size = layout_of(initial_state(cell), name_of(cell)).real_size
            signals = self.inputs + self.outputs
            encoder = Encoder(self.past, signals, size, width=self.encoder_width, key=encoder_key)
        cell = Delayed(cell, self.delays) if self.delays else cell
        return PlantNetwork(cell, readout, encoder, self.feedthrough)

    def _cell(self, level: int, inputs: int, key: PRNGKeyArray) -> CellLike:
        del level
        return trained_cell(self.cell, inputs, self.hidden_size, key=key, output_size=self.outputs)
