"""One training from step to step: what it carries, one update, one validation, and what went wrong."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from attractor.errors import ConfigError, DivergedError
from attractor.settings import LARGEST_WHOLE

from .spreading import batch_losses, held_everywhere
from .task import Batch, Memory, Model, StepContext, Task, is_real, select_replica
from .training_settings import TrainingSettings, make_optimiser

Tree = TypeVar("Tree")
Observed = Mapping[str, Array]

NEVER = -1


class Replica(eqx.Module):
    """All that the training of one seed carries from step to step.

    Args:
        model: the weights.
        optimiser: the state of the optimiser.
        key: from which the key of each step follows.
        step: updates so far.
        loss: mean loss of the last batch.
        score: the last validation.
        initial: the weights before the first step.
        best: the weights of the lowest validation so far, and when that was.
        failed: the step whose loss or gradient was not finite, or `NEVER`.
        stopped: nothing is left to do.
        memory: what the task carries.
    """

    model: Model
    optimiser: optax.OptState
    key: PRNGKeyArray
    step: Int[Array, ""]
    loss: Float[Array, ""]
    score: Float[Array, ""]
    initial: Model
    best: Model
    best_score: Float[Array, ""]
    best_step: Int[Array, ""]
    failed: Int[Array, ""]
    stopped: Bool[Array, ""]
    memory: Memory = None

    @property
    def context(self) -> StepContext:
        """What the next step is told."""
        return StepContext(self.memory, jax.random.fold_in(self.key, self.step), self.step)


class Update(eqx.Module):
    """How replicas are trained; whatever is compiled is compiled for one of these.

    Args:
        task: what is learned.
        settings: how long and how fast.
        optimiser: any Optax transformation; None takes that of the settings.
        mesh: the devices over which batches are spread; None for one device.
        programs: what compiled training is kept by beside its structure.
    """

    task: Task
    settings: TrainingSettings = eqx.field(static=True)
    optimiser: optax.GradientTransformation | None = eqx.field(static=True, default=None)
    mesh: Mesh | None = eqx.field(static=True, default=None)
    programs: object = eqx.field(static=True, default=())

    @property
    def rule(self) -> optax.GradientTransformationExtraArgs:
        """The optimiser, which may ask for the loss (`value`, `grad`, `value_fn`), as line searches do."""
        return optax.with_extra_args_support(self.optimiser or make_optimiser(self.settings))

    def start(self, key: PRNGKeyArray) -> Replica:
        """A training before its first step."""
        model_key, batch_key = jax.random.split(key)
        model = self.task.initial(model_key)
        zero = jnp.zeros((), jnp.int32)
        infinite = jnp.array(jnp.inf, jnp.float32)
        return Replica(
            model=model,
            optimiser=self.rule.init(eqx.filter(model, eqx.is_inexact_array)),
            key=batch_key,
            step=zero,
            loss=infinite,
            score=infinite,
            initial=model,
            best=model,
            best_score=infinite,
            best_step=zero,
            failed=jnp.array(NEVER, jnp.int32),
            stopped=jnp.zeros((), bool),
            memory=jax.tree.map(_as_array, self.task.start_memory(batch_key)),
        )

    def each(self, function: Callable[..., Tree], *stacked: PyTree) -> Tree:
        """A function of one replica, for all of them."""
        if self.settings.seeds > 1:
            result = eqx.filter_vmap(function)(*stacked)
        else:
            # A mapped axis of length one is not free: it takes a Lipschitz network a fifth more on 196 steps.
            alone = function(*(select_replica(one, 0) for one in stacked))
            result = jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, alone)
        return held_everywhere(result, self.mesh)

    def steps(self, replica: Replica) -> tuple[Replica, Observed]:
        """All steps up to the next validation, with batches that the task draws."""
        arrays, static = eqx.partition(replica, eqx.is_array)

        def body(arrays: Replica, _: None) -> tuple[Replica, Observed]:
            replica = eqx.combine(arrays, static)
            stepped, observed = self.step(replica, self.task.draw(replica.context))
            return eqx.filter(stepped, eqx.is_array), observed

        arrays, observed = jax.lax.scan(body, arrays, None, length=self.settings.validate_every)
        return eqx.combine(arrays, static), observed

    def step(self, replica: Replica, batch: Batch) -> tuple[Replica, Observed]:
        """One update, unless the replica has stopped or the update would not be finite."""
        context = replica.context

        def mean_loss(model: Model) -> tuple[Float[Array, ""], Memory]:
            losses, memory = batch_losses(self.task, model, batch, context, self.mesh)
            return jnp.mean(losses), memory

        (loss, memory), gradient = eqx.filter_value_and_grad(mean_loss, has_aux=True)(replica.model)
        # Of a complex weight JAX gives the conjugate of the direction in which the loss rises.
        gradient = jax.tree.map(jnp.conj, gradient)
        trained, rest = eqx.partition(replica.model, eqx.is_inexact_array)
        updates, state = self.rule.update(
            gradient,
            replica.optimiser,
            trained,
            value=loss,
            grad=gradient,
            value_fn=lambda trained: mean_loss(eqx.combine(trained, rest))[0],
        )
        finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradient))
        active = ~replica.stopped & (replica.step < self.settings.steps)
        go = active & finite
        stepped = replace(
            replica,
            model=_choose(go, eqx.apply_updates(replica.model, updates), replica.model),
            optimiser=_choose(go, state, replica.optimiser),
            step=replica.step + go,
            loss=jnp.where(go, loss, replica.loss),
            failed=jnp.where(active & ~finite, replica.step, replica.failed),
            stopped=replica.stopped | (active & ~finite),
            memory=_choose(go, memory, replica.memory),
        )
        observed = self.task.observe(replica.model, gradient, replica.step)
        return stepped, _observed(type(self.task).__name__, observed)

    def validated(self, replica: Replica) -> Replica:
        """The replica after a validation that is compiled."""
        candidate = self.task.settle(replica.model)
        return self.judged(replica, candidate, self.task.score(candidate))

    def judged(self, replica: Replica, candidate: Model, score: Float[Array, ""]) -> Replica:
        """The replica after a validation.

        Args:
            replica: before.
            candidate: its weights as they would be delivered.
            score: their validation, infinite where it is not finite.
        """
        settings = self.settings
        score = jnp.where(replica.stopped, jnp.inf, score)
        better = score < replica.best_score
        best_step = jnp.where(better, replica.step, replica.best_step)
        stopped = replica.stopped | (replica.step >= settings.steps)
        if settings.patience is not None:
            most = min(settings.patience * settings.validate_every, LARGEST_WHOLE)
            stopped |= replica.step - best_step >= most
        memory = self.task.review(candidate, replica.context)
        return replace(
            replica,
            score=jnp.where(replica.stopped, replica.score, score),
            best=_choose(better, candidate, replica.best),
            best_score=jnp.where(better, score, replica.best_score),
            best_step=best_step,
            stopped=stopped,
            memory=_choose(~replica.stopped, memory, replica.memory),
        )


def _as_array(leaf: object) -> object:
    """Numbers of a memory as arrays: nothing else is carried from step to step."""
    return jnp.asarray(leaf) if isinstance(leaf, bool | int | float | np.ndarray | np.generic) else leaf


def _observed(task: str, found: Mapping[str, Array]) -> Observed:
    """What a task observes, as arrays by name.

    Raises:
        ConfigError: it is something else.
    """
    named = isinstance(found, Mapping) and all(isinstance(name, str) for name in found)
    if not named or not all(is_real(value) for value in found.values()):
        raise ConfigError(
            f"`observe` of {task} returned {found!r}: expected a dictionary of real scalars or arrays with "
            "texts as names"
        )
    return {name: jnp.asarray(value) for name, value in found.items()}


def _choose(condition: Bool[Array, ""], yes: Tree, no: Tree) -> Tree:
    def pick(one: PyTree, two: PyTree) -> PyTree:
        return jnp.where(condition, one, two) if eqx.is_array(one) else one

    return jax.tree.map(pick, yes, no)


def diagnose(task: Task, model: Model, context: StepContext, batch: Batch = None) -> DivergedError:
    """The error that names step, tensor and example of a step whose loss or gradient is not finite.

    Args:
        task: the task.
        model: the weights before the step.
        context: the step: its number, its key, what the task carried.
        batch: what came from the host; None where the task draws it.
    """
    batch = eqx.filter_jit(lambda: task.draw(context))() if batch is None else batch

    def lost(model: Model) -> jax.Array:
        return batch_losses(task, model, batch, context)[0]

    losses = np.asarray(eqx.filter_jit(lost)(model))
    gradients = eqx.filter_jit(eqx.filter_jacrev(lost))(model)
    broken = {name: ~_finite_rows(leaf, len(losses)) for name, leaf in _named(gradients)}
    # A loss that is not finite spoils the gradient rows of its neighbours where a batch is one product.
    lossy = ~np.isfinite(losses)
    suspects = lossy if lossy.any() else np.any([*broken.values(), lossy], axis=0)
    tensors = [name for name, rows in broken.items() if rows.any()] or ["the loss"]
    example = int(np.argmax(suspects)) if suspects.any() else 0
    message = (
        f"step {int(context.step)}: the gradient of {', '.join(tensors[:3])} is not finite, first for "
        f"example {example} of the batch ({task.describe(batch, context, example)}), whose loss "
        f"is {losses[example]:.3g}. {_remedy(int(context.step))}"
    )
    return DivergedError(message)


def _remedy(step: int) -> str:
    if step == 0:
        return (
            "No weight has moved yet: look at the data there, and whether the step of the cell is finite for "
            "them (roots, logarithms, divisions)"
        )
    return "Look at the data there; if they are fine, lower the learning rate"


def _named(tree: Model) -> list[tuple[str, jax.Array]]:
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_inexact_array))
    names = [jax.tree_util.keystr(path, simple=True, separator=".") or "the weights" for path, _ in leaves]
    return [(name, leaf) for name, (_, leaf) in zip(names, leaves, strict=True)]


def _finite_rows(leaf: jax.Array, rows: int) -> np.ndarray:
    return np.asarray(jnp.isfinite(leaf).reshape(rows, -1).all(axis=1))
