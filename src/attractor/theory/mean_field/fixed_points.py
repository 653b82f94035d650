"""Fixed points of a gated random network in the limit of many units: all branches and their stability."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .gated_parameters import GatedParameters
from .gaussian import Values, activation, gate, moment
from .roots import bounded_minimum, bracketed_root

_SMALLEST, _GRID = 1e-10, 400
"""Of the variance on the grid that brackets roots; the grid is even in its logarithm."""


@dataclass(frozen=True)
class MeanFieldFixedPoint:
    """Fixed points with the same statistics over units.

    Args:
        variance: Delta_h, of the state over units.
        activity: q = <phi^2>, which is also the variance of the arguments of both gates.
        openness: S = <s_r^2>.
        stability_index: Lambda = <phi'^2> (S + q <s_r'^2>); a fixed point is stable below one, whatever the
            update gate does, and an unstable one is no attractor although such points exist.
    """

    variance: float
    activity: float
    openness: float
    stability_index: float

    @property
    def stable(self) -> bool:
        """Whether small differences die out."""
        return self.stability_index < 1


def mean_field_fixed_points(parameters: GatedParameters) -> tuple[MeanFieldFixedPoint, ...]:
    r"""All fixed points, by the variance of the state, in rising order.

    $$\Delta = q S + \sigma_I^2, \quad q = \langle \tanh^2(g \sqrt\Delta x + b) \rangle, \quad
    S = \langle s_r(\sqrt q\, x)^2 \rangle, \quad x \sim N(0, 1)$$

    Zero is one of them without input and bias. Under an input that changes there is none. Source: arXiv
    2007.14823; the update gate does not enter.

    Args:
        parameters: of the network.
    """
    if parameters.input_covariance is not None:
        return ()
    largest = 1.01 * (1 + float(parameters.input_deviation) ** 2)
    logarithms = np.linspace(np.log(_SMALLEST), np.log(largest), _GRID)
    excess = np.atleast_1d(_excess(parameters, logarithms))
    roots = [_root(parameters, *ends) for ends in _brackets(parameters, logarithms, excess)]
    zero = [_point(parameters, 0.0)] if parameters.autonomous else []
    return (*zero, *(_point(parameters, float(np.exp(root))) for root in sorted(roots)))


def fixed_point_gain(
    parameters: GatedParameters, variance: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    r"""The gain whose fixed point has $u = g^2 \Delta$, without input: $g(u) = \sqrt{u / (q(u) S(q(u)))}$.

    No equation is solved, so that all branches and folds appear.

    Args:
        parameters: of an autonomous network; its gain is not used.
        variance: u, positive.
    """
    activity = moment(lambda x: np.tanh(x) ** 2, variance)
    return np.sqrt(variance / (activity * _openness(parameters, activity)))


def stability_index(
    parameters: GatedParameters, gain: Float[np.ndarray, " points"], variance: Float[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    """Lambda of fixed points, one for every pair of a gain and a variance u = g^2 Delta."""
    phi = activation(parameters.bias)
    activity = moment(lambda x: phi.value(x) ** 2, variance)
    steepness = gain**2 * moment(lambda x: phi.slope(x) ** 2, variance)
    if parameters.constant_reset:
        return steepness * parameters.resting_reset**2
    opening = gate(parameters.reset_gain, parameters.reset_bias)
    opened = moment(lambda r: opening.slope(r) ** 2, activity)
    return steepness * (_openness(parameters, activity) + activity * opened)


def _openness(parameters: GatedParameters, activity: Values) -> Values:
    if parameters.constant_reset:
        return 0 * activity + parameters.resting_reset**2
    opening = gate(parameters.reset_gain, parameters.reset_bias)
    return moment(lambda r: opening.value(r) ** 2, activity)


def _statistics(parameters: GatedParameters, variance: Values) -> tuple[Values, Values]:
    phi = activation(parameters.bias)
    activity = moment(lambda x: phi.value(x) ** 2, float(parameters.gain) ** 2 * variance)
    return activity, _openness(parameters, activity)


def _excess(parameters: GatedParameters, logarithms: Values | float) -> Values:
    """(q S + sigma^2) / Delta - 1; dividing keeps roots near zero apart from zero."""
    variance = np.exp(np.asarray(logarithms, np.float64))
    activity, openness = _statistics(parameters, variance)
    return (activity * openness + float(parameters.input_deviation) ** 2) / variance - 1


def _brackets(
    parameters: GatedParameters, logarithms: np.ndarray, excess: np.ndarray
) -> list[tuple[float, float]]:
    """Intervals with one root each; two between neighbours of the grid show as an extremum near zero."""
    points = list(logarithms)
    turning = np.diff(np.sign(np.diff(excess)))
    for k in np.flatnonzero(turning) + 1:
        side = np.sign(excess[k])
        if abs(excess[k]) < 1e-2 and np.all(side == np.sign(excess[k - 1 : k + 2])):
            ends = (logarithms[k - 1], logarithms[k + 1])
            points.append(
                bounded_minimum(lambda x, side=side: float(side * _excess(parameters, x)), ends, 1e-9)[0]
            )
    points.sort()
    values = np.atleast_1d(_excess(parameters, np.array(points)))
    return [(points[k], points[k + 1]) for k in np.flatnonzero(values[1:] * values[:-1] < 0)]


def _root(parameters: GatedParameters, low: float, high: float) -> float:
    return bracketed_root(lambda x: float(_excess(parameters, x)), (low, high), 1e-13)


def _point(parameters: GatedParameters, variance: float) -> MeanFieldFixedPoint:
    activity, openness = (float(x) for x in _statistics(parameters, np.float64(variance)))
    gain = np.array([float(parameters.gain)])
    index = stability_index(parameters, gain, gain**2 * variance)
    return MeanFieldFixedPoint(variance, activity, openness, float(index[0]))
