"""Weak chaos just before a constant input or a bias ends it, where time scales diverge."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from .branches import RATIO, fitted_window
from .driven import DrivenState, driven_state
from .gated_parameters import GatedParameters
from .roots import Linearised, bordered, bracketed_root, newton
from .self_consistency import SelfConsistency
from .window import LagWindow

_WEAKER = (0.97, 0.93, 0.87, 0.8, 0.7, 0.5)
_CONVERGED = 1e-10
_SMALLEST = 1e-7


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
        if after.found.residual > _CONVERGED or after.fall < _SMALLEST * after.found.state[0]:
            return None
        before, point = point, after
    ends = (before, point)

    def excess(logarithm: float) -> float:
        known = [point for point in ends if np.log(point.fall) == logarithm]
        found = known[0] if known else _solved(parameters, *ends, float(np.exp(logarithm)))
        return found.input_variance - target

    logarithm = bracketed_root(excess, (np.log(before.fall), np.log(point.fall)), 1e-12)
    found = _solved(parameters, *ends, float(np.exp(logarithm))).found
    return found if found.residual < _CONVERGED else None


def _chaotic_below(parameters: GatedParameters) -> _Point | None:
    for share in _WEAKER if parameters.input_deviation > 0 else ():
        weaker = replace(parameters, input_deviation=share * float(parameters.input_deviation))
        found = driven_state(weaker)
        point = _Point(found, float(weaker.input_deviation) ** 2)
        if found.residual < _CONVERGED and point.fall > _SMALLEST * found.state[0]:
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
    point = _newton(parameters, DrivenState(window, state, np.inf, 0), fall)
    fitted = fitted_window(window, point.found.state)
    if fitted == window or point.found.residual > _CONVERGED:
        return point
    moved = replace(point.found, window=fitted, state=window.moved_to(fitted, point.found.state))
    return _newton(parameters, moved, fall)


def _newton(parameters: GatedParameters, guess: DrivenState, fall: float) -> _Point:
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

        return Linearised(errors, matrix)

    start = np.append(guess.state, float(parameters.input_deviation) ** 2)
    found = newton(linearised, start, float(guess.state[0]), 0.01 * _CONVERGED)
    state = DrivenState(guess.window, found.unknowns[:-1], found.residual, found.steps)
    return _Point(state, float(found.unknowns[-1]))
