"""A path that comes to rest has the exponents of its point, to rounding: attacked with many units at once."""

import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.dynamics import LyapunovSettings, lyapunov_exponents
from attractor.dynamics.lyapunov.at_rest import with_growth

ALL = LyapunovSettings(count="all")


def tanh_cell(seed, units, radius, bias):
    """x' = tanh(W x + b), and the logarithms of the moduli at the point that NumPy comes to."""
    source = np.random.default_rng(seed)
    weight = source.normal(size=(units, units))
    weight = np.float32(weight * radius / np.abs(np.linalg.eigvals(weight)).max())
    offset = np.float32(bias * source.normal(size=units))
    cell = attractor.cell(lambda u, x: jnp.tanh(weight @ x + offset), 0, jnp.full(units, 0.5))
    state = np.full(units, 0.5)
    for _ in range(5000):
        state = np.tanh(weight.astype(float) @ state + offset)
    values = np.linalg.eigvals((1 - state**2)[:, None] * weight)
    return cell, -np.sort(-np.log(np.abs(values)))


@pytest.mark.parametrize(
    ("seed", "units", "radius", "bias", "steps"),
    [(0, 20, 0.9, 0.0, 500), (1, 11, 0.6, 0.3, 5000), (2, 16, 0.97, 0.3, 900)],
)
def test_every_interval_at_rest_holds_its_eigenvalue(seed, units, radius, bias, steps):
    """The two exponents of a complex pair came out apart, with intervals of rounding beside each."""
    cell, truth = tanh_cell(seed, units, radius, bias)
    found = lyapunov_exponents(cell, steps, settings=ALL)
    assert found.resting.all()
    low, high = found.interval()
    assert np.sum((truth < low) | (truth > high)) == 0
    np.testing.assert_allclose(found.per_step, truth, atol=1e-10)
    assert np.max(high - low) < 1e-8
    assert "comes to rest" in found.remarks[0]
    assert "eigenvalues" in found.largest.estimator


def test_a_path_that_moves_or_is_driven_is_measured_as_before():
    """Chaos, a cycle of a map, inputs that change, and a path too short to arrive."""
    logistic = attractor.cell(lambda u, x: u[0] * x * (1 - x), 1, jnp.full(1, 0.3))
    for rate in (3.9, 3.2):
        assert not lyapunov_exponents(logistic, np.full((400, 1), rate)).resting.any()
    driven = np.full((400, 1), 2.5)
    assert lyapunov_exponents(logistic, driven).resting.all()
    driven[300] = 2.6
    assert not lyapunov_exponents(logistic, driven).resting.any()
    slow = np.full((400, 1), 1.01)
    assert not lyapunov_exponents(logistic, slow).resting.any()


def test_directions_without_growth_stay_minus_infinity():
    """Two units in a row that the third one feeds: nilpotent beside one that halves."""
    row = attractor.cell(lambda u, x: jnp.stack([0.5 * x[0], x[0], x[1]]), 0, jnp.ones(3))
    found = lyapunov_exponents(row, 300, settings=ALL)
    np.testing.assert_allclose(found.per_step, [np.log(0.5), -np.inf, -np.inf])
    assert found.infinite == 2


def test_growth_that_the_path_contradicts_is_not_replaced():
    """As where rounding drives a chaotic orbit to a point at its very end."""
    marks = np.array([50.0, 100.0])
    sums = np.stack([marks * 0.7, marks * -2.0], axis=1)
    assert with_growth(sums, marks, np.array([-0.1])) is None
    made = with_growth(sums[:, ::-1], marks, np.array([0.69]))
    np.testing.assert_allclose(made, np.stack([marks * -2.0, marks * 0.69], axis=1))
