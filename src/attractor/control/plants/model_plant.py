"""An identified model in the place of a plant: that of a second run, or the one that plans."""

import jax
import jax.numpy as jnp
import numpy as np

from attractor.control.identification import PlantModel
from attractor.control.model import ControlModel, control_model
from attractor.data import Signal
from attractor.dynamics.roots import state_of_rest
from attractor.errors import InputDataError
from attractor.program import double_precision

from .process import Disturbances, Inputs, Outputs

_ROUNDS = 100
_AT_REST = 1e-9


class ModelPlant:
    """A model as the plant: it begins at rest, and its sensors are exact; it follows the `Process` protocol.

    A loop on it says how a controller deals with this model, and nothing of what no model knows of the plant.

    Args:
        model: a fitted model without feedthrough.
        title: what messages call it.

    Raises:
        UnsupportedError: an input of the model acts on the output of the same sample.
    """

    disturbances: tuple[Signal, ...] = ()
    rests = True

    def __init__(self, model: PlantModel, title: str) -> None:
        inner, card = control_model(model)
        self._title = title
        signals, inputs = card.signals, card.inputs
        self.inputs, self.outputs = signals.inputs, signals.outputs
        self.input_low, self.input_high = inputs.offset - inputs.scale, inputs.offset + inputs.scale
        self.nominal_inputs, self.nominal_disturbances = inputs.offset.copy(), np.zeros(0)
        self.measurement_noise = np.zeros(len(signals.outputs))
        self.remarks = (
            f"The sensors of {title} are exact unless a noise is given.",
            f"The input limits are those of the training of {title}, which --input-low and --input-high "
            "narrow.",
        )
        self._to_unit, self._to_engineering = inputs.to_unit, card.outputs.to_engineering
        self._step = jax.jit(lambda state, input: inner.step(state, input))
        self._read = jax.jit(lambda state: inner.output(state))
        self._settle = jax.jit(lambda start, input: _rest(inner, start, input))
        self._state = np.zeros(inner.state_size)

    def begin(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """Rest under constant inputs.

        Raises:
            InputDataError: the model does not come to rest.
        """
        del disturbances
        with double_precision():
            start = np.zeros(len(self._state))
            state, defect = jax.device_get(self._settle(start, self._to_unit(inputs)))
        if not defect <= _AT_REST:
            raise InputDataError(
                f"{self._title} does not come to rest under the inputs {inputs}, so that no loop can "
                "begin there"
            )
        self._state = np.asarray(state)

    def measure(self) -> Outputs:
        """Its outputs, plant units."""
        with double_precision():
            return self._to_engineering(np.asarray(self._read(self._state)))

    def advance(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """One step of the model.

        Raises:
            InputDataError: its state is no longer finite.
        """
        del disturbances
        with double_precision():
            self._state = np.asarray(self._step(self._state, self._to_unit(inputs)))
        if not np.isfinite(self._state).all():
            raise InputDataError(f"the state of {self._title} is no longer finite under the inputs {inputs}")


def _rest(model: ControlModel, start: jax.Array, input: jax.Array) -> tuple[jax.Array, jax.Array]:
    return state_of_rest(lambda state: model.step(state, jnp.asarray(input)), start, _AT_REST / 10, _ROUNDS)
