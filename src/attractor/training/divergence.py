"""Name what went wrong when a value is not finite."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor.errors import DivergedError

from .spreading import batch_losses
from .task import Batch, Model, StepContext, Task


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
