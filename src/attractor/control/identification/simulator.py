"""The free run of an identified network over recordings in engineering units."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float

from attractor.data import Scaling
from attractor.errors import InputDataError, ShapeError
from attractor.program import compiled, single, single_precision

from .identification_task import free_run
from .plant_network import PlantNetwork
from .recordings import Signals, as_columns, check_finite, check_held, known_names
from .timing import Timing


@dataclass(frozen=True, eq=False)
class Simulator:
    """A network, and what the numbers that it takes and gives mean.

    Args:
        network: in single precision.
        signals: names and units of inputs and outputs.
        input_scaling: from engineering units to those of the network.
        output_scaling: likewise.
        timing: what is delayed or shifted before it enters the network.
        washout: measured rows that set the initial state, where there are any.
    """

    network: PlantNetwork
    signals: Signals
    input_scaling: Scaling
    output_scaling: Scaling
    timing: Timing
    washout: int

    @property
    def reads_state(self) -> bool:
        """Whether a simulation begins with measured rows."""
        return self.network.reads_state and self.washout > 0

    def applied(self, inputs: Float[np.ndarray, "time inputs"]) -> Float[np.ndarray, "time inputs"]:
        """The inputs of a recording as the network takes them: scaled, and early by a row if shifted."""
        return self.timing.lined_up(self.input_scaling.to_unit(inputs))

    @single_precision()
    def run(self, inputs: np.ndarray, measured: object) -> Float[np.ndarray, "time outputs"]:
        """Simulate one recording; the rows that set the state come back as NaN.

        Args:
            inputs: of shape (time, inputs).
            measured: outputs of the same rows, of which the first set the state; None starts from rest.

        Raises:
            InputDataError: too few rows, or values that are not finite or not held by float32.
            ShapeError: another number of columns or rows.
        """
        washout = self._state_rows(measured, len(inputs))
        self._check_inputs(inputs)
        scaled = self.applied(inputs)
        check_held("the inputs", self.signals.inputs, inputs, scaled)
        shape = (len(inputs), len(self.signals.outputs))
        seen = np.zeros(shape)
        if washout:
            past = self._past(measured, shape)[:washout]
            seen[:washout] = self.output_scaling.to_unit(past)
            check_held("the measured outputs", self.signals.outputs, past, seen[:washout])
        result = np.full(shape, np.nan)
        simulated = _free_run(self.network, single(scaled), single(seen), washout)
        result[washout:] = self.output_scaling.to_engineering(np.asarray(simulated, float))
        return result

    def _state_rows(self, measured: object, rows: int) -> int:
        """Rows from which the initial state is read; none if there is nothing to read or no need."""
        if measured is None or not self.reads_state:
            return 0
        if rows <= self.washout:
            raise InputDataError(
                f"a recording of {rows} rows is not longer than the washout of {self.washout} rows"
            )
        return self.washout

    def _check_inputs(self, inputs: Float[np.ndarray, "time inputs"]) -> None:
        expected = len(self.signals.inputs)
        if inputs.shape[1] != expected:
            raise ShapeError(f"{inputs.shape[1]} input columns given, the model was trained with {expected}")
        check_finite("the inputs", self.signals.inputs, inputs)

    def _past(self, measured: object, shape: tuple[int, int]) -> Float[np.ndarray, "time outputs"]:
        """Measured outputs that fit the inputs and are finite where they set the state."""
        values = as_columns(measured, "measured outputs", known_names("y", self.signals.outputs))
        if values.shape != shape:
            raise ShapeError(
                f"measured outputs of shape {values.shape}, expected {shape} beside these inputs"
            )
        check_finite("the measured outputs", self.signals.outputs, values[: self.washout])
        return values


@compiled
def _free_run(network: PlantNetwork, inputs: Array, measured: Array, washout: int) -> Array:
    return free_run(network, inputs, measured, washout)
