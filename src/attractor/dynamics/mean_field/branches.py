"""Chaotic solutions along their branch, pinned by amplitude, so that unstable parts and folds are found too."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from scipy.optimize import brentq, minimize_scalar

from attractor.errors import UnsupportedError

from .parameters import GatedParameters
from .self_consistency import Correlations, SelfConsistency
from .window import LagWindow

_INTERVALS = (128, 1024)
_CORRELATION_TIMES = 12.0
_STEEP, _FLAT, _ROUNDING = 1e-5, 1e-7, 1e-15
"""A window is too short where the tail is above the first, too coarse where the roughness is above the
second, which is about the error of the solution, and needlessly fine where it is below the third."""
_CONVERGED = 1e-10
_NEWTON_STEPS = 25
_FIRST_VARIANCE = 3.0
RATIO = 0.7
"""Of the variances of neighbours on a branch: Newton's method takes three or four steps from one to the next."""
_STARTS = 6
_FIRST_MIXES, _FIRST_STEP = 25, 0.6


@dataclass(frozen=True, eq=False)
class BranchPoint:
    """One solution of the equations of an autonomous network.

    Args:
        variance: u = g^2 C_h(0), what pins it.
        gain: g, for which it is a solution.
        argument: u times the normalised correlation function, C_x = g^2 C_h, on the window.
        window: the lags.
        residual: largest error of the equations, as a share of u.
        iterations: Newton steps.
    """

    variance: float
    gain: float
    argument: Float[np.ndarray, " lags"]
    window: LagWindow
    residual: float
    iterations: int

    @property
    def converged(self) -> bool:
        """Whether the equations hold and the solution falls to zero within the window."""
        return self.residual < _CONVERGED and abs(self.argument[-1]) < 1e-2 * self.variance

    def correlations(self, parameters: GatedParameters) -> Correlations:
        """All correlation functions of the solution."""
        return SelfConsistency(parameters, self.window)(self.argument)


def first_point(parameters: GatedParameters, variance: float = _FIRST_VARIANCE) -> BranchPoint:
    """A point of the chaotic branch, from damped iteration and then Newton's method.

    Args:
        parameters: of the network; its gain is not used.
        variance: u.

    Raises:
        UnsupportedError: a network with an input, a bias, or an update gate that changes.
    """
    check_autonomous(parameters)
    scale = 1 / parameters.resting_update + float(parameters.reset_time)
    window = LagWindow(25.0 * scale, _INTERVALS[0])
    equations = SelfConsistency(parameters, window)
    series = equations.activity_series(variance)
    argument = variance * np.exp(-((window.lags / (2 * scale)) ** 2) / 2)
    for _ in range(_FIRST_MIXES):
        state = equations(argument, series).state
        argument += _FIRST_STEP * (variance * state / state[0] - argument)
    return refined(parameters, BranchPoint(variance, 1.0, argument, window, np.inf, 0))


def check_autonomous(parameters: GatedParameters, *, any_update: bool = False) -> None:
    """Refuse an input or a bias of the activation, and an update gate that changes unless any will do.

    Raises:
        UnsupportedError: what is refused.
    """
    if not (any_update or parameters.constant_update):
        message = (
            f"update_gain={parameters.update_gain}: known for a constant update gate only; set open_update "
            "or update_gain=0, or sample with `sample_correlators`"
        )
        raise UnsupportedError(message)
    if not parameters.autonomous:
        message = "an input or a bias of the activation is set: known without them only"
        raise UnsupportedError(message)


def refined(parameters: GatedParameters, guess: BranchPoint) -> BranchPoint:
    """The point near a guess with the same variance, on a window that is long and fine enough."""
    point = guess
    for _ in range(6):
        point = _newton(parameters, point)
        window = fitted_window(point.window, point.argument)
        if window == point.window or point.residual > _CONVERGED:
            return point
        point = replace(point, argument=point.window.moved_to(window, point.argument), window=window)
    return _newton(parameters, point)


def fitted_window(window: LagWindow, values: Float[np.ndarray, " lags"], flat: float = _FLAT) -> LagWindow:
    """The window that values ask for: twelve correlation times, more where a tail is left, and smooth.

    Args:
        window: on which the values are.
        values: a correlation function.
        flat: roughness that is allowed.
    """
    length, intervals = window.length, window.intervals
    wanted = _CORRELATION_TIMES * window.correlation_time(values)
    roughness = window.roughness(values)
    if window.tail(values) > _STEEP:
        length = max(1.5 * length, wanted)
    elif length > 2 * wanted and values[-1] < values[0]:
        length = 1.3 * wanted
    elif roughness > flat and intervals < _INTERVALS[1]:
        intervals *= 2
    elif roughness < _ROUNDING and intervals > _INTERVALS[0]:
        intervals //= 2
    return LagWindow(length, intervals)


def _newton(parameters: GatedParameters, guess: BranchPoint) -> BranchPoint:
    """Newton's method for C_x - g^2 C_h[C_x] = 0 and C_x(0) = u in the unknowns C_x and g^2."""
    equations, variance, argument = (
        SelfConsistency(parameters, guess.window),
        guess.variance,
        guess.argument,
    )
    series = equations.activity_series(variance)
    square = variance / equations(argument, series).state[0]
    size, residual, taken = len(argument), np.inf, 0
    matrix = np.zeros((size + 1, size + 1))
    matrix[size, 0] = 1.0
    for taken in range(_NEWTON_STEPS):
        found = equations(argument, series)
        errors = np.append(argument - square * found.state, argument[0] - variance)
        residual = float(np.abs(errors).max() / variance)
        if residual < 0.01 * _CONVERGED or not residual < 1e3:
            break
        matrix[:size, :size] = np.eye(size) - square * equations.derivative(found)
        matrix[:size, size] = -found.state
        step = np.linalg.solve(matrix, errors)
        argument, square = argument - step[:size], square - step[size]
    gain = float(np.sqrt(max(square, 0.0)))
    return BranchPoint(variance, gain, argument, guess.window, residual, guess.iterations + taken)


def predicted(first: BranchPoint, second: BranchPoint, variance: float) -> BranchPoint:
    """A guess between or beyond two points: the shape of the nearer one, on a window that stretches.

    Close to a continuous onset time scales grow as a power of the variance; the power is read off the points.
    """
    place = np.log(variance / first.variance) / np.log(second.variance / first.variance)
    near = second if place > 0.5 else first
    share = place - 1 if near is second else place
    times = [point.window.correlation_time(point.argument) for point in (first, second)]
    window = LagWindow(near.window.length * (times[1] / times[0]) ** share, near.window.intervals)
    argument = near.argument * (variance / near.variance)
    return replace(near, variance=variance, argument=argument, window=window, iterations=0)


def along_branch(
    parameters: GatedParameters, start: list[BranchPoint], ratio: float
) -> Iterator[BranchPoint]:
    """Points after two neighbours, each with a variance of `ratio` times the last, until one is not found.

    Args:
        parameters: of the network.
        start: the two neighbours, in the direction of the walk.
        ratio: between variances, below or above one.
    """
    before, point = start[0], start[1]
    while True:
        before, point = point, refined(parameters, predicted(before, point, ratio * point.variance))
        if not point.converged:
            return
        yield point


def upper_branch(parameters: GatedParameters) -> list[BranchPoint]:
    """Two neighbours on the part of the branch where the gain rises with the variance, the larger one first.

    That part is the one that a large start reaches.
    """
    variance = _FIRST_VARIANCE
    for _ in range(_STARTS):
        start = first_point(parameters, variance)
        below = refined(parameters, predicted(replace(start, variance=variance / RATIO), start, RATIO * variance))
        if below.converged and below.gain < start.gain:
            return [start, below]
        variance *= 4
    return [start]


def fold_between(parameters: GatedParameters, points: list[BranchPoint]) -> BranchPoint:
    """The point of least gain, where the middle one of three neighbours has the least.

    Args:
        parameters: of the network.
        points: the three, in falling order of their variances.
    """
    upper, middle, lower = points
    found = [middle]

    def gain(logarithm: float) -> float:
        ends = (middle, upper) if logarithm > np.log(middle.variance) else (middle, lower)
        found.append(refined(parameters, predicted(*ends, float(np.exp(logarithm)))))
        return found[-1].gain

    bounds = (np.log(lower.variance), np.log(upper.variance))
    minimize_scalar(gain, bounds=bounds, method="bounded", options={"xatol": 1e-3})
    return min(found, key=lambda point: point.gain)


def point_at_gain(parameters: GatedParameters, ends: tuple[BranchPoint, BranchPoint]) -> BranchPoint:
    """The point with the gain of the parameters, between two points whose gains enclose it."""
    found = list(ends)

    def excess(logarithm: float) -> float:
        variance = float(np.exp(logarithm))
        known = [point for point in ends if np.isclose(point.variance, variance, rtol=1e-14)]
        found.append(known[0] if known else refined(parameters, predicted(*ends, variance)))
        return found[-1].gain - float(parameters.gain)

    brentq(excess, *(np.log(point.variance) for point in ends), xtol=1e-13, rtol=1e-13)
    return min(found, key=lambda point: abs(point.gain - float(parameters.gain)))
