"""A plant under any controller that keeps explicit limits: what such a controller could do at worst."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import CellLike, State, exposed, initial_state, input_size, take_step
from attractor.cells.contract import weight_dtype
from attractor.errors import ConfigError

from .control_problem import Limits


class UnderLimits(eqx.Module):
    """A cell whose inputs are moves: u_k = clip(u_{k-1} + r w_k, low, high), and w_k within [-1, 1] is free.

    The input limits and rate limits of a predictive controller are kept exactly, whatever its model, its
    weights and its solver are. So what is proved of this cell for all w (`cell_tube`, `for_ever`) holds in
    the closed loop with that controller, and with any other one that keeps the same limits. The state is the
    last input and the state of the inner cell.

    Args:
        cell: the plant, any cell.
        limits: in the units of the inputs of the cell, with a rate.
        start: the input before the first step; the middle of the limits if not given.

    Raises:
        ConfigError: limits without a rate (then every input within them is free: give the box itself), or a
            start outside of them.
        ShapeError: limits for another number of inputs.

    Example:
        >>> import jax, attractor
        >>> plant = attractor.cells.Linear(1, 2, key=jax.random.key(0))
        >>> slow = UnderLimits(plant, Limits(-1.0, 1.0, rate=0.1))
        >>> [round(float(u), 2) for u in attractor.unroll(slow, jnp.ones((3, 1))).states[0][:, 0]]
        [0.1, 0.2, 0.3]
    """

    cell: CellLike
    low: Float[np.ndarray, " inputs"] = eqx.field(converter=np.asarray)
    high: Float[np.ndarray, " inputs"] = eqx.field(converter=np.asarray)
    rate: Float[np.ndarray, " inputs"] = eqx.field(converter=np.asarray)
    start: Float[np.ndarray, " inputs"] = eqx.field(converter=np.asarray)

    def __init__(
        self, cell: CellLike, limits: Limits, start: Float[np.ndarray, " inputs"] | None = None
    ) -> None:
        low, high, rate = limits.input_box(input_size(cell))
        if rate is None:
            raise ConfigError(
                "limits without a rate leave every input within them free at each step: give cell_tube or "
                "for_ever the box of the inputs itself"
            )
        begin = (low + high) / 2 if start is None else np.asarray(start, float)
        if begin.shape != low.shape or not ((low <= begin) & (begin <= high)).all():
            raise ConfigError(f"start={begin}: expected {len(low)} inputs within {low} and {high}")
        self.cell, self.low, self.high, self.rate, self.start = cell, low, high, rate, begin

    @property
    def input_size(self) -> int:
        """A move for every input."""
        return len(self.low)

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step."""
        last, inner = state
        low, high, rate = (jnp.asarray(one, last.dtype) for one in (self.low, self.high, self.rate))
        now = jnp.clip(last + rate * input, low, high)
        return now, take_step(self.cell, now, inner, key)

    def initial_state(self) -> State:
        """The input before the first step, and the start of the inner cell."""
        return jnp.asarray(self.start, weight_dtype(self.cell)), initial_state(self.cell)

    def exposed(self, state: State) -> Float[Array, " exposed"]:
        """What the inner cell exposes."""
        return exposed(self.cell, state[1])
