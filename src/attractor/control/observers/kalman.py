"""The extended Kalman filter: for any cell, with nothing proved."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from attractor.control.model import ControlModel
from attractor.errors import ConfigError
from attractor.program import double_precision

from .protocol import Convergence
from .running import ObserverMap, RunningObserver

Memory = tuple[Float[Array, " states"], Float[Array, "states states"]]
"""(estimate of the state, its covariance)."""


@dataclass(frozen=True)
class NoiseLevels:
    """Standard deviations in scaled units; one number, or one for each state or output.

    Args:
        process: what moves the state besides the model, each sample. It also stands for the mismatch of the
            model, so it is not the noise of the plant alone.
        measurement: noise of the sensors; outputs have unit spread.
        initial: error of the first estimate.
    """

    process: float | tuple[float, ...] = 0.02
    measurement: float | tuple[float, ...] = 0.05
    initial: float | tuple[float, ...] = 0.5


class KalmanMap(ObserverMap):
    r"""Measurement and time update of a filter that linearises the model at its own estimate.

    $S = C P C^T + R$, $K = P C^T S^{-1}$, $\tilde x = \hat x + K (y - g(\hat x))$,
    $\tilde P = (I - K C) P (I - K C)^T + K R K^T$ (Joseph form), then $\hat x^+ = f(\tilde x, u)$ and
    $P^+ = A \tilde P A^T + Q$, with $C = \partial g / \partial x$ at $\hat x$ and
    $A = \partial f / \partial x$ at $\tilde x$. A missing output has no column in C.

    Args:
        model: the model.
        process: Q.
        measurement: R.
        initial: P at the start.
    """

    model: ControlModel
    process: Float[Array, "states states"]
    measurement: Float[Array, "outputs outputs"]
    initial: Float[Array, "states states"]

    def begin(self, state: Float[Array, " states"]) -> Memory:
        """The state and the covariance of its error."""
        return state, self.initial

    def estimate(self, memory: Memory) -> Float[Array, " states"]:
        """The predicted state."""
        return memory[0]

    def limit(
        self, gain: Float[Array, "states outputs"], seen: Float[Array, "outputs states"]
    ) -> Float[Array, "states outputs"]:
        """The gain that is used; Joseph's form holds for any."""
        return gain

    def project(self, state: Float[Array, " states"]) -> Float[Array, " states"]:
        """The corrected state that is used."""
        return state

    def __call__(
        self, memory: Memory, given: Float[Array, " inputs"], measured: Float[Array, " outputs"]
    ) -> Memory:
        """One sample."""
        state, covariance = memory
        there = jnp.isfinite(measured)
        error = jnp.where(there, measured - self.model.output(state), 0.0)
        seen = jnp.where(there[:, None], jax.jacfwd(self.model.output)(state), 0.0)
        spread = seen @ covariance @ seen.T + self.measurement
        gain = self.limit(jnp.linalg.solve(spread, seen @ covariance).T, seen)
        rest = jnp.eye(len(state)) - gain @ seen
        state = self.project(state + gain @ error)
        covariance = rest @ covariance @ rest.T + gain @ self.measurement @ gain.T
        slope = jax.jacfwd(self.model.step)(state, given)
        covariance = slope @ covariance @ slope.T + self.process
        return self.model.step(state, given), (covariance + covariance.T) / 2


def kalman_observer(
    model: ControlModel, noise: NoiseLevels | None = None, state: ArrayLike | None = None
) -> RunningObserver:
    """An extended Kalman filter for a model with any cell that can be differentiated.

    Args:
        model: the model.
        noise: standard deviations in scaled units; defaults that suit outputs of unit spread.
        state: the first estimate; rest by default.

    Raises:
        ConfigError: a deviation that is negative, zero for the measurement, or of the wrong length.
    """
    text = "local, none proved: a filter that linearises at its own estimate may lose the state"
    statement = Convergence(None, guaranteed=False, text=text, amplification=None)
    return RunningObserver(KalmanMap(model, **covariances(model, noise)), statement, state)


def covariances(model: ControlModel, noise: NoiseLevels | None) -> dict[str, Array]:
    """The matrices of a filter by the names of the fields of `KalmanMap`.

    Raises:
        ConfigError: a deviation that is negative, zero for the measurement, or of the wrong length.
    """
    noise = noise or NoiseLevels()
    measurement = _covariance("measurement", noise.measurement, model.output_size)
    if not np.diag(measurement).min() > 0:
        raise ConfigError(f"measurement={noise.measurement}: expected positive standard deviations")
    matrices = {
        "process": _covariance("process", noise.process, model.state_size),
        "measurement": measurement,
        "initial": _covariance("initial", noise.initial, model.state_size),
    }
    with double_precision():
        return {name: jnp.asarray(matrix) for name, matrix in matrices.items()}


def _covariance(name: str, deviation: float | tuple[float, ...], size: int) -> np.ndarray:
    values = np.atleast_1d(np.asarray(deviation, float))
    if len(values) not in (1, size) or not (np.isfinite(values).all() and (values >= 0).all()):
        raise ConfigError(f"{name}={deviation}: expected one standard deviation, or {size}, of at least 0")
    return np.diag(np.broadcast_to(values, size) ** 2)
