"""Sampled correlation functions, covariances of data, and the one call for everything."""

from dataclasses import replace

import numpy as np
import pytest
from dynamics_cases import Listener
from scipy.linalg import toeplitz

from attractor.errors import ConfigError, InputDataError, ShapeError, UnsupportedError
from attractor.theory.mean_field import (
    GatedParameters,
    MeanFieldStatus,
    Phase,
    SampledCovariance,
    SamplingSettings,
    input_covariance_of,
    sample_correlators,
    sample_exponent,
    solve_correlators,
    solve_mean_field,
)
from attractor.theory.mean_field.mean_field_solution import ExponentSolution, _phase, mean_field_exponent

UNGATED = GatedParameters(gain=2.0, open_update=True, open_reset=True)
QUICK = SamplingSettings(trajectories=128, settling=4, averaged=6, shortest=80.0, longest=80.0)
ONE_PERIOD = replace(QUICK, settling=5, averaged=8, shortest=160.0, longest=160.0)
MARGINAL = GatedParameters(gain=2.5, update_gain=3, open_reset=True)


@pytest.mark.slow
def test_sampling_agrees_with_the_closed_solution_within_its_error():
    exact, found = solve_correlators(UNGATED), sample_correlators(UNGATED, QUICK)
    assert 0 < found.standard_error[0] < 0.02
    assert abs(found.variance - exact.variance) < 4 * found.standard_error[0]
    early = found.lags < 3
    np.testing.assert_allclose(
        found.state[early], np.interp(found.lags[early], exact.lags, exact.state), atol=0.03
    )


@pytest.mark.slow
def test_the_same_seed_samples_the_same():
    few = replace(QUICK, trajectories=16, settling=1, averaged=2)
    first, second = (sample_correlators(MARGINAL, few) for _ in range(2))
    np.testing.assert_array_equal(first.state, second.state)
    assert sample_correlators(MARGINAL, replace(few, seed=1)).variance != first.variance


def test_a_period_that_is_too_short_is_told():
    found = sample_correlators(replace(MARGINAL, update_gain=30), QUICK)
    assert found.status is MeanFieldStatus.WINDOW_TOO_SHORT
    with pytest.raises(UnsupportedError, match="update_gain=30"):
        mean_field_exponent(found)


def test_a_strong_input_holds_a_sampled_network_at_its_fixed_point():
    found = solve_mean_field(replace(MARGINAL, input_deviation=3.0), QUICK)
    assert found.status is MeanFieldStatus.FIXED_POINT
    assert found.phase is Phase.DRIVEN_STABLE
    assert found.correlators.variance == pytest.approx(found.fixed_points[0].variance, rel=0.05)


@pytest.mark.parametrize(
    "parameters",
    [
        UNGATED,
        GatedParameters(gain=3.0, reset_gain=2, open_update=True),
        pytest.param(
            GatedParameters(2.45, reset_gain=10, reset_bias=-1, open_update=True), marks=pytest.mark.slow
        ),
    ],
)
def test_sampled_exponents_of_a_constant_gate_are_those_of_the_equations(parameters):
    sampled = sample_correlators(parameters, ONE_PERIOD)
    told, exact = Listener(), mean_field_exponent(solve_correlators(parameters)).value
    found = sample_exponent(sampled, ONE_PERIOD, told)
    assert 0 < found.standard_error < 0.08 * exact
    assert abs(found.value - exact) < 3 * found.standard_error
    assert (told.heard[0], told.heard[-1], told.closed) == ((1, 13), (13, 13), 1)


def test_sampling_tells_how_far_it_is_and_goes_on_with_longer_periods():
    told, settings = Listener(), replace(ONE_PERIOD, settling=1, averaged=2, shortest=20.0, longest=40.0)
    assert sample_correlators(MARGINAL, settings, told).iterations == 6
    assert told.heard == [(1, 3), (2, 3), (3, 3), (4, 6), (5, 6), (6, 6)]
    assert told.closed == 1


def test_an_exponent_that_is_out_of_sight_is_none():
    still = solve_mean_field(replace(UNGATED, gain=0.5)).correlators
    with pytest.raises(UnsupportedError, match="decayed to zero"):
        sample_exponent(still)
    moved = solve_correlators(replace(UNGATED, gain=0.01, input_covariance=lambda lags: 9 * np.exp(-lags)))
    assert moved.status is MeanFieldStatus.DRIVEN
    assert mean_field_exponent(moved).value < -0.98  # hardly any coupling: units decay by themselves
    assert sample_exponent(moved, ONE_PERIOD) is None


def test_a_gate_that_decides_nothing_still_decays_at_its_own_rate():
    driven = GatedParameters(
        0.8, open_update=True, reset_time=50, input_covariance=lambda lags: np.exp(-lags)
    )
    solved = solve_correlators(driven)
    found = sample_exponent(solved, replace(ONE_PERIOD, settling=12))
    assert found.value == mean_field_exponent(solved).value == -1 / 50
    assert found.standard_error == 0


def test_the_sign_of_an_uncertain_exponent_is_not_told():
    driven = replace(UNGATED, input_covariance=lambda lags: np.exp(-lags))
    correlators = solve_correlators(driven)
    phases = [
        _phase(correlators, ExponentSolution(value, 0.0, 1, 0.0, standard_error=0.01))
        for value in (0.02, 0.05, -0.05)
    ]
    assert phases == [Phase.UNKNOWN, Phase.DRIVEN_CHAOTIC, Phase.DRIVEN_STABLE]


def test_below_the_fold_nothing_is_sampled():
    found = solve_mean_field(GatedParameters(gain=1.5, update_gain=4, update_time=10))
    assert (found.status, found.phase) == (MeanFieldStatus.ZERO, Phase.STABLE)
    assert found.exponent.value == pytest.approx(-0.1)  # of z, which follows at its own rate


@pytest.mark.parametrize("wrong", [{"trajectories": 100}, {"settling": 0}, {"shortest": 300, "longest": 200}])
def test_sampling_settings_without_meaning_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SamplingSettings(**wrong)


@pytest.mark.parametrize(
    ("parameters", "status", "phase"),
    [
        (UNGATED, MeanFieldStatus.CHAOTIC, Phase.CHAOTIC),
        (GatedParameters(gain=1.9, reset_gain=4), MeanFieldStatus.ZERO, Phase.STABLE),
        (GatedParameters(gain=1.98, reset_gain=4), MeanFieldStatus.ZERO, Phase.TRANSIENT),
        (GatedParameters(gain=1.998, reset_gain=4), MeanFieldStatus.CHAOTIC, Phase.COEXISTENCE),
        (replace(UNGATED, input_deviation=0.3), MeanFieldStatus.CHAOTIC, Phase.DRIVEN_CHAOTIC),
        (replace(UNGATED, input_deviation=1), MeanFieldStatus.FIXED_POINT, Phase.DRIVEN_STABLE),
        (replace(UNGATED, bias=3), MeanFieldStatus.FIXED_POINT, Phase.DRIVEN_STABLE),
    ],
)
def test_phases_of_solved_networks(parameters, status, phase):
    found = solve_mean_field(parameters)
    assert (found.status, found.phase) == (status, phase)
    assert str(phase) == phase.value


def smooth_data(seed=0, length=800):
    noise = np.random.default_rng(seed).normal(size=(length, 2))
    data = np.zeros_like(noise)
    for t in range(1, length):
        data[t] = 0.9 * data[t - 1] + np.sqrt(1 - 0.81) * noise[t]
    return data + np.array([1.0, 0.0])


def test_covariance_of_data_is_its_mean_products_and_scales_with_the_weights():
    data = smooth_data()
    found = input_covariance_of(data, step=0.5, weight_deviation=0.3, longest=100)
    means = data.mean(axis=0)
    assert found.static == pytest.approx(0.09 * (means**2).sum())
    lag = 7
    products = ((data - means)[:-lag] * (data - means)[lag:]).sum() / len(data)
    assert found.values[lag] == pytest.approx(0.09 * products * (1 - lag / 100))
    assert found(np.array([0.5 * lag]))[0] == pytest.approx(found.values[lag] + found.static)
    assert found(np.array([1e6]))[0] == pytest.approx(found.static)


def test_covariance_of_data_is_a_covariance():
    found = input_covariance_of([smooth_data(0, 300), smooth_data(1, 77)], step=1)
    between = found(np.linspace(0, 200, 1001))
    assert np.linalg.eigvalsh(toeplitz(between)).min() > -1e-9 * between[0]


def test_stronger_data_ends_chaos():
    exponents = []
    for weight in (0.05, 1.5):
        covariance = input_covariance_of(smooth_data(), step=0.5, weight_deviation=weight)
        found = solve_mean_field(replace(UNGATED, input_covariance=covariance))
        assert found.status is MeanFieldStatus.DRIVEN
        assert found.fixed_points == ()
        assert found.edge is None
        exponents.append(found.exponent.value)
        assert found.phase is (Phase.DRIVEN_CHAOTIC if found.exponent.value > 0 else Phase.DRIVEN_STABLE)
    assert exponents[0] > 0.1
    assert exponents[1] < 0


def test_data_that_cannot_be_used_are_refused_with_their_place():
    data = smooth_data()
    data[3, 1] = np.nan
    with pytest.raises(InputDataError, match="sequence 1, step 3, channel 1"):
        input_covariance_of([smooth_data(), data], step=1)
    with pytest.raises(InputDataError, match="at least one sequence"):
        input_covariance_of([], step=1)
    with pytest.raises(ShapeError, match="sequence 1"):
        input_covariance_of([data[:3], data[:3, :1]], step=1)
    with pytest.raises(ConfigError, match="weight_deviation=-1"):
        input_covariance_of(smooth_data(), step=1, weight_deviation=-1)
    with pytest.raises(ConfigError, match="step=0"):
        SampledCovariance(0, np.ones(3))
    with pytest.raises(InputDataError, match="for 129 lags it gave an array of shape \\(1,\\)"):
        solve_correlators(replace(UNGATED, input_covariance=lambda lags: lags[:1]))
    with pytest.raises(InputDataError, match="nowhere larger"):
        SampledCovariance(1, np.array([1.0, 2.0]))


def simulated(parameters, seed, amplitude=0.0, units=600, step=0.1):
    """C_h(0) and the largest exponent of one network without a reset gate, by Heun steps of both.

    Every unit has an input of its own with covariance amplitude^2 exp(-lag / 2).
    """
    rng = np.random.default_rng(seed)
    coupling, gating = rng.normal(size=(2, units, units)) / np.sqrt(units)
    state, push = rng.normal(size=(4, units)), amplitude * rng.normal(size=units)
    gain, steepness = parameters.gain, parameters.update_gain

    def flow(state, push):
        h, z, dh, dz = state
        phi = np.tanh(gain * h)
        activity = np.stack([phi, gain * (1 - phi**2) * dh], axis=1)
        (current, more), (gate, gate_more) = (coupling @ activity).T, (gating @ activity).T
        openness = 1 / (1 + np.exp(-steepness * z))
        drift = current - h + push
        steered = steepness * openness * (1 - openness) * dz * drift
        return np.stack([openness * drift, gate - z, openness * (more - dh) + steered, gate_more - dz])

    variances, growth, kept = [], [], np.exp(-step / 2)
    for t in range(3500):
        new = kept * push + amplitude * np.sqrt(1 - kept**2) * rng.normal(size=units)
        first = flow(state, push)
        state = state + step / 2 * (first + flow(state + step * first, new))
        push, size = new, np.linalg.norm(state[2:])
        state[2:] /= size
        if t > 1500:
            variances.append(float(np.mean(state[0] ** 2)))
            growth.append(np.log(size) / step)
    return np.mean(variances), np.mean(growth)


@pytest.mark.slow
def test_what_is_sampled_agrees_with_simulated_networks():
    """Finite networks scatter more than sampling errs, their exponents lie some per cent below theory."""
    found = solve_mean_field(MARGINAL)
    variances, exponents = np.transpose([simulated(MARGINAL, seed) for seed in range(3)])
    assert found.status is MeanFieldStatus.CHAOTIC
    assert found.correlators.standard_error[0] < 3e-3
    assert found.correlators.variance == pytest.approx(0.570, abs=5e-3)
    assert found.correlators.variance == pytest.approx(np.mean(variances), abs=0.03)
    assert found.exponent.standard_error < 1e-3
    assert 0.85 < np.mean(exponents) / found.exponent.value < 1.05


@pytest.mark.slow
def test_a_strong_input_does_not_end_chaos_where_it_moves_the_update_gates():
    """It drives states away from where the gates let them go, and there a small change of a gate counts."""
    driven = replace(MARGINAL, input_covariance=lambda lags: 9 * np.exp(-lags / 2))
    constant = mean_field_exponent(solve_correlators(replace(driven, update_gain=0)))
    found = solve_mean_field(driven, SamplingSettings(trajectories=1024))
    assert constant.value < -0.1
    assert found.phase is Phase.DRIVEN_CHAOTIC
    exponents = [simulated(driven, seed, amplitude=3.0, units=1000)[1] for seed in range(2)]
    assert 0.75 < np.mean(exponents) / found.exponent.value < 1.05
