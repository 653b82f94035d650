"""Channel-wise LSTM: the usual rival of networks that know groups of variables.

Harutyunyan, Khachatrian, Kale, Ver Steeg and Galstyan 2019, *Multitask learning and benchmarking with
clinical time series data*, arXiv 1703.07771.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .contract import Cell, weight_dtype
from .lstm import LSTM, LSTMState
from .mgrn import joint_width
from .partition import Partition


class ChannelMemory(NamedTuple):
    """The state: (h, c) of every group with the groups in the rows, and (h, c) of the joint LSTM."""

    marginal: tuple[Float[Array, "groups hidden"], Float[Array, "groups hidden"]]
    joint: LSTMState


class ChannelwiseLSTM(Cell):
    """An LSTM of width H for each group of variables, and an LSTM of width int(s H) on all their outputs.

    It runs forward in time only. The first layer of the benchmark it comes from is bidirectional, and reads
    each window to its end before the joint layer starts; that one can neither stream nor predict, and has
    twice the marginal weights. Missing values are treated as in `MemoryGated`: NaN counts as zero, a group
    without any value keeps its memory, and a step without any value leaves the whole state untouched.

    Args:
        input_size: length of the input.
        hidden_size: H, the width of the LSTM of every group.
        groups: positions of the variables of each group (see `parse_groups`); one group a variable if None.
        joint_factor: s.
        key: draws the weights.

    Raises:
        ConfigError: groups that are no partition, or a width below one.

    Example:
        >>> import jax
        >>> cell = ChannelwiseLSTM(3, 4, groups=((0, 2), (1,)), key=jax.random.key(0))
        >>> cell.exposed(cell(jnp.ones(3), cell.initial_state())).shape
        (8,)
    """

    marginal: LSTM
    joint: LSTM
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    partition: Partition = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        groups: Sequence[Sequence[int]] | None = None,
        joint_factor: float | int = 2,
        key: PRNGKeyArray,
    ) -> None:
        joint_size = joint_width(hidden_size, joint_factor)
        self.partition = partition = Partition.of(groups, input_size)
        marginal_key, joint_key = jax.random.split(key)
        keys = jax.random.split(marginal_key, len(partition.groups))
        marginal = eqx.filter_vmap(lambda own: LSTM(partition.widest, hidden_size, key=own))(keys)
        weight = jnp.where(partition.filled[:, None], marginal.input_weight, 0)
        self.marginal = eqx.tree_at(lambda lstm: lstm.input_weight, marginal, weight)
        self.joint = LSTM(len(partition.groups) * hidden_size, joint_size, key=joint_key)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(
        self, input: Shaped[Array, " inputs"], state: ChannelMemory, *, key: PRNGKeyArray | None = None
    ) -> ChannelMemory:
        """One step."""
        _, grouped, observed = self.partition.observe(input)
        new = eqx.filter_vmap(lambda lstm, own, old: lstm(own, old))(self.marginal, grouped, state.marginal)
        marginal = jax.tree.map(lambda one, old: jnp.where(observed[:, None], one, old), new, state.marginal)
        joint = self.joint(marginal[0].reshape(-1), state.joint)
        joint = jax.tree.map(lambda one, old: jnp.where(observed.any(), one, old), joint, state.joint)
        return ChannelMemory(marginal, joint)

    def initial_state(self) -> ChannelMemory:
        """Zeros for all memories."""
        zeros = jnp.zeros((len(self.partition.groups), self.hidden_size), weight_dtype(self))
        return ChannelMemory((zeros, zeros), self.joint.initial_state())

    def exposed(self, state: ChannelMemory) -> Float[Array, " joint"]:
        """The hidden vector of the joint LSTM."""
        return state.joint[0]
