"""Chaotic correlation functions and exponents against closed forms and an independent eigenvalue problem."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from attractor.errors import ConfigError, UnsupportedError
from attractor.theory.mean_field import (
    GatedParameters,
    MeanFieldStatus,
    leading_edge,
    mean_field_exponent,
    sample_correlators,
    solve_correlators,
)
from attractor.theory.mean_field.gaussian import activation, correlator_series

UNGATED = GatedParameters(gain=2.0, open_update=True, open_reset=True)
SWITCH = GatedParameters(gain=2.0, reset_gain=10, reset_bias=-1, open_update=True)


@pytest.fixture(scope="module")
def ungated():
    return solve_correlators(UNGATED)


def potential(solution):
    """V(C_h(0)) with V(C) = -C^2/2 + int_0^C <phi phi>, zero at the solution without gates."""
    gain, variance = solution.parameters.gain, solution.variance
    integral = correlator_series(activation(0.0), gain**2 * variance).integral(gain**2 * variance) / gain**2
    return -(variance**2) / 2 + integral


def test_ungated_chaos_conserves_energy(ungated):
    assert ungated.status is MeanFieldStatus.CHAOTIC
    assert ungated.variance == pytest.approx(0.481201, abs=1e-6)
    assert abs(potential(ungated)) < 1e-8
    assert abs(ungated.tail) < 1e-4


def test_ungated_exponent_is_that_of_the_ground_state(ungated):
    """The lowest energy of -d^2 + 1 - <phi' phi'>, by finite differences on both sides of lag 0."""
    lags = np.linspace(-30, 30, 801)
    covariance = CubicSpline(ungated.lags, ungated.state)(np.abs(lags))
    gain = UNGATED.gain
    slope = (
        gain**2
        * correlator_series(activation(0.0), gain**2 * ungated.variance).at(gain**2 * covariance).slope
    )
    step = lags[1] - lags[0]
    hopping = np.full(len(lags) - 1, -1 / step**2)
    energy = np.linalg.eigvalsh(
        np.diag(2 / step**2 + 1 - slope) + np.diag(hopping, 1) + np.diag(hopping, -1)
    )[0]
    found = mean_field_exponent(ungated)
    assert found.value == pytest.approx(-1 + np.sqrt(1 - energy), abs=2e-4)
    assert found.value == pytest.approx(0.11246, abs=1e-5)
    assert found.residual < 1e-8


def test_close_to_the_onset_nothing_slows_down():
    found = solve_correlators(replace(UNGATED, gain=1.001))
    # C_h(0) = g - 1 and kappa = (g - 1)^2 / 2 with corrections of relative order g - 1
    assert found.variance == pytest.approx(1e-3, rel=3e-3)
    assert abs(potential(found)) < 1e-9 * found.variance
    assert mean_field_exponent(found).value == pytest.approx(5e-7, rel=0.01)


def test_a_constant_update_gate_only_changes_the_unit_of_time(ungated):
    slow = solve_correlators(replace(UNGATED, open_update=False, update_bias=-1.0))
    rate = 1 / (1 + np.e)
    assert slow.variance == pytest.approx(ungated.variance, abs=1e-7)
    assert mean_field_exponent(slow).value == pytest.approx(
        rate * mean_field_exponent(ungated).value, abs=1e-6
    )


@pytest.mark.slow
def test_an_open_reset_gate_is_the_limit_of_a_large_bias(ungated):
    nearly = solve_correlators(replace(UNGATED, open_reset=False, reset_bias=40.0, reset_gain=1.0))
    assert nearly.variance == pytest.approx(ungated.variance, abs=1e-8)


def test_the_gated_solution_solves_its_differential_equation():
    """C_h - C_h'' / s^2 = C_phi C_sr by fourth-order differences of the result, away from the ends."""
    found = solve_correlators(GatedParameters(gain=3.0, reset_gain=1, reset_bias=1, reset_time=2.0))
    step = found.lags[1]
    even = np.concatenate([found.state[2:0:-1], found.state])
    bend = (-even[4:] + 16 * even[3:-1] - 30 * even[2:-2] + 16 * even[1:-3] - even[:-4]) / (12 * step**2)
    error = found.state[:-2] - 4 * bend - (found.activity * found.openness)[:-2]
    assert np.abs(error).max() < 2e-3 * found.variance
    assert found.variance == pytest.approx(0.265032, abs=1e-6)


def test_below_the_onset_everything_decays():
    found = solve_correlators(replace(UNGATED, gain=0.9))
    assert found.status is MeanFieldStatus.ZERO
    assert found.variance == 0
    assert mean_field_exponent(found).value == pytest.approx(-0.1, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("deviation", "exponent"), [(0.3, 0.0718), (0.635, 0.0009)])
def test_a_constant_input_weakens_ungated_chaos(deviation, exponent):
    found = solve_correlators(replace(UNGATED, input_deviation=deviation))
    assert found.status is MeanFieldStatus.CHAOTIC
    assert found.residual < 1e-9
    assert mean_field_exponent(found).value == pytest.approx(exponent, abs=1e-4)


def test_a_strong_input_leaves_a_fixed_point_with_the_edge_of_its_spectrum():
    found = solve_correlators(replace(UNGATED, input_deviation=1.0))
    edge = leading_edge(found.parameters)
    assert found.status is MeanFieldStatus.FIXED_POINT
    assert found.variance == pytest.approx(edge.fixed_point.variance, rel=1e-9)
    assert mean_field_exponent(found).value == pytest.approx(edge.growth, abs=1e-7)


def test_a_covariance_that_does_not_change_acts_as_a_constant_input():
    constant = solve_correlators(replace(UNGATED, input_deviation=0.3))
    same = solve_correlators(replace(UNGATED, input_covariance=lambda lags: 0.09 + 0 * lags))
    assert same.variance == pytest.approx(constant.variance, abs=1e-7)
    assert same.status is MeanFieldStatus.DRIVEN


def test_a_changing_update_gate_has_no_closed_form():
    with pytest.raises(UnsupportedError, match="update_gain=3"):
        solve_correlators(GatedParameters(update_gain=3))


@pytest.mark.parametrize(
    "wrong", [{"gain": -1}, {"reset_time": 0}, {"bias": float("nan")}, {"input_deviation": -0.1}]
)
def test_parameters_without_meaning_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GatedParameters(**wrong)


TABLE = [
    ({"gain": 1.5, "open_reset": True}, 0.332305, 0.04675),
    ({"gain": 3, "open_reset": True}, 0.605147, 0.23546),
    ({"gain": 3, "reset_gain": 2}, 0.107995, 0.13197),
    ({"gain": 2.5, "reset_gain": 4}, 0.093817, 0.15345),
    ({"gain": 2.8, "reset_gain": 10, "reset_bias": -1}, 0.105468, 0.29329),
    ({"gain": 2.45, "reset_gain": 10, "reset_bias": -1}, 0.066867, 0.24598),
]
"""Computed independently of this code, by damped iteration; digits are good to one in the last place."""


@pytest.mark.slow
@pytest.mark.parametrize(("case", "variance", "exponent"), TABLE)
def test_table_of_chaotic_solutions(case, variance, exponent):
    found = solve_correlators(GatedParameters(open_update=True, **case))
    assert found.variance == pytest.approx(variance, abs=1.5e-6)
    assert mean_field_exponent(found).value == pytest.approx(exponent, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("deviation", "exponent"),
    [(0.1, 0.127), (0.2, 0.110), (0.4, 0.066), (0.8, -0.004), (2.0, -0.187)],
)
def test_weak_input_makes_a_switching_network_chaotic_and_strong_input_ends_it(deviation, exponent):
    found = solve_correlators(replace(SWITCH, input_deviation=deviation))
    assert mean_field_exponent(found).value == pytest.approx(exponent, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("gain", [2.25, 2.05, 2.0])
def test_a_switching_network_below_its_onset_decays(gain):
    found = solve_correlators(replace(SWITCH, gain=gain))
    assert found.status is MeanFieldStatus.ZERO
    assert mean_field_exponent(found).value == pytest.approx(gain / (1 + np.e) - 1, abs=1e-8)


@pytest.mark.slow
def test_an_endless_gain_gives_the_solution_for_signs():
    """For phi = sign the potential vanishes at C_h(0) = 2 (1 - 2 / pi); corrections are of order 1 / g^2."""
    errors = [
        abs(solve_correlators(replace(UNGATED, gain=gain)).variance - 2 * (1 - 2 / np.pi))
        for gain in (20.0, 40.0)
    ]
    assert errors[1] < 1e-3
    assert errors[1] < 0.35 * errors[0]


@pytest.mark.slow
def test_sampling_finds_the_closed_solution_of_a_gated_network():
    parameters = GatedParameters(gain=3.0, reset_gain=2, open_update=True)
    exact, found = solve_correlators(parameters), sample_correlators(parameters)
    assert found.status is MeanFieldStatus.CHAOTIC
    assert abs(found.variance - exact.variance) < 4 * found.standard_error[0] + 2e-4
