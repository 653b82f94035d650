"""A window of lags on which correlation functions live: even functions, filtered exactly by cosines."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.fft import dct
from scipy.interpolate import CubicSpline


@dataclass(frozen=True)
class LagWindow:
    """Lags 0..length; functions are even about both ends, so periodic with twice the length.

    Args:
        length: the longest lag.
        intervals: between 0 and the longest lag, a power of two for speed.
    """

    length: float
    intervals: int

    @property
    def lags(self) -> Float[np.ndarray, " lags"]:
        """The lags."""
        return np.linspace(0.0, self.length, self.intervals + 1)

    @property
    def frequencies(self) -> Float[np.ndarray, " lags"]:
        """Angular frequencies of the cosines."""
        return np.pi / self.length * np.arange(self.intervals + 1)

    def low_pass(
        self, time: float, growth: float | Float[np.ndarray, "chains 1"] = 0.0
    ) -> Float[np.ndarray, "*chains lags"]:
        """1 / ((1 + kappa tau)^2 + tau^2 w^2), what a leaky integrator makes of a power spectrum.

        Args:
            time: tau.
            growth: kappa, for differences of two runs that grow as exp(kappa t); or one for each chain.
        """
        return 1 / ((1 + growth * time) ** 2 + (time * self.frequencies) ** 2)

    def spectrum(self, values: Float[np.ndarray, " lags"]) -> Float[np.ndarray, " lags"]:
        """Amplitudes of the cosines, those of the ends halved."""
        return _transformed(values) / self.intervals

    def filtered(
        self, values: Float[np.ndarray, "*any lags"], multiplier: Float[np.ndarray, "*#any lags"]
    ) -> Float[np.ndarray, "*any lags"]:
        """Values with the amplitude of every cosine multiplied."""
        return _transformed(multiplier * _transformed(values)) / (2 * self.intervals)

    def filter_matrix(self, multiplier: Float[np.ndarray, " lags"]) -> Float[np.ndarray, "lags lags"]:
        """The matrix of `filtered`."""
        cosines = _cosines(self.intervals)
        return cosines.T @ (multiplier[:, None] * cosines.T) / (2 * self.intervals)

    def moved_to(self, other: "LagWindow", values: Float[np.ndarray, " lags"]) -> Float[np.ndarray, " moved"]:
        """Values on another window, by cubic splines; constant beyond the end of this one."""
        spline = CubicSpline(self.lags, values, bc_type="clamped")
        return spline(np.minimum(other.lags, self.length))

    def correlation_time(self, values: Float[np.ndarray, " lags"]) -> float:
        """The integral of (C - C(end)) / (C(0) - C(end)), with magnitudes so that oscillation counts."""
        fall = values[0] - values[-1]
        if fall <= 0:
            return self.length
        return float(np.trapezoid(np.abs(values - values[-1]), dx=self.length / self.intervals) / fall)

    def tail(self, values: Float[np.ndarray, " lags"]) -> float:
        """How much still changes in the last tenth of the window, as a share of the whole fall."""
        fall = values[0] - values[-1]
        last = values[-(self.intervals // 10) :]
        return float(np.ptp(last) / fall) if fall > 0 else 0.0

    def roughness(self, values: Float[np.ndarray, " lags"]) -> float:
        """The largest amplitude among the upper eighth of the cosines, as a share of the variation."""
        amplitudes = np.abs(self.spectrum(values))
        return float(amplitudes[-(self.intervals // 8) :].max() / max(amplitudes[1:].max(), 1e-300))


@lru_cache(maxsize=4)
def _cosines(intervals: int) -> Float[np.ndarray, "lags lags"]:
    return _transformed(np.eye(intervals + 1))


def _transformed(values: Float[np.ndarray, "*any lags"]) -> Float[np.ndarray, "*any lags"]:
    """The cosine transform of type 1, which is its own inverse up to a factor; symmetric but for the ends."""
    return np.asarray(dct(values, type=1))
