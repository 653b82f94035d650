"""A recurrent network as the correction of random convolutions: what it is taught, and what is delivered.

The convolutions are read by a ridge regression on all cases. What it says of a case comes from a fit
without that case and its relatives, so that a network which learns to correct it sees honest mistakes.
Validation then decides how much of the network is added, from nothing to all of it.
"""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.program import compiled
from attractor.training import select_replica

from .classifier_metrics import fit_temperature
from .convolution_branch import ConvolutionBranch, recurrent_share
from .division import Division
from .examples import Labelled, SequenceExamples
from .label_sets import Calibration
from .sequence_network import SequenceNetwork, weakened, with_branch

AT_ONCE = 256
"""Cases that are evaluated side by side."""


@dataclass(frozen=True, eq=False)
class Delivered:
    """What a training gives.

    Args:
        replicas: the networks, side by side, with the convolutions where there are any.
        share: how much of the recurrent network is in them, 0 to 1.
        temperature: by which logits are divided.
        calibration: cases by which sets of labels are calibrated; None without validation.
        logits: of the training cases; where there are convolutions, from fits without the case.
    """

    replicas: SequenceNetwork
    share: float
    temperature: float
    calibration: Calibration | None
    logits: Float[np.ndarray, "cases classes"]


def corrected(
    examples: SequenceExamples,
    branch: ConvolutionBranch,
    left_out: Float[np.ndarray, "cases classes"],
    parts: Division,
) -> SequenceExamples:
    """Examples that leave to a network what the convolutions do not know.

    Validation cases that were kept back from the data take part in the ridge regression, those from elsewhere
    do not.

    Args:
        examples: the learning problem.
        branch: convolutions and their read-out.
        left_out: what fits without a case say of it, for all cases that were given.
        parts: which of them train, and which validate.
    """
    known, judges = jnp.asarray(left_out, jnp.float32), examples.checking
    learned = replace(examples.training, offsets=known[parts.chosen])
    if judges is not None:
        elsewhere = parts.held is None
        offsets = branch.of_all(judges.inputs, judges.lengths) if elsewhere else known[parts.held]
        judges = replace(judges, offsets=offsets)
    return replace(examples, training=learned, checking=judges)


def deliver(
    replicas: SequenceNetwork, chosen: int, examples: SequenceExamples, branch: ConvolutionBranch | None
) -> Delivered:
    """What validation makes of trained networks: how much of them counts, and how sure they may be.

    Args:
        replicas: trained, side by side.
        chosen: which of them is judged.
        examples: that they were trained and validated on.
        branch: what they correct; None for networks that stand alone.
    """
    judges, learned = examples.checking, examples.training
    share = 1.0
    if branch is not None and judges is not None:
        share = _share(select_replica(replicas, chosen), judges)
        replicas = weakened(replicas, share)
    network = select_replica(replicas, chosen)
    temperature, calibration = 1.0, None
    logits = np.asarray(all_logits(network, learned))
    if judges is not None:
        unseen, labels = np.asarray(all_logits(network, judges), float), np.asarray(judges.labels)
        if share:
            temperature = fit_temperature(unseen, labels)
        else:  # the convolutions alone: of training cases, too, only fits without them have spoken
            unseen = np.concatenate([unseen, logits.astype(float)])
            labels = np.concatenate([labels, np.asarray(learned.labels)])
        calibration = Calibration(unseen, labels, left_out=not share)
    whole = replicas if branch is None else with_branch(replicas, branch)
    return Delivered(whole, share, temperature, calibration, logits)


def _share(network: SequenceNetwork, judges: Labelled) -> float:
    offsets = np.asarray(judges.offsets, float)
    own = np.asarray(all_logits(network, judges), float) - offsets
    return recurrent_share(offsets, own, np.asarray(judges.labels))


@compiled
def all_logits(network: SequenceNetwork, data: Labelled) -> Array:
    """Logits of all cases, as many at once as pays."""
    return data.all_logits(network, min(AT_ONCE, len(data.labels)))
