"""Sampled correlation functions, covariances of data, and the one call for everything."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import toeplitz

from attractor.dynamics.mean_field import (
    GatedParameters,
    MeanFieldStatus,
    Phase,
    SampledCovariance,
    SamplingSettings,
    input_covariance_of,
    sample_correlators,
    solve_correlators,
    solve_mean_field,
)
from attractor.dynamics.mean_field.exponent import mean_field_exponent
from attractor.errors import ConfigError, InputDataError, ShapeError, UnsupportedError

UNGATED = GatedParameters(gain=2.0, open_update=True, open_reset=True)
QUICK = SamplingSettings(trajectories=128, settling=4, averaged=6, shortest=80.0, longest=80.0)
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


def simulated_variance(parameters, seed, units=500, step=0.1):
    """C_h(0) of one network, by Heun steps, without a reset gate."""
    rng = np.random.default_rng(seed)
    coupling, gating = rng.normal(size=(2, units, units)) / np.sqrt(units)
    h, z = rng.normal(size=(2, units))

    def flow(h, z):
        phi = np.tanh(parameters.gain * h)
        return (coupling @ phi - h) / (1 + np.exp(-parameters.update_gain * z)), gating @ phi - z

    found = []
    for t in range(3500):
        first = flow(h, z)
        second = flow(h + step * first[0], z + step * first[1])
        h, z = (x + step / 2 * (a + b) for x, a, b in zip((h, z), first, second, strict=True))
        if t > 1500:
            found.append(float(np.mean(h**2)))
    return np.mean(found)


@pytest.mark.slow
def test_sampled_variance_agrees_with_simulated_networks():
    """Finite networks scatter more than sampling errs: by about 0.02 for one of 500 units."""
    found = sample_correlators(MARGINAL)
    simulated = [simulated_variance(MARGINAL, seed) for seed in range(4)]
    assert found.status is MeanFieldStatus.CHAOTIC
    assert found.standard_error[0] < 3e-3
    assert found.variance == pytest.approx(0.570, abs=5e-3)
    assert found.variance == pytest.approx(np.mean(simulated), abs=0.03)
