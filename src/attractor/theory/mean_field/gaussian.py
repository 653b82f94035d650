r"""Averages over Gaussian variables: moments, and correlators of functions of two of them.

For x and y jointly Gaussian with mean 0, variance $\Delta$ and covariance $\rho \Delta$ (Mehler's formula),

$$\langle f(x) f(y) \rangle = \sum_k a_k^2 \rho^k, \qquad
a_k = \left\langle f(\sqrt\Delta\, \xi)\, He_k(\xi) \right\rangle / \sqrt{k!}$$
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit

# Trapezoidal sums of analytic functions converge exponentially: steps of 0.01 are exact to rounding for
# functions with poles as near as 0.05, that is tanh(x) with a standard deviation of 30.
_REACH, _NODES = 12.0, 2401
_DEGREES = (64, 160, 400, 1000)
_NEGLIGIBLE, _NEGLIGIBLE_SLOPE = 1e-10, 1e-6
_TINY = 1e-300


# Several numbers, or one of them.
Values = np.ndarray | np.float64
# A correlation function, one number for every lag.
Lags = Float[np.ndarray, " lags"]


class Function(NamedTuple):
    """A function of one Gaussian variable with its derivative.

    Args:
        value: f, of arrays.
        slope: f'.
    """

    value: Callable
    slope: Callable


def activation(bias: float | int) -> Function:
    """tanh(x + b) and its derivative in x."""
    return Function(lambda x: np.tanh(x + bias), lambda x: 1 - np.tanh(x + bias) ** 2)


def gate(gain: float | int, bias: float | int) -> Function:
    """s(x) = 1 / (1 + exp(-(alpha x + b))) and its derivative in x, with alpha in it."""

    def slope(x: np.ndarray) -> np.ndarray:
        open_part = expit(gain * x + bias)
        return gain * open_part * (1 - open_part)

    return Function(lambda x: expit(gain * x + bias), slope)


@lru_cache(maxsize=1)
def nodes() -> tuple[Float[np.ndarray, " nodes"], Float[np.ndarray, " nodes"]]:
    """Nodes and weights of the trapezoidal rule for the standard normal density."""
    points = np.linspace(-_REACH, _REACH, _NODES)
    density = np.exp(-(points**2) / 2)
    return points, density / density.sum()


def moment(function: Callable, variance: Values | float) -> Values:
    """<f(x)> for x of mean 0 and the given variance, or every one of several, in their shape."""
    points, weights = nodes()
    return function(np.sqrt(np.asarray(variance, np.float64))[..., None] * points) @ weights


@lru_cache(maxsize=len(_DEGREES))
def _weighted_polynomials(degree: int) -> Float[np.ndarray, "degrees nodes"]:
    """He_k(x) / sqrt(k!) times the weights of the nodes, k = 0..degree, by the three-term recursion.

    The recursion is run on He_k times the square root of the density, which stays below one.
    """
    points, weights = nodes()
    root = np.sqrt(weights)
    table = np.empty((degree + 1, len(points)))
    table[0], table[1] = root, points * root
    for k in range(1, degree):
        table[k + 1] = (points * table[k] - np.sqrt(k) * table[k - 1]) / np.sqrt(k + 1)
    return table * root


@dataclass(frozen=True, eq=False)
class CorrelatorSeries:
    r"""The correlator of a function and its derivatives as power series in the correlation.

    Args:
        variance: Delta.
        correlation: a_k^2, shape (degree + 1,).
        slope: the same for f', whose correlator is the derivative of <f f> by the covariance.
        curvature: a_k times the coefficient of f'', for <f'' f>, the derivative by the variance.
    """

    variance: float
    correlation: Float[np.ndarray, " degrees"]
    slope: Float[np.ndarray, " degrees"]
    curvature: Float[np.ndarray, " degrees"]

    def at(self, covariance: Lags) -> "Correlators":
        """Correlators at covariances; correlations beyond [-1, 1], which rounding makes, are cut."""
        rho = np.clip(covariance / max(self.variance, _TINY), -1.0, 1.0)
        series = np.stack([self.correlation, self.slope, self.curvature], axis=1)
        powers = np.empty((len(rho), len(series)))
        powers[:, 0] = 1
        powers[:, 1:] = rho[:, None]
        return Correlators(*(np.cumprod(powers, axis=1) @ series).T)

    def integral(self, covariance: float) -> float:
        """The integral of <f f> over covariances from 0 to the given one."""
        k = np.arange(1, len(self.correlation) + 1)
        return float(self.variance * (self.correlation / k) @ (covariance / self.variance) ** k)


class Correlators(NamedTuple):
    """<f f>, <f' f'> and <f'' f> of pairs of Gaussian variables, one for every covariance.

    Args:
        value: <f f>.
        slope: <f' f'>, the derivative of <f f> by the covariance.
        curvature: <f'' f>, the derivative of <f f> by the variance at constant covariance.
    """

    value: Lags
    slope: Lags
    curvature: Lags


def correlator_series(function: Function, variance: float) -> CorrelatorSeries:
    """Hermite coefficients of a function, as many as it takes.

    What is missing of <f^2> and <f'^2> after the last degree is put on that degree: correlators are exact
    where the correlation is one. A variance of zero gives constants.

    Args:
        function: f and f'.
        variance: of the Gaussian variable, at least 0.
    """
    points, _ = nodes()
    scaled = np.sqrt(variance) * points
    values, slopes = _Projected(function.value(scaled)), _Projected(function.slope(scaled))
    enough = (
        degree
        for degree in _DEGREES
        if values.missing(degree) <= _NEGLIGIBLE and slopes.missing(degree) <= _NEGLIGIBLE_SLOPE
    )
    degree = next(enough, _DEGREES[-1])
    found, steep = values.coefficients(degree), slopes.coefficients(degree)
    bend = np.zeros(degree + 1)
    if variance > 0:  # by Stein's lemma the coefficients of f'' are those of f', one further
        bend[:-1] = np.sqrt(np.arange(1, degree + 1) / variance) * steep[1:]
    correlation, slope = found**2, steep**2
    correlation[-1] += values.square * values.missing(degree)
    slope[-1] += slopes.square * slopes.missing(degree)
    return CorrelatorSeries(float(variance), correlation, slope, found * bend)


class _Projected:
    """A function at the nodes, and its Hermite coefficients of as many degrees as are asked for."""

    def __init__(self, values: Float[np.ndarray, " nodes"]) -> None:
        self.values, self.square = values, float(values**2 @ nodes()[1])
        self.known: dict[int, np.ndarray] = {}

    def coefficients(self, degree: int) -> Float[np.ndarray, " degrees"]:
        if degree not in self.known:
            self.known[degree] = _weighted_polynomials(degree) @ self.values
        return self.known[degree]

    def missing(self, degree: int) -> float:
        """The share of the mean square beyond a degree."""
        found = self.coefficients(degree)
        return max(1 - float(found @ found) / max(self.square, _TINY), 0.0)
