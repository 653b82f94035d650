"""What carries a weight: whole examples, or the tokens of examples of unequal lengths."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Units(eqx.Module):
    """The units in one row, as the weights count them, and their positions, as a learning problem sees them.

    Args:
        places: flat place of every unit in a table (examples, tokens); None where examples are the units.
        rows: the unit at every place, `count` where there is none, shape (examples, tokens); None likewise.
        shape: of a table of scores: (examples,), or (examples, tokens).
        count: how many units there are.
    """

    places: Int[Array, " units"] | None
    rows: Int[Array, "examples tokens"] | None
    shape: tuple[int, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def flat(self, table: Array) -> Array:
        """The values of all units in one row."""
        return table if self.places is None else table.ravel()[self.places]

    def log_weights(
        self, log_weights: Float[Array, " units"], ids: Int[Array, " batch"]
    ) -> Float[Array, "batch ..."]:
        """Those of the units of some examples; minus infinity at a place without a unit."""
        if self.rows is None:
            return log_weights[ids]
        return jnp.append(log_weights, -jnp.inf)[self.rows[ids]]

    def of_examples(self, values: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " units"]:
        """For every unit the value of its example."""
        return values if self.places is None else values[np.asarray(self.places) // self.shape[1]]


def example_units(examples: int) -> Units:
    """Every example is a unit."""
    return Units(None, None, (examples,), examples)


def token_units(labels: Int[np.ndarray, "examples tokens"]) -> Units:
    """Every token with a label of at least 0 is a unit."""
    valid = np.asarray(labels) >= 0
    places, count = np.flatnonzero(valid), int(valid.sum())
    rows = np.full(valid.size, count)
    rows[places] = np.arange(count)
    return Units(
        jnp.asarray(places, jnp.int32), jnp.asarray(rows.reshape(valid.shape), jnp.int32), valid.shape, count
    )
