"""A state of a cell or flow at which it is linearised, in float64."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from attractor.cells import State, initial_state
from attractor.dynamics.trajectory import time_step
from attractor.errors import InputDataError, ShapeError
from attractor.program import in_double_precision


def is_flow(cell: Any) -> bool:
    """Whether a module gives changes per unit of time (`vector_field`) and no step of its own."""
    return hasattr(cell, "vector_field") and not callable(cell)


def moved(cell: Any, input: Array, state: State) -> State:
    """The next state of a cell; of a flow the change per unit of time."""
    return cell.vector_field(input, state) if is_flow(cell) else cell(input, state)


@dataclass(frozen=True, eq=False)
class Point:
    """Where a cell is linearised.

    Args:
        cell: the cell or flow, its weights in float64.
        input: of the step, shape (inputs,).
        state: a pytree like the initial state.
        time_step: time of one step of a cell that has one.
    """

    cell: Any
    input: Float[Array, " inputs"]
    state: State
    time_step: float | None

    @property
    def continuous(self) -> bool:
        """Whether eigenvalues are rates of a flow, and not factors of a step."""
        return is_flow(self.cell)


def point(cell: Any, state: State, input: ArrayLike | None = None) -> Point:
    """The cell, its input and its state in float64; call it inside `jax.enable_x64(True)`.

    Raises:
        ShapeError: a state or an input that does not fit the cell.
        InputDataError: a state or an input that is not finite.
    """
    wide = in_double_precision(cell)
    _check_like(cell, state)
    given = np.zeros(cell.input_size) if input is None else np.asarray(input, np.float64)
    if given.shape != (cell.input_size,):
        message = (
            f"input of shape {given.shape} given to {type(cell).__name__}, expected ({cell.input_size},)"
        )
        raise ShapeError(message)
    values = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), state)
    for name, numbers in (("input", given), ("state", np.asarray(ravel_pytree(values)[0]))):
        if not np.all(np.isfinite(numbers)):
            message = f"the {name} has entries that are not finite"
            raise InputDataError(message)
    step = None if is_flow(cell) else time_step(wide)
    return Point(wide, jnp.asarray(given), values, step)


def _check_like(cell: Any, state: State) -> None:
    def shapes(tree: State) -> Any:
        return jax.tree.map(np.shape, tree), jax.tree.structure(tree)

    expected = shapes(initial_state(cell))
    if shapes(state) != expected:
        message = (
            f"a state of shapes {shapes(state)[0]} given to {type(cell).__name__}, expected {expected[0]}; "
            "give one state, like that of `initial_state()`"
        )
        raise ShapeError(message)


def jacobian(place: Point) -> Float[np.ndarray, "states states"]:
    """Derivative of the flat next state (of a flow: of the change) in the flat state."""
    return np.asarray(_jacobian(place.cell, place.input, place.state))


@eqx.filter_jit
def _jacobian(cell: Any, input: Array, state: State) -> Array:
    flat, restore = ravel_pytree(state)
    return jax.jacfwd(lambda flat: ravel_pytree(moved(cell, input, restore(flat)))[0])(flat)


@eqx.filter_jit
def push(cell: Any, input: Array, state: State, tangent: Array) -> Array:
    """The Jacobian times a flat vector."""
    flat, restore = ravel_pytree(state)
    return jax.jvp(lambda flat: ravel_pytree(moved(cell, input, restore(flat)))[0], (flat,), (tangent,))[1]
