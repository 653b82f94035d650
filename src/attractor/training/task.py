"""What the trainer needs to know about a learning problem."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree

from attractor.errors import ShapeError

Tree = TypeVar("Tree")

Model = PyTree
"""An Equinox module: floating-point arrays are trained, the rest is structure."""
Batch = PyTree
"""What the losses of one step are computed from; its arrays have the examples on their first axis."""
Memory = PyTree
"""What a task carries from step to step beside the weights, a pytree of arrays; None for most tasks."""
IteratorState = bytes | Mapping[str, Any]
"""Where an iterator of batches stands: bytes, or a dictionary that JSON can hold."""


@runtime_checkable
class BatchIterator(Protocol):
    """Batches that are made on the host: the protocol of the iterators of Grain.

    `set_state` with what `get_state` returned must lead to the same batches in the same order.
    """

    def __next__(self) -> Batch:
        """The next batch, of NumPy arrays."""
        ...

    def get_state(self) -> IteratorState:
        """Where the iterator stands."""
        ...

    def set_state(self, state: IteratorState, /) -> None:
        """Go on from there."""
        ...


class StepContext(eqx.Module):
    """What is known at one step of a training.

    Args:
        memory: what the task carries; None if it carries nothing.
        key: the randomness of this step.
        step: updates so far.
        first: index in the batch of the first example at hand, where the batch is spread over devices.
        batch_size: examples in the whole batch; None where all of them are at hand.
    """

    memory: Memory
    key: PRNGKeyArray
    step: Int[Array, ""]
    first: Int[Array, ""] | None = None
    batch_size: int | None = eqx.field(static=True, default=None)

    def keys(self, count: int, key: PRNGKeyArray | None = None) -> Key[Array, " count"]:
        """A key for each of the `count` examples at hand: the same on one device and on many.

        Args:
            count: examples at hand.
            key: what they are split from; the key of this step by default.
        """
        key = self.key if key is None else key
        if self.first is None or self.batch_size is None:
            return jax.random.split(key, count)
        return jax.lax.dynamic_slice_in_dim(jax.random.split(key, self.batch_size), self.first, count)


class Task(eqx.Module):
    """A learning problem: how a model begins, what it is trained on, and by what it is judged.

    A task is an Equinox module. Its arrays are the data, so that they are never compiled into a program.
    `initial`, `losses` and `validation` must be written; every other method has a default.

    Batches come from one of two places. `draw` takes them from arrays of the task, inside the compiled step.
    `batches` returns an iterator on the host, whose batches may have several shapes (one compiled step each);
    its state is part of every checkpoint.

    A *stateful* task carries a memory beside the weights: weights of examples, running targets, the order of
    an epoch. It writes `start_memory`, `combine` and `review`. The memory is part of every checkpoint.
    """

    validation_on_host: ClassVar[bool] = False
    """Whether `validation` is plain Python that returns a float, such as BLEU, and is not compiled."""

    @abstractmethod
    def initial(self, key: PRNGKeyArray) -> Model:
        """A fresh model."""

    @abstractmethod
    def losses(self, model: Model, batch: Batch, context: StepContext) -> PyTree[Array]:
        """The loss of every example of a batch, shape (batch,).

        Each example is judged alone: where there are several devices, each of them gets a part of the batch.
        What the examples of a batch have to do with one another goes into `combine`; a task that writes it
        may return any pytree here whose arrays have the examples on their first axis. For random numbers take
        `context.keys`, which gives each example the same key on any number of devices.
        """

    @property
    def is_judged(self) -> bool:
        """Whether there is anything to validate by; without it the number of `validation` is never told."""
        return True

    @abstractmethod
    def validation(self, model: Model) -> Float[Array, ""] | float:
        """The number by which the best weights are chosen: lower is better.

        It is compiled. One that needs plain Python or NumPy, such as BLEU, stands in a task that says
        `validation_on_host = True`; it then gets the weights of one replica and returns a float.
        """

    def draw(self, context: StepContext) -> Batch:
        """The batch of a step, from arrays of the task; None where the losses need none."""
        del context

    def batches(self, seed: int) -> BatchIterator | None:
        """An iterator of batches on the host; None takes them from `draw`.

        All replicas of a training see the same batches. Under `jax.distributed` the iterators of all
        processes must give the same whole batches; the trainer takes the part of each device.

        Args:
            seed: of the training.
        """
        del seed

    def combine(
        self, losses: PyTree[Array], batch: Batch, context: StepContext
    ) -> tuple[Float[Array, " batch"], Memory]:
        """What the whole batch makes of its losses: those whose mean is minimised, and the new memory."""
        del batch
        return losses, context.memory

    def start_memory(self, key: PRNGKeyArray) -> Memory:
        """The memory before the first step."""
        del key

    def review(self, model: Model, context: StepContext) -> Memory:
        """The memory after a validation."""
        del model
        return context.memory

    def settle(self, model: Model) -> Model:
        """The model as it would be delivered, and is validated: moved to where a constraint holds, if any.

        Training itself goes on from where it was.
        """
        return model

    def observe(self, model: Model, gradient: Model, step: Int[Array, ""]) -> Mapping[str, Array]:
        """Real scalars or small arrays by name, recorded at every step in the history and in the log.

        Args:
            model: before the update.
            gradient: of the mean loss of the batch, not clipped.
            step: updates so far.
        """
        del model, gradient, step
        return {}

    def describe(self, batch: Batch, context: StepContext, example: int) -> str:
        """Where an example of a batch comes from, in the user's terms."""
        del batch, context
        return f"number {example}"

    def score(self, model: Model) -> Float[Array, ""]:
        """The validation, infinite where it is not finite, so that a comparison never prefers a NaN."""
        found = self.validation(model)
        check_number(f"`validation` of {type(self).__name__}", found)
        score = jnp.asarray(found)
        return jnp.where(jnp.isfinite(score), score, jnp.inf)


def is_real(value: PyTree) -> bool:
    """Whether something is a number or an array of real numbers."""
    kind = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    number = jnp.issubdtype(kind, jnp.number) or jnp.issubdtype(kind, jnp.bool_)
    return number and not jnp.issubdtype(kind, jnp.complexfloating)


def check_number(what: str, value: PyTree) -> None:
    """Refuse what is not one real number.

    Raises:
        ShapeError: it has another shape, or is complex, a text or nothing.
    """
    if np.shape(value) != () or not is_real(value):
        raise ShapeError(f"{what} returned {value!r}: expected one real number")


def select_replica(replicas: Tree, index: int) -> Tree:
    """One of a stack of models, or of anything else whose arrays have the replicas on their first axis."""
    arrays, rest = eqx.partition(replicas, eqx.is_array)
    return eqx.combine(_rows(arrays, index), rest)


@partial(jax.jit, static_argnums=1)  # one program in place of one for each shape
def _rows(arrays: Tree, index: int) -> Tree:
    return jax.tree.map(lambda leaf: leaf[index], arrays)
