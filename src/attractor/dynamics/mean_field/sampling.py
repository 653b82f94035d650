"""Correlation functions of a network whose update gate changes: sampled trajectories of one unit."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, rfft
from scipy.special import expit

from attractor.errors import ConfigError

from .correlators import CorrelatorSolution, MeanFieldStatus
from .fixed_points import mean_field_fixed_points
from .gaussian import correlator_series, gate
from .parameters import GatedParameters
from .window import LagWindow

_CHAINS = 8
"""Independent solutions, whose scatter is the error estimate."""
_STEP = 0.2
_MIX = 0.35
_CORRELATION_TIMES = 20.0
_GONE = 1e-3
_SCATTER = 4.0


@dataclass(frozen=True)
class SamplingSettings:
    """How trajectories are sampled.

    Args:
        trajectories: of the shortest period, a multiple of 16; longer periods have fewer, for the same work.
        settling: sweeps before the average.
        averaged: sweeps in the average.
        shortest: the first period in units of time.
        longest: where doubling the period ends.
        seed: of the noise.

    Raises:
        ConfigError: a value outside its range.
    """

    trajectories: int = 2048
    settling: int = 12
    averaged: int = 16
    shortest: float | int = 160.0
    longest: float | int = 1280.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trajectories < 2 * _CHAINS or self.trajectories % (2 * _CHAINS):
            message = f"trajectories={self.trajectories}: expected a positive multiple of {2 * _CHAINS}"
            raise ConfigError(message)
        if self.settling < 1 or self.averaged < 2 or not 0 < self.shortest <= self.longest < np.inf:
            message = (
                f"settling={self.settling}, averaged={self.averaged}, shortest={self.shortest}, longest="
                f"{self.longest}: expected sweeps of at least 1 and 2, and periods in rising order"
            )
            raise ConfigError(message)


_USUAL = SamplingSettings()


def sample_correlators(
    parameters: GatedParameters, settings: SamplingSettings = _USUAL
) -> CorrelatorSolution:
    r"""The solution that a large start reaches, for any update gate, with its standard error.

    One unit obeys $\dot h = s_z(z) (-h + \eta_h + I)$ with Gaussian z and $\eta_h$ whose covariances follow
    from C_phi = <phi(h) phi(h)>, which is estimated from trajectories that are periodic in time; so on until
    it repeats. Every sweep draws new noise, and the last ones are averaged. Noise is drawn by frequency with
    its mean power made exact, and every z comes with -z, which removes most of the scatter. The period is
    doubled until it holds 20 correlation times.

    Args:
        parameters: of the network.
        settings: number of trajectories and sweeps, periods, seed.
    """
    begun = perf_counter()
    rng = np.random.default_rng(settings.seed)
    window = _window(float(settings.shortest))
    activity = np.tile(np.exp(-window.lags / _STEP / 50), (_CHAINS, 1))
    sweeps = 0
    while True:
        sampler = _Sampler(parameters, window, max(round(_share(settings, window)), 1))
        average = _average(sampler, activity, settings, rng)
        sweeps += settings.settling + settings.averaged
        enough = 2 * window.length >= _CORRELATION_TIMES * _correlation_time(parameters, window, average)
        longer = _window(4 * window.length)
        if enough or 2 * longer.length > settings.longest * (1 + 1e-9) or _gone(parameters, average):
            break
        activity = np.array([window.moved_to(longer, chain) for chain in average.activity])
        window = longer
    return _solution(sampler, average, (enough, sweeps, begun))


@dataclass(frozen=True, eq=False)
class _Average:
    """Of C_phi and C_h, one row for every chain, and C_h(0) of the two halves of the average."""

    activity: Float[np.ndarray, "chains lags"]
    state: Float[np.ndarray, "chains lags"]
    halves: tuple[float, float]


def _window(period: float) -> LagWindow:
    return LagWindow(period / 2, 2 ** int(np.ceil(np.log2(period / 2 / _STEP))))


def _share(settings: SamplingSettings, window: LagWindow) -> float:
    """Pairs of trajectories of a chain, so that work does not grow with the period."""
    return settings.trajectories / (2 * _CHAINS) * float(settings.shortest) / (2 * window.length)


def _average(
    sampler: "_Sampler", activity: Float[np.ndarray, "chains lags"], settings: SamplingSettings, rng: np.random.Generator
) -> _Average:
    for _ in range(settings.settling):
        activity = sampler.sweep(activity, rng)[0]
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(settings.averaged):
        kept.append(sampler.sweep(activity, rng))
        activity = activity + _MIX * (kept[-1][0] - activity)
    half = len(kept) // 2
    found, state = (np.mean([sweep[part] for sweep in kept], axis=0) for part in (0, 1))
    variances = [float(sweep[1][:, 0].mean()) for sweep in kept]
    return _Average(found, state, (float(np.mean(variances[:half])), float(np.mean(variances[half:]))))


class _Sampler:
    """One sweep: from C_phi of every chain to C_phi and C_h of trajectories driven by it."""

    def __init__(self, parameters: GatedParameters, window: LagWindow, pairs: int) -> None:
        self.parameters, self.window, self.pairs = parameters, window, pairs
        self.period = 2 * window.intervals
        self.step = window.length / window.intervals
        self.gate = gate(parameters.reset_gain, parameters.reset_bias)
        covariance = np.full(window.intervals + 1, float(parameters.input_deviation) ** 2)
        if parameters.input_covariance is not None:
            covariance = covariance + np.asarray(parameters.input_covariance(window.lags), np.float64)
        self.from_input = covariance

    def openness(self, activity: Float[np.ndarray, " lags"]) -> tuple[np.ndarray, np.ndarray]:
        """C_r and C_sr, which are those of a Gaussian process."""
        reset = self.window.filtered(activity, self.window.low_pass(float(self.parameters.reset_time)))
        if self.parameters.constant_reset:
            return reset, np.full_like(reset, self.parameters.resting_reset**2)
        return reset, correlator_series(self.gate, max(reset[0], 0.0)).at(reset).value

    def sweep(
        self, activity: Float[np.ndarray, "chains lags"], rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "chains lags"], Float[np.ndarray, "chains lags"]]:
        """C_phi and C_h of every chain."""
        current = np.array([row * self.openness(row)[1] + self.from_input for row in activity])
        update = np.array([
            self.window.filtered(row, self.window.low_pass(float(self.parameters.update_time)))
            for row in activity
        ])  # fmt: skip
        noise = self._drawn(current, 2 * self.pairs, rng)
        half = self._drawn(update, self.pairs, rng)
        state = self._integrated(noise, np.concatenate([half, -half], axis=1))
        phi = np.tanh(float(self.parameters.gain) * state + float(self.parameters.bias))
        return self._correlations(phi), self._correlations(state)

    def _drawn(
        self, covariance: Float[np.ndarray, "chains lags"], count: int, rng: np.random.Generator
    ) -> Float[np.ndarray, "chains count period"]:
        """Periodic Gaussian processes with given covariances; the mean power at every frequency is exact."""
        both = np.concatenate([covariance, covariance[:, -2:0:-1]], axis=1)
        power = np.maximum(rfft(both, axis=1).real, 0.0)
        shape = (len(covariance), count, power.shape[1])
        drawn = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        drawn[..., [0, -1]] = drawn[..., [0, -1]].real
        drawn *= np.sqrt(self.period * power[:, None] / np.mean(np.abs(drawn) ** 2, axis=1, keepdims=True))
        return irfft(drawn, self.period, axis=-1)

    def _integrated(
        self, noise: Float[np.ndarray, "chains count period"], update: Float[np.ndarray, "chains count period"]
    ) -> Float[np.ndarray, "chains count period"]:
        """The periodic solution of h' = s_z (-h + eta), exact for what is constant within a step.

        After one period h(T) = A h(0) + B, so that the periodic solution starts at B / (1 - A).
        """
        rate = np.ones_like(update) if self.parameters.open_update else self._rate(update)
        columns = [np.ascontiguousarray(part.reshape(-1, self.period).T) for part in (rate, noise)]
        rate, noise = (0.5 * (part + np.roll(part, -1, axis=0)) for part in columns)
        kept = np.exp(-self.step * rate)
        pushed = (1 - kept) * noise
        end = np.zeros(kept.shape[1])
        for factor, push in zip(kept, pushed, strict=True):
            end = factor * end + push
        states = np.empty_like(kept)
        states[0] = end / -np.expm1(-self.step * rate.sum(axis=0))
        for k in range(self.period - 1):
            np.multiply(kept[k], states[k], out=states[k + 1])
            states[k + 1] += pushed[k]
        return states.T.reshape(update.shape)

    def _rate(self, update: np.ndarray) -> np.ndarray:
        return expit(float(self.parameters.update_gain) * update + float(self.parameters.update_bias))

    def _correlations(
        self, values: Float[np.ndarray, "chains count period"]
    ) -> Float[np.ndarray, "chains lags"]:
        power = np.mean(np.abs(rfft(values, axis=-1)) ** 2, axis=1) / self.period
        return irfft(power, self.period, axis=-1)[:, : self.window.intervals + 1]


def _correlation_time(parameters: GatedParameters, window: LagWindow, average: _Average) -> float:
    state = average.state.mean(axis=0)
    if not parameters.autonomous:
        return window.correlation_time(state)
    return float(np.trapezoid(np.abs(state), dx=window.length / window.intervals) / max(state[0], 1e-300))


def _gone(parameters: GatedParameters, average: _Average) -> bool:
    """Whether nothing is left of the start, where zero is stable."""
    small = average.state[:, 0].mean() < _GONE
    return parameters.autonomous and parameters.gain * parameters.resting_reset <= 1 and bool(small)


def _solution(sampler: _Sampler, average: _Average, ended: tuple[bool, int, float]) -> CorrelatorSolution:
    enough, sweeps, begun = ended
    activity, state = average.activity.mean(axis=0), average.state.mean(axis=0)
    scatter = [float(part[:, 0].std(ddof=1) / np.sqrt(_CHAINS)) for part in (average.state, average.activity)]
    reset, openness = sampler.openness(activity)
    residual = abs(average.halves[1] - average.halves[0]) / max(state[0], 1e-300)
    status = _status(sampler.parameters, average, (enough, residual, scatter[0]))
    return CorrelatorSolution(
        sampler.parameters, status, sampler.window.lags, state, activity, reset, openness,
        float(residual), sweeps, perf_counter() - begun, (scatter[0], scatter[1]),
    )  # fmt: skip


def _status(
    parameters: GatedParameters, average: _Average, found: tuple[bool, float, float]
) -> MeanFieldStatus:
    enough, residual, scatter = found
    variance = float(average.state[:, 0].mean())
    if _gone(parameters, average):
        return MeanFieldStatus.ZERO
    points = mean_field_fixed_points(parameters)
    if any(p.stable and abs(p.variance - variance) < max(_SCATTER * scatter, 0.01 * variance) for p in points):
        return MeanFieldStatus.FIXED_POINT
    if residual * variance > _SCATTER * scatter and residual > 0.02:
        return MeanFieldStatus.NOT_CONVERGED
    if not enough:
        return MeanFieldStatus.WINDOW_TOO_SHORT
    return MeanFieldStatus.CHAOTIC if parameters.input_covariance is None else MeanFieldStatus.DRIVEN
