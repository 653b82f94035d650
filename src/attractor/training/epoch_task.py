"""Training in epochs over a fixed set of examples: with a weight for each, or by two models that co-teach."""

from abc import abstractmethod
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from attractor.errors import ConfigError
from attractor.settings import PartialShare, checked

from .reweighting import (
    Classes,
    ExampleWeights,
    Reweighting,
    Units,
    balanced,
    capped,
    class_medians,
    degree_of_suspicion,
    equal_weights,
    example_units,
    log_weights,
    shared_by_groups,
    strength_for,
    token_units,
)
from .task import Memory, Model, StepContext, Task
from .training_settings import PositiveShare

_QUARTER, _LEARNED = 0.25, 0.5


class ExampleContext(StepContext):
    """What a learning problem is told about one step; its `memory` has a row for each example at hand.

    Args:
        progress: share of the training that lies behind, 0 to 1.
    """

    progress: Float[Array, ""] | float = 0.0


class ExampleLosses(NamedTuple):
    """The losses of some examples, or of the tokens of some examples.

    Args:
        losses: what is minimised, shape (batch,) or (batch, tokens).
        scores: by which the examples or tokens are weighted and ranked, at least 0, same shape.
        memory: what is kept about these examples from now on, a row for each.
    """

    losses: Float[Array, "batch ..."]
    scores: Float[Array, "batch ..."]
    memory: Memory


class Examples(eqx.Module):
    """A learning problem with a fixed set of examples; its arrays are the data."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many examples there are."""

    @abstractmethod
    def initial(self, key: PRNGKeyArray) -> Model:
        """A fresh model."""

    @abstractmethod
    def losses_of(self, model: Model, ids: Int[Array, " batch"], context: ExampleContext) -> PyTree[Array]:
        """The losses of some examples in training, each judged alone: see `Task.losses`.

        Returns:
            `ExampleLosses`, or what `combine` makes them from.
        """

    @abstractmethod
    def scores_of(self, model: Model, ids: Int[Array, " batch"]) -> Float[Array, "batch ..."]:
        """Their scores in evaluation: without noise and dropout."""

    @property
    def is_judged(self) -> bool:
        """Whether there are examples to validate by, see `Task.is_judged`."""
        return True

    @abstractmethod
    def validation(self, model: Model) -> Float[Array, ""]:
        """The number by which the best weights are chosen: lower is better."""

    def start_memory(self) -> Memory:
        """What it keeps about its examples at first, arrays with a row for each, such as running targets."""

    def combine(self, losses: PyTree[Array], progress: Float[Array, ""]) -> ExampleLosses:
        """What the whole batch makes of its losses."""
        del progress
        return losses

    def describe_example(self, example: int) -> str:
        """How the user calls an example."""
        return f"example {example}"


class EpochMemory(eqx.Module):
    """What a training in epochs carries.

    Args:
        order: the examples of this epoch one batch after the other.
        latest: the last known score of every example, or of every token (examples, tokens).
        weights: weights and totals of the units: of all examples, or of all tokens that have a label, one
            example after the other.
        scores: the scores of the units after every epoch, half precision, shape (epochs, units).
        strengths: the strength after every epoch.
        examples: what the learning problem keeps about its examples.
    """

    order: Int[Array, " rows"]
    latest: Float[Array, "examples ..."]
    weights: ExampleWeights
    scores: Float[Array, "epochs units"]
    strengths: Float[Array, " epochs"]
    examples: Memory


class EpochTask(Task):
    """Every example once an epoch in a new order, weighted by what its losses have been.

    The trainer must validate once an epoch: `validate_every = task.steps_per_epoch`.

    Args:
        examples: the learning problem.
        batch_size: examples per step.
        epochs: passes over the examples.
        reweighting: how examples are weighted; None leaves them equal and keeps the scores met in training,
            by which suspects can be ranked all the same.
        groups: for every example the group with which it shares its weight (patient, annotator), counted
            from 0; None weighs each example for itself.
        labels: the class of every example, against whose median its losses are held; None if they have none.
            Of shape (examples, tokens) they give every token a weight of its own, and the learning problem a
            loss for every token; -1 stands where there is none.

    Raises:
        ConfigError: no epoch, no example, groups or labels of another number, or weights of tokens with
            `batch="sample"`, which draws whole examples.
    """

    examples: Examples
    groups: Int[Array, " units"] | None
    labels: Int[Array, " units"] | None
    units: Units
    counts: tuple[int, int] = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    epochs: int = eqx.field(static=True)
    reweighting: Reweighting | None = eqx.field(static=True)

    def __init__(
        self,
        examples: Examples,
        *,
        batch_size: int,
        epochs: int,
        reweighting: Reweighting | None = None,
        groups: Int[np.ndarray, " examples"] | None = None,
        labels: Int[np.ndarray, "examples *tokens"] | None = None,
    ) -> None:
        if min(examples.size, batch_size, epochs) < 1:
            raise ConfigError(
                f"{examples.size} examples, batches of {batch_size}, {epochs} epochs: expected at least 1"
            )
        if reweighting is not None and reweighting.balance == "class" and labels is None:
            raise ConfigError('balance="class" needs the class of every example')
        self.units = _units(examples.size, labels)
        tokens = self.units.positions is not None
        if tokens and reweighting is not None and reweighting.batch == "sample":
            raise ConfigError(
                'batch="sample" draws whole examples; for weights of tokens take "batch" or "importance"'
            )
        _check_codes("groups", groups, examples.size)
        _check_codes("labels", labels, examples.size, least=-1 if tokens else 0)
        self.examples, self.reweighting = examples, reweighting
        self.batch_size, self.epochs = min(batch_size, examples.size), epochs
        self.groups = None if groups is None else jnp.asarray(self.units.of_examples(groups), jnp.int32)
        self.labels = None if labels is None else self.units.flat(jnp.asarray(labels, jnp.int32))
        self.counts = _count(groups), _count(labels)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that show every example at least once; the last batch is filled up from the first."""
        return -(-self.examples.size // self.batch_size)

    def initial(self, key: PRNGKeyArray) -> Model:
        """A fresh model."""
        return self.examples.initial(key)

    @property
    def is_judged(self) -> bool:
        """Whether the learning problem has examples to validate by."""
        return self.examples.is_judged

    def validation(self, model: Model) -> Float[Array, ""]:
        """The validation of the learning problem."""
        return self.examples.validation(model)

    def start_memory(self, key: PRNGKeyArray) -> EpochMemory:
        """Equal weights, nothing known."""
        weights = equal_weights(self.units.count)
        return EpochMemory(
            order=self._order(key, weights),
            latest=jnp.zeros(self.units.shape),
            weights=weights,
            scores=jnp.zeros((self.epochs, self.units.count), jnp.float16),
            strengths=jnp.zeros(self.epochs),
            examples=self.examples.start_memory(),
        )

    def draw(self, context: StepContext) -> Int[Array, " batch"]:
        """The next examples in the order of this epoch."""
        first = context.step % self.steps_per_epoch * self.batch_size
        return jax.lax.dynamic_slice_in_dim(context.memory.order, first, self.batch_size)

    def losses(self, model: Model, batch: Int[Array, " batch"], context: StepContext) -> PyTree[Array]:
        """Losses and scores of the examples at hand."""
        rows = jax.tree.map(lambda table: table[batch], context.memory.examples)
        known = vars(replace(context, memory=rows))
        progress = context.step / (self.epochs * self.steps_per_epoch)
        return self.examples.losses_of(model, batch, ExampleContext(**known, progress=progress))

    def combine(
        self, losses: PyTree[Array], batch: Int[Array, " batch"], context: StepContext
    ) -> tuple[Float[Array, " batch"], EpochMemory]:
        """Weighted losses of this batch, one for every example; their mean is what is minimised."""
        memory: EpochMemory = context.memory
        progress = context.step / (self.epochs * self.steps_per_epoch)
        found = self.examples.combine(losses, progress)
        weights = self.units.log_weights(memory.weights.log_weights, batch)
        known = jax.lax.stop_gradient((memory.latest, memory.examples))
        new = jax.lax.stop_gradient((found.scores, found.memory))
        latest, examples = jax.tree.map(lambda table, rows: table.at[batch].set(rows), known, new)
        return self._weighted(found.losses, weights), replace(memory, latest=latest, examples=examples)

    def review(self, model: Model, context: StepContext) -> EpochMemory:
        """New weights from the scores of this epoch, and the order of the next."""
        memory: EpochMemory = context.memory
        epoch = context.step // self.steps_per_epoch
        latest = memory.latest
        if self.reweighting is not None and self.reweighting.score == "evaluate":
            latest = self.all_scores(model)
        weights, strength = self._reweighted(memory.weights, self.units.flat(latest), epoch / self.epochs)
        row = epoch - 1
        return EpochMemory(
            order=self._order(context.key, weights),
            latest=latest,
            weights=weights,
            scores=memory.scores.at[row].set(_halved(self.units.flat(latest))),
            strengths=memory.strengths.at[row].set(strength),
            examples=memory.examples,
        )

    def all_scores(self, model: Model) -> Float[Array, "examples ..."]:
        """The scores of all examples, or of all their tokens, in evaluation, a batch at a time."""
        size = self.examples.size
        ids = jnp.arange(self.steps_per_epoch * self.batch_size) % size
        batches = ids.reshape(-1, self.batch_size)
        scores = jax.lax.map(lambda some: self.examples.scores_of(model, some), batches)
        return scores.reshape(-1, *self.units.shape[1:])[:size]

    def describe(self, batch: Int[Array, " batch"], context: StepContext, example: int) -> str:
        """How the user calls an example of a batch."""
        del context
        return self.examples.describe_example(int(batch[example]))

    def _reweighted(
        self, weights: ExampleWeights, scores: Float[Array, " units"], progress: Float[Array, ""]
    ) -> tuple[ExampleWeights, Float[Array, ""]]:
        """The weights after an epoch, from the scores of this epoch, and the strength behind them."""
        settings = self.reweighting
        chance = jnp.where(weights.chance == 0, scores.mean(), weights.chance)
        if settings is None:
            return replace(weights, totals=weights.totals + scores, chance=chance), jnp.zeros(())
        now = replace(weights, totals=settings.memory * weights.totals + scores, chance=chance)
        # The automatic strength grows once the warm-up is over and the better quarter of the examples has
        # been learned. Before that, high losses tell what comes later, not what is wrong.
        learned = jnp.quantile(scores, _QUARTER) < _LEARNED * chance
        more = jnp.minimum(weights.grown + 1 / max(settings.ramp * self.epochs, 1), 1)
        now = replace(now, grown=jnp.where((progress > settings.warmup) & learned, more, weights.grown))
        shared = self._shared(now.totals)
        strength = jnp.where(progress <= settings.warmup, 0.0, self._strength(settings, now, shared, scores))
        new = log_weights(shared, strength)
        if settings.balance == "class" and self._classes is not None:
            new = balanced(new, self._classes)
        if settings.cap:
            new = capped(new, 1 / (settings.cap * len(new)))
        return replace(now, log_weights=new), strength

    def _shared(self, totals: Float[Array, " units"]) -> Float[Array, " units"]:
        """What the weights are made of: totals against the median of their class, shared within groups.

        A class that is hard as a whole keeps its weight.
        """
        if self._classes is not None:
            totals = totals - class_medians(totals, self._classes)[self._classes.labels]
        return totals if self.groups is None else shared_by_groups(totals, self.groups, self.counts[0])

    def _strength(
        self,
        settings: Reweighting,
        weights: ExampleWeights,
        shared: Float[Array, " units"],
        scores: Float[Array, " units"],
    ) -> Float[Array, ""]:
        """The strength asked for, held back where it would leave fewer examples than the floor.

        The automatic one aims at the effective sample size of the examples whose labels look right, and gets
        there gradually.
        """
        floor = strength_for(shared, jnp.maximum(settings.floor, 1 / len(shared)))
        if not isinstance(settings.strength, str):
            return jnp.minimum(settings.strength, floor)
        wrong = degree_of_suspicion(weights.totals, scores, weights.chance, self._classes).mean()
        return jnp.minimum(strength_for(shared, 1 - weights.grown * wrong), floor)

    @property
    def _classes(self) -> Classes | None:
        return None if self.labels is None else Classes(self.labels, self.counts[1])

    def _order(self, key: PRNGKeyArray, weights: ExampleWeights) -> Int[Array, " rows"]:
        """A permutation, or draws by weight; filled up to whole batches."""
        rows = self.steps_per_epoch * self.batch_size
        if self.reweighting is not None and self.reweighting.batch == "sample":
            return jax.random.categorical(key, weights.log_weights, shape=(rows,)).astype(jnp.int32)
        size = self.examples.size
        order = jax.random.permutation(key, jnp.arange(size, dtype=jnp.int32))
        return order[jnp.arange(rows) % size]

    def _weighted(
        self, losses: Float[Array, "batch ..."], log_weights: Float[Array, "batch ..."]
    ) -> Float[Array, " batch"]:
        """The loss of every example with its weights, or with those of its tokens.

        The mean over the batch is the weighted mean over its units.
        """
        units = jnp.isfinite(log_weights)
        factors = self._factors(log_weights, jnp.maximum(units.sum(), 1)) * len(losses)
        products = jnp.where(units, losses, 0.0) * factors
        return products.reshape(len(losses), -1).sum(axis=1)

    def _factors(
        self, log_weights: Float[Array, "batch ..."], count: Int[Array, ""]
    ) -> Float[Array, "batch ..."]:
        """Of the losses in a sum over the units of the batch, 0 where there is none."""
        if self.reweighting is None or self.reweighting.batch == "sample":
            return jnp.isfinite(log_weights) / count
        if self.reweighting.batch == "importance":
            return jnp.exp(log_weights + jnp.log(self.units.count)) / count
        return jax.nn.softmax(log_weights.ravel()).reshape(log_weights.shape)


def _units(examples: int, labels: Int[np.ndarray, "examples *tokens"] | None) -> Units:
    """Tokens where the labels are those of tokens, else examples."""
    if labels is None or labels.ndim == 1:
        return example_units(examples)
    if labels.ndim > 2 or not (labels >= 0).any():
        raise ConfigError(
            f"labels of shape {labels.shape}: expected (examples, tokens) with a label of at least 0"
        )
    return token_units(labels)


def _check_codes(
    name: str, codes: Int[np.ndarray, "examples ..."] | None, examples: int, least: int = 0
) -> None:
    if codes is not None and (len(codes) != examples or codes.min() < least):
        raise ConfigError(
            f"{name} for {len(codes)} examples, expected one of at least {least} for all {examples}"
        )


def _halved(scores: Float[Array, " units"]) -> Float[Array, " units"]:
    """In half precision; what is too large for it becomes its largest number."""
    return jnp.minimum(scores, float(jnp.finfo(jnp.float16).max)).astype(jnp.float16)


def _count(codes: Int[np.ndarray, "..."] | None) -> int:
    return 0 if codes is None else int(codes.max()) + 1


class CoTeaching(Examples):
    """Each of two models learns from the examples of a batch whose loss is small for the *other* one.

    Han et al. 2018, arXiv 1804.06872: the two start from different weights, so that they forget different
    errors. The share of examples left out grows from 0 to the share of wrong labels, which must be known or
    guessed. It costs a second model; the first one is delivered.

    Args:
        examples: the learning problem, see `attractor.training.Examples`.
        wrong: share of wrong labels, in [0, 1).
        ramp: share of the training over which the share left out grows; where it grows before anything is
            learned, the two confirm each other in what they happen to believe.

    Raises:
        ConfigError: a share outside its range.
    """

    examples: Examples
    wrong: float | int = eqx.field(static=True)
    ramp: float | int = eqx.field(static=True, default=0.3)

    def __check_init__(self) -> None:
        checked("wrong", PartialShare, self.wrong)
        checked("ramp", PositiveShare, self.ramp)

    @property
    def size(self) -> int:
        """How many examples there are."""
        return self.examples.size

    def initial(self, key: PRNGKeyArray) -> tuple[Model, Model]:
        """Two fresh models."""
        first, second = jax.random.split(key)
        return self.examples.initial(first), self.examples.initial(second)

    def start_memory(self) -> tuple[Memory, Memory]:
        """That of both."""
        return self.examples.start_memory(), self.examples.start_memory()

    def losses_of(
        self, model: tuple[Model, Model], ids: Int[Array, " batch"], context: ExampleContext
    ) -> tuple[ExampleLosses, ExampleLosses]:
        """The losses of both."""
        keys = jax.random.split(context.key)
        one, two = (
            self.examples.losses_of(each, ids, replace(context, key=key, memory=memory))
            for each, key, memory in zip(model, keys, context.memory, strict=True)
        )
        return one, two

    def combine(
        self, losses: tuple[ExampleLosses, ExampleLosses], progress: Float[Array, ""]
    ) -> ExampleLosses:
        """For every example the mean of the losses of the models that may learn from it."""
        one, two = (self.examples.combine(each, progress) for each in losses)
        kept = 1 - self.wrong * jnp.minimum(progress / self.ramp, 1)
        chosen = _smallest(two.scores, kept), _smallest(one.scores, kept)
        weighted = (one.losses * chosen[0] + two.losses * chosen[1]) / kept
        return ExampleLosses(weighted, (one.scores + two.scores) / 2, (one.memory, two.memory))

    def scores_of(self, model: tuple[Model, Model], ids: Int[Array, " batch"]) -> Float[Array, " batch"]:
        """The mean of both."""
        first, second = model
        return (self.examples.scores_of(first, ids) + self.examples.scores_of(second, ids)) / 2

    @property
    def is_judged(self) -> bool:
        """As the learning problem of one model."""
        return self.examples.is_judged

    def validation(self, model: tuple[Model, Model]) -> Float[Array, ""]:
        """That of the first, which is delivered."""
        return self.examples.validation(model[0])

    def describe_example(self, example: int) -> str:
        """How the user calls an example."""
        return self.examples.describe_example(example)


def _smallest(scores: Float[Array, " batch"], share: Float[Array, ""]) -> Bool[Array, " batch"]:
    """Which scores are among the smallest, up to a share of them."""
    rank = jnp.argsort(jnp.argsort(jax.lax.stop_gradient(scores)))
    return rank < jnp.round(share * len(scores))
