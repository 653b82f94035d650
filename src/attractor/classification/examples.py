"""Labelled sequences as a learning problem for the trainer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from attractor.errors import InputDataError
from attractor.training import ExampleContext, ExampleLosses, Examples, cross_entropy
from attractor.training.losses import LabelLoss
from attractor.training.networks import structure_of
from attractor.training.noise import annealed, with_noise_factor
from attractor.training.regulariser import NoiseProblem, estimate

from .sequence_network import SequenceNetwork
from .worst_case import WorstCase


class Labelled(eqx.Module):
    """Sequences side by side with their labels.

    Args:
        inputs: shape (cases, time, channels), scaled, missing values filled.
        lengths: valid steps of each case; None if all are valid.
        labels: class of each case.
        weights: what the loss of each case counts, 1 on average; None if all count the same.
        offsets: logits that are added to those of a network, of a classifier that it is to correct; None for
            none.
    """

    inputs: Float[Array, "cases time channels"]
    lengths: Int[Array, " cases"] | None
    labels: Int[Array, " cases"]
    weights: Float[Array, " cases"] | None = None
    offsets: Float[Array, "cases classes"] | None = None

    def weighted(self, weights: Float[np.ndarray, " cases"]) -> "Labelled":
        """The same cases, whose losses count so much.

        Raises:
            InputDataError: none of them counts.
        """
        if not weights.any():
            raise InputDataError(
                "the weights of all cases for training, or for validation, are zero; some must count"
            )
        return replace(self, weights=jnp.asarray(weights / weights.mean(), jnp.float32))

    def counted(self, losses: Float[Array, " batch"], ids: Int[Array, " batch"]) -> Float[Array, " batch"]:
        """Losses of some cases times their weights."""
        return losses if self.weights is None else losses * self.weights[ids]

    def logits(
        self, network: SequenceNetwork, ids: Int[Array, " batch"], keys: Key[Array, " batch"] | None = None
    ) -> Float[Array, "batch classes"]:
        """Logits of some cases, each with its own noise if there are keys."""
        inputs = self.inputs[ids]
        lengths = None if self.lengths is None else self.lengths[ids]

        def one(inputs: Array, length: Array | None, key: PRNGKeyArray | None) -> Array:
            return network(inputs, length, key=key)

        axes = (0, None if lengths is None else 0, None if keys is None else 0)
        logits = jax.vmap(one, in_axes=axes)(inputs, lengths, keys)
        return logits if self.offsets is None else logits + self.offsets[ids]

    def all_logits(self, network: SequenceNetwork, at_once: int) -> Float[Array, "cases classes"]:
        """Logits of all cases, `at_once` at a time."""
        return self.over_all(lambda some: self.logits(network, some), at_once)

    def over_all(
        self, function: Callable[[Int[Array, " some"]], Float[Array, "some ..."]], at_once: int
    ) -> Float[Array, "cases ..."]:
        """A function of some cases for all of them, `at_once` at a time."""
        count = len(self.labels)
        ids = jnp.arange(-(-count // at_once) * at_once) % count
        found = jax.lax.map(function, ids.reshape(-1, at_once))
        return found.reshape(len(ids), *found.shape[2:])[:count]


@dataclass(frozen=True, eq=False)
class CaseNames:
    """How the user calls the cases, for messages alone: a program compiled for some cases serves all others.

    Args:
        names: one for each case.
    """

    names: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CaseNames)

    def __hash__(self) -> int:
        return hash(CaseNames)


class SequenceExamples(Examples):
    """Classify sequences; see `attractor.training.Examples`.

    Args:
        build: makes a fresh network from a key.
        training: what is learned from.
        checking: by whose cross-entropy the best weights are chosen; None chooses the last.
        loss: what is minimised for every case.
        annealing: the share of the noise at the end of the training, 1 for constant noise.
        noise_form: see `NoiseSettings.form`.
        cases: how the user calls them.
        at_once: cases evaluated side by side.
        worst_case: changes of the values that the classes should survive; None for none.
    """

    build: Callable[[PRNGKeyArray], SequenceNetwork] = eqx.field(static=True)
    training: Labelled
    checking: Labelled | None
    loss: LabelLoss = eqx.field(static=True)
    cases: CaseNames = eqx.field(static=True)
    annealing: float | int = eqx.field(static=True, default=1.0)
    noise_form: str = eqx.field(static=True, default="injection")
    at_once: int = eqx.field(static=True, default=64)
    worst_case: WorstCase | None = eqx.field(static=True, default=None)

    def weighted(
        self, learned: Float[np.ndarray, " cases"], judged: Float[np.ndarray, " validation"] | None
    ) -> "SequenceExamples":
        """The same with what the loss of every case counts, in training and in validation."""
        checking = self.checking
        if checking is not None and judged is not None:
            checking = checking.weighted(judged)
        return replace(self, training=self.training.weighted(learned), checking=checking)

    @property
    def size(self) -> int:
        """How many cases there are."""
        return len(self.training.labels)

    def initial(self, key: PRNGKeyArray) -> SequenceNetwork:
        """A fresh network."""
        return self.build(key)

    def start_memory(self) -> Array | None:
        """What the loss keeps about the cases."""
        classes = structure_of(self.build).readout.out_features
        return self.loss.start(self.size, classes)

    def losses_of(
        self, model: SequenceNetwork, ids: Int[Array, " batch"], context: ExampleContext
    ) -> ExampleLosses:
        """The losses of some cases with noise and dropout on; the scores are their cross-entropies."""
        noisy = with_noise_factor(model, annealed(context.progress, 1.0, self.annealing))
        found = self._drawn if self.noise_form == "injection" else self._expected
        losses, scores, rows = found(noisy, ids, context)
        if self.worst_case is not None:
            grown = self.worst_case.grown(context.progress)
            worst = self._worst(self.worst_case, self.training, model, ids, grown)
            losses = self.worst_case.mixed(losses, self.training.counted(worst, ids), grown)
        return ExampleLosses(losses, scores, rows)

    def _drawn(
        self, model: SequenceNetwork, ids: Int[Array, " batch"], context: ExampleContext
    ) -> ExampleLosses:
        """Losses with the noise of this step."""
        logits = self.training.logits(model, ids, context.keys(len(ids)))
        labels = self.training.labels[ids]
        losses, rows = self.loss(logits, labels, context.memory)
        return ExampleLosses(self.training.counted(losses, ids), cross_entropy(logits, labels), rows)

    @staticmethod
    def _worst(
        worst_case: WorstCase,
        data: Labelled,
        model: SequenceNetwork,
        ids: Int[Array, " batch"],
        grown: Float[Array, ""] | float = 1.0,
    ) -> Float[Array, " batch"]:
        lengths = None if data.lengths is None else data.lengths[ids]
        return worst_case.losses(model, data.inputs[ids], lengths, data.labels[ids], grown)

    def _expected(
        self, model: SequenceNetwork, ids: Int[Array, " batch"], context: ExampleContext
    ) -> ExampleLosses:
        """Losses with half of P, or of P + Q, in place of noise; the scores are without."""
        data, curved = self.training, self.noise_form == "flatness+curvature"

        def one(index: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
            label = data.labels[index][None]
            offset = 0.0 if data.offsets is None else data.offsets[index]

            def loss(shown: Array) -> Array:
                return self.loss((model.readout(shown) + offset)[None], label, None)[0][0]

            length = None if data.lengths is None else data.lengths[index]
            problem = NoiseProblem(model.cell, data.inputs[index], loss, length=length)
            terms = estimate(problem, key, curvature=curved)
            return terms.expected(), terms.loss

        losses, scores = jax.vmap(one)(ids, context.keys(len(ids)))
        return ExampleLosses(data.counted(losses, ids), scores, context.memory)

    def scores_of(self, model: SequenceNetwork, ids: Int[Array, " batch"]) -> Float[Array, " batch"]:
        """Cross-entropies of some cases."""
        return cross_entropy(self.training.logits(model, ids), self.training.labels[ids])

    @property
    def is_judged(self) -> bool:
        """Whether cases were kept for validation."""
        return self.checking is not None

    def validation(self, model: SequenceNetwork) -> Float[Array, ""]:
        """Mean cross-entropy of the cases kept for validation, with its part of the worst case at its end."""
        data = self.checking
        if data is None:
            return jnp.zeros(())
        at_once, ids = min(self.at_once, len(data.labels)), jnp.arange(len(data.labels))
        losses = cross_entropy(data.all_logits(model, at_once), data.labels)
        if self.worst_case is not None:
            worst_case = self.worst_case
            worst = data.over_all(lambda some: self._worst(worst_case, data, model, some), at_once)
            losses = worst_case.mixed(losses, worst, 1.0)
        return data.counted(losses, ids).mean()

    def describe_example(self, example: int) -> str:
        """How the user calls a case."""
        return self.cases.names[example]
