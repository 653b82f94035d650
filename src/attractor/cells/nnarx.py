"""Neural nonlinear autoregression with exogenous input (NNARX), a cell whose state is the regressor."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError, ShapeError

from .building import FAMILIES
from .contract import Cell, Input, weight_dtype


class Regressor(Cell):
    """A cell whose state is what was: the last `order` blocks (y, u), oldest first.

    The state has the shape (order, outputs + inputs), and can be read off past samples.
    """

    output_size: eqx.AbstractVar[int]
    order: eqx.AbstractVar[int]

    def initial_state(self) -> Float[Array, "order signals"]:
        """Zeros."""
        return jnp.zeros((self.order, self.output_size + self.input_size), weight_dtype(self))

    def exposed(self, state: Float[Array, "order signals"]) -> Float[Array, " outputs"]:
        """The newest output y: it needs no read-out."""
        return state[-1, : self.output_size]

    def measured_state(
        self, inputs: Float[Array, "past inputs"], outputs: Float[Array, "past outputs"]
    ) -> Float[Array, "order signals"]:
        """The state after past samples that were measured.

        Raises:
            ShapeError: fewer samples than `order`.
        """
        if len(inputs) < self.order:
            raise ShapeError(f"{len(inputs)} past samples for a regressor of order {self.order}")
        return jnp.concatenate([outputs[-self.order :], inputs[-self.order :]], axis=1)


class NNARX(Regressor):
    """y = eta(x, u), x' = (x without its oldest block, (y, u)).

    The state x holds the last `order` blocks (y, u), oldest first, shape (order, outputs + inputs); eta is a
    tanh network. The state is measurable, so no observer is needed (arXiv 2111.13557, section on NNARX).

    Args:
        input_size: length of u.
        hidden_size: width of the hidden layers of eta.
        output_size: length of y.
        order: number of past samples in the regressor.
        depth: hidden layers of eta.
        key: draws the weights.

    Raises:
        ConfigError: `order` below one.
    """

    network: eqx.nn.MLP
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    output_size: int = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        output_size: int = 1,
        order: int = 5,
        depth: int = 1,
        key: PRNGKeyArray,
    ) -> None:
        if order < 1:
            raise ConfigError(f"order={order}: the regressor needs at least one past sample")
        regressors = order * (output_size + input_size) + input_size
        self.network = eqx.nn.MLP(regressors, output_size, hidden_size, depth, jnp.tanh, key=key)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.output_size, self.order = output_size, order

    def __call__(
        self,
        input: Input,
        state: Float[Array, "order signals"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "order signals"]:
        """One step in free run: the regressor is filled with the model's own outputs."""
        output = self.network(jnp.concatenate([state.ravel(), input]))
        return jnp.concatenate([state[1:], jnp.concatenate([output, input])[None]])

    def __reduce__(self) -> tuple[Callable[..., "NNARX"], tuple[dict[str, int], list[Array]]]:
        """Pickled by sizes and arrays, for the functions that a network of Equinox holds cannot be."""
        names = ("input_size", "hidden_size", "output_size", "order")
        sizes = {name: getattr(self, name) for name in names} | {"depth": len(self.network.layers) - 1}
        return _of_arrays, (sizes, jax.tree.leaves(eqx.filter(self, eqx.is_array)))


def _of_arrays(sizes: dict[str, int], arrays: list[Array]) -> NNARX:
    """The cell of these sizes with other arrays, which may have the replicas on their first axis."""
    blank = eqx.filter_eval_shape(NNARX, **sizes, key=jax.random.key(0))
    leaves, structure = jax.tree.flatten(blank)
    known = iter(arrays)
    filled = [next(known) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf for leaf in leaves]
    return jax.tree.unflatten(structure, filled)


FAMILIES.register("nnarx", NNARX)
