"""Memory-gated recurrent network: a small GRU for every group of variables and one joint memory.

Zhang, Wu, Peng, Dai, Zhang and Wang 2021, *Memory-gated recurrent networks*, AAAI, arXiv 2012.13121.
Beside it stands its usual rival, the channel-wise LSTM: Harutyunyan, Khachatrian, Kale, Ver Steeg and
Galstyan 2019, *Multitask learning and benchmarking with clinical time series data*, arXiv 1703.07771.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from attractor.errors import ConfigError

from .building import FAMILIES
from .contract import Cell, weight_dtype
from .initial import Timescales, timescale_bias
from .lstm import LSTM, LSTMState
from .partition import Partition

_FEEDS = ("candidate", "state")


class GroupMemory(NamedTuple):
    """The state: one marginal memory for each group, and the joint memory.

    Args:
        marginal: h^k in the rows.
        joint: j.
    """

    marginal: Float[Array, "groups hidden"]
    joint: Float[Array, " joint"]


class MemoryGates(NamedTuple):
    """All that one step decides; the new state is keep * old + (1 - keep) * candidate.

    Args:
        keep: z^k of the groups, 1 where a group is not observed.
        candidate: n^k, the old h^k where a group is not observed.
        joint_keep: g, 1 where no group is observed.
        joint_candidate: c.
    """

    keep: Float[Array, "groups hidden"]
    candidate: Float[Array, "groups hidden"]
    joint_keep: Float[Array, " joint"]
    joint_candidate: Float[Array, " joint"]


class MemoryGated(Cell):
    r"""A GRU of width H for each of K groups of variables, and one joint memory of width J = int(s H).

    For group k with its variables u^k, equations (1) to (8) of the paper in our order of terms:

    r = sigmoid(W_r u^k + U_r h^k + b_r), z = sigmoid(W_z u^k + U_z h^k + b_z),
    n = tanh(W_n u^k + r * (U_n h^k) + b_n), h^k' = z * h^k + (1 - z) * n,

    and for the joint memory, which reads the candidates n of all groups and the whole input u,

    c = tanh(U_c [n^1; ...; n^K] + b_c), g = sigmoid(W_g u + U_g j + b_g), j' = g * j + (1 - g) * c.

    Groups never see one another, and the joint memory feeds nothing back: the Jacobian of a step is block
    lower triangular. All groups are one batched product; a group with fewer variables than the widest is
    filled up with zeros, whose weights are and stay zero. A read-out sees j.

    **Missing values.** A NaN counts as zero, the mean of a scaled variable. A group whose variables are all
    NaN is not observed in that step: its memory stays as it is (z = 1), and its candidate is its old memory,
    so that the joint memory goes on seeing what the group last knew. A step in which nothing is observed
    leaves the whole state untouched. Gradients stay finite.

    Args:
        input_size: length of u.
        hidden_size: H, the width of every marginal memory.
        groups: positions of the variables of each group (see `parse_groups`); one group a variable if None.
        joint_factor: s.
        initial: "chrono" draws weights as Keras does and spreads the memories of the keep gates z and g over
            `timescales`; "keras" leaves all biases zero (the paper's clinical runs); "torch" draws all
            weights and biases uniformly in +-1/sqrt(H) (its simulation and its archive runs).
        timescales: shortest and longest memory of the units at the start of "chrono", in steps.
        feeds: what the joint memory reads of a group: its "candidate" n^k as published, or its new "state"
            h^k', an ablation.
        key: draws the weights.

    Raises:
        ConfigError: groups that are no partition, an unknown option, or a width below one.

    Example:
        >>> import jax
        >>> cell = MemoryGated(3, 4, groups=((0, 2), (1,)), key=jax.random.key(0))
        >>> state = cell(jnp.array([0.1, jnp.nan, 0.2]), cell.initial_state())
        >>> state.marginal.shape, cell.exposed(state).shape
        ((2, 4), (8,))
    """

    input_weight: Float[Array, "groups 3*hidden widest"]
    state_weight: Float[Array, "groups 3*hidden hidden"]
    bias: Float[Array, "groups 3*hidden"]
    joint_weight: Float[Array, "joint groups*hidden"]
    joint_bias: Float[Array, " joint"]
    gate_input_weight: Float[Array, "joint inputs"]
    gate_state_weight: Float[Array, "joint joint"]
    gate_bias: Float[Array, " joint"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    joint_size: int = eqx.field(static=True)
    partition: Partition = eqx.field(static=True)
    feeds: str = eqx.field(static=True)

    def __init__(  # noqa: PLR0913 (the published options, all of them keywords)
        self,
        input_size: int,
        hidden_size: int,
        *,
        groups: Sequence[Sequence[int]] | None = None,
        joint_factor: float | int = 2,
        initial: str = "chrono",
        timescales: Timescales = (2.0, 20.0),
        feeds: str = "candidate",
        key: PRNGKeyArray,
    ) -> None:
        for name, value, known in (("initial", initial, STARTS), ("feeds", feeds, _FEEDS)):
            if value not in known:
                raise ConfigError(f"{name}={value!r}: expected one of {', '.join(known)}")
        joint_size = joint_width(hidden_size, joint_factor)
        self.partition, self.feeds = Partition.of(groups, input_size), feeds
        weights = start_weights(self.partition, (hidden_size, joint_size), initial, timescales, key)
        self.input_weight, self.state_weight, self.bias = weights.marginal
        self.joint_weight, self.joint_bias = weights.candidate
        self.gate_input_weight, self.gate_state_weight, self.gate_bias = weights.gate
        self.input_size, self.hidden_size, self.joint_size = input_size, hidden_size, joint_size

    def gates(self, input: Shaped[Array, " inputs"], state: GroupMemory) -> MemoryGates:
        """What one step keeps of every memory and what it would put in its place."""
        values, grouped, observed = self.partition.observe(input)
        seen = observed[:, None]
        keep, candidate = self._marginal(grouped, state.marginal)
        keep, candidate = jnp.where(seen, keep, 1), jnp.where(seen, candidate, state.marginal)
        shown = candidate if self.feeds == "candidate" else _blend(keep, state.marginal, candidate)
        driven = self.gate_input_weight @ values + self.gate_bias
        joint_keep = jax.nn.sigmoid(driven + self.gate_state_weight @ state.joint)
        joint_candidate = jnp.tanh(self.joint_weight @ shown.reshape(-1) + self.joint_bias)
        return MemoryGates(keep, candidate, jnp.where(observed.any(), joint_keep, 1), joint_candidate)

    def _marginal(
        self, grouped: Shaped[Array, "groups widest"], memory: Float[Array, "groups hidden"]
    ) -> tuple[Float[Array, "groups hidden"], Float[Array, "groups hidden"]]:
        """The keep gate and the candidate of every group, as if all were observed."""
        driven = jnp.einsum("ki,kgi->kg", grouped, self.input_weight) + self.bias
        recurrent = jnp.einsum("kh,kgh->kg", memory, self.state_weight)
        cut = 2 * self.hidden_size
        reset, keep = jnp.split(jax.nn.sigmoid(driven[:, :cut] + recurrent[:, :cut]), 2, axis=1)
        return keep, jnp.tanh(driven[:, cut:] + reset * recurrent[:, cut:])

    def __call__(
        self, input: Shaped[Array, " inputs"], state: GroupMemory, *, key: PRNGKeyArray | None = None
    ) -> GroupMemory:
        """One step."""
        gates = self.gates(input, state)
        return GroupMemory(
            _blend(gates.keep, state.marginal, gates.candidate),
            _blend(gates.joint_keep, state.joint, gates.joint_candidate),
        )

    def initial_state(self) -> GroupMemory:
        """Zeros for all memories."""
        dtype = weight_dtype(self)
        shape = (len(self.partition.groups), self.hidden_size)
        return GroupMemory(jnp.zeros(shape, dtype), jnp.zeros(self.joint_size, dtype))

    def exposed(self, state: GroupMemory) -> Float[Array, " joint"]:
        """The joint memory j."""
        return state.joint


def joint_width(hidden_size: int, joint_factor: float | int) -> int:
    """J = int(s H).

    Raises:
        ConfigError: H or J below one.
    """
    joint = int(joint_factor * hidden_size)
    if hidden_size < 1 or joint < 1:
        raise ConfigError(
            f"hidden_size={hidden_size}, joint_factor={joint_factor}: the joint memory would have {joint} "
            "units; expected at least one marginal and one joint unit"
        )
    return joint


def _blend(
    keep: Float[Array, "*size"], old: Float[Array, "*size"], candidate: Float[Array, "*size"]
) -> Float[Array, "*size"]:
    return candidate + keep * (old - candidate)


STARTS = ("chrono", "keras", "torch")


class StartWeights(NamedTuple):
    """Weights by the unit they belong to: of the input, of the state, bias.

    Args:
        marginal: W^k, U^k and b^k of all groups, gates in the order r, z, n.
        candidate: U_c and b_c.
        gate: W_g, U_g and b_g.
    """

    marginal: tuple[Float[Array, "..."], ...]
    candidate: tuple[Float[Array, "..."], ...]
    gate: tuple[Float[Array, "..."], ...]


def start_weights(
    partition: Partition,
    widths: tuple[int, int],
    initial: str,
    timescales: Timescales,
    key: PRNGKeyArray,
) -> StartWeights:
    """Weights of one of the `STARTS`; entries without a variable are zero.

    Args:
        partition: the groups.
        widths: H and J.
        initial: one of the `STARTS`.
        timescales: shortest and longest memory of the keep gates of "chrono", in steps.
        key: draws the weights.
    """
    drawn = (_uniform if initial == "torch" else _orthogonal)(partition, widths, key)
    input_weight, *others = drawn.marginal
    filled = jnp.asarray(partition.filled[:, None])
    drawn = drawn._replace(marginal=(jnp.where(filled, input_weight, 0), *others))
    return _with_timescales(drawn, widths, timescales) if initial == "chrono" else drawn


def _uniform(partition: Partition, widths: tuple[int, int], key: PRNGKeyArray) -> StartWeights:
    """Everything in +-1/sqrt(H), biases and the joint memory included: the start of `torch.nn.GRU`."""
    hidden, joint = widths
    groups, bound = len(partition.groups), hidden**-0.5
    shapes = (
        ((groups, 3 * hidden, partition.widest), (groups, 3 * hidden, hidden), (groups, 3 * hidden)),
        ((joint, groups * hidden), (joint,)),
        ((joint, partition.size), (joint, joint), (joint,)),
    )
    return StartWeights(
        *(
            tuple(
                jax.random.uniform(jax.random.fold_in(unit_key, index), shape, minval=-bound, maxval=bound)
                for index, shape in enumerate(unit)
            )
            for unit_key, unit in zip(jax.random.split(key, 3), shapes, strict=True)
        )
    )


def _orthogonal(partition: Partition, widths: tuple[int, int], key: PRNGKeyArray) -> StartWeights:
    """Glorot uniform for the input, orthogonal columns for the state, zero biases: the start of Keras."""
    hidden, joint = widths
    groups, orthogonal = len(partition.groups), jax.nn.initializers.orthogonal()
    keys = jax.random.split(key, 5)
    bounds = np.sqrt(6 / (3 * hidden + np.asarray(partition.sizes)))[:, None, None]
    shape = (groups, 3 * hidden, partition.widest)
    input_weight = jnp.asarray(bounds, float) * jax.random.uniform(keys[0], shape, minval=-1, maxval=1)
    state_weight = jax.vmap(lambda own: orthogonal(own, (3 * hidden, hidden)))(
        jax.random.split(keys[1], groups)
    )
    gate_bound = (6 / (joint + partition.size)) ** 0.5
    gate_input = gate_bound * jax.random.uniform(keys[3], (joint, partition.size), minval=-1, maxval=1)
    return StartWeights(
        marginal=(input_weight, state_weight, jnp.zeros((groups, 3 * hidden))),
        candidate=(orthogonal(keys[2], (joint, groups * hidden)), jnp.zeros(joint)),
        gate=(gate_input, orthogonal(keys[4], (joint, joint)), jnp.zeros(joint)),
    )


def _with_timescales(weights: StartWeights, widths: tuple[int, int], timescales: Timescales) -> StartWeights:
    """The same weights with biases of the keep gates that spread the memories over the time scales."""
    hidden, joint = widths
    keep = timescale_bias(hidden, timescales)
    bias = weights.marginal[2].at[:, hidden : 2 * hidden].set(keep)
    gate_bias = timescale_bias(joint, timescales)
    return StartWeights((*weights.marginal[:2], bias), weights.candidate, (*weights.gate[:2], gate_bias))


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


FAMILIES.register("mgrn", MemoryGated)
FAMILIES.register("channelwise-lstm", ChannelwiseLSTM)
