"""A cell whose inputs act late: a shift register before any other cell."""

from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError

from .calling import take_step
from .contract import CellLike, Input, State, exposed, initial_state, input_size, weight_dtype

Values = TypeVar("Values", np.ndarray, Array)


class Delayed(eqx.Module):
    """Input i reaches the inner cell d_i samples late; the state is (last inputs, state of the inner cell).

    The register is part of the state, so that running, proofs, observers, controllers and exports know the
    inputs that are still under way. Its rows are the last max d inputs, oldest first.

    Args:
        cell: any cell.
        delays: d, samples by which every input is late, zero or more.

    Raises:
        ConfigError: not one delay for every input, or none of them above zero.

    Example:
        >>> import jax, attractor
        >>> inner = attractor.cells.Linear(1, 2, key=jax.random.key(0))
        >>> late = Delayed(inner, (3,))
        >>> pulse = jnp.zeros((6, 1)).at[0].set(1.0)
        >>> [bool(row.any()) for row in attractor.unroll(late, pulse).states[1]]
        [False, False, False, True, True, True]
    """

    cell: CellLike
    delays: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, cell: CellLike, delays: tuple[int, ...]) -> None:
        if len(delays) != input_size(cell) or min(delays) < 0 or max(delays) == 0:
            raise ConfigError(
                f"delays={delays}: expected {input_size(cell)} whole numbers, one for every input, of which "
                "one is above zero"
            )
        self.cell, self.delays = cell, tuple(delays)

    def __getattr__(self, name: str) -> Any:
        """What the inner cell may say of itself and this one shares."""
        if name in ("input_size", "hidden_size", "output_size", "fixed"):
            return getattr(self.cell, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def longest(self) -> int:
        """The largest delay, and the rows of the register."""
        return max(self.delays)

    def __call__(self, input: Input, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step."""
        register, inner = state
        rows = jnp.concatenate([register, input[None]])
        # Cut and joined, not stacked: exports that differentiate the step know these.
        late = jnp.concatenate([
            rows[self.longest - delay, index : index + 1] for index, delay in enumerate(self.delays)
        ])
        return rows[1:], take_step(self.cell, late, inner, key)

    def initial_state(self) -> State:
        """A register of zeros, and the rest of the inner cell."""
        shape = self.longest, input_size(self.cell)
        return jnp.zeros(shape, weight_dtype(self.cell)), initial_state(self.cell)

    def exposed(self, state: State) -> Float[Array, " exposed"]:
        """What the inner cell exposes."""
        return exposed(self.cell, state[1])

    def register(self, inputs: Float[Array, "past inputs"]) -> Float[Array, "longest inputs"]:
        """The register after these inputs; before the first of them all is taken to be as in it."""
        missing = max(self.longest - len(inputs), 0)
        rows = jnp.concatenate([jnp.repeat(inputs[:1], missing, axis=0), inputs])
        return rows[len(rows) - self.longest :]

    def late(self, inputs: Float[Array, "past inputs"]) -> Float[Array, "past inputs"]:
        """What the inner cell sees under these inputs; before the first of them all is as in it."""
        return late_inputs(inputs, self.delays)


def late_inputs(inputs: Values, delays: tuple[int, ...]) -> Values:
    """Every column later by its delay, of NumPy or JAX; the first rows hold the first value.

    Args:
        inputs: shape (time, inputs).
        delays: one for every column; empty for none.
    """
    if not delays:
        return inputs
    late = [
        inputs[np.maximum(np.arange(len(inputs)) - delay, 0), index] for index, delay in enumerate(delays)
    ]
    if isinstance(inputs, jax.Array):
        return jnp.stack(late, axis=1)
    return np.stack(late, axis=1)
