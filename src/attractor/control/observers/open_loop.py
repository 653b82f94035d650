"""The model run beside the plant: an observer for every stable model, deaf to measurements."""

from typing import Any

import numpy as np
from jaxtyping import Array, ArrayLike, Float

from attractor.control.certified import check_certificate
from attractor.control.model import ControlModel

from .protocol import Convergence
from .running import ObserverMap, RunningObserver


class OpenLoopMap(ObserverMap):
    """x(k+1) = f(x(k), u(k))."""

    model: ControlModel

    def __call__(
        self, memory: Float[Array, " states"], given: Float[Array, " inputs"], measured: Array
    ) -> Float[Array, " states"]:
        """One step of the model."""
        return self.model.step(memory, given)


def open_loop_observer(
    model: ControlModel, certificate: Any = None, state: ArrayLike | None = None
) -> RunningObserver:
    """Run the model beside the plant.

    Args:
        model: the model.
        certificate: what proves that the model contracts: an object with `rate` and, if its norm is
            max |x_i| / w_i over the flat state, `weights` w.
        state: the first estimate; rest by default.

    Raises:
        ConfigError: the certificate speaks of another cell.
    """
    check_certificate(certificate, model.network.cell)
    return RunningObserver(OpenLoopMap(model), _statement(certificate), state)


def _statement(certificate: Any) -> Convergence:
    rate = getattr(certificate, "rate", None)
    if rate is None or not rate < 1:
        text = (
            "none stated: the model runs beside the plant, and no certificate says that it forgets its start"
        )
        return Convergence(None, guaranteed=False, text=text, amplification=None)
    known = getattr(certificate, "in_maximum_norm", True)
    weights = getattr(certificate, "weights", None) if known else None
    amplification = None if weights is None else float(np.max(weights) / np.min(weights))
    text = f"the error shrinks to at most {rate:.6g} times a sample, the certified rate of the model"
    bound = getattr(certificate, "input_bound", None)
    if bound is not None:
        text += f", for inputs within {float(np.min(bound)):g} (scaled) and starts in the certified set"
    # Measurements have no influence, so neither has their noise.
    return Convergence(float(rate), True, text, gain_from_noise=0.0, amplification=amplification)
