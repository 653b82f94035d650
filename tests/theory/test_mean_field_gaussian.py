"""Gaussian correlators against double quadrature, closed forms and limits."""

import numpy as np
import pytest

from attractor.theory.mean_field.gaussian import Function, activation, correlator_series, gate, moment

_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def double_quadrature(function, variance, covariance):
    """<f(x) f(y)>, with x and y sharing a part of variance |covariance|."""
    rho = covariance / variance
    shared = np.sqrt(variance * abs(rho)) * _POINTS[:, None]
    own = np.sqrt(variance * (1 - abs(rho))) * _POINTS[None, :]
    first = function(shared + own) @ _WEIGHTS
    second = function(np.sign(rho) * shared + own) @ _WEIGHTS
    return float(_WEIGHTS @ (first * second))


FUNCTIONS = {
    "tanh": activation(0.0),
    "shifted tanh": activation(0.7),
    "gate": gate(2.0, -0.5),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.3, 0.95])
def test_correlators_agree_with_double_quadrature(name, rho):
    function, variance = FUNCTIONS[name], 1.3
    found = correlator_series(function, variance).at(np.array([rho * variance]))
    for part, oracle in ((found.value, function.value), (found.slope, function.slope)):
        assert part[0] == pytest.approx(double_quadrature(oracle, variance, rho * variance), abs=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_slope_and_curvature_are_the_derivatives_of_the_correlator(name):
    function, variance, covariance, step = FUNCTIONS[name], 1.3, 0.6, 1e-4

    def value(variance, covariance):
        return correlator_series(function, variance).at(np.array([covariance])).value[0]

    found = correlator_series(function, variance).at(np.array([covariance]))
    by_covariance = (value(variance, covariance + step) - value(variance, covariance - step)) / (2 * step)
    by_variance = (value(variance + step, covariance) - value(variance - step, covariance)) / (2 * step)
    assert found.slope[0] == pytest.approx(by_covariance, rel=1e-6)
    assert found.curvature[0] == pytest.approx(by_variance, rel=1e-5)


def test_correlators_of_polynomials_are_exact():
    cubic = Function(lambda x: x**3, lambda x: 3 * x**2)
    variance, covariance = 2.0, np.array([-1.5, 0.0, 0.5, 2.0])
    found = correlator_series(cubic, variance).at(covariance)
    np.testing.assert_allclose(
        found.value, 9 * variance**2 * covariance + 6 * covariance**3, rtol=1e-10, atol=1e-12
    )
    np.testing.assert_allclose(found.slope, 9 * variance**2 + 18 * covariance**2, rtol=1e-10)


def test_a_steep_tanh_approaches_the_arcsine_law():
    variance, rho = 900.0, np.array([0.1, 0.5, 0.9, 1.0])
    found = correlator_series(activation(0.0), variance).at(rho * variance).value
    # tanh differs from the sign on a share of about 1/30 of the line
    np.testing.assert_allclose(found, 2 / np.pi * np.arcsin(rho), atol=0.06)
    assert found[-1] == pytest.approx(float(moment(lambda x: np.tanh(x) ** 2, variance)), rel=1e-12)


def test_rounding_beyond_perfect_correlation_and_zero_variance_are_harmless():
    series = correlator_series(activation(0.0), 1.0)
    assert series.at(np.array([1 + 1e-12])).value == pytest.approx(series.at(np.array([1.0])).value)
    still = correlator_series(gate(3.0, 1.0), 0.0).at(np.zeros(2))
    np.testing.assert_allclose(still.value, 1 / (1 + np.exp(-1.0)) ** 2, rtol=1e-12)
    assert np.all(np.isfinite(still.curvature))


def test_integral_of_a_correlator_agrees_with_the_trapezoidal_rule():
    series = correlator_series(activation(0.0), 2.0)
    grid = np.linspace(0, 1.5, 2001)
    assert series.integral(1.5) == pytest.approx(np.trapezoid(series.at(grid).value, grid), rel=1e-6)


def test_mean_square_activity_is_concave_in_the_variance():
    """What rules out every solution but zero below the fold, see `fold_gain`."""
    variances = np.linspace(0.0, 40.0, 400)
    assert np.all(np.diff(moment(lambda x: np.tanh(x) ** 2, variances), 2) < 0)
