"""How the weights of a memory-gated network start."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .initial import timescale_bias
from .partition import Partition

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
    timescales: tuple[float | int, float | int],
    key: PRNGKeyArray,
) -> StartWeights:
    """Weights of one of the `STARTS`; places without a variable are zero.

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
    return _remembering(drawn, widths, timescales) if initial == "chrono" else drawn


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


def _remembering(
    weights: StartWeights, widths: tuple[int, int], timescales: tuple[float | int, float | int]
) -> StartWeights:
    """The same weights with biases of the keep gates that spread the memories over the time scales."""
    hidden, joint = widths
    shortest, longest = timescales
    keep = timescale_bias(hidden, (float(shortest), float(longest)))
    bias = weights.marginal[2].at[:, hidden : 2 * hidden].set(keep)
    gate_bias = timescale_bias(joint, (float(shortest), float(longest)))
    return StartWeights((*weights.marginal[:2], bias), weights.candidate, (*weights.gate[:2], gate_bias))
