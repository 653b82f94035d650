"""Correlation functions of a driven network at a given gain: damped iteration, then Newton's method."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .branches import fitted_window
from .parameters import GatedParameters
from .self_consistency import SelfConsistency
from .window import LagWindow

_ROUNDS, _SWEEPS, _STEP = 8, 40, 0.7
_NEWTON_STEPS = 25
_CONVERGED = 1e-11
_START = 0.5


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


def driven_state(parameters: GatedParameters) -> DrivenState:
    """The solution that a large, quickly decaying start reaches, on a window that is long and fine enough.

    Damped iteration leaves an unstable fixed point, because a difference of two runs grows there; where
    chaos has died out it arrives at the fixed point.
    """
    scale = 1 / parameters.resting_update + float(parameters.reset_time)
    window = LagWindow(25.0 * scale, 128)
    equations = SelfConsistency(parameters, window)
    state = _START * np.exp(-((window.lags / (2 * scale)) ** 2) / 2) + equations.from_input
    found = DrivenState(window, state, np.inf, 0)
    for _ in range(_ROUNDS):
        swept = _iterated(parameters, found)
        found = _newton(parameters, swept)
        if not found.residual < _CONVERGED * 100 or _escaped(swept, found):
            found = DrivenState(swept.window, swept.state, np.inf, found.iterations)
        window = fitted_window(found.window, found.state)
        if window == found.window and found.residual < np.inf:
            break
        found = DrivenState(window, found.window.moved_to(window, found.state), found.residual, 0)
    return found


def _escaped(start: DrivenState, end: DrivenState) -> bool:
    """Whether Newton's method lost the fluctuations that the iteration still had."""
    falls = [float(found.state[0] - found.state[-1]) for found in (start, end)]
    return falls[1] < 0.1 * falls[0] and falls[0] > 1e-3 * start.state[0]


def _iterated(parameters: GatedParameters, start: DrivenState) -> DrivenState:
    equations, square = SelfConsistency(parameters, start.window), float(parameters.gain) ** 2
    state = start.state
    for _ in range(_SWEEPS):
        state = state + _STEP * (equations(square * state).state - state)
    return DrivenState(start.window, state, start.residual, 0)


def _newton(parameters: GatedParameters, start: DrivenState) -> DrivenState:
    equations, square = SelfConsistency(parameters, start.window), float(parameters.gain) ** 2
    state, residual, taken = start.state, np.inf, 0
    identity = np.eye(len(state))
    for taken in range(_NEWTON_STEPS):
        found = equations(square * state)
        errors = state - found.state
        residual = float(np.abs(errors).max() / max(state[0], 1e-300))
        if residual < _CONVERGED or not residual < 1e3:
            break
        state = state - np.linalg.solve(identity - square * equations.derivative(found), errors)
    return DrivenState(start.window, state, residual, taken)
