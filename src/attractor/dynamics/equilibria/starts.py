"""Where a search for fixed points starts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import State, input_size, knows_input, name_of
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.program import FlatMap, double_precision

from ..trajectory import checked, flat_inputs, prepared, visited

_RESTS = 1e-6
"""Root mean square of states below which a network counts as resting at zero."""


def sampled_starts(
    cell: Any,
    inputs: Float[Array | np.ndarray, "..."],
    count: int = 256,
    noise: float | int = 0.1,
    seed: int = 0,
) -> Float[np.ndarray, "count states"]:
    """Flat states drawn from the trajectories that inputs drive, with noise added.

    A network is trained where its trajectories run, so that the fixed points that explain what it does lie
    near them. Noise leads to those beside the path, the saddles between attractors above all.

    Args:
        cell: any cell; it starts from its own initial state.
        inputs: one sequence (time, inputs), or several of the same length (sequences, time, inputs).
        count: states to draw, with repetition.
        noise: standard deviation of the noise, as a share of the root mean square of the states; of 1 where
            they rest at zero.
        seed: of the choice and the noise.

    Raises:
        ConfigError: a count below 1 or a negative noise.
        ShapeError: inputs that do not fit the cell.
        InputDataError: inputs or states that are not finite.
    """
    if count < 1 or not 0 <= noise < np.inf:
        message = (
            f"count={count}, noise={noise}: expected a count of at least 1 and a finite noise of at least 0"
        )
        raise ConfigError(message)
    sequences = np.asarray(inputs)
    sequences = sequences[None] if sequences.ndim == 2 else sequences
    if sequences.ndim != 3 or 0 in sequences.shape[:2]:
        message = f"inputs of shape {np.shape(inputs)}, expected (time, inputs) or (sequences, time, inputs)"
        raise ShapeError(message)
    values = np.stack([checked(cell, sequence) for sequence in sequences])
    with double_precision():
        flat, start, _ = prepared(cell, None, 0, None)
        states = np.asarray(jax.vmap(lambda rows: visited(flat, start, rows))(jnp.asarray(values)))
        states = states[..., : flat.real_size]
    for sequence, step in np.argwhere(~np.isfinite(states).all(axis=2))[:1]:
        message = (
            f"the trajectory of sequence {sequence} leaves the finite numbers at step {step}; leave it out, "
            "or give shorter or smaller inputs"
        )
        raise InputDataError(message)
    states = states.reshape(-1, flat.real_size)
    source = np.random.default_rng(seed)
    # A network that rests at zero gives no size to its noise: 1 is that of its units.
    size = root_mean_square(states)
    size = size if size > _RESTS else 1.0
    return source.choice(states, count) + noise * size * source.normal(size=(count, states.shape[1]))


def root_mean_square(values: Float[np.ndarray, "..."]) -> float:
    """Of numbers of any size: squares of scaled entries do not overflow; 0 where all are zero."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest * float(np.sqrt(np.mean(np.square(values / largest)))) if largest > 0 else 0.0


def random_starts(
    states: int, count: int, scales: tuple[float | int, ...], seed: int
) -> Float[np.ndarray, "count states"]:
    """Normal entries, the scales taking turns.

    In a large network most starts of one scale fall on the same point, often zero; several scales reach more.
    """
    source = np.random.default_rng(seed)
    return np.resize(scales, count)[:, None] * source.normal(size=(count, states))


def flat_starts(flat: FlatMap, starts: State) -> Float[np.ndarray, "starts states"]:
    """Given starts as vectors in float64; call it inside `jax.enable_x64(True)`.

    Args:
        flat: the map.
        starts: vectors (starts, states), or states of the cell with one more axis in front.

    Raises:
        ShapeError: neither of the two, or no start.
    """
    leaves = jax.tree.leaves(starts)
    alone = len(leaves) == 1 and np.ndim(leaves[0]) == 2 and not np.iscomplexobj(leaves[0])
    vectors = np.asarray(leaves[0], np.float64) if alone else _flattened(flat, starts)
    if vectors.ndim != 2 or vectors.shape[1] != flat.size or len(vectors) == 0:
        message = (
            f"starts of shape {vectors.shape}, expected (starts, {flat.size}): flat states one a row, or "
            f"states of {flat.layout.owner} with one more axis in front"
        )
        raise ShapeError(message)
    return vectors


def _flattened(flat: FlatMap, starts: State) -> np.ndarray:
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(starts)}
    if len(sizes) != 1 or sizes == {()}:
        message = f"the arrays of starts have first axes {sorted(sizes)}, expected one number of starts"
        raise ShapeError(message)
    return np.asarray(jax.vmap(flat.flatten)(jax.tree.map(jnp.asarray, starts)))


def constant_inputs(
    cell: Any, input: Float[Array | np.ndarray, "..."] | None
) -> Float[np.ndarray, "conditions inputs"]:
    """The constant inputs, one condition a row; zeros where none are given.

    Raises:
        ConfigError: no input for a cell without `input_size`.
        ShapeError: an input that does not fit the cell.
        InputDataError: an input that is not finite.
    """
    if input is None and not knows_input(cell):
        message = f"{name_of(cell)} has no `input_size`: give `input`, a vector"
        raise ConfigError(message)
    rows = np.zeros(input_size(cell)) if input is None else flat_inputs(cell, np.asarray(input, np.float64))
    if rows.ndim not in (1, 2) or (len(rows) == 0 and rows.ndim == 2):
        message = f"input of shape {rows.shape}, expected (inputs,) or (conditions, inputs)"
        raise ShapeError(message)
    return checked(cell, np.atleast_2d(rows))
