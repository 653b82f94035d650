"""A recurrent network as the correction of random convolutions: what it is taught, and what is delivered.

The convolutions are read by a ridge regression on all cases. What it says of a case comes from a fit
without that case and its relatives, so that a network which learns to correct it sees honest mistakes.
Validation then decides how much of the network is added, from nothing to all of it. Where no case validates,
nothing can tell whether a network helps: it is not trained, and the convolutions decide alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from attractor.program import compiled
from attractor.training import Trained, select_replica
from attractor.training.networks import start_all

from .classifier_metrics import fit_temperature
from .convolution_branch import FittedBranch, recurrent_share
from .division import Division
from .examples import Labelled, SequenceExamples
from .label_sets import Calibration
from .sequence_network import SequenceNetwork, weakened, with_branch
from .suspects import CaseHistory, case_history, left_out_history

AT_ONCE = 256
"""Cases that are evaluated side by side."""


@dataclass(frozen=True, eq=False)
class Delivered:
    """What a training gives.

    Args:
        replicas: the networks, side by side, with the convolutions where there are any.
        share: how much of the recurrent network is in them, 0 to 1.
        temperature: by which logits are divided.
        calibration: cases by which sets of labels are calibrated; None without any.
        history: what is known of the training cases; where convolutions decide alone, of all cases that were
            given, each from a fit without it.
    """

    replicas: SequenceNetwork
    share: float
    temperature: float
    calibration: Calibration | None
    history: CaseHistory


def corrected(examples: SequenceExamples, fitted: FittedBranch, parts: Division) -> SequenceExamples:
    """Examples that leave to a network what the convolutions do not know.

    Validation cases that were kept back from the data take part in the ridge regression, those from elsewhere
    do not.

    Args:
        examples: the learning problem.
        fitted: convolutions and their read-out, fitted to all cases that were given.
        parts: which of them train, and which validate.
    """
    known, judges = jnp.asarray(fitted.left_out, jnp.float32), examples.checking
    learned = replace(examples.training, offsets=known[parts.chosen])
    if judges is not None:
        elsewhere = parts.held is None
        offsets = fitted.branch.of_all(judges.inputs, judges.lengths) if elsewhere else known[parts.held]
        judges = replace(judges, offsets=offsets)
    return replace(examples, training=learned, checking=judges)


def untrained(examples: SequenceExamples, seed: int) -> Trained:
    """A network as it begins: what is left of one that would have no say."""
    keys = jax.random.split(jax.random.key(seed), 1)
    fresh = start_all(lambda keys: _built(examples.build, keys), examples.build, keys)
    return Trained(fresh, np.zeros(1), np.zeros(1, int), [], 0.0, last=fresh, initial=fresh, judged=False)


def deliver(
    trained: Trained,
    replicas: SequenceNetwork,
    examples: SequenceExamples,
    parts: Division,
    fitted: FittedBranch | None,
) -> Delivered:
    """What validation makes of trained networks: how much of them counts, and how sure they may be.

    Args:
        trained: how they were trained; the chosen one is judged.
        replicas: those weights of them that are kept, side by side.
        examples: that they were trained and validated on.
        parts: which cases these are, and what they belong to.
        fitted: the convolutions that they correct; None for networks that stand alone.
    """
    judges = examples.checking
    if fitted is None:
        return _with_network(trained, replicas, examples, parts, 1.0)
    share = 0.0 if judges is None else _share(select_replica(replicas, trained.chosen), judges, parts)
    replicas = weakened(replicas, share)
    if share:
        found = _with_network(trained, replicas, examples, parts, share)
    else:
        found = _alone(replicas, examples, parts, fitted)
    return replace(found, replicas=with_branch(replicas, fitted.branch))


def _with_network(
    trained: Trained, replicas: SequenceNetwork, examples: SequenceExamples, parts: Division, share: float
) -> Delivered:
    """Networks that have a say: only cases that they have not learned from tell how sure they may be."""
    network, judges = select_replica(replicas, trained.chosen), examples.checking
    logits = np.asarray(all_logits(network, examples.training))
    history = case_history(trained.memory, trained.chosen, np.asarray(examples.training.labels), logits)
    if judges is None:
        return Delivered(replicas, share, 1.0, None, history)
    unseen, labels = np.asarray(all_logits(network, judges), float), np.asarray(judges.labels)
    calibration = Calibration(unseen, labels, groups=parts.judging)
    return Delivered(replicas, share, fit_temperature(unseen, labels), calibration, history)


def _alone(
    replicas: SequenceNetwork, examples: SequenceExamples, parts: Division, fitted: FittedBranch
) -> Delivered:
    """The convolutions alone: all cases tell how sure they may be, for only fits without them have spoken."""
    unseen, labels, groups = fitted.left_out, fitted.labels, parts.related
    judges = examples.checking
    if judges is not None and parts.held is None:
        unseen = np.concatenate([unseen, np.asarray(judges.offsets, float)])
        labels = np.concatenate([labels, np.asarray(judges.labels)])
        groups = parts.with_judging
    calibration = Calibration(unseen, labels, left_out=True, groups=groups)
    history = left_out_history(fitted.labels, fitted.left_out, fitted.weights)
    return Delivered(replicas, 0.0, 1.0, calibration, history)


def _share(network: SequenceNetwork, judges: Labelled, parts: Division) -> float:
    offsets = np.asarray(judges.offsets, float)
    own = np.asarray(all_logits(network, judges), float) - offsets
    return recurrent_share(offsets, own, np.asarray(judges.labels), parts.judging)


@compiled
def _built(build: Callable[[PRNGKeyArray], SequenceNetwork], keys: Key[Array, " seeds"]) -> SequenceNetwork:
    return eqx.filter_vmap(build)(keys)


@compiled
def all_logits(network: SequenceNetwork, data: Labelled) -> Array:
    """Logits of all cases, as many at once as pays."""
    return data.all_logits(network, min(AT_ONCE, len(data.labels)))
