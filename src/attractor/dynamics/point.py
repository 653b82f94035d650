"""A state of a cell or flow at which it is linearised, in float64."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from attractor.cells import State, initial_state, input_shape, input_size, name_of
from attractor.dynamics.trajectory import analysed, flat_inputs, is_flow, time_step
from attractor.errors import InputDataError, ShapeError
from attractor.program import FlatMap, compiled, in_double_precision, plain


class _Rates(eqx.Module):
    """A flow read as a map: from a state to its change per unit of time."""

    flow: Any

    @property
    def input_size(self) -> int:
        return self.flow.input_size

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return getattr(self.flow, "input_shape", None)

    def initial_state(self) -> State:
        return initial_state(self.flow)

    def __call__(self, input: Array, state: State) -> State:
        return self.flow.vector_field(input, state)


@dataclass(frozen=True, eq=False)
class Point:
    """Where a cell is linearised.

    Args:
        flat: the map of the cell, of a flow that to its change per unit of time, in float64.
        input: of the step, shape (inputs,).
        vector: the flat state.
        time_step: time of one step of a cell that has one.
    """

    flat: FlatMap
    input: Float[Array, " inputs"]
    vector: Float[Array, " states"]
    time_step: float | None

    @property
    def state(self) -> State:
        """The state in the form of the cell's."""
        return self.flat.restore(self.vector)

    @property
    def name(self) -> str:
        """What the cell is called."""
        return self.flat.layout.owner

    @property
    def continuous(self) -> bool:
        """Whether eigenvalues are rates of a flow, and not factors of a step."""
        return isinstance(plain(self.flat.cell), _Rates)


def point(cell: Any, state: State, input: ArrayLike | None = None) -> Point:
    """The cell, its input and its state in float64; call it inside `jax.enable_x64(True)`.

    Raises:
        ShapeError: a state or an input that does not fit the cell.
        InputDataError: a state or an input that is not finite.
        ConfigError: a cell without `input_size`.
    """
    _check_like(cell, state)
    flat = analysed(_Rates(cell) if is_flow(cell) else cell)
    size = input_size(cell)
    given = np.zeros(size) if input is None else flat_inputs(cell, np.asarray(input, np.float64))
    if given.shape != (size,):
        message = f"input of shape {given.shape} given to {name_of(cell)}, expected {input_shape(cell)}"
        raise ShapeError(message)
    vector = flat.flatten(jax.tree.map(jnp.asarray, state))
    for name, numbers in (("input", given), ("state", np.asarray(vector))):
        if not np.all(np.isfinite(numbers)):
            message = f"the {name} has entries that are not finite"
            raise InputDataError(message)
    step = None if is_flow(cell) else time_step(in_double_precision(cell))
    return Point(flat, jnp.asarray(given), vector, step)


def _check_like(cell: Any, state: State) -> None:
    def shapes(tree: State) -> Any:
        return jax.tree.map(np.shape, tree), jax.tree.structure(tree)

    expected = shapes(initial_state(cell))
    if shapes(state) != expected:
        message = (
            f"a state of shapes {shapes(state)[0]} given to {name_of(cell)}, expected {expected[0]}; "
            "give one state, like that of `initial_state()`"
        )
        raise ShapeError(message)


def jacobian(place: Point) -> Float[np.ndarray, "states states"]:
    """Derivative of the flat next state (of a flow: of the change) in the flat state."""
    return np.asarray(_jacobian(place.flat, place.vector, place.input))


@compiled
def _jacobian(flat: FlatMap, vector: Array, input: Array) -> Array:
    return flat.jacobian(vector, input)


@compiled
def push(flat: FlatMap, vector: Array, input: Array, tangent: Array) -> Array:
    """The Jacobian times a flat vector."""
    return flat.linearize(vector, input)[1](tangent)
