"""Fit a read-out by ridge regression: all the training that an echo state network needs."""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import exposed
from attractor.errors import DivergedError
from attractor.program import compiled, single_precision
from attractor.scan import unroll
from attractor.training import Trained

from .identification_task import IdentificationTask, Padded
from .plant_network import PlantNetwork

PENALTIES = tuple(10.0**exponent for exponent in range(-9, 3))


@single_precision()
def fit_readout(task: IdentificationTask, training: Padded, seeds: int, seed: int) -> Trained:
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
    validate = compiled(lambda network: task.score(network))
    results = []
    for key in jax.random.split(jax.random.key(seed), seeds):
        network = task.initial(key)
        candidates = _path(network, *_regression(network, training, task.washout))
        scores = [float(validate(candidate)) for candidate in candidates]
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
    centre, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)
    scaled, mean = (features - centre) / spread, targets.mean(axis=0)
    gram, moment = scaled.T @ scaled / len(scaled), scaled.T @ (targets - mean) / len(scaled)
    networks = []
    for penalty in PENALTIES:
        weight = np.linalg.solve(gram + penalty * np.eye(len(gram)), moment).T / spread
        networks.append(_with_readout(network, weight, mean - weight @ centre))
    return networks


def _regression(network: PlantNetwork, data: Padded, washout: int) -> tuple[np.ndarray, np.ndarray]:
    """Exposed states and targets of all valid rows after the washout, float64."""

    @jax.jit
    @jax.vmap
    def run(inputs: Float[Array, "time inputs"]) -> Float[Array, "time exposed"]:
        return unroll(network.cell, inputs, read=lambda state: exposed(network.cell, state)).states

    states = np.asarray(run(data.inputs), np.float64)
    if not network.feedthrough:
        states = np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
    seen = np.asarray(data.valid).copy()
    seen[:, : max(washout, 1)] = False
    return states[seen], np.asarray(data.outputs, np.float64)[seen]


def _with_readout(network: PlantNetwork, weight: np.ndarray, bias: np.ndarray) -> PlantNetwork:
    replace = jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32)
    return eqx.tree_at(lambda n: (n.readout.weight, n.readout.bias), network, replace)
