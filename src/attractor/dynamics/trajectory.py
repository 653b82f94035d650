"""A cell along the trajectory that inputs drive, its state one flat vector in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import CellLike, State, initial_state, input_shape, input_size, knows_input, name_of
from attractor.errors import ConfigError, DivergedError, InputDataError, ShapeError
from attractor.program import (
    FlatMap,
    check_steady,
    compiled,
    flat_map,
    in_double_precision,
    may_change,
    unrounded,
)


def checked(cell: CellLike, inputs: Float[Array | np.ndarray, "time inputs"]) -> np.ndarray:
    """The inputs in float64, or an error that says what is wrong with them."""
    values = flat_inputs(cell, np.asarray(inputs, np.float64))
    size = input_size(cell) if knows_input(cell) else values.shape[-1] if values.ndim else 0
    if values.ndim != 2 or values.shape[1] != size:
        shape = input_shape(cell) if knows_input(cell) else (size,)
        expected = ", ".join(map(str, ("time", *shape)))
        raise ShapeError(f"inputs of shape {values.shape} given to {name_of(cell)}, expected ({expected})")
    for step, channel in np.argwhere(~np.isfinite(values))[:1]:
        raise InputDataError(f"the input at step {step}, channel {channel} is not finite")
    return values


def flat_inputs(cell: CellLike, values: np.ndarray) -> np.ndarray:
    """Inputs row by row: the axes of a cell's `input_shape`, where they are several, become one."""
    shape = getattr(cell, "input_shape", None) or ()
    if len(shape) < 2 or values.shape[-len(shape) :] != tuple(shape):
        return values
    return values.reshape(*values.shape[: -len(shape)], input_size(cell))


def is_flow(cell: CellLike) -> bool:
    """Whether a module gives changes per unit of time (`vector_field`) and no step of its own."""
    return hasattr(cell, "vector_field") and not callable(cell)


def check_has_steps(cell: CellLike) -> None:
    """Refuse a flow where the map of a step is read.

    Raises:
        ConfigError: it is a flow.
    """
    if is_flow(cell):
        raise ConfigError(
            f"{name_of(cell)} is a flow and has no step: give attractor.cells.discretise(flow, step), "
            "the map of one step of it"
        )


def analysed(cell: CellLike, state: State | None = None) -> FlatMap:
    """The map of a cell that is analysed: in float64, a cast of the state to float32 left out.

    Call it inside `jax.enable_x64(True)`.

    Raises:
        ConfigError: a flow, which has no step.
        CellError: a step that is another one each time it is called.
    """
    check_has_steps(cell)
    exact = in_double_precision(cell)
    flat = flat_map(unrounded(exact), state)
    if may_change(cell):
        check_steady(exact, jnp.zeros(input_shape(exact)), flat.restore(flat.start))
    return flat


def prepared(
    cell: CellLike, state: State | None, steps: int, key: PRNGKeyArray | None
) -> tuple[FlatMap, Array, Array | None]:
    """The map of a cell in float64, where it starts, and a key for every step."""
    flat = analysed(cell, state)
    return flat, flat.start, None if key is None else jax.random.split(key, steps)


@compiled
def visited(
    flat: FlatMap, start: Float[Array, " states"], rows: Float[Array, "time inputs"]
) -> Float[Array, "time states"]:
    """The flat states after every step, without noise."""

    def body(state: Array, row: Array) -> tuple[Array, Array]:
        new = flat.step(state, row)
        return new, new

    return jax.lax.scan(body, start, rows)[1]


def check_finite(sizes: np.ndarray, growth: np.ndarray, first: int = 0) -> None:
    """A growth of -inf is that of a singular Jacobian, and no mistake."""
    wrong = ~np.isfinite(sizes) | np.isnan(growth).any(axis=1) | (growth == np.inf).any(axis=1)
    for step in np.flatnonzero(wrong)[:1]:
        before = np.nanmax(sizes[:step], initial=0.0)
        raise DivergedError(
            f"the state or its Jacobian is not finite at step {first + step}; the largest entry of the state "
            f"in the steps before was {before:.3g}"
        )


def prepared_batch(
    cell: CellLike, inputs: Any, state: State | None, key: PRNGKeyArray | None
) -> tuple[FlatMap, Array, tuple[Array, Array | None]]:
    """The map in float64, its starts (batch, states), and inputs with keys (batch, time, ...).

    Args:
        cell: any cell.
        inputs: (time, inputs), (batch, time, inputs), or a number of steps without input.
        state: a start, a batch of starts (a leading axis), or None for the cell's own.
        key: noise of the steps; None means no noise.
    """
    flat = analysed(cell)
    rows, starts = _rows(cell, inputs), _starts(flat, state)
    batch = max(len(rows), len(starts))
    for name, given in (("inputs", rows), ("starts", starts)):
        if len(given) not in (1, batch):
            raise ShapeError(
                f"a batch of {len(rows)} inputs and {len(starts)} starts; give as many {name} or one"
            )
    keys = None if key is None else jax.random.split(key, (batch, rows.shape[1]))
    driven = jnp.broadcast_to(jnp.asarray(rows), (batch, *rows.shape[1:])), keys
    return flat, jnp.broadcast_to(starts, (batch, starts.shape[1])), driven


def _rows(cell: CellLike, inputs: Any) -> np.ndarray:
    if isinstance(inputs, int | np.integer):
        if not knows_input(cell) or inputs < 0:
            raise ShapeError(
                f"{inputs} steps without input need a cell with `input_size`, and a number of at least 0"
            )
        return np.zeros((1, int(inputs), input_size(cell)))
    values = flat_inputs(cell, np.asarray(inputs, np.float64))
    if values.ndim == 2:
        return checked(cell, values)[None]
    return np.stack([checked(cell, one) for one in values])


def _starts(flat: FlatMap, state: State | None) -> Array:
    if state is None:
        return flat.start[None]
    own, given = initial_state(flat.cell), state
    shapes, single = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (given, own))
    leading = {shape[:1] for shape in shapes}
    if shapes != single and ([shape[1:] for shape in shapes] != single or len(leading) > 1):
        raise ShapeError(
            f"a start of shapes {jax.tree.map(jnp.shape, given)}, expected {jax.tree.map(jnp.shape, own)}"
        )
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], given) if shapes == single else given
    return jax.vmap(flat.flatten)(batch)


def time_step(cell: CellLike) -> float | None:
    """The time of one step where the cell has a `step`, the mean where units differ; else None."""
    step = getattr(cell, "step", None)
    if step is None or callable(step):
        return None
    return float(np.mean(np.asarray(step, np.float64)))
