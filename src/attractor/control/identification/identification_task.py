"""How a model is fitted: simulation error on windows for the trainer, or ridge regression of a read-out."""

import time
from collections.abc import Callable, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from attractor.cells import CellLike, exposed
from attractor.certify.stability.penalty import ContractionTarget, contract_weights, contraction_penalty
from attractor.errors import DivergedError
from attractor.program import compiled, single, single_precision
from attractor.scan import unroll
from attractor.training import Batch, StepContext, Trained, Windows
from attractor.training.refinement import LeastSquares

from .plant_network import PlantNetwork

ROWS_AT_ONCE = 16000
"""Rows whose Jacobian is held in memory at once during a refinement."""


def pad(
    inputs: Sequence[Float[np.ndarray, "_ inputs"]], outputs: Sequence[Float[np.ndarray, "_ outputs"]]
) -> Batch:
    """Recordings of unequal length side by side, in float32, padded with zeros to the longest."""
    longest = max(len(one) for one in inputs)

    def stack(recordings: Sequence[np.ndarray]) -> Array:
        padded = [np.pad(one, ((0, longest - len(one)), (0, 0))) for one in recordings]
        return single(np.stack(padded))

    valid = np.stack([np.arange(longest) < len(one) for one in inputs])
    return Batch(stack(inputs), stack(outputs), jnp.asarray(valid))


def free_run(
    network: PlantNetwork,
    inputs: Float[Array, "time inputs"],
    outputs: Float[Array, "time outputs"],
    washout: int,
) -> Float[Array, "simulated outputs"]:
    """Simulated outputs after the washout; the measured outputs are seen during the washout only."""
    state = network.start(inputs[:washout], outputs[:washout])
    return network(inputs[washout:], state)[0]


class Drawing(eqx.Module):
    """Makes a fresh network from a key; for JAX, what does so is a part of the structure.

    Args:
        make: a plan, or any function of a key.
    """

    make: Callable[[PRNGKeyArray], PlantNetwork] = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray) -> PlantNetwork:
        """The network."""
        return self.make(key)


class IdentificationTask(LeastSquares):
    """Fit a network so that its free run follows the plant.

    Args:
        build: makes a fresh network from a key; its arrays are arguments of compiled programs.
        windows: training windows of washout + simulated rows.
        validation_data: recordings for the choice of the best weights, never cut into windows.
        washout: rows of a window whose outputs set the state and are not predicted.
        settled: the same for a whole recording: 0 if recordings start at rest, else `washout`.
        batch_size: windows per step.
        stretch: how many times longer than a training window the pieces of a refinement are.
        contraction: the rate that the cell must keep for every input; None leaves it free.
    """

    build: Callable[[PRNGKeyArray], PlantNetwork]
    windows: Windows
    validation_data: Batch
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
        return model.with_inner(contract_weights(model.inner, self.contraction))

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
        if self.contraction is None:
            return losses
        return losses + contraction_penalty(model.inner, self.contraction)

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


@compiled
def score(task: IdentificationTask, network: PlantNetwork) -> Float[Array, ""]:
    """The validation of a network."""
    return task.score(network)


def squares(task: IdentificationTask, network: PlantNetwork) -> Float[np.ndarray, " rows"]:
    """Squared free-run error of every validation row that counts, all outputs together, scaled."""
    errors = np.asarray(_free_errors(task.validation_data, network, task.settled), float)
    return np.sum(errors**2, axis=2)[np.asarray(task.validation_data.valid)[:, task.settled :]]


@compiled
def _free_errors(data: Batch, network: PlantNetwork, settled: int) -> Float[Array, "recordings rows outputs"]:
    simulated = jax.vmap(lambda u, y: free_run(network, u, y, settled))(data.inputs, data.outputs)
    return simulated - data.outputs[:, settled:]


PENALTIES = tuple(10.0**exponent for exponent in range(-9, 3))


@single_precision()
def fit_readout(task: IdentificationTask, training: Batch, seeds: int, seed: int) -> Trained:
    """The read-outs C, c with the least |Y - C X - c|^2 + n p |C|^2, p chosen on the validation data.

    The normal equations are solved in float64 on standardised features, so that p means the same for every
    reservoir.

    Args:
        task: gives fresh networks, washout and validation.
        training: the training recordings.
        seeds: reservoirs to try.
        seed: draws them.

    Raises:
        DivergedError: no read-out of any reservoir has a finite free run on the validation data.
    """
    start = time.monotonic()
    results = []
    for key in jax.random.split(jax.random.key(seed), seeds):
        network = task.initial(key)
        candidates = _path(network, *_regression(network, training, task.washout))
        scores = [float(score(task, candidate)) for candidate in candidates]
        best = int(np.argmin(scores))
        results.append((candidates[best], scores[best], PENALTIES[best]))
    models, scores, penalties = zip(*results, strict=True)
    if not np.isfinite(scores).any():
        raise DivergedError(
            f"none of {seeds} reservoirs has a read-out whose free run on the validation data is finite"
        )
    stacked = jax.tree.map(
        lambda *leaves: jnp.stack(leaves) if eqx.is_array(leaves[0]) else leaves[0], *models
    )
    seconds = time.monotonic() - start
    history = [{"step": 1, "seconds": seconds, "validation": list(scores), "ridge": list(penalties)}]
    return Trained(stacked, np.array(scores), np.ones(seeds, int), history, seconds)


def _path(network: PlantNetwork, features: np.ndarray, targets: np.ndarray) -> list[PlantNetwork]:
    """The network with the read-out of every penalty."""
    centre, deviation = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)
    scaled, mean = (features - centre) / deviation, targets.mean(axis=0)
    gram, moment = scaled.T @ scaled / len(scaled), scaled.T @ (targets - mean) / len(scaled)
    networks = []
    for penalty in PENALTIES:
        weight = np.linalg.solve(gram + penalty * np.eye(len(gram)), moment).T / deviation
        pair = single(weight), single(mean - weight @ centre)
        networks.append(eqx.tree_at(lambda n: (n.readout.weight, n.readout.bias), network, pair))
    return networks


@compiled
def _exposed_states(
    cell: CellLike, inputs: Float[Array, "recordings time inputs"]
) -> Float[Array, "recordings time exposed"]:
    """What a cell shows of its states, for every recording."""
    return jax.vmap(lambda one: unroll(cell, one, read=lambda state: exposed(cell, state)).states)(inputs)


def _regression(network: PlantNetwork, data: Batch, washout: int) -> tuple[np.ndarray, np.ndarray]:
    """Exposed states and targets of all valid rows after the washout, float64."""
    states = np.asarray(_exposed_states(network.cell, data.inputs), np.float64)
    if not network.feedthrough:
        states = np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
    seen = np.asarray(data.valid).copy()
    seen[:, : max(washout, 1)] = False
    return states[seen], np.asarray(data.outputs, np.float64)[seen]
