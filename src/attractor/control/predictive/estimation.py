"""What a controller asks of an observer, and the simplest one."""

from typing import Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

from attractor.control.model import ControlModel


@runtime_checkable
class Observer(Protocol):
    """Follows the state of a model from inputs and outputs, in scaled units and float64."""

    def start(self, state: Float[Array, " states"]) -> None:
        """Begin at a state."""
        ...

    def update(self, given: Float[Array, " inputs"], measured: Float[Array, " outputs"]) -> Array:
        """The estimate of the state after `given` was applied, from the estimate, input and output before."""
        ...


class OpenLoop:
    r"""The model run beside the plant: $\hat x^+ = f(\hat x, u)$.

    A contracting model forgets a wrong start at its own rate; measurements are not used.

    Args:
        model: the plant.
    """

    def __init__(self, model: ControlModel) -> None:
        self._step = jax.jit(lambda state, given: model.step(state, given))
        with jax.enable_x64(True):
            self._state = model.start(
                jax.numpy.zeros((0, model.input_size)), jax.numpy.zeros((0, model.output_size))
            )

    def start(self, state: Float[Array, " states"]) -> None:
        """Begin at a state."""
        self._state = state

    def update(self, given: Float[Array, " inputs"], measured: Float[Array, " outputs"]) -> Array:
        """One step of the model."""
        del measured
        with jax.enable_x64(True):
            self._state = self._step(self._state, given)
        return self._state
