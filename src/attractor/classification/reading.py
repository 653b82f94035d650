"""A fitted classifier as the audit reads it: logits of one series of scaled values, whose gaps are NaN."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.audit import LabelledSequences
from attractor.cells import CellLike
from attractor.data import Sequences, channel_blocks
from attractor.training.noise import NoisyState

from .classifier import SequenceClassifier
from .sequence_network import SequenceNetwork


class ValueLogits(eqx.Module):
    """The network behind the policy for missing values.

    What disturbs or changes the inputs acts on the values alone: masks and ages follow from which values are
    missing (NaN), and a value that is held over a gap is the disturbed one, as it would be in the field.

    Args:
        network: takes prepared channels.
        missing: the policy, a name of `attractor.data.MISSING`.
    """

    network: SequenceNetwork
    missing: str = eqx.field(static=True)

    def __call__(self, values: Float[Array, "time variables"], length: Array) -> Float[Array, " classes"]:
        """Logits of one series of scaled values."""
        return self.network(filled(values, self.missing), length)


def filled(values: Float[Array, "time variables"], policy: str) -> Float[Array, "time channels"]:
    """The channels of one series of scaled values: what `attractor.data.fill` does, as a program of JAX.

    The policy "error" puts zeros: it has refused missing values before this is called.

    Args:
        values: scaled; NaN is missing.
        policy: a name of `attractor.data.MISSING`.
    """
    missing = jnp.isnan(values)
    if policy == "cell":
        return values
    if policy in ("error", "zero"):
        return jnp.where(missing, 0.0, values)
    steps = jnp.arange(len(values))[:, None]
    last = jax.lax.cummax(jnp.where(missing, -1, steps))
    held = jnp.take_along_axis(jnp.where(missing, 0.0, values), jnp.maximum(last, 0), axis=0)
    age = jnp.log1p((steps - jnp.maximum(last, 0)).astype(values.dtype))
    blocks = [held, (~missing).astype(values.dtype), age]
    return jnp.concatenate(blocks[: channel_blocks(policy)], axis=1)


def value_logits(model: SequenceClassifier) -> ValueLogits:
    """The chosen network of a fitted classifier as a function of scaled values."""
    return ValueLogits(model.network(), model.missing)


def convolution_reading(
    model: SequenceClassifier, data: Sequences
) -> tuple[Float[np.ndarray, "cases features"], Float[np.ndarray, "cases classes"]] | None:
    """What the random convolutions of a model find in some cases, and what they alone say of the classes.

    None for a model that reads none. A feature is a share of time, between 0 and 1.
    """
    branch = model.network().convolutions
    if branch is None:
        return None
    prepared = model.prepare(data)
    features = branch.features(prepared.inputs, prepared.lengths)
    return np.asarray(features, float), np.asarray(jax.vmap(branch.logits)(features), float)


def scaled_cases(model: SequenceClassifier, data: Sequences) -> LabelledSequences:
    """Labelled cases in the scale of the model, missing values NaN.

    Raises:
        InputDataError: cases without labels, or a missing value where the policy of the model refuses it.
    """
    model.prepare(data)  # refuses what the model refuses
    values = np.where(data.valid[:, :, None], model.scaling_.to_unit(data.values), 0.0)
    labels = model.labels_of(data)
    return LabelledSequences(values.astype(np.float32), data.lengths.astype(np.int32), labels)


def channel_cases(model: SequenceClassifier, data: Sequences) -> LabelledSequences:
    """Labelled cases as the cell sees them: all channels, gaps filled.

    Raises:
        InputDataError: cases without labels, or a missing value where the policy of the model refuses it.
    """
    prepared = model.prepare(data)
    return LabelledSequences(
        np.asarray(prepared.inputs), data.lengths.astype(np.int32), model.labels_of(data)
    )


def bare_cell(network: SequenceNetwork) -> CellLike:
    """The cell without the wrapper that adds noise in training."""
    return network.cell.cell if isinstance(network.cell, NoisyState) else network.cell


def some_of(data: Sequences, most: int) -> Sequences:
    """At most so many cases, spread evenly over the data, class by class where they are labelled."""
    if len(data) <= most:
        return data
    order = np.arange(len(data)) if data.labels is None else np.argsort(data.labels, kind="stable")
    return data.select(order[np.linspace(0, len(data) - 1, most).round().astype(int)])


def driving_inputs(
    model: SequenceClassifier, data: Sequences, most: int
) -> Float[np.ndarray, "time channels"]:
    """What drives the cell over the cases one after the other in a random order, the state carried over.

    Args:
        model: a fitted classifier.
        data: cases, labelled or not.
        most: steps at most.
    """
    some = some_of(data, most)
    inputs = np.asarray(model.prepare(some).inputs)
    order = np.random.default_rng(0).permutation(len(some))
    return np.concatenate([inputs[position, : some.lengths[position]] for position in order])[:most]
