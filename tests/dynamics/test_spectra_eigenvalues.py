"""Eigenvalues and time scales in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import linear
from spectra_cases import random_state

from attractor.cells import GRU, Elman, GatedFlow, discretise
from attractor.dynamics.jacobians import jacobian_spectrum, spectra_along, time_scale
from attractor.errors import ConfigError, DivergedError, InputDataError, ShapeError

KEY = jax.random.key(0)
RATES = [-1.0, 0.5, -2.5]


def test_a_linear_cell_has_the_eigenvalues_of_its_matrix():
    cell = linear(np.diag(RATES))
    found = jacobian_spectrum(cell, jnp.zeros(3))
    factors = 1 + 0.1 * np.array([0.5, -1.0, -2.5])
    np.testing.assert_allclose(found.values[0], factors, atol=1e-7)
    np.testing.assert_allclose(found.time_scales[0], -0.1 / np.log(factors), rtol=1e-6)
    np.testing.assert_allclose(found.radius, 1.05, atol=1e-7)
    assert not found.continuous


def test_time_scales_have_their_limits():
    np.testing.assert_allclose(
        time_scale([0.5, 1.0, 2.0, 0.0], continuous=False)[1:], [np.inf, -1 / np.log(2), 0.0]
    )
    np.testing.assert_allclose(time_scale(np.exp([-1 / 7, -1 / 3]), continuous=False), [7, 3])
    np.testing.assert_allclose(time_scale([-0.25 + 3j, 2.0, 1j], continuous=True), [4.0, -0.5, np.inf])
    np.testing.assert_allclose(time_scale(np.exp(-1 / 7), continuous=False, time_step=0.2), 1.4)


def test_a_flow_has_rates_and_its_map_their_exponentials():
    flow = GatedFlow(1, 6, key=KEY)
    state = random_state(flow)
    rates = jacobian_spectrum(flow, state, np.ones(1))
    assert rates.continuous
    assert rates.time_step is None
    step = jacobian_spectrum(discretise(flow, 1e-3, "euler"), state, np.ones(1))
    assert step.time_step == 1e-3
    np.testing.assert_allclose((step.values - 1) / 1e-3, rates.values, rtol=1e-9)


def test_the_slowest_ones_are_the_first_of_all():
    cell, state = Elman(1, 40, key=KEY), 0.3 * np.ones(40)
    every = jacobian_spectrum(cell, state).values[0]
    slowest = jacobian_spectrum(cell, state, count=6).values[0]
    np.testing.assert_allclose(np.sort(np.abs(slowest))[1:], np.sort(np.abs(every))[-5:], rtol=1e-9)
    flow = GatedFlow(1, 20, key=KEY)
    start = random_state(flow)
    rate = jacobian_spectrum(flow, start, count=4).right_edge
    np.testing.assert_allclose(rate, jacobian_spectrum(flow, start).right_edge, rtol=1e-9)


def test_along_a_trajectory_every_jacobian_is_that_before_its_step():
    cell, inputs = GRU(1, 5, key=KEY), np.random.default_rng(0).normal(size=(12, 1))
    found = spectra_along(cell, inputs, points=3)
    state = cell.initial_state()
    for step, row in enumerate(inputs):
        if step in (0, 6, 11):
            expected = jacobian_spectrum(cell, state, row).values[0]
            np.testing.assert_allclose(found.values[(0, 6, 11).index(step)], expected, atol=1e-5)
        state = cell(jnp.asarray(row, jnp.float32), state)
    assert spectra_along(cell, inputs, points=50).values.shape == (12, 5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda cell: jacobian_spectrum(cell, jnp.zeros(4)), ShapeError, r"\(4,\).*expected \(3,\)"),
        (lambda cell: jacobian_spectrum(cell, jnp.zeros((2, 3))), ShapeError, "one state"),
        (lambda cell: jacobian_spectrum(cell, jnp.zeros(3), np.ones(2)), ShapeError, r"expected \(1,\)"),
        (lambda cell: jacobian_spectrum(cell, jnp.full(3, np.nan)), InputDataError, "state has entries"),
        (
            lambda cell: jacobian_spectrum(cell, jnp.zeros(3), np.full(1, np.inf)),
            InputDataError,
            "input has entries",
        ),
        (
            lambda cell: jacobian_spectrum(cell, jnp.zeros(3), count=2),
            ConfigError,
            "count=2: expected 1 to 1",
        ),
        (lambda cell: spectra_along(cell, np.zeros((0, 1))), InputDataError, "without a step"),
        (lambda cell: spectra_along(cell, np.zeros((5, 1)), points=0), ConfigError, "points=0"),
        (lambda _: spectra_along(GatedFlow(1, 3, key=KEY), np.zeros((5, 1))), ConfigError, "discretise"),
        (
            lambda _: jacobian_spectrum(linear(np.diag([np.inf, 0, 0])), jnp.zeros(3)),
            DivergedError,
            "not finite",
        ),
    ],
)
def test_bad_requests_are_named(call, error, words):
    with pytest.raises(error, match=words):
        call(linear(np.diag(RATES)))
