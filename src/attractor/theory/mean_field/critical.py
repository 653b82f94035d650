"""The chaotic solutions of a gated random network, and the gains at which its behaviour changes.

Chaotic solutions are followed along their branch at pinned amplitude, so that unstable parts and folds are
found too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import takewhile
from time import perf_counter

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from attractor.dynamics.roots import Linearised, bordered, bounded_minimum, bracketed_root, largest, newton
from attractor.errors import ConfigError
from attractor.shown import Shown

from .gated_parameters import GatedParameters, check_autonomous
from .gaussian import Lags
from .mean_field_fixed_points import fixed_point_gain
from .self_consistency import LagWindow, SelfConsistency

_INTERVALS = (128, 1024)
_CORRELATION_TIMES = 12.0
# A window is too short where the tail is above the first, too coarse where the roughness is above the
# second, which is about the error of the solution, and needlessly fine where it is below the third.
_STEEP, _FLAT, _ROUNDING = 1e-5, 1e-7, 1e-15
_CONVERGED = 1e-10
_FIRST_VARIANCES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
# Of the variances of neighbours on a branch: Newton's method takes three or four steps to the next.
RATIO = 0.6
_FIRST_MIXES, _FIRST_STEP = 25, 0.6
# Where a branch that theory calls continuous is no longer followed, and where any is.
_SMALL, _TINY = 0.03, 1e-5
_LEAST_DEPTH = 1e-9


@dataclass(frozen=True, eq=False)
class BranchPoint(Shown):
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
    argument: Lags
    window: LagWindow
    residual: float
    iterations: int

    @property
    def converged(self) -> bool:
        """Whether the equations hold and the solution falls to zero within the window."""
        return bool(self.residual < _CONVERGED and abs(self.argument[-1]) < 1e-2 * self.variance)


def first_point(parameters: GatedParameters, variance: float) -> BranchPoint:
    """A point of the chaotic branch, from damped iteration and then Newton's method.

    Args:
        parameters: of the network; its gain is not used.
        variance: u.

    Raises:
        UnsupportedError: a network with an input, a bias, or an update gate that changes.
    """
    check_autonomous(parameters)
    scale = 1 / parameters.resting_update + parameters.reset_time
    window = LagWindow(25.0 * scale, _INTERVALS[0])
    equations = SelfConsistency(parameters, window)
    series = equations.activity_series(variance)
    argument = variance * np.exp(-((window.lags / (2 * scale)) ** 2) / 2)
    for _ in range(_FIRST_MIXES):
        state = equations(argument, series).state
        argument += _FIRST_STEP * (variance * state / state[0] - argument)
    return refined(parameters, BranchPoint(variance, 1.0, argument, window, np.inf, 0))


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


def fitted_window(window: LagWindow, values: Lags, flat: float = _FLAT) -> LagWindow:
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
    equations, variance = SelfConsistency(parameters, guess.window), guess.variance
    series = equations.activity_series(variance)

    def linearised(unknowns: Float[np.ndarray, " unknowns"]) -> Linearised:
        argument, square = unknowns[:-1], unknowns[-1]
        found = equations(argument, series)
        errors = np.append(argument - square * found.state, argument[0] - variance)

        def matrix() -> Float[np.ndarray, "unknowns unknowns"]:
            by_argument = np.eye(len(argument)) - square * equations.derivative(found)
            return bordered(by_argument, -found.state, np.eye(1, len(argument))[0])

        return Linearised(errors, matrix, largest(errors, variance))

    square = variance / equations(guess.argument, series).state[0]
    found = newton(linearised, np.append(guess.argument, square), 0.01 * _CONVERGED)
    gain = float(np.sqrt(max(found.unknowns[-1], 0.0)))
    steps = guess.iterations + found.steps
    return BranchPoint(variance, gain, found.unknowns[:-1], guess.window, found.residual, steps)


def predicted(first: BranchPoint, second: BranchPoint, variance: float) -> BranchPoint:
    """A guess between or beyond two points: the shape of the nearer one, on a window that stretches.

    Close to a continuous onset time scales grow as a power of the variance; the power is read off the points.
    """
    share = np.log(variance / first.variance) / np.log(second.variance / first.variance)
    near = second if share > 0.5 else first
    share = share - 1 if near is second else share
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

    Yields:
        Converged points.
    """
    before, point = start[0], start[1]
    while True:
        before, point = point, refined(parameters, predicted(before, point, ratio * point.variance))
        if not point.converged:
            return
        yield point


def upper_branch(parameters: GatedParameters) -> list[BranchPoint]:
    """Two neighbours on the part of the branch where the gain rises with the variance, the larger one first.

    That part is the one that a large start reaches. Nothing is returned where Newton's method finds none,
    for gates so steep that they are steps.
    """
    for variance in _FIRST_VARIANCES:
        start = first_point(parameters, variance)
        below = _below(parameters, start)
        if below.converged and below.gain < start.gain:
            return [start, below]
    return []


def _below(parameters: GatedParameters, start: BranchPoint) -> BranchPoint:
    """The next smaller point after the first, where nothing is known yet of how time scales grow."""
    variance, argument = RATIO * start.variance, RATIO * start.argument
    return refined(parameters, replace(start, variance=variance, argument=argument, iterations=0))


def chaotic_branch(
    parameters: GatedParameters, variances: tuple[float | int, float | int] = (1e-3, 3.0)
) -> tuple[BranchPoint, ...]:
    """Chaotic solutions for variances from the largest to the smallest, stable and unstable ones.

    The gain as a function of the variance u is g_chaos(u): where it rises with u the solutions are those
    that a large start reaches, where it falls they divide such starts from those that decay, and in between
    is the fold.

    Args:
        parameters: of a network without input and with a constant update gate; its gain is not used.
        variances: the smallest and the largest u = g^2 C_h(0).

    Returns:
        Converged points in falling order of u; fewer than asked for where the branch could not be followed.

    Raises:
        ConfigError: variances that are not positive or not in order.
        UnsupportedError: another network.
    """
    smallest, largest = variances
    if not 0 < smallest < largest < np.inf:
        raise ConfigError(f"variances={variances}: expected two positive numbers, the smaller one first")
    start = first_point(parameters, float(largest))
    points = [start, _below(parameters, start)]
    if all(point.converged for point in points):
        walk = along_branch(parameters, points.copy(), RATIO)
        points += takewhile(lambda point: point.variance > smallest, walk)
    return tuple(point for point in points if point.converged and point.variance > smallest)


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
    bounded_minimum(gain, bounds, 1e-3)
    return min(found, key=lambda point: point.gain)


def point_at_gain(parameters: GatedParameters, ends: tuple[BranchPoint, BranchPoint]) -> BranchPoint:
    """The point with the gain of the parameters, between two points whose gains enclose it."""
    found = list(ends)

    def excess(logarithm: float) -> float:
        variance = float(np.exp(logarithm))
        known = [point for point in ends if np.isclose(point.variance, variance, rtol=1e-14)]
        found.append(known[0] if known else refined(parameters, predicted(*ends, variance)))
        return found[-1].gain - parameters.gain

    bracketed_root(excess, (np.log(ends[0].variance), np.log(ends[1].variance)), 1e-13)
    return min(found, key=lambda point: abs(point.gain - parameters.gain))


class Phase(StrEnum):
    """What attractors a large network has; the value is the text that users see."""

    STABLE = "I: zero is the only fixed point, and every state decays to it"
    TRANSIENT = "II: exponentially many fixed points, all unstable; every state decays to zero, perhaps late"
    COEXISTENCE = "III: zero is stable and chaos exists beside it; a kick decides between them"
    CHAOTIC = "IV: zero is unstable and the network is chaotic"
    DRIVEN_STABLE = "driven, stable: states under the same input approach each other"
    DRIVEN_CHAOTIC = "driven, chaotic: states under the same input part"
    UNKNOWN = "unknown: the equations were not solved"


@dataclass(frozen=True)
class CriticalGains:
    """Gains where the behaviour of a network without input changes; equal ones where it does so at once.

    Args:
        zero: above it zero is unstable.
        fold: above it fixed points other than zero exist.
        chaos: above it a chaotic solution exists; nan where the branch could not be followed.
        fold_variance: u = g^2 Delta_h of the fixed points that appear, 0 where they grow from zero.
        chaos_variance: u = g^2 C_h(0) of the chaos that appears, 0 where it grows from zero.
        seconds: wall time.
    """

    zero: float
    fold: float
    chaos: float
    fold_variance: float
    chaos_variance: float
    seconds: float

    @property
    def discontinuous(self) -> bool:
        """Whether chaos appears at once with a finite size."""
        return self.chaos < self.zero

    def phase(self, gain: float | int) -> Phase:
        """The phase at a gain."""
        if gain > self.zero:
            return Phase.CHAOTIC
        if gain <= self.fold:
            return Phase.STABLE
        if np.isnan(self.chaos):
            return Phase.UNKNOWN
        return Phase.COEXISTENCE if gain > self.chaos else Phase.TRANSIENT


def fold_threshold(reset_bias: float | int) -> float | None:
    r"""The alpha_r above which fixed points appear below g_zero, $\sqrt{2 / ((1 - s_0)(2 - 3 s_0))}$.

    Args:
        reset_bias: b_r, with s_0 = 1 / (1 + exp(-b_r)).

    Returns:
        None where the resting gate is so open, s_0 >= 2/3, that small ones never do.
    """
    rest = float(expit(reset_bias))
    return None if rest >= 2 / 3 else float(np.sqrt(2 / ((1 - rest) * (2 - 3 * rest))))


def chaos_threshold(reset_bias: float | int) -> float | None:
    r"""The alpha_r above which chaos appears below g_zero, $\sqrt{6 / ((1 - s_0)(5 - 8 s_0))}$.

    Args:
        reset_bias: b_r, with s_0 = 1 / (1 + exp(-b_r)).

    Returns:
        None where the resting gate is so open, s_0 >= 5/8, that weak chaos never does.
    """
    rest = float(expit(reset_bias))
    return None if rest >= 5 / 8 else float(np.sqrt(6 / ((1 - rest) * (5 - 8 * rest))))


def critical_gains(parameters: GatedParameters) -> CriticalGains:
    r"""Where zero loses stability, fixed points appear and chaos appears.

    g_zero = 1 / s_r(0); g_fold and g_chaos are the least gains on the curves of fixed points and of chaotic
    solutions over $u = g^2 C_h(0)$, where those lie below g_zero. The latter is searched for only where
    there is a fold below g_zero, and takes about a second, more for steeper gates. Source: arXiv 2007.14823.

    Args:
        parameters: of a network without input and with a constant update gate; its gain is not used.

    Raises:
        UnsupportedError: another network.
    """
    check_autonomous(parameters)
    begun = perf_counter()
    zero = 1 / parameters.resting_reset
    fold, fold_variance = _fold(parameters, zero)
    # no chaos below the fold, see `fold_gain`
    chaos, chaos_variance = _onset(parameters, zero) if fold < zero else (zero, 0.0)
    return CriticalGains(zero, fold, chaos, fold_variance, chaos_variance, perf_counter() - begun)


def fold_gain(parameters: GatedParameters) -> float:
    """g_fold alone, which takes no solution of equations; for any update gate.

    At and below it nothing but zero solves the mean-field equations. C_h(0) is an average of C_phi C_sr,
    which is at most <phi^2> <s_r^2>; and whatever the update gate does to the distribution of h, <phi^2> is
    concave in the variance and so no larger than for a Gaussian variable.

    Args:
        parameters: of a network without input and bias; its gain is not used.
    """
    return _fold(parameters, 1 / parameters.resting_reset)[0]


def _fold(parameters: GatedParameters, zero: float) -> tuple[float, float]:
    logarithms = np.linspace(np.log(1e-6), np.log(1e2), 300)
    gains = fixed_point_gain(parameters, np.exp(logarithms))
    k = int(np.argmin(gains))
    if k in {0, len(gains) - 1}:
        return zero, 0.0
    logarithm, least = bounded_minimum(
        lambda x: float(fixed_point_gain(parameters, np.exp(np.array([x])))[0]),
        (logarithms[k - 1], logarithms[k + 1]),
        1e-7,
    )
    return (least, float(np.exp(logarithm))) if least < zero * (1 - _LEAST_DEPTH) else (zero, 0.0)


def _onset(parameters: GatedParameters, zero: float) -> tuple[float, float]:
    """Down the branch to where the gain has its minimum, or to zero."""
    threshold = chaos_threshold(parameters.reset_bias)
    continuous = threshold is None or parameters.reset_gain <= threshold
    trace = upper_branch(parameters)
    for point in along_branch(parameters, trace, RATIO) if trace else ():
        trace.append(point)
        if point.gain > trace[-2].gain:
            fold = fold_between(parameters, trace[-3:])
            return (fold.gain, fold.variance) if fold.gain < zero * (1 - _LEAST_DEPTH) else (zero, 0.0)
        if point.variance < (_SMALL if continuous and point.gain > zero else _TINY):
            return zero, 0.0
    return float("nan"), float("nan")
