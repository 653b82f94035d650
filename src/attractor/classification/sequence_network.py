"""A sequence classifier: a cell, pooling over time and a linear read-out."""

from dataclasses import dataclass, replace
from inspect import signature

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import (
    GRU,
    CellLike,
    State,
    StateNoise,
    exposed,
    exposed_size,
    initial_state,
    take_step,
    trained_cell,
)
from attractor.cells.building import CellBuilder
from attractor.cells.convolutions import RandomConvolutions
from attractor.errors import ConfigError
from attractor.scan import unroll
from attractor.training.networks import stacked, structure_of
from attractor.training.noise import NoisyState

from .convolution_branch import ConvolutionBranch, empty_branch

Stream = tuple[State, Array, Array, State]
"""Where a stream of samples stands: the state of the cell, the sum of what it exposed, steps so far, and the
state of the random convolutions (None without them)."""


class SequenceNetwork(eqx.Module):
    """Logits W p + b, where p is what the cell exposes after the last valid step, or its mean over time.

    Those of random convolutions are added where there are any.

    Args:
        cell: any cell.
        readout: W and b.
        pooling: "last" or "mean".
        dropout: share of p that a key drops.
        input_dropout: share of the channels that a key drops, the same ones at every step.
        convolutions: what the recurrent part corrects; None for none.
    """

    cell: CellLike
    readout: eqx.nn.Linear
    pooling: str = eqx.field(static=True, default="last")
    dropout: float = eqx.field(static=True, default=0.0)
    input_dropout: float = eqx.field(static=True, default=0.0)
    convolutions: ConvolutionBranch | None = None

    def __call__(
        self,
        inputs: Float[Array, "time channels"],
        length: ArrayLike | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, " classes"]:
        """Logits of one sequence; `key` switches noise and dropout on."""
        cell_key, input_key, output_key = (None,) * 3 if key is None else jax.random.split(key, 3)
        cell = held(self.cell)
        inputs = _dropped(inputs, self.input_dropout, input_key, (1, inputs.shape[1]))
        shown = None if self.pooling == "last" else lambda state: exposed(cell, state)
        shown, last = unroll(cell, inputs, length=length, key=cell_key, read=shown)
        if self.pooling == "last":
            pooled = exposed(cell, last)
        else:
            count = len(inputs) if length is None else length
            valid = jnp.arange(len(inputs))[:, None] < count
            pooled = jnp.where(valid, shown, 0.0).sum(axis=0) / count
        logits = self.readout(_dropped(pooled, self.dropout, output_key, pooled.shape))
        return logits if self.convolutions is None else logits + self.convolutions(inputs, length)

    def start(self) -> Stream:
        """Where a stream begins."""
        state, branch = initial_state(self.cell), self.convolutions
        patterns = None if branch is None else initial_state(branch.cell)
        return state, jnp.zeros_like(exposed(self.cell, state)), jnp.zeros(()), patterns

    def step(
        self, input: Float[Array, " channels"], stream: Stream
    ) -> tuple[Float[Array, " classes"], Stream]:
        """Logits after one more sample of a stream; after the last they equal those of the whole sequence."""
        state, total, steps, patterns = stream
        state = take_step(self.cell, input, state)
        shown = exposed(self.cell, state)
        if self.convolutions is not None:
            patterns = self.convolutions.step(input, patterns)
        stream = state, total + shown, steps + 1, patterns
        return self.logits(stream), stream

    def logits(self, stream: Stream) -> Float[Array, " classes"]:
        """Logits after the samples so far, at least one."""
        state, total, steps, patterns = stream
        pooled = exposed(self.cell, state) if self.pooling == "last" else total / steps
        if self.convolutions is None:
            return self.readout(pooled)
        return self.readout(pooled) + self.convolutions.logits(exposed(self.convolutions.cell, patterns))


def held(cell: CellLike) -> CellLike:
    """The cell itself, or one that no gradient reaches where it says that it is `fixed`."""
    if not getattr(cell, "fixed", False):
        return cell
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, cell)


def _dropped(values: Array, share: float, key: PRNGKeyArray | None, shape: tuple[int, ...]) -> Array:
    """Without a share of the values; the others are scaled up so that the mean stays."""
    if key is None or not share:
        return values
    kept = jax.random.bernoulli(key, 1 - share, shape)
    return jnp.where(kept, values / (1 - share), 0.0)


@dataclass(frozen=True)
class NetworkPlan:
    """Everything that decides the structure of a network; calling it with a key builds one.

    Args:
        cell: `cell(input_size, hidden_size, *, key)` builds a cell; one that also takes `groups` gets them.
        hidden_size: units per layer.
        layers: cells in the stack.
        inputs: number of channels.
        classes: number of classes.
        groups: which inputs belong together, for cells that ask; None leaves it to the cell.
        noise: in the hidden state, in training.
        pooling: "last" or "mean".
        dropout: shares of the pooled state and of the channels that training drops.
        convolutions: features of random convolutions, and the length of the series that they are made for;
            None for a network without them.
    """

    cell: CellBuilder
    hidden_size: int
    layers: int
    inputs: int
    classes: int
    groups: tuple[tuple[int, ...], ...] | None = None
    noise: StateNoise | None = None
    pooling: str = "last"
    dropout: tuple[float | int, float | int] = (0.0, 0.0)
    convolutions: tuple[int, int] | None = None

    @property
    def recurrent(self) -> "NetworkPlan":
        """The part that is trained by gradients."""
        return replace(self, convolutions=None)

    def bank(self, key: PRNGKeyArray) -> RandomConvolutions:
        """The random convolutions, not calibrated yet."""
        features, length = self.convolutions or (0, 1)
        return RandomConvolutions(self.inputs, features, length=length, key=key)

    def __call__(self, key: PRNGKeyArray) -> SequenceNetwork:
        """A fresh network."""
        cell_key, readout_key = jax.random.split(key)
        cell = stacked(self._cell, self.layers, self.inputs, cell_key)
        if self.noise is not None:
            cell = NoisyState(cell, self.noise)
        readout = eqx.nn.Linear(exposed_size(cell), self.classes, key=readout_key)
        branch = None if self.convolutions is None else empty_branch(self.bank(key), self.classes)
        return SequenceNetwork(cell, readout, self.pooling, *map(float, self.dropout), convolutions=branch)

    def _cell(self, level: int, inputs: int, key: PRNGKeyArray) -> CellLike:
        if self.groups is None or level:
            return trained_cell(self.cell, inputs, self.hidden_size, key=key)
        if "groups" not in signature(self.cell).parameters:
            raise ConfigError(
                f"groups were given, but {getattr(self.cell, '__name__', self.cell)} takes none; use mgrn"
            )
        return trained_cell(self.cell, inputs, self.hidden_size, groups=self.groups, key=key)


USUAL_UNITS = 64
_SIZES = (64, 48, 32, 24, 16, 12, 8, 6, 4)


def usual_units(plan: NetworkPlan) -> int:
    """Units of a layer where none are asked for: 64.

    A cell of groups has these for every group. It gets as many as leave it with no more weights than a GRU of
    64 units has, and at least 4.

    Args:
        plan: of the network, with any number of units.
    """
    if "groups" not in signature(plan.cell).parameters:
        return USUAL_UNITS
    plain = replace(plan.recurrent, layers=1)
    most = _weights(replace(plain, cell=GRU, groups=None, hidden_size=USUAL_UNITS))
    fitting = (size for size in _SIZES if _weights(replace(plain, hidden_size=size)) <= most)
    return next(fitting, _SIZES[-1])


def _weights(plan: NetworkPlan) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(structure_of(plan)) if hasattr(leaf, "size"))


def check_takes_missing(plan: NetworkPlan, cell: object) -> None:
    """Refuse to hand missing values to a cell whose state they spoil.

    Args:
        plan: builds the network.
        cell: what the user calls the cell.

    Raises:
        ConfigError: its logits are no numbers after a missing value.
    """
    network = plan(jax.random.key(0))
    logits, _ = eqx.filter_jit(network.step)(jnp.full(plan.inputs, jnp.nan), network.start())
    if not jnp.isfinite(logits).all():
        raise ConfigError(
            f"missing='cell': {cell!r} does not know what to do with a missing value; take a cell that does, "
            "such as mgrn, or another policy, such as 'forward+mask'"
        )


def with_branch(networks: SequenceNetwork, branch: ConvolutionBranch) -> SequenceNetwork:
    """A stack of networks, each with the same convolutions beside it."""
    count = len(networks.readout.weight)
    every = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, axis=0), branch)
    return replace(networks, convolutions=every)


def weakened(networks: SequenceNetwork, share: float) -> SequenceNetwork:
    """A stack of networks whose logits count only so much."""
    scaled = jax.tree.map(lambda leaf: share * leaf, networks.readout)
    return replace(networks, readout=scaled)


def once(network: SequenceNetwork, row: Float[Array, " channels"]) -> tuple[Stream, tuple[Array, Stream]]:
    """Everything that a prediction hangs on: start, one step, logits."""
    stream = network.start()
    return stream, network.step(row, stream)


@eqx.filter_jit
def one_step(
    network: SequenceNetwork, _programs: tuple[str, ...], channels: Array, state: Stream
) -> tuple[Array, Stream]:
    """Logits after one more sample, and the stream; compiled anew where the programs of a cell are others."""
    return network.step(channels, state)
