"""Observers that read the state off the last samples: the regressor of a NNARX, or a trained encoder."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from attractor.cells import NNARX, name_of
from attractor.certify.stability.published import published_condition
from attractor.control.model import ControlModel, InputArray, OutputArray, StateArray
from attractor.control.observer import Convergence, ObserverMap, RunningObserver, filled
from attractor.errors import UnsupportedError


class MeasuredMap(ObserverMap):
    """The newest output in the regressor is replaced by the measured one, then the model makes one step.

    Without feedthrough the regressor at sample k ends with (y(k), u(k-1)).
    """

    model: ControlModel

    def __call__(self, memory: StateArray, input: InputArray, measured: OutputArray) -> StateArray:
        """One sample."""
        newest = -(self.model.input_size + measured.shape[0])
        output = filled(measured, self.model.output(memory))
        regressor = memory.at[newest : newest + measured.shape[0]].set(output)
        return self.model.step(regressor, input)


def measured_observer(model: ControlModel, state: ArrayLike | None = None) -> RunningObserver:
    """Read the state of a NNARX model off the measurements.

    Args:
        model: with a cell that is exactly `NNARX`.
        state: the first estimate; rest by default.

    Raises:
        UnsupportedError: another cell.
    """
    cell = model.network.cell
    if type(cell) is not NNARX:
        raise UnsupportedError(f"the state of {name_of(cell)} cannot be read off; that of a NNARX can")
    # One more than the order: the input before the first sample was not seen, and it is in the regressor.
    samples = cell.order + 1
    text = f"exact once {samples} samples were seen, if the plant is the model; noise enters as it is"
    statement = Convergence(0.0, True, text, _noise_gain(cell), exact_after=samples)
    return RunningObserver(MeasuredMap(model), statement, state)


def _noise_gain(cell: NNARX) -> float | None:
    """Blocks hold noise itself, and the newest output what the network makes of noise in all blocks."""
    condition = published_condition(cell)
    if condition is None or np.isnan(condition.residual):
        return None
    network = condition.residual + cell.order**-0.5  # K, the Lipschitz constant of the network
    return float(max(1.0, network * np.sqrt(cell.order * cell.output_size)))


Memory = tuple[StateArray, Float[Array, "past inputs"], Float[Array, "past outputs"], Int[Array, ""]]
"""(estimate, last inputs, last outputs, how many samples were seen)."""


class LearnedMap(ObserverMap):
    """x(k+1) = E(u(k-W+1), y(k-W+1), ..., u(k), y(k)); the model runs alone until W samples are there.

    Args:
        model: with an encoder E.
        past: W.
    """

    model: ControlModel
    past: int

    def begin(self, state: StateArray) -> Memory:
        """A state and no samples."""
        inputs, outputs = self.model.input_size, self.model.output_size
        return state, jnp.zeros((self.past, inputs)), jnp.zeros((self.past, outputs)), jnp.zeros((), int)

    def estimate(self, memory: Memory) -> StateArray:
        """The newest estimate."""
        return memory[0]

    def __call__(self, memory: Memory, input: InputArray, measured: OutputArray) -> Memory:
        """One sample."""
        state, inputs, outputs, seen = memory
        output = filled(measured, self.model.output(state))
        inputs = jnp.concatenate([inputs[1:], input[None]])
        outputs = jnp.concatenate([outputs[1:], output[None]])
        encoded = self.model.start(inputs, outputs)
        enough = seen + 1 >= self.past
        return jnp.where(enough, encoded, self.model.step(state, input)), inputs, outputs, seen + 1


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
    return RunningObserver(LearnedMap(model, encoder.past), Convergence.unproved(text), state)
