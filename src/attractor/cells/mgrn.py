"""Memory-gated recurrent network: a small GRU for every group of variables and one joint memory.

Zhang, Wu, Peng, Dai, Zhang and Wang 2021, *Memory-gated recurrent networks*, AAAI, arXiv 2012.13121.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from attractor.errors import ConfigError

from .contract import Cell, weight_dtype
from .mgrn_initial import STARTS, start_weights
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
        timescales: tuple[float | int, float | int] = (2.0, 20.0),
        feeds: str = "candidate",
        key: PRNGKeyArray,
    ) -> None:
        for name, value, known in (("initial", initial, STARTS), ("feeds", feeds, _FEEDS)):
            if value not in known:
                message = f"{name}={value!r}: expected one of {', '.join(known)}"
                raise ConfigError(message)
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
        message = (
            f"hidden_size={hidden_size}, joint_factor={joint_factor}: the joint memory would have {joint} "
            "units; expected at least one marginal and one joint unit"
        )
        raise ConfigError(message)
    return joint


def _blend(
    keep: Float[Array, "*size"], old: Float[Array, "*size"], candidate: Float[Array, "*size"]
) -> Float[Array, "*size"]:
    return candidate + keep * (old - candidate)
