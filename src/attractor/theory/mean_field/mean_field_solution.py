"""What mean-field theory says of a gated random network: its largest exponent, and everything in one call.

The largest Lyapunov exponent is an eigenvalue problem where the update gate is constant, and sampled from
differences of two runs where the gate changes.
"""

from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigs

from attractor.dynamics.roots import bracketed_root
from attractor.errors import UnsupportedError
from attractor.progress import Reporter, SilentReporter
from attractor.report.drawn import Drawn
from attractor.shown import Shown

from .correlators import CorrelatorSolution, MeanFieldStatus, solve_correlators
from .critical import Phase, fold_gain
from .gated_parameters import GatedParameters
from .gaussian import Lags
from .mean_field_fixed_points import LeadingEdge, MeanFieldFixedPoint, leading_edge, mean_field_fixed_points
from .sampling import CHAINS, ChainLags, Paths, SampledUnit, SamplingSettings, pairs_for, sample_correlators
from .self_consistency import LagWindow, SelfConsistency

_LOWEST = 0.999
_TOLERANCE = 1e-9
_FIRST = 0.1
_LARGEST_CHANGE = 0.2
# Of kappa, for the slope of ln Lambda.
_DIFFERENCE = 0.02
_MIX = 0.35
# Share of the slowest decay of a sampled trajectory; differences that shrink faster are out of sight.
_LOWEST_SAMPLED = 0.9
# Standard errors between the two halves of an average, of which each has twice the variance: four sigma.
_SCATTER = 8.0
_AGREED = 1e-3
_USUAL = SamplingSettings()
# Standard errors from zero of an exponent whose sign is known.
_SURE = 3.0


@dataclass(frozen=True)
class ExponentSolution(Shown):
    """The largest Lyapunov exponent.

    Args:
        value: kappa, per unit of time; positive in chaos.
        residual: distance of the largest eigenvalue from one.
        evaluations: eigenvalue problems solved, or sweeps.
        seconds: wall time.
        standard_error: from sampling, zero for a solution of the equations.
    """

    value: float
    residual: float
    evaluations: int
    seconds: float
    standard_error: float = 0.0

    def __str__(self) -> str:
        """The exponent with its error."""
        error = f" ± {self.standard_error:.1g} (standard error)" if self.standard_error else ""
        return f"largest exponent {self.value:.5g} per unit of time{error}, residual {self.residual:.1e}"


def mean_field_exponent(solution: CorrelatorSolution) -> ExponentSolution:
    r"""The largest Lyapunov exponent kappa of a network with a constant update gate, under the same input.

    The covariance of a small difference of two runs grows as $e^{2 \kappa t}$ where the largest eigenvalue,
    over functions of the lag, is one for

    $$G_h(\kappa) \left[ C_{\phi'} C_{s_r} + C_\phi C_{s_r'} G_r(\kappa) C_{\phi'} \right]$$

    with $G_a(\kappa) = 1 / ((1 + \kappa \tau_a)^2 + \tau_a^2 \omega^2)$ acting on frequencies, $\tau_h = 1 /
    s_z$, and the other factors on lags. Gates that the network has but that decide nothing decay with rates
    $1 / \tau_a$, and the exponent is not below those.

    Args:
        solution: of `solve_correlators`, or one that is zero.

    Raises:
        UnsupportedError: a sampled solution that is not zero, or one that is not solved.
    """
    if not has_exponent(solution):
        raise UnsupportedError(
            f"update_gain={solution.parameters.update_gain}, status '{solution.status}': the exponent is "
            "solved for where the update gate is constant and the correlators are solved; see "
            "`sample_exponent` for an update gate that changes"
        )
    parameters = solution.parameters
    begun = perf_counter()
    growth = _Growth(solution)
    low, high = -_LOWEST * growth.slowest, 1.0
    while growth.excess(high) > 0:
        high *= 2
    value = bracketed_root(growth.excess, (low, high), _TOLERANCE) if growth.excess(low) > 0 else -np.inf
    residual = abs(growth.excess(value)) if np.isfinite(value) else 0.0
    value = max(value, gate_decay(parameters), -parameters.resting_update)
    return ExponentSolution(value, residual, growth.evaluations, perf_counter() - begun)


def gate_decay(parameters: GatedParameters) -> float:
    """The slowest rate at which gates decay by themselves, -1 / tau; -inf without gates.

    No exponent lies below it, not even where the gates decide nothing.
    """
    times = [parameters.update_time] if not parameters.open_update else []
    times += [parameters.reset_time] if not parameters.open_reset else []
    return max((-1 / float(time) for time in times), default=-np.inf)


def has_exponent(solution: CorrelatorSolution) -> bool:
    """Whether theory gives the exponent of a solution."""
    constant = solution.parameters.constant_update or solution.status is MeanFieldStatus.ZERO
    return constant and solution.status.solved


class _Growth:
    """The operator whose largest eigenvalue is one at the exponent."""

    def __init__(self, solution: CorrelatorSolution) -> None:
        parameters = solution.parameters
        self.window = LagWindow(float(solution.lags[-1]), len(solution.lags) - 1)
        square = parameters.gain**2
        found = SelfConsistency(parameters, self.window)(square * solution.state)
        self.slope = square * found.activity.slope
        self.openness, self.opening = found.openness.value, found.activity.value * found.openness.slope
        self.state_time = 1 / parameters.resting_update
        self.reset_time = 0.0 if parameters.constant_reset else parameters.reset_time
        self.vector = np.ones(len(solution.lags))
        self.evaluations = 0

    @property
    def slowest(self) -> float:
        """The smallest decay rate of the two filters, below minus which they have no meaning."""
        return 1 / max(self.state_time, self.reset_time)

    def excess(self, growth: float) -> float:
        """The largest eigenvalue minus one, at kappa; it falls with kappa."""
        if not np.any(self.slope):
            return -1.0
        state, reset = (self.window.low_pass(time, growth) for time in (self.state_time, self.reset_time))

        def apply(values: Lags) -> Lags:
            difference = self.slope * np.ravel(values)
            opened = self.opening * self.window.filtered(difference, reset)
            return self.window.filtered(self.openness * difference + opened, state)

        size = len(self.vector)
        operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)  # pyright: ignore
        found: Any = eigs(operator, k=1, which="LR", v0=self.vector, tol=_TOLERANCE)  # pyright: ignore
        self.vector = np.abs(np.real(found[1][:, 0]))
        self.evaluations += 1
        return float(np.real(found[0][0])) - 1


def sample_exponent(
    solution: CorrelatorSolution, settings: SamplingSettings = _USUAL, reporter: Reporter | None = None
) -> ExponentSolution | None:
    r"""The largest Lyapunov exponent kappa for any update gate, under the same input, and its standard error.

    A small difference of two runs obeys, at one unit, with $d = -h + \eta_h + I$,

    $$\dot{\delta h} = -s_z \delta h + s_z \delta\eta_h + s_z' d \, \delta z, \qquad
    \tau_z \dot{\delta z} = -\delta z + \delta\eta_z$$

    where $\delta\eta_z$ and $\delta\eta_h$ are Gaussian, independent of the run itself and of each other,
    with covariances $c = \langle \phi' \delta h \, \phi' \delta h \rangle$ and
    $c \, C_{s_r} + C_\phi C_{s_r'} G_r c$ (see `mean_field_exponent`, to which this comes down for a constant
    gate). With the growth $e^{\kappa t}$ taken out they are stationary, and sampled trajectories map c to a
    multiple of itself. Newton's method finds the kappa at which the factor is one, for each of the chains,
    which are independent. Time goes in steps of 0.2, which adds less than a hundredth to the value; where an
    input is rough, some hundredths.

    Args:
        solution: of `sample_correlators`, of a network that keeps moving.
        settings: number of trajectories and sweeps, seed.
        reporter: hears of every sweep.

    Returns:
        The exponent; None where it is not settled, or where differences shrink nearly as fast as those at a
        single unit, which is out of sight of the sampled trajectories.

    Raises:
        UnsupportedError: a solution that is not solved, or that comes to rest.
    """
    if solution.status not in {MeanFieldStatus.CHAOTIC, MeanFieldStatus.DRIVEN}:
        raise UnsupportedError(
            f"status '{solution.status}': exponents are sampled for networks that keep moving; see "
            "`mean_field_exponent` for zero and `leading_edge` for fixed points"
        )
    with closing(reporter or SilentReporter()) as listener:
        return _sampled(solution, settings, listener)


def _sampled(
    solution: CorrelatorSolution, settings: SamplingSettings, reporter: Reporter
) -> ExponentSolution | None:
    begun, differences = perf_counter(), _Differences(solution, settings)
    growth, covariance = np.full(CHAINS, _FIRST), differences.start
    kept: list[np.ndarray] = []
    excesses: list[np.ndarray] = []
    sweeps = settings.settling + settings.averaged
    for sweep in range(sweeps):
        target, lowest, excess, covariance = differences.sweep(growth, covariance)
        reporter.update(sweep + 1, sweeps, "sweeps for the exponent")
        if sweep < settings.settling:
            growth = np.maximum(target, lowest)
            continue
        if not np.all(target >= lowest):  # also where it is not a number
            return None
        kept.append(target)
        excesses.append(excess)
        growth = np.maximum(growth + _MIX * (target - growth), lowest)
    found = np.mean(kept, axis=0)
    error, half = float(found.std(ddof=1) / np.sqrt(CHAINS)), len(kept) // 2
    change = abs(np.mean(kept[:half]) - np.mean(kept[half:]))
    if change > max(_SCATTER * error, _AGREED):
        return None
    value, decay = float(found.mean()), gate_decay(solution.parameters)
    residual, seconds = abs(float(np.mean(excesses))), perf_counter() - begun
    return ExponentSolution(max(value, decay), residual, sweeps, seconds, error if value > decay else 0.0)


class _Differences:
    """Sweeps from the covariance c of every chain to that of differences which are driven by it."""

    def __init__(self, solution: CorrelatorSolution, settings: SamplingSettings) -> None:
        window = LagWindow(float(solution.lags[-1]), len(solution.lags) - 1)
        self.unit = SampledUnit(solution.parameters, window, pairs_for(settings, window))
        self.rng = np.random.default_rng(settings.seed)
        self.activity = np.tile(solution.activity, (CHAINS, 1))
        openness = self.unit.openness(solution.activity)[1]
        self.openness, self.opening = openness.value, solution.activity * openness.slope

    @property
    def start(self) -> ChainLags:
        """Any covariance; that of the activity is near."""
        return self.activity / self.activity[:, :1]

    def sweep(
        self, growth: Float[np.ndarray, " chains"], covariance: ChainLags
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Newton's kappa, the lowest that these trajectories allow, ln Lambda, and the next c, c(0) = 1."""
        paths = self.unit.paths(self.activity, self.rng)
        white = tuple(self.unit.white(paths.state.shape[1], self.rng) for _ in range(2))
        new, more = (self._driven(paths, white, covariance, growth + change) for change in (0.0, _DIFFERENCE))
        with np.errstate(divide="ignore", invalid="ignore"):  # where a steep unit answers nowhere
            excess = np.log(new[:, 0] / covariance[:, 0])
            slope = np.log(more[:, 0] / new[:, 0]) / _DIFFERENCE
            target = growth - np.clip(excess / slope, -_LARGEST_CHANGE, _LARGEST_CHANGE)
            return target, self._lowest(paths), excess, new / new[:, :1]

    def _lowest(self, paths: Paths) -> Float[np.ndarray, " chains"]:
        """The kappa above which differences have a stationary solution on all trajectories, with a margin."""
        parameters = self.unit.parameters
        rates = self.unit.rate(paths.update).mean(axis=2).min(axis=1)
        gates = [parameters.update_time] if not parameters.constant_update else []
        gates += [parameters.reset_time] if not parameters.constant_reset else []
        return -_LOWEST_SAMPLED * np.minimum(rates, min((1 / float(time) for time in gates), default=np.inf))

    def _driven(
        self, paths: Paths, white: tuple[np.ndarray, ...], covariance: np.ndarray, growth: np.ndarray
    ) -> ChainLags:
        """<phi' dh phi' dh> of differences driven by noise of the covariances that follow from c."""
        unit, parameters = self.unit, self.unit.parameters
        opened = unit.filtered(covariance, parameters.reset_time, growth[:, None])
        current = unit.coloured(white[0], self.openness * covariance + self.opening * opened)
        rate = unit.rate(paths.update)
        push = rate * current
        if not parameters.constant_update:
            steepness = parameters.update_gain * rate * (1 - rate) * (paths.noise - paths.state)
            moved = unit.filtered(covariance, parameters.update_time, growth[:, None])
            push += steepness * unit.coloured(white[1], moved)
        decay = unit.between(rate + growth[:, None, None])
        difference = unit.periodic(
            unit.step * decay, -np.expm1(-unit.step * decay) / decay * unit.between(push)
        )
        slope = parameters.gain * (1 - unit.activity(paths.state) ** 2)
        return unit.correlations(slope * difference)


@dataclass(frozen=True, eq=False)
class MeanFieldSolution(
    Drawn,
    picture="attractor.theory.dynamics_figures:draw_solution",
    next_call=".plot(), .correlators, .exponent",
):
    """Statistics and stability of a network of infinitely many units.

    Args:
        correlators: the stationary state that a large start reaches.
        exponent: its largest Lyapunov exponent; None for equations that are not solved, and at a fixed point
            of a network whose update gate changes (see `edge`).
        fixed_points: all branches, whether stable or not.
        edge: the fastest growth at the largest fixed point; None under an input that changes.
        phase: what attractors there are.
        seconds: wall time.
    """

    correlators: CorrelatorSolution
    exponent: ExponentSolution | None
    fixed_points: tuple[MeanFieldFixedPoint, ...]
    edge: LeadingEdge | None
    phase: Phase
    seconds: float

    @property
    def status(self) -> MeanFieldStatus:
        """What kind of solution it is."""
        return self.correlators.status

    def __str__(self) -> str:
        """The phase, the exponent, the fixed points."""
        stable = sum(one.stable for one in self.fixed_points)
        return "\n".join([
            str(self.phase),
            "no exponent: the equations are not solved for one"
            if self.exponent is None
            else str(self.exponent),
            f"{len(self.fixed_points)} branch(es) of fixed points, {stable} stable",
            *str(self.correlators).splitlines()[:2],
        ])


def solve_mean_field(
    parameters: GatedParameters, sampling: SamplingSettings = _USUAL, reporter: Reporter | None = None
) -> MeanFieldSolution:
    """Correlators, exponent, fixed points and phase of a gated random network.

    With a constant update gate the equations are solved, in about a second; with one that changes they are
    sampled, in about a minute. Under data, give their covariance: the sign of the exponent then says
    whether the data drive the network into chaos.

    Args:
        parameters: of the network.
        sampling: for an update gate that changes.
        reporter: hears of the sweeps of sampling.

    Example:
        >>> found = solve_mean_field(GatedParameters(gain=2.0, open_update=True, open_reset=True))
        >>> round(found.correlators.variance, 4), round(found.exponent.value, 4)
        (0.4812, 0.1125)
    """
    begun = perf_counter()
    if parameters.constant_update:
        correlators = solve_correlators(parameters)
    else:
        correlators = sample_correlators(parameters, sampling, reporter)
    exponent = _exponent(correlators, sampling, reporter)
    points = mean_field_fixed_points(parameters)
    edge = leading_edge(parameters, points[-1]) if points else None
    phase = _phase(correlators, exponent)
    return MeanFieldSolution(correlators, exponent, points, edge, phase, perf_counter() - begun)


def _exponent(
    correlators: CorrelatorSolution, sampling: SamplingSettings, reporter: Reporter | None
) -> ExponentSolution | None:
    if has_exponent(correlators):
        return mean_field_exponent(correlators)
    if correlators.status in {MeanFieldStatus.CHAOTIC, MeanFieldStatus.DRIVEN}:
        return sample_exponent(correlators, sampling, reporter)
    return None


def _phase(correlators: CorrelatorSolution, exponent: ExponentSolution | None) -> Phase:
    parameters, status = correlators.parameters, correlators.status
    if not parameters.autonomous:
        return _driven_phase(status, exponent)
    gain = float(parameters.gain)
    if gain * parameters.resting_reset > 1:
        return Phase.CHAOTIC
    if not status.solved:
        return Phase.UNKNOWN
    if status is not MeanFieldStatus.ZERO:
        return Phase.COEXISTENCE
    return Phase.TRANSIENT if gain > fold_gain(parameters) else Phase.STABLE


def _driven_phase(status: MeanFieldStatus, exponent: ExponentSolution | None) -> Phase:
    if exponent is not None:
        if abs(exponent.value) < _SURE * exponent.standard_error:
            return Phase.UNKNOWN
        return Phase.DRIVEN_CHAOTIC if exponent.value > 0 else Phase.DRIVEN_STABLE
    known = {MeanFieldStatus.FIXED_POINT: Phase.DRIVEN_STABLE, MeanFieldStatus.CHAOTIC: Phase.DRIVEN_CHAOTIC}
    return known.get(status, Phase.UNKNOWN)
