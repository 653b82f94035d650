"""Correlation functions of a gated random network with a constant update gate: chaos, rest, or zero."""

from dataclasses import dataclass, replace
from enum import StrEnum
from time import perf_counter

import numpy as np
from jaxtyping import Float

from attractor.errors import UnsupportedError

from .critical import (
    RATIO,
    BranchPoint,
    along_branch,
    first_point,
    fold_between,
    fold_gain,
    point_at_gain,
    upper_branch,
)
from .driven import DrivenState, driven_state, stable, weak_chaos
from .gated_parameters import GatedParameters
from .self_consistency import LagWindow, SelfConsistency

# Below this variance a branch that has not turned goes on to the gain where zero loses stability.
_SMALLEST = 1e-3
_CONVERGED = 1e-9
_TAIL = 1e-2


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
class CorrelatorSolution:
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
    lags: Float[np.ndarray, " lags"]
    state: Float[np.ndarray, " lags"]
    activity: Float[np.ndarray, " lags"]
    reset: Float[np.ndarray, " lags"]
    openness: Float[np.ndarray, " lags"]
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
    argument = point.argument / float(parameters.gain) ** 2
    status = MeanFieldStatus.CHAOTIC if point.converged else MeanFieldStatus.NOT_CONVERGED
    return _solution(parameters, status, (point.window, argument, point.residual, point.iterations), begun)


def chaotic_point(parameters: GatedParameters) -> BranchPoint | None:
    """The stable chaotic solution of an autonomous network at its gain, None where there is none."""
    gain = float(parameters.gain)
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
    found = driven_state(parameters)
    if parameters.input_covariance is None and _unfinished(parameters, found):
        found = weak_chaos(parameters) or replace(found, residual=np.inf)
    status = _driven_status(parameters, found)
    return _solution(parameters, status, (found.window, found.state, found.residual, found.iterations), begun)


def _unfinished(parameters: GatedParameters, found: DrivenState) -> bool:
    """Whether the solution is none, or an unstable fixed point."""
    return found.residual > _CONVERGED or (found.still and not stable(parameters, found))


def _driven_status(parameters: GatedParameters, found: DrivenState) -> MeanFieldStatus:
    if found.residual > _CONVERGED:
        return MeanFieldStatus.NOT_CONVERGED
    if found.still:
        return MeanFieldStatus.FIXED_POINT
    if found.window.tail(found.state) > _TAIL:
        return MeanFieldStatus.WINDOW_TOO_SHORT
    return MeanFieldStatus.CHAOTIC if parameters.input_covariance is None else MeanFieldStatus.DRIVEN


def _solution(
    parameters: GatedParameters,
    status: MeanFieldStatus,
    solved: tuple[LagWindow, Float[np.ndarray, " lags"], float, int],
    begun: float,
) -> CorrelatorSolution:
    window, state, residual, iterations = solved
    found = SelfConsistency(parameters, window)(float(parameters.gain) ** 2 * state)
    parts = (state, found.activity.value, found.reset, found.openness.value)
    seconds = perf_counter() - begun
    return CorrelatorSolution(parameters, status, window.lags, *parts, residual, iterations, seconds)
