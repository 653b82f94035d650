"""Correlation functions of a driven network: damped iteration, then Newton's method.

Just before a constant input or a bias ends chaos, time scales diverge; there the solution is followed up from
a weaker input.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from attractor.dynamics.roots import Linearised, bordered, bracketed_root, largest, newton

from .critical import RATIO, fitted_window
from .gated_parameters import GatedParameters
from .mean_field_fixed_points import stability_index
from .self_consistency import LagWindow, SelfConsistency

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
_SMALLEST = 1e-7


@dataclass(frozen=True, eq=False)
class DrivenState:
    """A correlation function of the state, with how well it solves the equations.

    Args:
        window: the lags.
        state: C_h.
        residual: largest error as a share of C_h(0).
        iterations: Newton steps of the last round.
    """

    window: LagWindow
    state: Float[np.ndarray, " lags"]
    residual: float
    iterations: int

    @property
    def still(self) -> bool:
        """Whether the state does not change in time."""
        return bool(self.state[0] - self.state[-1] < _STATIC * self.state[0])


def driven_state(parameters: GatedParameters) -> DrivenState:
    """The solution that a large, quickly decaying start reaches, on a window that is long and fine enough.

    Damped iteration leaves an unstable fixed point, because a difference of two runs grows there; where
    chaos has died out it arrives at the fixed point. Newton's method then ends what the iteration began,
    unless it falls on an unstable fixed point. Weak chaos close to its end needs `weak_chaos`.
    """
    found = _start(parameters)
    static = parameters.input_covariance is None
    for _ in range(_ROUNDS):
        found = _round(parameters, found)
        lost = found.still and not stable(parameters, found)
        window = fitted_window(found.window, found.state) if static else _finer(parameters, found)
        if not lost and found.residual < _SOLVED and (window == found.window or found.still):
            return found
        if static and lost:
            return found
        found = replace(found, window=window, state=found.window.moved_to(window, found.state))
    return found


def _round(parameters: GatedParameters, start: DrivenState) -> DrivenState:
    swept = _iterated(parameters, start)
    found = _newton(parameters, swept)
    return found if found.residual < _SOLVED else replace(swept, residual=np.inf)


def _start(parameters: GatedParameters) -> DrivenState:
    scale = 1 / parameters.resting_update + float(parameters.reset_time)
    length = max(25.0 * scale, 1.25 * float(getattr(parameters.input_covariance, "longest", 0.0)))
    intervals = 2 ** int(np.ceil(np.log2(length / scale / _LONGEST_STEP)))
    window = LagWindow(length, int(np.clip(intervals, *_INTERVALS)))
    own = _START * np.exp(-((window.lags / (2 * scale)) ** 2) / 2)
    return DrivenState(window, own + SelfConsistency(parameters, window).from_input, np.inf, 0)


def _finer(parameters: GatedParameters, found: DrivenState) -> LagWindow:
    """Under data the window is as long as the covariance asks for, and only its step is chosen."""
    window = found.window
    rough = window.roughness(found.state) > _FLAT and window.intervals < _INTERVALS[1]
    short = not hasattr(parameters.input_covariance, "longest") and window.tail(found.state) > _STEEP
    return LagWindow(window.length * (_STRETCH if short else 1), window.intervals * (2 if rough else 1))


def stable(parameters: GatedParameters, found: DrivenState) -> bool:
    """Whether a fixed point with this variance is stable."""
    gain = np.array([float(parameters.gain)])
    return bool(stability_index(parameters, gain, gain**2 * abs(found.state[0]))[0] <= 1)


def _iterated(parameters: GatedParameters, start: DrivenState) -> DrivenState:
    equations, square = SelfConsistency(parameters, start.window), float(parameters.gain) ** 2
    state = start.state
    for _ in range(_SWEEPS):
        state = state + _STEP * (equations(square * state).state - state)
    return DrivenState(start.window, state, start.residual, 0)


def _newton(parameters: GatedParameters, start: DrivenState) -> DrivenState:
    """Newton's method for C_h[g^2 C_h] - C_h = 0 on the window of the start."""
    equations, square = SelfConsistency(parameters, start.window), float(parameters.gain) ** 2
    scale = max(float(start.state[0]), 1e-300)

    def linearised(state: Float[np.ndarray, " lags"]) -> Linearised:
        found = equations(square * state)
        identity = np.eye(len(state))
        errors = state - found.state
        return Linearised(
            errors, lambda: identity - square * equations.derivative(found), largest(errors, scale)
        )

    found = newton(linearised, start.state, _CONVERGED)
    return DrivenState(start.window, found.unknowns, found.residual, found.steps)


class _Point:
    """A solution pinned by its fall C_h(0) - C_h(end), with the variance of the input it belongs to."""

    def __init__(self, found: DrivenState, input_variance: float) -> None:
        self.found, self.input_variance = found, input_variance
        self.fall = float(found.state[0] - found.state[-1])


def weak_chaos(parameters: GatedParameters) -> DrivenState | None:
    """The chaotic solution that is followed up from a weaker input, None where none is found.

    The fall of C_h is made smaller step by step, with the variance of the input as an unknown, until it is
    that of the parameters; the window stretches as the fall shrinks.

    Args:
        parameters: of a network under a constant input, at whose fixed point Lambda is above one; with a
            bias alone there is no weaker input to come from.
    """
    target = float(parameters.input_deviation) ** 2
    before = _chaotic_below(parameters)
    if before is None:
        return None
    point = _solved(parameters, before, before, RATIO * before.fall)
    while point.input_variance < target:
        after = _solved(parameters, before, point, RATIO * point.fall)
        if after.found.residual > _PINNED or after.fall < _SMALLEST * after.found.state[0]:
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
        weaker = replace(parameters, input_deviation=share * float(parameters.input_deviation))
        found = driven_state(weaker)
        point = _Point(found, float(weaker.input_deviation) ** 2)
        if found.residual < _PINNED and point.fall > _SMALLEST * found.state[0]:
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
    point = _pinned_newton(parameters, DrivenState(window, state, np.inf, 0), fall)
    fitted = fitted_window(window, point.found.state)
    if fitted == window or point.found.residual > _PINNED:
        return point
    moved = replace(point.found, window=fitted, state=window.moved_to(fitted, point.found.state))
    return _pinned_newton(parameters, moved, fall)


def _pinned_newton(parameters: GatedParameters, guess: DrivenState, fall: float) -> _Point:
    """Newton's method in C_h and the variance of the input, at a given fall."""
    equations = SelfConsistency(replace(parameters, input_deviation=0.0), guess.window)
    square, size = float(parameters.gain) ** 2, len(guess.state)
    row = np.eye(1, size)[0] - np.eye(1, size, size - 1)[0]

    def linearised(unknowns: Float[np.ndarray, " unknowns"]) -> Linearised:
        state, variance = unknowns[:-1], unknowns[-1]
        found = equations(square * state)
        errors = np.append(state - found.state - variance, row @ state - fall)

        def matrix() -> Float[np.ndarray, "unknowns unknowns"]:
            return bordered(np.eye(size) - square * equations.derivative(found), np.full(size, -1.0), row)

        return Linearised(errors, matrix, largest(errors, float(guess.state[0])))

    start = np.append(guess.state, float(parameters.input_deviation) ** 2)
    found = newton(linearised, start, 0.01 * _PINNED)
    state = DrivenState(guess.window, found.unknowns[:-1], found.residual, found.steps)
    return _Point(state, float(found.unknowns[-1]))
