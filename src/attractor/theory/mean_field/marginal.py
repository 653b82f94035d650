"""Marginal stability: how an update gate that switches pins the fastest growth at a fixed point to zero."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from attractor.errors import ConfigError, UnsupportedError

from .branches import check_autonomous
from .fixed_points import MeanFieldFixedPoint, fixed_point_gain, mean_field_fixed_points, stability_index
from .gated_parameters import GatedParameters
from .gaussian import gate, moment
from .roots import bracketed_root

_REACH, _NODES = 10.0, 200_001
"""A steep gate switches within 1 / alpha_z of the variable it is integrated over."""
_LARGEST_LOGARITHM = 20.0
_NO_COUPLING = 1e-20


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
        message = "input_covariance: a network under a changing input has no fixed point"
        raise UnsupportedError(message)
    point = points[-1] if fixed_point is None else fixed_point
    factors = _factors(parameters, point)
    spread = 0.0 if parameters.constant_update else float(parameters.update_gain) * np.sqrt(point.activity)
    bias = float(parameters.update_bias)
    if spread == 0:
        growth = _constant_gate_edge(parameters, factors)
        logarithm = float(np.log(growth)) if growth > 0 else -np.inf
        return LeadingEdge(point, 1.0, growth, logarithm, logarithm)
    share = float(ndtr(bias / spread))
    if point.stability_index <= 1:
        return LeadingEdge(point, share, 0.0, -np.inf, -np.inf)
    logarithm = _logarithm(parameters, factors, spread)
    asymptotic = bias - spread * float(ndtri(1 / point.stability_index))
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
        message = (
            f"update_gain={parameters.update_gain}: marginal stability needs an update gate that changes"
        )
        raise ConfigError(message)
    check_autonomous(parameters, any_update=True)
    logarithms = np.linspace(np.log(1e-6), np.log(1e6), 400)

    def margin(logarithm: np.ndarray) -> np.ndarray:
        variance = np.exp(logarithm)
        activity = moment(lambda x: np.tanh(x) ** 2, variance)
        index = stability_index(parameters, fixed_point_gain(parameters, variance), variance)
        spread = float(parameters.update_gain) * np.sqrt(activity)
        return np.log(index) + log_ndtr(float(parameters.update_bias) / spread)

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
    if parameters.constant_reset:
        return point.stability_index, 0.0
    opening = gate(parameters.reset_gain, parameters.reset_bias)
    opened = point.activity * float(moment(lambda r: opening.slope(r) ** 2, point.activity))
    steepness = point.stability_index / (point.openness + opened)
    return steepness * point.openness, steepness * opened


def _constant_gate_edge(parameters: GatedParameters, factors: tuple[float, float]) -> float:
    """The edge where s_z is one number; never below the decay rate of the reset gate."""
    rate, time = parameters.resting_update, float(parameters.reset_time)

    def excess(growth: float) -> float:
        reset = factors[1] / (1 + time * growth) ** 2 if factors[1] else 0.0
        return float(np.log((factors[0] + reset) * (rate / (growth + rate)) ** 2))

    low = -min(rate, 1 / time) if factors[1] else -rate
    if sum(factors) < _NO_COUPLING:
        return low
    return bracketed_root(excess, (low * (1 - 1e-12), float(np.exp(_LARGEST_LOGARITHM))), 1e-14)


def _logarithm(parameters: GatedParameters, factors: tuple[float, float], spread: float) -> float:
    points = np.linspace(-_REACH, _REACH, _NODES)
    weights = np.exp(-(points**2) / 2)
    weights /= weights.sum()
    argument = spread * points + float(parameters.update_bias)
    time = float(parameters.reset_time)

    def excess(logarithm: float) -> float:
        # s / (lambda + s) = 1 / (1 + lambda (1 + e^-y)), in logarithms so that nothing overflows
        slowed = np.exp(-2 * np.logaddexp(0.0, logarithm + np.logaddexp(0.0, -argument)))
        reset = factors[1] / (1 + time * np.exp(logarithm)) ** 2
        return float((weights @ slowed) * (factors[0] + reset)) - 1

    low = float(parameters.update_bias) - _REACH * spread - _LARGEST_LOGARITHM
    return bracketed_root(excess, (low, _LARGEST_LOGARITHM), 1e-11)
