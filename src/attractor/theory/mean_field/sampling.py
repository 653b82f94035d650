"""Correlation functions of a network whose update gate changes, from sampled trajectories of one unit.

The other units are noise to it, whose covariance follows from the trajectories themselves.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Complex, Float
from numpy.fft import irfft, rfft
from scipy.special import expit

from attractor.progress import Reporter, SilentReporter
from attractor.settings import Count, Positive, Seed, Settings, Within

from .correlators import CorrelatorSolution, MeanFieldStatus, solve_correlators, zero_solution
from .critical import fold_gain
from .gated_parameters import GatedParameters
from .gaussian import Correlators, Lags
from .mean_field_fixed_points import mean_field_fixed_points
from .self_consistency import LagWindow, openness_of

# Independent solutions, whose scatter is the error estimate.
CHAINS = 8
_FEWEST_PAIRS = 32
_STEP = 0.2
_MIX = 0.35
_CORRELATION_TIMES = 20.0
_GONE = 1e-3
_SCATTER, _AGREED = 4.0, 1e-3
_START_TIME = 10.0
_MOST_SWEEPS = 250

ChainLags = Float[np.ndarray, "chains lags"]
Trajectories = Float[np.ndarray, "chains count period"]
# Trajectories with time first, and their amplitudes by frequency.
Columns = Float[np.ndarray, "period paths"]
Amplitudes = Complex[np.ndarray, "chains count frequencies"]


class Paths(NamedTuple):
    """Periodic trajectories of one unit, and the noise that drives them.

    Args:
        noise: eta_h and the input.
        update: z.
        state: h.
    """

    noise: Trajectories
    update: Trajectories
    state: Trajectories


class SampledUnit:
    """Trajectories of one unit in several chains, each driven by noise of its own covariance."""

    def __init__(self, parameters: GatedParameters, window: LagWindow, pairs: int) -> None:
        self.parameters, self.window, self.pairs = parameters, window, pairs
        self.period = 2 * window.intervals
        self.step = window.length / window.intervals
        self.from_input = parameters.input_at(window.lags)

    def openness(self, activity: Lags) -> tuple[Lags, Correlators]:
        """C_r, and the correlators of s_r, which are those of a function of a Gaussian process."""
        reset = self.window.filtered(activity, self.window.low_pass(self.parameters.reset_time))
        return reset, openness_of(self.parameters, reset)

    def paths(self, activity: ChainLags, rng: np.random.Generator) -> Paths:
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
        return np.tanh(self.parameters.gain * state + self.parameters.bias)

    def rate(self, update: np.ndarray) -> np.ndarray:
        """s_z(z)."""
        if self.parameters.open_update:
            return np.ones_like(update)
        return expit(self.parameters.update_gain * update + self.parameters.update_bias)

    def filtered(
        self, covariances: ChainLags, time: float, growth: float | Float[np.ndarray, "chains 1"] = 0.0
    ) -> ChainLags:
        """Covariances of what leaky integrators make of processes; see `LagWindow.low_pass`."""
        return self.window.filtered(covariances, self.window.low_pass(time, growth))

    def white(self, count: int, rng: np.random.Generator) -> Amplitudes:
        """Normal amplitudes of all frequencies, whose mean power is exact at every one of them."""
        shape = (CHAINS, count, self.window.intervals + 1)
        drawn = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        drawn[..., [0, -1]] = drawn[..., [0, -1]].real
        drawn /= np.sqrt(np.mean(np.abs(drawn) ** 2, axis=1, keepdims=True))
        return drawn

    def coloured(self, white: Amplitudes, covariance: ChainLags) -> Trajectories:
        """Periodic Gaussian processes with given covariances."""
        both = np.concatenate([covariance, covariance[:, -2:0:-1]], axis=1)
        power = np.maximum(rfft(both, axis=1).real, 0.0)
        return irfft(white * np.sqrt(self.period * power[:, None]), self.period, axis=-1)

    def between(self, values: Trajectories) -> Columns:
        """Values halfway between two steps, time first."""
        columns = np.ascontiguousarray(values.reshape(-1, self.period).T)
        return 0.5 * (columns + np.roll(columns, -1, axis=0))

    def periodic(self, decay: Columns, push: Columns) -> Trajectories:
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

    def correlations(self, values: Trajectories) -> ChainLags:
        """The mean of x(t) x(t + lag) over trajectories and times."""
        power = np.mean(np.abs(rfft(values, axis=-1)) ** 2, axis=1) / self.period
        return irfft(power, self.period, axis=-1)[:, : self.window.intervals + 1]


@dataclass(frozen=True)
class SamplingSettings(Settings):
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

    trajectories: Annotated[int, Within(2 * CHAINS)] = 2048
    settling: Count = 12
    averaged: Annotated[int, Within(2)] = 16
    shortest: Positive = 160.0
    longest: Positive = 1280.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = self.trajectories % (2 * CHAINS) == 0
        self.expect(whole, f"a multiple of {2 * CHAINS}", "trajectories")
        self.expect(self.shortest <= self.longest, "periods in rising order", "shortest", "longest")


_USUAL = SamplingSettings()


def sample_correlators(
    parameters: GatedParameters, settings: SamplingSettings = _USUAL, reporter: Reporter | None = None
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
        reporter: hears of every sweep; the total grows where sweeps must go on.
    """
    begun = perf_counter()
    if parameters.autonomous and parameters.gain <= fold_gain(parameters):
        return zero_solution(parameters, begun)
    with closing(reporter or SilentReporter()) as listener:
        return _sampled(parameters, settings, listener, begun)


def _sampled(
    parameters: GatedParameters, settings: SamplingSettings, reporter: Reporter, begun: float
) -> CorrelatorSolution:
    rng, stretch = np.random.default_rng(settings.seed), settings.settling + settings.averaged
    window, sweeps = _window(settings.shortest), 0
    activity = np.tile(_start(parameters, window), (CHAINS, 1))
    while True:
        unit = SampledUnit(parameters, window, pairs_for(settings, window))
        heard = _heard(reporter, sweeps, stretch, window)
        average = _average(unit, activity, settings, rng, heard)
        activity = average.activity
        sweeps += stretch
        enough = 2 * window.length >= _CORRELATION_TIMES * _correlation_time(parameters, window, average)
        longer = _window(4 * window.length)
        ended = _gone(parameters, average) or _at_fixed_point(parameters, average)
        if ended or (enough and average.settled) or sweeps >= _MOST_SWEEPS:
            break
        if not enough and 2 * longer.length > settings.longest * (1 + 1e-9):
            break
        if not enough:
            activity = np.array([window.moved_to(longer, chain) for chain in activity])
            window = longer
    return _solution(unit, average, (enough, sweeps, begun))


def _heard(reporter: Reporter, before: int, stretch: int, window: LagWindow) -> Callable[[int], None]:
    """Tells how many sweeps are done of those that are planned by now."""
    message = f"sweeps, period {2 * window.length:g}"
    return lambda sweep: reporter.update(before + sweep, before + stretch, message)


def _start(parameters: GatedParameters, window: LagWindow) -> Lags:
    """C_phi of the network whose update gate keeps its resting value; a large one where that decays."""
    known = solve_correlators(replace(parameters, update_gain=0.0))
    if known.status is MeanFieldStatus.ZERO:
        return np.exp(-window.lags / _START_TIME)
    lags = float(known.lags[-1])
    return LagWindow(lags, len(known.lags) - 1).moved_to(window, known.activity)


@dataclass(frozen=True, eq=False)
class _Average:
    """Of C_phi and C_h, one row for every chain, and C_h(0) of the two halves of the average."""

    activity: ChainLags
    state: ChainLags
    halves: tuple[float, float]

    @property
    def scatter(self) -> tuple[float, float]:
        """Standard errors of C_h(0) and C_phi(0)."""
        errors = [part[:, 0].std(ddof=1) / np.sqrt(CHAINS) for part in (self.state, self.activity)]
        return float(errors[0]), float(errors[1])

    @property
    def residual(self) -> float:
        """The change from one half to the other as a share of C_h(0)."""
        return abs(self.halves[1] - self.halves[0]) / max(float(self.state[:, 0].mean()), 1e-300)

    @property
    def settled(self) -> bool:
        """Whether the two halves agree within their scatter, or to a thousandth."""
        change = abs(self.halves[1] - self.halves[0])
        return bool(change < _SCATTER * self.scatter[0] or self.residual < _AGREED)


def _window(period: float) -> LagWindow:
    return LagWindow(period / 2, 2 ** int(np.ceil(np.log2(period / 2 / _STEP))))


def pairs_for(settings: SamplingSettings, window: LagWindow) -> int:
    """Pairs of trajectories of a chain: fewer for longer periods, for the same work, but not too few.

    With its mean power made exact, a frequency of few trajectories is no longer Gaussian.
    """
    first = settings.trajectories // (2 * CHAINS)
    return max(round(first * settings.shortest / (2 * window.length)), min(first, _FEWEST_PAIRS))


def _average(
    unit: SampledUnit,
    activity: ChainLags,
    settings: SamplingSettings,
    rng: np.random.Generator,
    heard: Callable[[int], None],
) -> _Average:
    """Sweeps from C_phi of every chain to C_phi and C_h of trajectories driven by it."""
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    for sweep in range(settings.settling + settings.averaged):
        state = unit.paths(activity, rng).state
        new = unit.correlations(unit.activity(state))
        if sweep < settings.settling:
            activity = new
        else:
            kept.append((new, unit.correlations(state)))
            activity = activity + _MIX * (new - activity)
        heard(sweep + 1)
    half = len(kept) // 2
    found, states = (np.mean([sweep[part] for sweep in kept], axis=0) for part in (0, 1))
    variances = [float(sweep[1][:, 0].mean()) for sweep in kept]
    return _Average(found, states, (float(np.mean(variances[:half])), float(np.mean(variances[half:]))))


def _correlation_time(parameters: GatedParameters, window: LagWindow, average: _Average) -> float:
    state = average.state.mean(axis=0)
    if not parameters.autonomous:
        return window.correlation_time(state)
    return float(np.trapezoid(np.abs(state), dx=window.length / window.intervals) / max(state[0], 1e-300))


def _gone(parameters: GatedParameters, average: _Average) -> bool:
    """Whether nothing is left of the start, where zero is stable."""
    small = average.state[:, 0].mean() < _GONE
    return parameters.autonomous and parameters.gain * parameters.resting_reset <= 1 and bool(small)


def _solution(unit: SampledUnit, average: _Average, ended: tuple[bool, int, float]) -> CorrelatorSolution:
    enough, sweeps, begun = ended
    if _gone(unit.parameters, average):
        return zero_solution(unit.parameters, begun)
    activity, state = average.activity.mean(axis=0), average.state.mean(axis=0)
    reset, openness = unit.openness(activity)
    return CorrelatorSolution(
        parameters=unit.parameters,
        status=_status(unit.parameters, average, enough=enough),
        lags=unit.window.lags,
        state=state,
        activity=activity,
        reset=reset,
        openness=openness.value,
        residual=average.residual,
        iterations=sweeps,
        seconds=perf_counter() - begun,
        standard_error=average.scatter,
    )


def _at_fixed_point(parameters: GatedParameters, average: _Average) -> bool:
    """Whether the variance is that of a stable fixed point other than zero."""
    variance = float(average.state[:, 0].mean())
    near = max(_SCATTER * average.scatter[0], 0.01 * variance)
    points = [point for point in mean_field_fixed_points(parameters) if point.stable and point.variance > 0]
    return any(abs(point.variance - variance) < near for point in points)


def _status(parameters: GatedParameters, average: _Average, *, enough: bool) -> MeanFieldStatus:
    if _at_fixed_point(parameters, average):
        return MeanFieldStatus.FIXED_POINT
    if not average.settled:
        return MeanFieldStatus.NOT_CONVERGED
    if not enough:
        return MeanFieldStatus.WINDOW_TOO_SHORT
    return MeanFieldStatus.CHAOTIC if parameters.input_covariance is None else MeanFieldStatus.DRIVEN
