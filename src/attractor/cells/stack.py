"""Deep recurrent networks: a stack of cells is a cell."""

from itertools import pairwise

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ShapeError

from .calling import take_step
from .contract import Cell, CellLike, Input, State, exposed, exposed_size, initial_state, input_size


class Stack(Cell):
    """Cell l takes what cell l - 1 exposes of its *updated* state; a read-out sees the last cell.

    Args:
        cells: the cells from the input upwards.

    Raises:
        ShapeError: no cell, or a cell whose input does not fit the one below.
    """

    cells: tuple[CellLike, ...]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, cells: tuple[CellLike, ...]) -> None:
        if not cells:
            raise ShapeError("a stack needs at least one cell")
        for level, (below, above) in enumerate(pairwise(cells), start=1):
            if input_size(above) != exposed_size(below):
                raise ShapeError(
                    f"cell {level} of the stack takes {input_size(above)} inputs, but cell {level - 1} "
                    f"exposes {exposed_size(below)}"
                )
        self.cells = tuple(cells)
        self.input_size = input_size(cells[0])
        own = getattr(cells[-1], "hidden_size", None)
        self.hidden_size = exposed_size(cells[-1]) if own is None else own

    @property
    def fixed(self) -> bool:
        """Whether it is never trained: a stack of reservoirs is none that is."""
        return all(getattr(cell, "fixed", False) for cell in self.cells)

    def __call__(self, input: Input, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step through all cells, each with its own part of the key."""
        keys = [None] * len(self.cells) if key is None else jax.random.split(key, len(self.cells))
        states = []
        for cell, old, noise in zip(self.cells, state, keys, strict=True):
            states.append(take_step(cell, input, old, noise))
            input = exposed(cell, states[-1])
        return tuple(states)

    def initial_state(self) -> State:
        """The initial states of all cells, a tuple."""
        return tuple(initial_state(cell) for cell in self.cells)

    def exposed(self, state: State) -> Float[Array, " exposed"]:
        """What the last cell exposes."""
        return exposed(self.cells[-1], state[-1])
