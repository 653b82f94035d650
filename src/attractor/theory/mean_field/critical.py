"""The gains at which a gated random network changes its behaviour, and the phases between them."""

from dataclasses import dataclass
from enum import Enum
from time import perf_counter

import numpy as np

from .branches import RATIO, along_branch, check_autonomous, fold_between, upper_branch
from .fixed_points import fixed_point_gain
from .gated_parameters import GatedParameters, opening
from .roots import bounded_minimum

_SMALL, _TINY = 0.03, 1e-5
"""Where a branch that theory calls continuous is no longer followed, and where any is."""
_LEAST_DEPTH = 1e-9


class Phase(Enum):
    """What attractors a large network has; the value is the text that users see."""

    STABLE = "I: zero is the only fixed point, and every state decays to it"
    TRANSIENT = "II: exponentially many fixed points, all unstable; every state decays to zero, perhaps late"
    COEXISTENCE = "III: zero is stable and chaos exists beside it; a kick decides between them"
    CHAOTIC = "IV: zero is unstable and the network is chaotic"
    DRIVEN_STABLE = "driven, stable: states under the same input approach each other"
    DRIVEN_CHAOTIC = "driven, chaotic: states under the same input part"
    UNKNOWN = "unknown: the equations were not solved"

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


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
    rest = opening(reset_bias)
    return None if rest >= 2 / 3 else float(np.sqrt(2 / ((1 - rest) * (2 - 3 * rest))))


def chaos_threshold(reset_bias: float | int) -> float | None:
    r"""The alpha_r above which chaos appears below g_zero, $\sqrt{6 / ((1 - s_0)(5 - 8 s_0))}$.

    Args:
        reset_bias: b_r, with s_0 = 1 / (1 + exp(-b_r)).

    Returns:
        None where the resting gate is so open, s_0 >= 5/8, that weak chaos never does.
    """
    rest = opening(reset_bias)
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
    place, least = bounded_minimum(
        lambda x: float(fixed_point_gain(parameters, np.exp(np.array([x])))[0]),
        (logarithms[k - 1], logarithms[k + 1]),
        1e-7,
    )
    return (least, float(np.exp(place))) if least < zero * (1 - _LEAST_DEPTH) else (zero, 0.0)


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
