"""Observers that add the output error to the arguments of gates, for cells with a `bias`."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from attractor.control.model import ControlModel

from .running import ObserverMap, filled


class InjectionMap(ObserverMap):
    """x(k+1) = cell(u, x) with bias b + L (y - C x - c) in the place of b.

    The update equation is that of the cell itself. Estimates that start outside the set of possible states,
    and measurements outside the range of the read-out, are moved to its edge, which only brings them nearer.

    Args:
        model: the model.
        gain: L, zero for gates that are left alone.
        state_bound: largest absolute value of each state.
        output_low: smallest outputs that the read-out can show.
        output_high: largest ones.
    """

    model: ControlModel
    gain: Float[Array, "arguments outputs"]
    state_bound: Float[Array, " states"]
    output_low: Float[Array, " outputs"]
    output_high: Float[Array, " outputs"]

    def begin(self, state: Float[Array, " states"]) -> Float[Array, " states"]:
        """The nearest possible state."""
        return jnp.clip(state, -self.state_bound, self.state_bound)

    def __call__(
        self,
        memory: Float[Array, " states"],
        given: Float[Array, " inputs"],
        measured: Float[Array, " outputs"],
    ) -> Float[Array, " states"]:
        """One sample."""
        predicted = self.model.output(memory)
        seen = jnp.clip(filled(measured, predicted), self.output_low, self.output_high)
        cell = self.model.network.cell
        shifted = eqx.tree_at(lambda one: one.bias, cell, cell.bias + self.gain @ (seen - predicted))
        moved = eqx.tree_at(lambda model: model.network.cell, self.model, shifted)
        return moved.step(memory, given)
