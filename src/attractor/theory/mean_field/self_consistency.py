"""The self-consistent equations of a gated network with a constant update gate, on a window of lags."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.fft import dct
from scipy.interpolate import CubicSpline

from .gated_parameters import GatedParameters
from .gaussian import Correlators, CorrelatorSeries, Lags, correlator_series


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
    def lags(self) -> Lags:
        """The lags."""
        return np.linspace(0.0, self.length, self.intervals + 1)

    @property
    def frequencies(self) -> Lags:
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

    def spectrum(self, values: Lags) -> Lags:
        """Amplitudes of the cosines, those of the ends halved."""
        return _transformed(values) / self.intervals

    def filtered(
        self, values: Float[np.ndarray, "*any lags"], multiplier: Float[np.ndarray, "*#any lags"]
    ) -> Float[np.ndarray, "*any lags"]:
        """Values with the amplitude of every cosine multiplied."""
        return _transformed(multiplier * _transformed(values)) / (2 * self.intervals)

    def filter_matrix(self, multiplier: Lags) -> Float[np.ndarray, "lags lags"]:
        """The matrix of `filtered`."""
        cosines = _cosines(self.intervals)
        return cosines.T @ (multiplier[:, None] * cosines.T) / (2 * self.intervals)

    def moved_to(self, other: "LagWindow", values: Lags) -> Float[np.ndarray, " moved"]:
        """Values on another window, by cubic splines; constant beyond the end of this one."""
        spline = CubicSpline(self.lags, values, bc_type="clamped")
        return spline(np.minimum(other.lags, self.length))

    def correlation_time(self, values: Lags) -> float:
        """The integral of (C - C(end)) / (C(0) - C(end)), with magnitudes so that oscillation counts."""
        fall = values[0] - values[-1]
        if fall <= 0:
            return self.length
        return float(np.trapezoid(np.abs(values - values[-1]), dx=self.length / self.intervals) / fall)

    def tail(self, values: Lags) -> float:
        """How much still changes in the last tenth of the window, as a share of the whole fall."""
        fall = values[0] - values[-1]
        last = values[-(self.intervals // 10) :]
        return float(np.ptp(last) / fall) if fall > 0 else 0.0

    def roughness(self, values: Lags) -> float:
        """The largest amplitude among the upper eighth of the cosines, as a share of the variation."""
        amplitudes = np.abs(self.spectrum(values))
        return float(amplitudes[-(self.intervals // 8) :].max() / max(amplitudes[1:].max(), 1e-300))


@lru_cache(maxsize=4)
def _cosines(intervals: int) -> Float[np.ndarray, "lags lags"]:
    return _transformed(np.eye(intervals + 1))


def _transformed(values: Float[np.ndarray, "*any lags"]) -> Float[np.ndarray, "*any lags"]:
    """The cosine transform of type 1, which is its own inverse up to a factor; symmetric but for the ends."""
    return np.asarray(dct(values, type=1))


class Correlations(NamedTuple):
    """What follows from a correlation function of the argument x = g h of the activation.

    Args:
        activity: C_phi = <phi phi> and its derivatives by the covariance and the variance of x.
        reset: C_r.
        openness: C_sr = <s_r s_r> and its derivatives.
        state: C_h, what the equations make of it.
    """

    activity: Correlators
    reset: Lags
    openness: Correlators
    state: Lags


def openness_of(parameters: GatedParameters, reset: Lags) -> Correlators:
    """The correlators of s_r, a function of a Gaussian process r, from C_r."""
    if parameters.constant_reset:
        nothing = np.zeros_like(reset)
        return Correlators(nothing + parameters.resting_reset**2, nothing, nothing)
    return correlator_series(parameters.reset_gate, max(reset[0], 0.0)).at(reset)


@dataclass(frozen=True)
class SelfConsistency:
    r"""The map from the correlation function of x = g h to that of h; a solution has $C_x = g^2 C_h$.

    $$C_\phi = \langle \phi \phi' \rangle(C_x), \quad (1 - \tau_r^2 \partial^2) C_r = C_\phi, \quad
    C_{s_r} = \langle s_r s_r' \rangle(C_r), \quad
    (1 - \partial^2 / s_z^2) C_h = C_\phi C_{s_r} + C_I$$

    Args:
        parameters: of the network, with a constant update gate; its gain is not used.
        window: the lags.
    """

    parameters: GatedParameters
    window: LagWindow

    @cached_property
    def state_filter(self) -> Lags:
        """The multiplier of cosines that makes C_h of a covariance of currents."""
        return self.window.low_pass(1 / self.parameters.resting_update)

    @cached_property
    def reset_filter(self) -> Lags:
        """The multiplier of cosines that makes C_r of C_phi."""
        return self.window.low_pass(self.parameters.reset_time)

    @cached_property
    def from_input(self) -> Lags:
        """What the input alone adds to C_h."""
        return self.window.filtered(self.parameters.input_at(self.window.lags), self.state_filter)

    def activity_series(self, variance: float) -> CorrelatorSeries:
        """The series of C_phi, for many correlation functions of one variance."""
        return correlator_series(self.parameters.activation, variance)

    def __call__(self, argument: Lags, series: CorrelatorSeries | None = None) -> Correlations:
        """All correlation functions that follow from C_x.

        Args:
            argument: C_x on the window.
            series: of C_phi where it is known.
        """
        activity = (series or self.activity_series(max(argument[0], 0.0))).at(argument)
        reset = self.window.filtered(activity.value, self.reset_filter)
        openness = openness_of(self.parameters, reset)
        current = activity.value * openness.value
        state = self.window.filtered(current, self.state_filter) + self.from_input
        return Correlations(activity, reset, openness, state)

    def derivative(self, found: Correlations) -> Float[np.ndarray, "lags lags"]:
        """The matrix of derivatives of C_h by C_x, where `found` was computed."""
        activity, openness = found.activity, found.openness
        by_argument = np.diag(activity.slope)
        by_argument[:, 0] += activity.curvature
        current = openness.value[:, None] * by_argument
        if not self.parameters.constant_reset:
            reset = self._reset_matrix @ by_argument
            opened = openness.slope[:, None] * reset + openness.curvature[:, None] * reset[0]
            current += activity.value[:, None] * opened
        return self._state_matrix @ current

    @cached_property
    def _state_matrix(self) -> Float[np.ndarray, "lags lags"]:
        return self.window.filter_matrix(self.state_filter)

    @cached_property
    def _reset_matrix(self) -> Float[np.ndarray, "lags lags"]:
        return self.window.filter_matrix(self.reset_filter)
