"""The state of a NNARX model consists of past inputs and outputs: it is read off."""

import numpy as np
from jaxtyping import Array, ArrayLike, Float

from attractor.cells import NNARX, name_of
from attractor.certify.stability.published import published_condition
from attractor.control.model import ControlModel
from attractor.errors import UnsupportedError

from .protocol import Convergence
from .running import ObserverMap, RunningObserver, filled


class MeasuredMap(ObserverMap):
    """The newest output in the regressor is replaced by the measured one, then the model makes one step.

    Without feedthrough the regressor at sample k ends with (y(k), u(k-1)), so a measurement has its place.
    """

    model: ControlModel

    def __call__(
        self,
        memory: Float[Array, " states"],
        given: Float[Array, " inputs"],
        measured: Float[Array, " outputs"],
    ) -> Float[Array, " states"]:
        """One sample."""
        newest = -(self.model.input_size + measured.shape[0])
        output = filled(measured, self.model.output(memory))
        regressor = memory.at[newest : newest + measured.shape[0]].set(output)
        return self.model.step(regressor, given)


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
