"""A cell along the trajectory that inputs drive, its state one flat vector in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State, initial_state
from attractor.errors import DivergedError, InputDataError, ShapeError
from attractor.program import in_double_precision


def checked(cell: Any, inputs: Float[Array | np.ndarray, "time inputs"]) -> np.ndarray:
    """The inputs in float64, or an error that says what is wrong with them."""
    values = np.asarray(inputs, np.float64)
    size = getattr(cell, "input_size", values.shape[1])
    if values.shape[1] != size:
        message = f"inputs of shape {values.shape} given to {type(cell).__name__}, expected (time, {size})"
        raise ShapeError(message)
    for step, channel in np.argwhere(~np.isfinite(values))[:1]:
        message = f"the input at step {step}, channel {channel} is not finite"
        raise InputDataError(message)
    return values


def prepared(
    cell: Any, state: State | None, steps: int, key: PRNGKeyArray | None
) -> tuple[Any, Array, Array | None]:
    """The cell and its start in float64, and a key for every step."""
    wide = in_double_precision(cell)
    first = initial_state(wide) if state is None else state
    start = jnp.asarray(ravel_pytree(first)[0], jnp.float64)
    return wide, start, None if key is None else jax.random.split(key, steps)


def flat_step(cell: Any) -> Any:
    """One step of the flat state, `step(state, row, key) -> state`."""
    like = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), initial_state(cell))
    _, restore = ravel_pytree(like)

    def step(state: Array, row: Array, key: Array | None) -> Array:
        noise = {} if key is None else {"key": key}
        return ravel_pytree(cell(row, restore(state), **noise))[0]

    return step


def check_finite(sizes: np.ndarray, growth: np.ndarray, first: int = 0) -> None:
    """A growth of -inf is that of a singular Jacobian, and no mistake."""
    wrong = ~np.isfinite(sizes) | np.isnan(growth).any(axis=1) | (growth == np.inf).any(axis=1)
    for step in np.flatnonzero(wrong)[:1]:
        before = np.nanmax(sizes[:step], initial=0.0)
        message = (
            f"the state or its Jacobian is not finite at step {first + step}; the largest entry of the state "
            f"in the steps before was {before:.3g}"
        )
        raise DivergedError(message)
