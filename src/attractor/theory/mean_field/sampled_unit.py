"""One unit of a gated random network under the noise that the others are to it: its sampled trajectories."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float
from numpy.fft import irfft, rfft
from scipy.special import expit

from .gated_parameters import GatedParameters
from .gaussian import Correlators, correlator_series, gate
from .window import LagWindow

CHAINS = 8
"""Independent solutions, whose scatter is the error estimate."""


class Paths(NamedTuple):
    """Periodic trajectories of one unit, and the noise that drives them.

    Args:
        noise: eta_h and the input.
        update: z.
        state: h.
    """

    noise: Float[np.ndarray, "chains count period"]
    update: Float[np.ndarray, "chains count period"]
    state: Float[np.ndarray, "chains count period"]


class SampledUnit:
    """Trajectories of one unit in several chains, each driven by noise of its own covariance."""

    def __init__(self, parameters: GatedParameters, window: LagWindow, pairs: int) -> None:
        self.parameters, self.window, self.pairs = parameters, window, pairs
        self.period = 2 * window.intervals
        self.step = window.length / window.intervals
        self.gate = gate(parameters.reset_gain, parameters.reset_bias)
        self.from_input = parameters.input_at(window.lags)

    def openness(
        self, activity: Float[np.ndarray, " lags"]
    ) -> tuple[Float[np.ndarray, " lags"], Correlators]:
        """C_r, and the correlators of s_r, which are those of a function of a Gaussian process."""
        reset = self.window.filtered(activity, self.window.low_pass(float(self.parameters.reset_time)))
        if self.parameters.constant_reset:
            nothing = np.zeros_like(reset)
            return reset, Correlators(nothing + self.parameters.resting_reset**2, nothing, nothing)
        return reset, correlator_series(self.gate, max(reset[0], 0.0)).at(reset)

    def paths(self, activity: Float[np.ndarray, "chains lags"], rng: np.random.Generator) -> Paths:
        """Trajectories under the noise that follows from C_phi of every chain; every z comes with -z."""
        current = [row * self.openness(row)[1].value + self.from_input for row in activity]
        noise = self.coloured(self.white(2 * self.pairs, rng), np.array(current))
        half = self.coloured(
            self.white(self.pairs, rng), self.filtered(activity, self.parameters.update_time)
        )
        update = np.concatenate([half, -half], axis=1)
        rate, target = self.between(self.rate(update)), self.between(noise)
        state = self.periodic(self.step * rate, -np.expm1(-self.step * rate) * target)
        return Paths(noise, update, state)

    def activity(self, state: np.ndarray) -> np.ndarray:
        """phi(h)."""
        return np.tanh(float(self.parameters.gain) * state + float(self.parameters.bias))

    def rate(self, update: np.ndarray) -> np.ndarray:
        """s_z(z)."""
        if self.parameters.open_update:
            return np.ones_like(update)
        return expit(float(self.parameters.update_gain) * update + float(self.parameters.update_bias))

    def filtered(
        self,
        covariances: Float[np.ndarray, "chains lags"],
        time: float | int,
        growth: float | Float[np.ndarray, "chains 1"] = 0.0,
    ) -> Float[np.ndarray, "chains lags"]:
        """Covariances of what leaky integrators make of processes; see `LagWindow.low_pass`."""
        return self.window.filtered(covariances, self.window.low_pass(float(time), growth))

    def white(self, count: int, rng: np.random.Generator) -> Complex[np.ndarray, "chains count frequencies"]:
        """Normal amplitudes of all frequencies, whose mean power is exact at every one of them."""
        shape = (CHAINS, count, self.window.intervals + 1)
        drawn = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        drawn[..., [0, -1]] = drawn[..., [0, -1]].real
        drawn /= np.sqrt(np.mean(np.abs(drawn) ** 2, axis=1, keepdims=True))
        return drawn

    def coloured(
        self,
        white: Complex[np.ndarray, "chains count frequencies"],
        covariance: Float[np.ndarray, "chains lags"],
    ) -> Float[np.ndarray, "chains count period"]:
        """Periodic Gaussian processes with given covariances."""
        both = np.concatenate([covariance, covariance[:, -2:0:-1]], axis=1)
        power = np.maximum(rfft(both, axis=1).real, 0.0)
        return irfft(white * np.sqrt(self.period * power[:, None]), self.period, axis=-1)

    def between(self, values: Float[np.ndarray, "chains count period"]) -> Float[np.ndarray, "period paths"]:
        """Values halfway between two steps, time first."""
        columns = np.ascontiguousarray(values.reshape(-1, self.period).T)
        return 0.5 * (columns + np.roll(columns, -1, axis=0))

    def periodic(
        self, decay: Float[np.ndarray, "period paths"], push: Float[np.ndarray, "period paths"]
    ) -> Float[np.ndarray, "chains count period"]:
        """The periodic solution of x(t + step) = exp(-decay) x(t) + push.

        After one period x(T) = A x(0) + B, so that the periodic solution starts at B / (1 - A).
        """
        kept, end = np.exp(-decay), np.zeros(decay.shape[1])
        for factor, one in zip(kept, push, strict=True):
            end = factor * end + one
        values = np.empty_like(kept)
        values[0] = end / -np.expm1(-decay.sum(axis=0))
        for k in range(self.period - 1):
            np.multiply(kept[k], values[k], out=values[k + 1])
            values[k + 1] += push[k]
        return values.T.reshape(CHAINS, -1, self.period)

    def correlations(
        self, values: Float[np.ndarray, "chains count period"]
    ) -> Float[np.ndarray, "chains lags"]:
        """The mean of x(t) x(t + lag) over trajectories and times."""
        power = np.mean(np.abs(rfft(values, axis=-1)) ** 2, axis=1) / self.period
        return irfft(power, self.period, axis=-1)[:, : self.window.intervals + 1]
