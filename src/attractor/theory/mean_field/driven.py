"""Correlation functions of a driven network at a given gain: damped iteration, then Newton's method."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from .branches import fitted_window
from .fixed_points import stability_index
from .gated_parameters import GatedParameters
from .roots import Linearised, newton
from .self_consistency import SelfConsistency
from .window import LagWindow

_ROUNDS, _SWEEPS, _STEP, _STRETCH = 6, 40, 0.7, 1.5
_CONVERGED, _SOLVED = 1e-11, 1e-9
_START = 0.5
_FLAT, _STEEP = 1e-5, 1e-3
"""Roughness and tail that are allowed under data, whose covariance has kinks and need not vanish."""
_INTERVALS, _LONGEST_STEP = (128, 1024), 0.2
_STATIC = 1e-6
"""A fall from lag zero to the end below this share of C_h(0) means a state that does not change."""


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

    def linearised(state: Float[np.ndarray, " lags"]) -> Linearised:
        found = equations(square * state)
        identity = np.eye(len(state))
        return Linearised(state - found.state, lambda: identity - square * equations.derivative(found))

    found = newton(linearised, start.state, max(float(start.state[0]), 1e-300), _CONVERGED)
    return DrivenState(start.window, found.unknowns, found.residual, found.steps)
