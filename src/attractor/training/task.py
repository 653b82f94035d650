"""What the trainer needs to know about a task."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

Model = Any
"""An Equinox module: arrays are trained, the rest is structure."""


@runtime_checkable
class Task(Protocol):
    """A learning problem. An Equinox module whose arrays are the data, so that they are never compiled in."""

    def initial(self, key: PRNGKeyArray) -> Model:
        """A fresh model."""
        ...

    def losses(self, model: Model, key: PRNGKeyArray) -> Float[Array, " batch"]:
        """The loss of every example of the batch that `key` draws."""
        ...

    def validation(self, model: Model) -> Float[Array, ""]:
        """The figure by which the best weights are chosen: lower is better."""
        ...

    def describe(self, key: PRNGKeyArray, example: int) -> str:
        """Where an example of the batch of `key` comes from, in the user's terms."""
        ...


Memory = Any
"""What a task carries from step to step beside the weights, a pytree of arrays; None for most tasks."""


class Moment(NamedTuple):
    """Where a training stands.

    Args:
        memory: what the task carries; None if it carries nothing.
        key: the randomness of this step.
        step: updates so far.
    """

    memory: Memory
    key: PRNGKeyArray
    step: Int[Array, ""]


@runtime_checkable
class Remembering(Protocol):
    """A task that carries more than weights: weights of examples, running targets, the order of an epoch.

    Besides `initial` and `validation` of a `Task` it has these four in place of `losses` and `describe`. Its
    memory is part of every checkpoint, so that a resumed training ends in the same bits.
    """

    def start_memory(self, key: PRNGKeyArray) -> Memory:
        """The memory before the first step."""
        ...

    def losses_at(self, model: Model, moment: Moment) -> tuple[Float[Array, " batch"], Memory]:
        """The loss of every example of the batch of this moment, and the memory after the step."""
        ...

    def review(self, model: Model, moment: Moment) -> Memory:
        """The memory after a validation."""
        ...

    def describe_at(self, moment: Moment, example: int) -> str:
        """Where an example of the batch of this moment comes from, in the user's terms."""
        ...


def start_memory(task: Task | Remembering, key: PRNGKeyArray) -> Memory:
    """The first memory of a task that has one, else None."""
    return task.start_memory(key) if isinstance(task, Remembering) else None


def losses_at(
    task: Task | Remembering, model: Model, moment: Moment
) -> tuple[Float[Array, " batch"], Memory]:
    """The losses of one step and the memory after it."""
    if isinstance(task, Remembering):
        return task.losses_at(model, moment)
    return task.losses(model, moment.key), moment.memory


def review(task: Task | Remembering, model: Model, moment: Moment) -> Memory:
    """The memory after a validation."""
    return task.review(model, moment) if isinstance(task, Remembering) else moment.memory


def describe_at(task: Task | Remembering, moment: Moment, example: int) -> str:
    """Where an example of the batch of a moment comes from."""
    if isinstance(task, Remembering):
        return task.describe_at(moment, example)
    return task.describe(moment.key, example)


def settled(task: Any, model: Model) -> Model:
    """The model as it would be delivered: what the task's own `settle(model)` makes of it, if it has one.

    A task with a constraint moves the weights into it there; training itself goes on from where it was.
    """
    return task.settle(model) if hasattr(task, "settle") else model


def select_member(members: Any, index: int) -> Any:
    """One out of a stack of models, or of anything else whose arrays have the members on their first axis."""
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, members)


def score_of(task: Any, model: Model) -> Float[Array, ""]:
    """The validation figure, infinite where it is not finite, so that a comparison never prefers a NaN."""
    score = task.validation(model)
    return jnp.where(jnp.isfinite(score), score, jnp.inf)
