"""What the trainer needs to know about a task."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

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


def settled(task: Task, model: Model) -> Model:
    """The model as it would be delivered: what the task's own `settle(model)` makes of it, if it has one.

    A task with a constraint moves the weights into it there; training itself goes on from where it was.
    """
    return task.settle(model) if hasattr(task, "settle") else model  # pyright: ignore[reportAttributeAccessIssue]


def select_member(members: Any, index: int) -> Any:
    """One out of a stack of models, or of anything else whose arrays have the members on their first axis."""
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, members)


def score_of(task: Task, model: Model) -> Float[Array, ""]:
    """The validation figure, infinite where it is not finite, so that a comparison never prefers a NaN."""
    score = task.validation(model)
    return jnp.where(jnp.isfinite(score), score, jnp.inf)
