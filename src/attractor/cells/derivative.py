"""Whether a step can be trained through: backwards, and for a batch."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .calling import calling, take_step
from .contract import initial_state, input_size


def check_derivative(cell: Any) -> None:
    """Refuse a step without a derivative by weights and state for a batch, as training takes it.

    Nothing is computed: the derivative is traced only. Loops whose length depends on values have none, nor do
    calls of Python that say nothing of theirs.

    Args:
        cell: any cell.

    Raises:
        CellError: there is none; the message says why.
    """

    def total(parts: tuple[Any, Any]) -> Array:
        module, states = parts
        new = jax.vmap(lambda given, state: take_step(module, given, state))(inputs, states)
        return sum((jnp.sum(jnp.real(leaf)) for leaf in jax.tree.leaves(new) if _moves(leaf)), jnp.zeros(()))

    inputs = jnp.zeros((_BATCH, input_size(cell)))
    with calling(cell, "derivative of the step"):
        states = jax.tree.map(_repeated, initial_state(cell))
        eqx.filter_eval_shape(eqx.filter_grad(total), (cell, states))


_BATCH = 2


def _repeated(leaf: Any) -> Array:
    array = jnp.asarray(leaf)
    return jnp.broadcast_to(array, (_BATCH, *array.shape))


def _moves(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)


__all__ = ["check_derivative"]
