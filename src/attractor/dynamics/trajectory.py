"""The trajectory that inputs drive, its states flat vectors in float64, and the plane it moves in most."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import CellLike, State, initial_state, input_shape, input_size, knows_input, name_of
from attractor.errors import ConfigError, DivergedError, InputDataError, ShapeError
from attractor.program import (
    FlatMap,
    check_steady,
    compiled,
    double_precision,
    flat_map,
    in_double_precision,
    may_change,
    unrounded,
)
from attractor.report.drawn import Drawn

# Width beyond the path on either side of the drawn part of its plane, and points of that on a side.
_ROOM, _RESOLUTION = 0.25, 17


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
        CellError: a step that is another one each time it is called, or in float64 than in float32.
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


def path_of(cell: CellLike, rows: np.ndarray, state: State | None = None) -> np.ndarray:
    """The path that checked inputs drive, flat states (time, states) without counters and keys."""
    with double_precision():
        flat, start, _ = prepared(cell, state, 0, None)
        return np.asarray(visited(flat, start, jnp.asarray(rows)))[:, : flat.real_size]


@compiled
def moved(flat: FlatMap, states: Array, input: Array, count: int) -> Array:
    """Many flat states after so many steps under one input, without noise."""
    step = jax.vmap(lambda state: flat.step(state, input))
    return jax.lax.fori_loop(0, count, lambda _, states: step(states), states)


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
    cell: CellLike, inputs: ArrayLike, state: State | None, key: PRNGKeyArray | None
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
    driven = jax.device_put(np.broadcast_to(rows, (batch, *rows.shape[1:]))), keys  # compiles nothing
    return flat, jax.device_put(np.broadcast_to(starts, (batch, starts.shape[1]))), driven


def _rows(cell: CellLike, inputs: ArrayLike) -> np.ndarray:
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


def _starts(flat: FlatMap, state: State | None) -> np.ndarray:
    if state is None:
        return np.asarray(flat.start)[None]
    single = _shapes(state) == _shapes(initial_state(flat.cell))
    if single:
        return np.asarray(flat.flatten(jax.tree.map(jnp.asarray, state)))[None]
    return np.asarray(flat_batch(flat, state))


def _shapes(state: State) -> list[tuple[int, ...]]:
    return [jnp.shape(leaf) for leaf in jax.tree.leaves(state)]


def flat_batch(flat: FlatMap, states: State) -> Float[Array, "batch states"]:
    """States of the cell, one more axis in front, as vectors.

    Raises:
        ShapeError: they are unlike the cell's own.
    """
    own, given = _shapes(initial_state(flat.cell)), _shapes(states)
    if [shape[1:] for shape in given] != own or len({shape[:1] for shape in given}) != 1:
        raise ShapeError(
            f"a start of shapes {given} given to {flat.layout.owner}, expected {own}, or several, with "
            "one more axis in front"
        )
    return jax.vmap(flat.flatten)(jax.tree.map(jnp.asarray, states))


def time_step(cell: CellLike) -> float | None:
    """The time of one step where the cell has a `step`, the mean where units differ; else None."""
    step = getattr(cell, "step", None)
    if step is None or callable(step):
        return None
    return float(np.mean(np.asarray(step, np.float64)))


@dataclass(frozen=True, eq=False)
class Portrait(
    Drawn, picture="attractor.dynamics.dynamics_pictures:draw_plane", next_call=".plot(), .project(states)"
):
    """What happens in the plane of the two leading principal components of a path.

    Args:
        centre: mean of the path.
        axes: the two directions, orthonormal rows.
        shares: share of the variance of each principal component, the largest first.
        path: the path in the plane.
        grid: points of the plane where the drift is known.
        drift: one step minus the point it starts from, in the plane, at the constant input.
    """

    centre: Float[np.ndarray, " states"]
    axes: Float[np.ndarray, "2 states"]
    shares: Float[np.ndarray, " components"]
    path: Float[np.ndarray, "time 2"]
    grid: Float[np.ndarray, "points 2"]
    drift: Float[np.ndarray, "points 2"]

    def project(self, states: Float[np.ndarray, "points states"]) -> Float[np.ndarray, "points 2"]:
        """Where flat states fall in the plane."""
        return (states - self.centre) @ self.axes.T

    def __str__(self) -> str:
        """How much of a path its plane shows."""
        return (
            f"principal plane of {len(self.path)} steps: {100 * self.shares[:2].sum():.1f} % of the variance"
        )


def portrait(
    cell: CellLike,
    path: Float[np.ndarray, "time states"],
    input: Float[np.ndarray, " inputs"],
    beside: Float[np.ndarray, "points states"],
) -> Portrait:
    """The principal plane of a path, and the drift of one step in it.

    The drift is that of the states in the plane itself, through the mean of the path: states of the path lie
    off it by what the other components hold.

    Args:
        cell: any cell.
        path: flat states.
        input: the constant input of the drift.
        beside: flat states that the drawn part of the plane must show as well, such as fixed points.
    """
    centre = path.mean(axis=0)
    _, sizes, directions = np.linalg.svd(path - centre, full_matrices=False)
    axes = np.zeros((2, path.shape[1]))
    axes[: min(2, len(directions))] = directions[:2]
    shares = sizes**2 / max(float(np.sum(sizes**2)), np.finfo(float).tiny)
    shown = np.concatenate([path, beside]) - centre
    grid = _grid(shown @ axes.T)
    with double_precision():
        flat = analysed(cell).still("portrait")
        there = np.asarray(moved(flat, jnp.asarray(centre + grid @ axes), jnp.asarray(input), 1))
    drift = (there - centre) @ axes.T - grid
    return Portrait(centre, axes, shares, (path - centre) @ axes.T, grid, drift)


def _grid(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "grid 2"]:
    low, high = points.min(axis=0), points.max(axis=0)
    room = _ROOM * np.maximum(high - low, 1e-6)
    sides = [np.linspace(a, b, _RESOLUTION) for a, b in zip(low - room, high + room, strict=True)]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
