"""Fixed points of a gated random network of infinitely many units, and the fastest growth near them.

An update gate that switches pins that growth to zero: marginal stability.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr, ndtr, ndtri

from attractor.dynamics.roots import bounded_minimum, bracketed_root
from attractor.errors import ConfigError, UnsupportedError

from .gated_parameters import GatedParameters, check_autonomous
from .gaussian import Values, moment

# Of the variance on the grid that brackets roots; the grid is even in its logarithm.
_SMALLEST, _GRID = 1e-10, 400
# A steep gate switches within 1 / alpha_z of the variable it is integrated over.
_REACH, _NODES = 10.0, 200_001
_LARGEST_LOGARITHM = 20.0
_NO_COUPLING = 1e-20

Points = Float[np.ndarray, " points"]


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
    largest = 1.01 * (1 + parameters.input_deviation**2)
    logarithms = np.linspace(np.log(_SMALLEST), np.log(largest), _GRID)
    excess = np.atleast_1d(_excess(parameters, logarithms))
    roots = [
        bracketed_root(lambda x: float(_excess(parameters, x)), ends, 1e-13)
        for ends in _brackets(parameters, logarithms, excess)
    ]
    zero = [_point(parameters, 0.0)] if parameters.autonomous else []
    return (*zero, *(_point(parameters, float(np.exp(root))) for root in sorted(roots)))


def fixed_point_gain(parameters: GatedParameters, variance: Points) -> Points:
    r"""The gain whose fixed point has $u = g^2 \Delta$, without input: $g(u) = \sqrt{u / (q(u) S(q(u)))}$.

    No equation is solved, so that all branches and folds appear.

    Args:
        parameters: of an autonomous network; its gain is not used.
        variance: u, positive.
    """
    activity = moment(lambda x: np.tanh(x) ** 2, variance)
    return np.sqrt(variance / (activity * _openness(parameters, activity)))


def stability_index(parameters: GatedParameters, gain: Points, variance: Points) -> Points:
    """Lambda of fixed points, one for every pair of a gain and a variance u = g^2 Delta."""
    phi = parameters.activation
    activity = moment(lambda x: phi.value(x) ** 2, variance)
    steepness = gain**2 * moment(lambda x: phi.slope(x) ** 2, variance)
    return steepness * (_openness(parameters, activity) + _opened(parameters, activity))


def _openness(parameters: GatedParameters, activity: Values) -> Values:
    return moment(lambda r: parameters.reset_gate.value(r) ** 2, activity)


def _opened(parameters: GatedParameters, activity: Values) -> Values:
    """Q <s_r'^2>."""
    return activity * moment(lambda r: parameters.reset_gate.slope(r) ** 2, activity)


def _statistics(parameters: GatedParameters, variance: Values) -> tuple[Values, Values]:
    activity = moment(lambda x: parameters.activation.value(x) ** 2, parameters.gain**2 * variance)
    return activity, _openness(parameters, activity)


def _excess(parameters: GatedParameters, logarithms: Values | float) -> Values:
    """(q S + sigma^2) / Delta - 1; dividing keeps roots near zero apart from zero."""
    variance = np.exp(np.asarray(logarithms, np.float64))
    activity, openness = _statistics(parameters, variance)
    return (activity * openness + parameters.input_deviation**2) / variance - 1


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


def _point(parameters: GatedParameters, variance: float) -> MeanFieldFixedPoint:
    activity, openness = (float(x) for x in _statistics(parameters, np.float64(variance)))
    gain = np.array([parameters.gain])
    index = stability_index(parameters, gain, gain**2 * variance)
    return MeanFieldFixedPoint(variance, activity, openness, float(index[0]))


@dataclass(frozen=True)
class LeadingEdge:
    """The right end of the spectrum of the Jacobian at a fixed point, for many units.

    Args:
        fixed_point: where.
        open_share: P1, the share of units whose update gate is more open than shut.
        growth: lambda_edge, the fastest growth rate; 0 where the spectrum ends at zero, since some units are
            as slow as one likes.
        logarithm: ln lambda_edge, also where growth is too small for a floating-point number; -inf where
            nothing grows.
        asymptotic_logarithm: what it is to leading order for large alpha_z.
    """

    fixed_point: MeanFieldFixedPoint
    open_share: float
    growth: float
    logarithm: float
    asymptotic_logarithm: float

    @property
    def relaxation_time(self) -> float:
        """1 / |lambda_edge|."""
        return float(np.inf) if self.growth == 0 else 1 / abs(self.growth)

    @property
    def marginal(self) -> bool:
        """Whether a steeper update gate makes the growth exponentially small: 1 < Lambda < 1 / P1."""
        return 1 < self.fixed_point.stability_index < 1 / self.open_share


def leading_edge(parameters: GatedParameters, fixed_point: MeanFieldFixedPoint | None = None) -> LeadingEdge:
    r"""The fastest growth rate at a fixed point, the right end of the spectrum.

    It is the largest real solution of

    $$\langle \phi'^2 \rangle \left\langle \frac{s_z^2}{(\lambda + s_z)^2} \right\rangle
    \left(S + \frac{q \langle s_r'^2 \rangle}{(1 + \tau_r \lambda)^2}\right) = 1$$

    with z of variance q. For a steep update gate and 1 < Lambda < 1 / P1 it is, to leading order,
    $\lambda \sim \exp(b_z - \alpha_z \sqrt q\, \Phi^{-1}(1 / \Lambda))$: exponentially slow for a whole range
    of gains. Numbers come from the equation, solved in ln lambda. Source: arXiv 2007.14823.

    Args:
        parameters: of the network; an input acts through the update gate.
        fixed_point: where; the one of the largest variance when None.

    Raises:
        UnsupportedError: no fixed point, since the input changes.
    """
    points = mean_field_fixed_points(parameters)
    if not points:
        raise UnsupportedError("input_covariance: a network under a changing input has no fixed point")
    point = points[-1] if fixed_point is None else fixed_point
    factors = _factors(parameters, point)
    scale = 0.0 if parameters.constant_update else parameters.update_gain * np.sqrt(point.activity)
    bias = parameters.update_bias
    if scale == 0:
        growth = _constant_gate_edge(parameters, factors)
        logarithm = float(np.log(growth)) if growth > 0 else -np.inf
        return LeadingEdge(point, 1.0, growth, logarithm, logarithm)
    share = float(ndtr(bias / scale))
    if point.stability_index <= 1:
        return LeadingEdge(point, share, 0.0, -np.inf, -np.inf)
    logarithm = _logarithm(parameters, factors, scale)
    asymptotic = bias - scale * float(ndtri(1 / point.stability_index))
    return LeadingEdge(point, share, float(np.exp(logarithm)), logarithm, asymptotic)


def marginal_range(parameters: GatedParameters) -> tuple[float, float]:
    """The gains between which a steep update gate leaves fixed points marginally stable, 1 < Lambda < 1 / P1.

    Args:
        parameters: of a network without input; its gain is not used. P1 is that of its update gate, one half
            at b_z = 0.

    Raises:
        UnsupportedError: an input or a bias of the activation.
        ConfigError: no update gate that changes.
    """
    if parameters.constant_update:
        raise ConfigError(
            f"update_gain={parameters.update_gain}: marginal stability needs an update gate that changes"
        )
    check_autonomous(parameters, any_update=True)
    logarithms = np.linspace(np.log(1e-6), np.log(1e6), 400)

    def margin(logarithm: np.ndarray) -> np.ndarray:
        variance = np.exp(logarithm)
        activity = moment(lambda x: np.tanh(x) ** 2, variance)
        index = stability_index(parameters, fixed_point_gain(parameters, variance), variance)
        scale = parameters.update_gain * np.sqrt(activity)
        return np.log(index) + log_ndtr(parameters.update_bias / scale)

    beyond = np.flatnonzero(margin(logarithms) > 0)
    gains = fixed_point_gain(parameters, np.exp(logarithms))
    if not len(beyond) or beyond[0] == 0:
        return float(gains.min()), float(np.inf) if not len(beyond) else float(gains[0])
    last = int(beyond[0])
    ends = (logarithms[last - 1], logarithms[last])
    end = bracketed_root(lambda x: float(margin(np.array([x]))[0]), ends, 1e-12)
    upper = fixed_point_gain(parameters, np.exp(np.array([end])))[0]
    return float(gains[:last].min()), float(upper)


def _factors(parameters: GatedParameters, point: MeanFieldFixedPoint) -> tuple[float, float]:
    """<phi'^2> S and <phi'^2> q <s_r'^2>, which add up to Lambda."""
    opened = float(_opened(parameters, np.float64(point.activity)))
    steepness = point.stability_index / (point.openness + opened)
    return steepness * point.openness, steepness * opened


def _constant_gate_edge(parameters: GatedParameters, factors: tuple[float, float]) -> float:
    """The edge where s_z is one number; never below the decay rate of the reset gate."""
    rate, time = parameters.resting_update, parameters.reset_time

    def excess(growth: float) -> float:
        reset = factors[1] / (1 + time * growth) ** 2 if factors[1] else 0.0
        return float(np.log((factors[0] + reset) * (rate / (growth + rate)) ** 2))

    low = -min(rate, 1 / time) if factors[1] else -rate
    if sum(factors) < _NO_COUPLING:
        return low
    return bracketed_root(excess, (low * (1 - 1e-12), float(np.exp(_LARGEST_LOGARITHM))), 1e-14)


def _logarithm(parameters: GatedParameters, factors: tuple[float, float], scale: float) -> float:
    points = np.linspace(-_REACH, _REACH, _NODES)
    weights = np.exp(-(points**2) / 2)
    weights /= weights.sum()
    argument = scale * points + parameters.update_bias
    time = parameters.reset_time

    def excess(logarithm: float) -> float:
        # s / (lambda + s) = 1 / (1 + lambda (1 + e^-y)), in logarithms so that nothing overflows
        slowed = np.exp(-2 * np.logaddexp(0.0, logarithm + np.logaddexp(0.0, -argument)))
        reset = factors[1] / (1 + time * np.exp(logarithm)) ** 2
        return float((weights @ slowed) * (factors[0] + reset)) - 1

    low = parameters.update_bias - _REACH * scale - _LARGEST_LOGARITHM
    return bracketed_root(excess, (low, _LARGEST_LOGARITHM), 1e-11)
