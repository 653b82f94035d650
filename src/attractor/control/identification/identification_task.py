"""Identification as a task for the trainer: simulation error on windows, free run on validation data."""

from collections.abc import Callable, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from attractor.certify.stability.penalty import ContractionTarget, contract_weights, contraction_penalty
from attractor.training import Batch, StepContext, Windows
from attractor.training.refinement import LeastSquares

from .plant_network import PlantNetwork

ROWS_AT_ONCE = 16000
"""Rows whose Jacobian is held in memory at once during a refinement."""


class Padded(eqx.Module):
    """Recordings of unequal length side by side: (experiments, time, channels) and which rows are valid."""

    inputs: Float[Array, "experiments time inputs"]
    outputs: Float[Array, "experiments time outputs"]
    valid: Bool[Array, "experiments time"]


def pad(
    inputs: Sequence[Float[np.ndarray, "_ inputs"]], outputs: Sequence[Float[np.ndarray, "_ outputs"]]
) -> Padded:
    """Recordings side by side, in float32, padded with zeros to the longest."""
    longest = max(len(one) for one in inputs)

    def stack(recordings: Sequence[np.ndarray]) -> Array:
        padded = [np.pad(one, ((0, longest - len(one)), (0, 0))) for one in recordings]
        return jnp.asarray(np.stack(padded), jnp.float32)

    valid = np.stack([np.arange(longest) < len(one) for one in inputs])
    return Padded(stack(inputs), stack(outputs), jnp.asarray(valid))


def free_run(
    network: PlantNetwork,
    inputs: Float[Array, "time inputs"],
    outputs: Float[Array, "time outputs"],
    washout: int,
) -> Float[Array, "simulated outputs"]:
    """Simulated outputs after the washout; the measured outputs are seen during the washout only."""
    state = network.start(inputs[:washout], outputs[:washout])
    return network(inputs[washout:], state)[0]


class IdentificationTask(LeastSquares):
    """Fit a network so that its free run follows the plant.

    Args:
        build: makes a fresh network from a key.
        windows: training windows of washout + simulated rows.
        validation_data: recordings for the choice of the best weights, never cut into windows.
        washout: rows of a window whose outputs set the state and are not predicted.
        settled: the same for a whole recording: 0 if recordings start at rest, else `washout`.
        batch_size: windows a step.
        stretch: how many times longer than a training window the pieces of a refinement are.
        contraction: the rate that the cell must keep for every input; None leaves it free.
    """

    build: Callable[[PRNGKeyArray], PlantNetwork] = eqx.field(static=True)
    windows: Windows
    validation_data: Padded
    washout: int = eqx.field(static=True)
    settled: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    stretch: int = eqx.field(static=True, default=5)
    contraction: ContractionTarget | None = eqx.field(static=True, default=None)

    def initial(self, key: PRNGKeyArray) -> PlantNetwork:
        """A fresh network, moved to where it contracts if it must."""
        return self.settle(self.build(key))

    def settle(self, model: PlantNetwork) -> PlantNetwork:
        """The network with a cell that keeps the rate asked for."""
        if self.contraction is None:
            return model
        return eqx.tree_at(lambda n: n.cell, model, contract_weights(model.cell, self.contraction))

    def draw(self, context: StepContext) -> Batch:
        """Windows of the training recordings."""
        return self.windows.draw(context.key, self.batch_size)

    def losses(self, model: PlantNetwork, batch: Batch, context: StepContext) -> Float[Array, " batch"]:
        """Mean squared simulation error of every window after its washout, scaled outputs.

        With a rate to keep, its penalty is added to every one.
        """
        del context
        error = partial(_error, model, self.washout)
        losses = jax.vmap(error)(batch.inputs, batch.outputs, batch.valid)
        return (
            losses if self.contraction is None else losses + contraction_penalty(model.cell, self.contraction)
        )

    def validation(self, model: PlantNetwork) -> Float[Array, ""]:
        """Root of the mean squared free-run error over all validation rows, scaled outputs."""
        data = self.validation_data
        error = partial(_error, model, self.settled)
        errors = jax.vmap(error)(data.inputs, data.outputs, data.valid)
        rows = data.valid[:, self.settled :].sum(axis=1)
        return jnp.sqrt(jnp.sum(errors * rows) / jnp.sum(rows))

    def groups(self) -> Batch:
        """All training rows in groups of windows, for a refinement."""
        simulated = self.windows.length - self.washout
        whole = self.windows.cover(self.washout + self.stretch * simulated, self.washout)
        size = min(max(ROWS_AT_ONCE // whole.valid.shape[1], 1), len(whole.valid))
        missing = -len(whole.valid) % size

        def group(leaf: Array) -> Array:
            padded = jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1))
            return padded.reshape(-1, size, *leaf.shape[1:])

        return jax.tree.map(group, whole)

    def residuals(self, model: PlantNetwork, group: Batch) -> Float[Array, " residuals"]:
        """Simulation errors of the valid rows of a group after the washout, scaled outputs; 0 elsewhere."""

        def one(inputs: Array, outputs: Array, valid: Array) -> Array:
            errors = free_run(model, inputs, outputs, self.washout) - outputs[self.washout :]
            return jnp.where(valid[self.washout :, None], errors, 0.0)

        return jax.vmap(one)(group.inputs, group.outputs, group.valid).ravel()

    def residual_count(self, groups: Batch) -> Int[Array, ""]:
        """Residuals of valid rows; `residuals` gives zeros for all others, which a mean must not count."""
        return groups.valid[..., self.washout :].sum() * groups.outputs.shape[-1]

    def refinable(self, model: PlantNetwork) -> PyTree[bool]:
        """Everything but the encoder, whose work the refinement of the rest does not disturb much."""
        chosen = jax.tree.map(eqx.is_inexact_array, model)
        none = jax.tree.map(lambda _: False, model.encoder)
        return eqx.tree_at(lambda n: n.encoder, chosen, none, is_leaf=lambda leaf: leaf is None)

    def describe(self, batch: Batch, context: StepContext, example: int) -> str:
        """The rows of the joined training recordings that a window covers."""
        del batch
        first = self.windows.first_row(context.key, self.batch_size, example)
        return f"training rows {first} to {first + self.windows.length - 1}"


def _error(
    model: PlantNetwork,
    washout: int,
    inputs: Float[Array, "time inputs"],
    outputs: Float[Array, "time outputs"],
    valid: Bool[Array, " time"],
) -> Float[Array, ""]:
    """Mean squared simulation error over the valid rows after the washout."""
    simulated = free_run(model, inputs, outputs, washout)
    squares = jnp.mean((simulated - outputs[washout:]) ** 2, axis=1)
    seen = valid[washout:]
    return jnp.sum(jnp.where(seen, squares, 0.0)) / jnp.maximum(jnp.sum(seen), 1)
