"""Correlation functions of a gated random network with a constant update gate: chaos, rest, zero, or driven.

A driven network is solved by damped iteration, then Newton's method. Just before a constant input or a bias
ends chaos, time scales diverge; there the solution is followed up from a weaker input.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from time import perf_counter

import numpy as np
from jaxtyping import Float

from attractor.dynamics.roots import Linearised, bordered, bracketed_root, largest, newton
from attractor.errors import UnsupportedError
from attractor.report.drawn import Drawn

from .critical import (
    RATIO,
    BranchPoint,
    along_branch,
    first_point,
    fitted_window,
    fold_between,
    fold_gain,
    point_at_gain,
    upper_branch,
)
from .gated_parameters import GatedParameters
from .gaussian import Lags
from .mean_field_fixed_points import stability_index
from .self_consistency import LagWindow, SelfConsistency

# Below this variance a branch that has not turned goes on to the gain where zero loses stability.
_SMALLEST = 1e-3
_TAIL = 1e-2
_ROUNDS, _SWEEPS, _STEP, _STRETCH = 6, 40, 0.7, 1.5
_CONVERGED, _SOLVED = 1e-11, 1e-9
_START = 0.5
# Roughness and tail that are allowed under data, whose covariance has kinks and need not vanish.
_FLAT, _STEEP = 1e-5, 1e-3
_INTERVALS, _LONGEST_STEP = (128, 1024), 0.2
# A fall from lag zero to the end below this share of C_h(0) means a state that does not change.
_STATIC = 1e-6
_WEAKER = (0.97, 0.93, 0.87, 0.8, 0.7, 0.5)
_PINNED = 1e-10
_SMALLEST_FALL = 1e-7


class MeanFieldStatus(StrEnum):
    """What kind of solution was found; the value is the text that users see."""

    CHAOTIC = "chaotic: the network fluctuates by itself"
    ZERO = "decayed to zero: there is no other solution that a large start reaches"
    FIXED_POINT = "fixed point: units differ, and stay where they are"
    DRIVEN = "driven: a changing input moves the network; the exponent says whether it is chaotic"
    NOT_CONVERGED = "not converged: the equations are not solved to tolerance; do not use the numbers"
    WINDOW_TOO_SHORT = "window too short: correlations have not levelled off at the longest lag"

    @property
    def solved(self) -> bool:
        """Whether the numbers may be used."""
        return self not in {MeanFieldStatus.NOT_CONVERGED, MeanFieldStatus.WINDOW_TOO_SHORT}


@dataclass(frozen=True, eq=False)
class CorrelatorSolution(
    Drawn, picture="attractor.theory.dynamics_figures:draw_correlators", next_call=".plot(), .variance, .tail"
):
    """Stationary correlation functions of one unit, an average over many units or many networks.

    Args:
        parameters: of the network.
        status: what kind of solution it is.
        lags: in units of time, evenly spaced from 0.
        state: C_h, of the state.
        activity: C_phi, of the activation.
        reset: C_r, of the argument of the reset gate.
        openness: C_sr, of the reset gate.
        residual: largest error of the equations as a share of C_h(0); for a sampled solution the change of
            C_h(0) in the last sweeps.
        iterations: Newton steps or sweeps.
        seconds: wall time.
        standard_error: of C_h(0) and C_phi(0) from sampling, zero for a solution of the equations.
    """

    parameters: GatedParameters
    status: MeanFieldStatus
    lags: Lags
    state: Lags
    activity: Lags
    reset: Lags
    openness: Lags
    residual: float
    iterations: int
    seconds: float
    standard_error: tuple[float, float] = (0.0, 0.0)

    @property
    def variance(self) -> float:
        """C_h(0)."""
        return float(self.state[0])

    @property
    def tail(self) -> float:
        """C_h at the longest lag as a share of C_h(0): near one at a fixed point, near zero in chaos."""
        return float(self.state[-1] / self.state[0]) if self.state[0] > 0 else 0.0

    def __str__(self) -> str:
        """The kind of solution, and its variance."""
        error = f" ± {self.standard_error[0]:.1g} (standard error)" if self.standard_error[0] else ""
        return "\n".join([
            str(self.status),
            f"variance of the state {self.variance:.5g}{error}, {100 * self.tail:.3g} % of it at last",
            f"residual {self.residual:.1e} after {self.iterations} iterations, {self.seconds:.2g} s",
        ])


@dataclass(frozen=True, eq=False)
class _DrivenState:
    """A correlation function of the state, with how well it solves the equations.

    Args:
        window: the lags.
        state: C_h.
        residual: largest error as a share of C_h(0).
        iterations: Newton steps of the last round.
    """

    window: LagWindow
    state: Lags
    residual: float
    iterations: int

    @property
    def still(self) -> bool:
        """Whether the state does not change in time."""
        return bool(self.state[0] - self.state[-1] < _STATIC * self.state[0])


def solve_correlators(parameters: GatedParameters) -> CorrelatorSolution:
    r"""The solution that a large start reaches, of the equations of one unit among infinitely many.

    $$(1 - \partial^2 / s_z^2)\, C_h(\tau) = C_\phi(\tau) C_{s_r}(\tau) + \sigma_I^2 + C_I(\tau)$$

    with C_phi and C_sr averages over Gaussian variables, see `SelfConsistency`. Without input the branch of
    chaotic solutions is followed to the gain, by Newton's method at pinned amplitude: nothing slows down
    close to the onset, and a stable and an unstable solution are told apart by where the branch turns.
    Window and step of the lags are chosen so that C_h(0) is exact to about 1e-7.

    Args:
        parameters: of a network with a constant update gate.

    Raises:
        UnsupportedError: an update gate that changes; see `sample_correlators`.
    """
    if not parameters.constant_update:
        raise UnsupportedError(
            f"update_gain={parameters.update_gain}: h is no Gaussian process then; use `sample_correlators`"
        )
    begun = perf_counter()
    if not parameters.autonomous:
        return _driven(parameters, begun)
    point = chaotic_point(parameters)
    if point is None:
        return zero_solution(parameters, begun)
    argument = point.argument / parameters.gain**2
    status = MeanFieldStatus.CHAOTIC if point.converged else MeanFieldStatus.NOT_CONVERGED
    return _solution(parameters, status, (point.window, argument, point.residual, point.iterations), begun)


def chaotic_point(parameters: GatedParameters) -> BranchPoint | None:
    """The stable chaotic solution of an autonomous network at its gain, None where there is none."""
    gain = parameters.gain
    if gain <= fold_gain(parameters):
        return None
    trace = upper_branch(parameters)
    if not trace:
        return replace(first_point(parameters, 1.0), residual=np.inf)
    if trace[1].gain < gain:
        return _climbed(parameters, trace, gain)
    return _descended(parameters, trace, gain)


def _descended(parameters: GatedParameters, trace: list[BranchPoint], gain: float) -> BranchPoint | None:
    for point in along_branch(parameters, trace, RATIO):
        trace.append(point)
        if point.gain > trace[-2].gain:
            fold = fold_between(parameters, trace[-3:])
            return None if fold.gain > gain else point_at_gain(parameters, (trace[-3], fold))
        if point.gain <= gain:
            return point_at_gain(parameters, (trace[-2], point))
        if point.variance < _SMALLEST and gain * parameters.resting_reset <= 1:
            return None
    return replace(trace[-1], residual=np.inf)


def _climbed(parameters: GatedParameters, start: list[BranchPoint], gain: float) -> BranchPoint:
    upper, lower = start
    if upper.gain >= gain:
        return point_at_gain(parameters, (upper, lower))
    before = upper
    for point in along_branch(parameters, [lower, upper], 1 / RATIO):
        if point.gain >= gain:
            return point_at_gain(parameters, (before, point))
        before = point
    return replace(before, residual=np.inf)


def zero_solution(parameters: GatedParameters, begun: float) -> CorrelatorSolution:
    """The solution that is zero, for a computation that began at a time of `perf_counter`."""
    window = LagWindow(25.0 / parameters.resting_update, 16)
    return _solution(parameters, MeanFieldStatus.ZERO, (window, np.zeros(17), 0.0, 0), begun)


def _driven(parameters: GatedParameters, begun: float) -> CorrelatorSolution:
    found = _driven_state(parameters)
    unfinished = found.residual > _SOLVED or (found.still and not _stable(parameters, found))
    if parameters.input_covariance is None and unfinished:
        found = _weak_chaos(parameters) or replace(found, residual=np.inf)
    status = _driven_status(parameters, found)
    return _solution(parameters, status, (found.window, found.state, found.residual, found.iterations), begun)


def _driven_status(parameters: GatedParameters, found: _DrivenState) -> MeanFieldStatus:
    if found.residual > _SOLVED:
        return MeanFieldStatus.NOT_CONVERGED
    if found.still:
        return MeanFieldStatus.FIXED_POINT
    if found.window.tail(found.state) > _TAIL:
        return MeanFieldStatus.WINDOW_TOO_SHORT
    return MeanFieldStatus.CHAOTIC if parameters.input_covariance is None else MeanFieldStatus.DRIVEN


def _solution(
    parameters: GatedParameters,
    status: MeanFieldStatus,
    solved: tuple[LagWindow, Lags, float, int],
    begun: float,
) -> CorrelatorSolution:
    window, state, residual, iterations = solved
    found = SelfConsistency(parameters, window)(parameters.gain**2 * state)
    parts = (state, found.activity.value, found.reset, found.openness.value)
    seconds = perf_counter() - begun
    return CorrelatorSolution(parameters, status, window.lags, *parts, residual, iterations, seconds)


def _driven_state(parameters: GatedParameters) -> _DrivenState:
    """The solution that a large, quickly decaying start reaches, on a window that is long and fine enough.

    Damped iteration leaves an unstable fixed point, because a difference of two runs grows there; where
    chaos has died out it arrives at the fixed point. Newton's method then ends what the iteration began,
    unless it falls on an unstable fixed point. Weak chaos close to its end needs `_weak_chaos`.
    """
    found = _driven_start(parameters)
    static = parameters.input_covariance is None
    for _ in range(_ROUNDS):
        found = _round(parameters, found)
        lost = found.still and not _stable(parameters, found)
        window = fitted_window(found.window, found.state) if static else _finer(parameters, found)
        if not lost and found.residual < _SOLVED and (window == found.window or found.still):
            return found
        if static and lost:
            return found
        found = replace(found, window=window, state=found.window.moved_to(window, found.state))
    return found


def _round(parameters: GatedParameters, start: _DrivenState) -> _DrivenState:
    swept = _iterated(parameters, start)
    found = _newton(parameters, swept)
    return found if found.residual < _SOLVED else replace(swept, residual=np.inf)


def _driven_start(parameters: GatedParameters) -> _DrivenState:
    scale = 1 / parameters.resting_update + parameters.reset_time
    length = max(25.0 * scale, 1.25 * float(getattr(parameters.input_covariance, "longest", 0.0)))
    intervals = 2 ** int(np.ceil(np.log2(length / scale / _LONGEST_STEP)))
    window = LagWindow(length, int(np.clip(intervals, *_INTERVALS)))
    own = _START * np.exp(-((window.lags / (2 * scale)) ** 2) / 2)
    return _DrivenState(window, own + SelfConsistency(parameters, window).from_input, np.inf, 0)


def _finer(parameters: GatedParameters, found: _DrivenState) -> LagWindow:
    """Under data the window is as long as the covariance asks for, and only its step is chosen."""
    window = found.window
    rough = window.roughness(found.state) > _FLAT and window.intervals < _INTERVALS[1]
    short = not hasattr(parameters.input_covariance, "longest") and window.tail(found.state) > _STEEP
    return LagWindow(window.length * (_STRETCH if short else 1), window.intervals * (2 if rough else 1))


def _stable(parameters: GatedParameters, found: _DrivenState) -> bool:
    """Whether a fixed point with this variance is stable."""
    gain = np.array([parameters.gain])
    return bool(stability_index(parameters, gain, gain**2 * abs(found.state[0]))[0] <= 1)


def _iterated(parameters: GatedParameters, start: _DrivenState) -> _DrivenState:
    equations, square = SelfConsistency(parameters, start.window), parameters.gain**2
    state = start.state
    for _ in range(_SWEEPS):
        state = state + _STEP * (equations(square * state).state - state)
    return _DrivenState(start.window, state, start.residual, 0)


def _newton(parameters: GatedParameters, start: _DrivenState) -> _DrivenState:
    """Newton's method for C_h[g^2 C_h] - C_h = 0 on the window of the start."""
    equations, square = SelfConsistency(parameters, start.window), parameters.gain**2
    scale = max(float(start.state[0]), 1e-300)

    def linearised(state: Lags) -> Linearised:
        found = equations(square * state)
        identity = np.eye(len(state))
        errors = state - found.state
        return Linearised(
            errors, lambda: identity - square * equations.derivative(found), largest(errors, scale)
        )

    found = newton(linearised, start.state, _CONVERGED)
    return _DrivenState(start.window, found.unknowns, found.residual, found.steps)


class _Point:
    """A solution pinned by its fall C_h(0) - C_h(end), with the variance of the input it belongs to."""

    def __init__(self, found: _DrivenState, input_variance: float) -> None:
        self.found, self.input_variance = found, input_variance
        self.fall = float(found.state[0] - found.state[-1])


def _weak_chaos(parameters: GatedParameters) -> _DrivenState | None:
    """The chaotic solution that is followed up from a weaker input, None where none is found.

    The fall of C_h is made smaller step by step, with the variance of the input as an unknown, until it is
    that of the parameters; the window stretches as the fall shrinks.

    Args:
        parameters: of a network under a constant input, at whose fixed point Lambda is above one; with a
            bias alone there is no weaker input to come from.
    """
    target = parameters.input_deviation**2
    before = _chaotic_below(parameters)
    if before is None:
        return None
    point = _solved(parameters, before, before, RATIO * before.fall)
    while point.input_variance < target:
        after = _solved(parameters, before, point, RATIO * point.fall)
        if after.found.residual > _PINNED or after.fall < _SMALLEST_FALL * after.found.state[0]:
            return None
        before, point = point, after
    ends = (before, point)

    def excess(logarithm: float) -> float:
        known = [point for point in ends if np.log(point.fall) == logarithm]
        found = known[0] if known else _solved(parameters, *ends, float(np.exp(logarithm)))
        return found.input_variance - target

    logarithm = bracketed_root(excess, (np.log(before.fall), np.log(point.fall)), 1e-12)
    found = _solved(parameters, *ends, float(np.exp(logarithm))).found
    return found if found.residual < _PINNED else None


def _chaotic_below(parameters: GatedParameters) -> _Point | None:
    for share in _WEAKER if parameters.input_deviation > 0 else ():
        weaker = replace(parameters, input_deviation=share * parameters.input_deviation)
        found = _driven_state(weaker)
        point = _Point(found, weaker.input_deviation**2)
        if found.residual < _PINNED and point.fall > _SMALLEST_FALL * found.state[0]:
            return point
    return None


def _solved(parameters: GatedParameters, first: _Point, second: _Point, fall: float) -> _Point:
    """The point of another fall, from two points by the power law of their time scales."""
    near = second.found
    base = near.state[-1]
    times = [point.found.window.correlation_time(point.found.state) for point in (first, second)]
    power = np.log(times[1] / times[0]) / np.log(second.fall / first.fall) if first is not second else -0.5
    window = LagWindow(near.window.length * (fall / second.fall) ** power, near.window.intervals)
    state = base + (near.state - base) * (fall / second.fall)
    point = _pinned_newton(parameters, _DrivenState(window, state, np.inf, 0), fall)
    fitted = fitted_window(window, point.found.state)
    if fitted == window or point.found.residual > _PINNED:
        return point
    moved = replace(point.found, window=fitted, state=window.moved_to(fitted, point.found.state))
    return _pinned_newton(parameters, moved, fall)


def _pinned_newton(parameters: GatedParameters, guess: _DrivenState, fall: float) -> _Point:
    """Newton's method in C_h and the variance of the input, at a given fall."""
    equations = SelfConsistency(replace(parameters, input_deviation=0.0), guess.window)
    square, size = parameters.gain**2, len(guess.state)
    row = np.eye(1, size)[0] - np.eye(1, size, size - 1)[0]

    def linearised(unknowns: Float[np.ndarray, " unknowns"]) -> Linearised:
        state, variance = unknowns[:-1], unknowns[-1]
        found = equations(square * state)
        errors = np.append(state - found.state - variance, row @ state - fall)

        def matrix() -> Float[np.ndarray, "unknowns unknowns"]:
            return bordered(np.eye(size) - square * equations.derivative(found), np.full(size, -1.0), row)

        return Linearised(errors, matrix, largest(errors, float(guess.state[0])))

    start = np.append(guess.state, parameters.input_deviation**2)
    found = newton(linearised, start, 0.01 * _PINNED)
    state = _DrivenState(guess.window, found.unknowns[:-1], found.residual, found.steps)
    return _Point(state, float(found.unknowns[-1]))
