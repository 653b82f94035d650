"""The worst that bounded changes of the values may do to the logits of a case, as a loss to train against."""

from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from attractor.cells import exposed, initial_state, take_step
from attractor.certify.domains.bounded_run import bounded, bounded_run
from attractor.certify.domains.interval import Interval
from attractor.training import cross_entropy

from .sequence_network import SequenceNetwork, held


@dataclass(frozen=True)
class WorstCase:
    """What a network is trained to survive.

    Both the radius and the share grow in proportion from nothing; the share of the loss that comes from the
    worst logits then stays, as in Gowal et al. 2018, arXiv 1810.12715.

    Args:
        within: largest change of every value at every step, scaled.
        share: of the loss that is the cross-entropy of the worst logits, at the end.
        ramp: share of the training over which both grow.
        relaxed: whether affine forms are followed, or intervals alone.
    """

    within: float
    share: float
    ramp: float
    relaxed: bool

    def mixed(
        self,
        losses: Float[Array, " batch"],
        worst: Float[Array, " batch"],
        grown: Float[Array, ""] | float,
    ) -> Float[Array, " batch"]:
        """The loss of every case, of which the worst has its part."""
        share = self.share * grown
        return (1 - share) * losses + share * worst

    def grown(self, progress: Float[Array, ""] | float) -> Float[Array, ""]:
        """How far radius and share have grown, 0 to 1, when so much of the training lies behind."""
        return jnp.minimum(progress / max(self.ramp, 1e-6), 1.0)

    def losses(
        self,
        network: SequenceNetwork,
        inputs: Float[Array, "batch time channels"],
        lengths: Int[Array, " batch"] | None,
        labels: Int[Array, " batch"],
        grown: Float[Array, ""] | float = 1.0,
    ) -> Float[Array, " batch"]:
        """Cross-entropies of the worst logits of some cases."""

        def one(values: Array, length: Array | None, label: Array) -> Array:
            return worst_logits(network, values, length, label, self.within * grown, relaxed=self.relaxed)

        axes = (0, None if lengths is None else 0, 0)
        return cross_entropy(jax.vmap(one, in_axes=axes)(inputs, lengths, labels), labels)


def worst_logits(
    network: SequenceNetwork,
    values: Float[Array, "time channels"],
    length: Int[Array, ""] | None,
    label: Int[Array, ""],
    within: Float[Array, ""] | float,
    *,
    relaxed: bool,
) -> Float[Array, " classes"]:
    """How far every class can get ahead of the label at most, while no value changes by more than `within`.

    An upper bound in the type of the weights; 0 for the label itself. Noise and dropout are off.
    """
    cell, mean = held(network.cell), network.pooling == "mean"
    count = len(values) if length is None else length

    def step(input: Array, carry: PyTree) -> PyTree:
        state, total = carry
        state = take_step(cell, input, state)
        return state, total + exposed(cell, state) if mean else total

    def ahead(carry: PyTree) -> Array:
        state, total = carry
        return rows @ (total / count if mean else exposed(cell, state)) + offsets

    start = initial_state(cell)
    total = jnp.zeros_like(exposed(cell, start)) if mean else jnp.zeros(())
    box = Interval(values - within, values + within)
    reached = bounded_run(step, (start, total), box, length=length, relaxed=relaxed)
    weight, bias = network.readout.weight, cast(Array, network.readout.bias)
    rows, offsets = weight - weight[label], bias - bias[label]
    return bounded(ahead, reached).high
