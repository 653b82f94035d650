"""The encoder that was trained with the model, asked again at every sample."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int

from attractor.control.model import ControlModel
from attractor.errors import UnsupportedError

from .protocol import Convergence
from .running import ObserverMap, RunningObserver, filled

Memory = tuple[
    Float[Array, " states"], Float[Array, "past inputs"], Float[Array, "past outputs"], Int[Array, ""]
]
"""(estimate, last inputs, last outputs, how many samples were seen)."""


class LearnedMap(ObserverMap):
    """x(k+1) = E(u(k-W+1), y(k-W+1), ..., u(k), y(k)); the model runs alone until W samples are there.

    Args:
        model: with an encoder E.
        past: W.
    """

    model: ControlModel
    past: int

    def begin(self, state: Float[Array, " states"]) -> Memory:
        """A state and no samples."""
        inputs, outputs = self.model.input_size, self.model.output_size
        return state, jnp.zeros((self.past, inputs)), jnp.zeros((self.past, outputs)), jnp.zeros((), int)

    def estimate(self, memory: Memory) -> Float[Array, " states"]:
        """The newest estimate."""
        return memory[0]

    def __call__(
        self, memory: Memory, given: Float[Array, " inputs"], measured: Float[Array, " outputs"]
    ) -> Memory:
        """One sample."""
        state, inputs, outputs, seen = memory
        output = filled(measured, self.model.output(state))
        inputs = jnp.concatenate([inputs[1:], given[None]])
        outputs = jnp.concatenate([outputs[1:], output[None]])
        encoded = self.model.start(inputs, outputs)
        enough = seen + 1 >= self.past
        return jnp.where(enough, encoded, self.model.step(state, given)), inputs, outputs, seen + 1


def learned_observer(model: ControlModel, state: ArrayLike | None = None) -> RunningObserver:
    """Ask the encoder of the model at every sample.

    Args:
        model: identified with `initial_state="encoder"`.
        state: the estimate until enough samples are there; rest by default.

    Raises:
        UnsupportedError: the model has no encoder.
    """
    encoder = model.network.encoder
    if encoder is None:
        raise UnsupportedError(
            "this model has no encoder to ask; identify it with initial_state='encoder', or take the "
            "extended Kalman filter"
        )
    text = (
        f"none proved: the error is that of the encoder on data; after {encoder.past} samples the start no "
        "longer plays a role"
    )
    statement = Convergence(None, guaranteed=False, text=text, amplification=None)
    return RunningObserver(LearnedMap(model, encoder.past), statement, state)
