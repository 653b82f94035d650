"""Linear state space: what every other cell has to beat."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .building import FAMILIES
from .contract import Cell, Hidden, Input
from .initial import Timescales, uniform_weight


class Linear(Cell):
    """x' = A x + B u.

    A constant of the output belongs to the read-out. `PlantModel(cell="linear")` does not train it from
    random weights: it takes the best model of linear identification.

    Args:
        input_size: length of u.
        hidden_size: length of x.
        timescales: shortest and longest memory at the start, in steps.
        key: draws the weights.
    """

    transition: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden inputs"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self, input_size: int, hidden_size: int, *, timescales: Timescales = (2.0, 20.0), key: PRNGKeyArray
    ) -> None:
        transition_key, input_key = jax.random.split(key)
        decay = 1 - 1 / jnp.geomspace(*timescales, hidden_size)
        self.transition = jnp.diag(decay) + 0.1 * uniform_weight(transition_key, hidden_size, hidden_size)
        self.input_weight = 0.3 * uniform_weight(input_key, hidden_size, input_size, 1)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input: Input, state: Hidden, *, key: PRNGKeyArray | None = None) -> Hidden:
        """One step."""
        return self.transition @ state + self.input_weight @ input


FAMILIES.register("linear", Linear)
