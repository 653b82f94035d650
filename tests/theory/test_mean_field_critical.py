"""Fixed points, critical gains and marginal stability against thresholds, tables and direct integration."""

import numpy as np
import pytest
from scipy.integrate import quad

from attractor.errors import ConfigError, UnsupportedError
from attractor.theory.mean_field import (
    GatedParameters,
    Phase,
    chaos_threshold,
    chaotic_branch,
    critical_gains,
    fixed_point_gain,
    fold_gain,
    fold_threshold,
    leading_edge,
    marginal_range,
    mean_field_fixed_points,
    stability_index,
)


def gated(reset_gain, reset_bias=0, **more):
    return GatedParameters(reset_gain=reset_gain, reset_bias=reset_bias, open_update=True, **more)


def test_fixed_points_of_a_switching_network():
    zero, lower, upper = mean_field_fixed_points(gated(10, -1, gain=2.15))
    assert (zero.variance, zero.stable) == (0, True)
    assert (lower.variance, upper.variance) == pytest.approx((0.01476, 0.07231), abs=1e-5)
    assert (lower.stability_index, upper.stability_index) == pytest.approx((1.574, 1.946), abs=1e-3)


def test_fixed_points_solve_their_equation_and_lie_on_the_curve_of_gains():
    parameters = gated(4, gain=2.3)
    _, point = mean_field_fixed_points(parameters)
    assert point.variance == pytest.approx(point.activity * point.openness, rel=1e-10)
    gains = fixed_point_gain(parameters, np.array([2.3**2 * point.variance]))
    assert gains[0] == pytest.approx(2.3, abs=1e-9)


def test_two_fixed_points_just_above_a_fold_are_both_found():
    fold = fold_gain(gated(10, -1))
    assert fold == pytest.approx(2.06904, abs=1e-5)
    for gain, count in ((fold - 1e-6, 1), (fold + 1e-6, 3)):
        assert len(mean_field_fixed_points(gated(10, -1, gain=gain))) == count


@pytest.mark.parametrize(("gain", "index"), [(1.5, 1.139), (2, 1.363), (3, 1.860), (3.2732, 2.0)])
def test_stability_index_without_gates(gain, index):
    point = mean_field_fixed_points(GatedParameters(gain=gain, open_reset=True))[-1]
    assert point.stability_index == pytest.approx(index, abs=6e-4)


def test_an_input_or_a_bias_moves_the_fixed_point_and_leaves_one():
    (driven,) = mean_field_fixed_points(gated(10, -1, gain=2, input_deviation=0.8))
    assert driven.variance == pytest.approx(driven.activity * driven.openness + 0.64, rel=1e-10)
    (biased,) = mean_field_fixed_points(GatedParameters(gain=1, bias=0.5, open_reset=True))
    assert biased.variance == pytest.approx(biased.activity, rel=1e-10)
    assert mean_field_fixed_points(GatedParameters(input_covariance=np.exp)) == ()


@pytest.mark.parametrize("bias", [-1.0, 0.0, 0.5])
def test_above_the_threshold_fixed_points_appear_below_the_onset(bias):
    threshold, zero = fold_threshold(bias), 1 + np.exp(-bias)
    assert fold_gain(gated(0.95 * threshold, bias)) == pytest.approx(zero, rel=1e-12)
    assert fold_gain(gated(1.05 * threshold, bias)) < zero * (1 - 1e-6)


def test_thresholds_in_closed_form():
    assert fold_threshold(0) == pytest.approx(np.sqrt(8))
    assert chaos_threshold(0) == pytest.approx(np.sqrt(12))
    assert fold_threshold(np.log(2) + 1e-9) is None
    assert chaos_threshold(np.log(5 / 3) + 1e-9) is None


def test_all_lines_coincide_without_a_reset_gate():
    found = critical_gains(GatedParameters(open_reset=True))
    assert (found.zero, found.fold, found.chaos) == (1, 1, 1)
    assert not found.discontinuous


def test_a_bias_that_opens_the_reset_gate_makes_chaos_continuous():
    found = critical_gains(gated(6, 1))
    assert found.zero == pytest.approx(1.36788, abs=1e-5)
    assert found.chaos == found.fold == found.zero


def test_lines_and_phases_of_a_reset_gate():
    found = critical_gains(gated(4))
    assert found.fold == pytest.approx(1.96383, abs=1e-5)
    assert found.chaos == pytest.approx(1.9950, abs=1e-4)
    phases = [found.phase(gain) for gain in (1.9, 1.98, 1.997, 2.1)]
    assert phases == [Phase.STABLE, Phase.TRANSIENT, Phase.COEXISTENCE, Phase.CHAOTIC]


def test_the_branch_of_chaos_turns_at_its_fold_and_ends_where_zero_loses_stability():
    points = chaotic_branch(gated(6), (1e-5, 0.5))
    gains = np.array([point.gain for point in points])
    turn = int(np.argmin(gains))
    assert 0 < turn < len(points) - 1
    assert np.all(np.diff(gains[:turn]) < 0)
    assert np.all(np.diff(gains[turn:]) > 0)
    assert gains[-1] == pytest.approx(2, abs=1e-3)
    assert max(point.residual for point in points) < 1e-10
    with pytest.raises(ConfigError, match="variances"):
        chaotic_branch(gated(6), (1, 0.1))


def test_between_the_thresholds_fixed_points_appear_early_and_chaos_does_not():
    found = critical_gains(gated(3.2))
    assert found.fold < found.chaos == found.zero


def test_critical_gains_refuse_what_they_do_not_know():
    with pytest.raises(UnsupportedError, match="update_gain=2"):
        critical_gains(GatedParameters(update_gain=2))
    with pytest.raises(UnsupportedError, match="input or a bias"):
        critical_gains(gated(4, input_deviation=1))


LINES = [
    (0, 6, 1.87385, 1.9444),
    (0, 10, 1.75398, 1.8552),
    (0, 20, 1.62783, None),
    (-1, 10, 2.06904, 2.2868),
    (-1, 20, 1.79134, None),
]


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "gain", "fold", "chaos"), LINES)
def test_table_of_lines(bias, gain, fold, chaos):
    found = critical_gains(gated(gain, bias))
    assert found.zero == pytest.approx(1 + np.exp(-bias))
    assert found.fold == pytest.approx(fold, abs=1e-5)
    if chaos is not None:
        assert found.chaos == pytest.approx(chaos, abs=1e-4)
    assert found.fold < found.chaos < found.zero


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "factor", "below"), [(0, 1.02, True), (0, 0.98, False), (0.3, 1.05, True)])
def test_chaos_turns_discontinuous_at_its_threshold(bias, factor, below):
    found = critical_gains(gated(factor * chaos_threshold(bias), bias))
    assert found.discontinuous is below


@pytest.mark.parametrize(("gain", "ratio"), [(10, 1.19), (20, 1.08), (40, 1.04)])
def test_leading_edge_is_exponentially_small_in_the_gain_of_the_update_gate(gain, ratio):
    edge = leading_edge(GatedParameters(gain=1.6, update_gain=gain, open_reset=True))
    assert edge.logarithm / edge.asymptotic_logarithm == pytest.approx(ratio, abs=6e-3)
    assert edge.relaxation_time == pytest.approx(np.exp(-edge.logarithm))
    assert edge.marginal


def test_leading_edge_solves_its_equation_by_direct_integration():
    parameters = GatedParameters(
        gain=2.6, update_gain=3, update_bias=-0.5, reset_gain=4, reset_time=2.0, reset_bias=0.5
    )
    edge = leading_edge(parameters)
    q, growth = edge.fixed_point.activity, edge.growth

    def normal(function, variance):
        def weighted(x):
            return function(np.sqrt(variance) * x) * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)

        return quad(weighted, -9, 9, limit=200)[0]

    def update(z):
        return 1 / (1 + np.exp(-(3 * z - 0.5)))

    def reset(r):
        return 1 / (1 + np.exp(-(4 * r + 0.5)))

    slope = normal(lambda x: (2.6 * (1 - np.tanh(2.6 * x) ** 2)) ** 2, edge.fixed_point.variance)
    held = normal(lambda z: (update(z) / (growth + update(z))) ** 2, q)
    opened = normal(lambda r: (4 * reset(r) * (1 - reset(r))) ** 2, q)
    rest = normal(lambda r: reset(r) ** 2, q)
    assert growth > 0
    assert slope * held * (rest + q * opened / (1 + 2 * growth) ** 2) == pytest.approx(1, abs=1e-7)


def test_without_a_changing_update_gate_the_edge_is_that_of_a_circle():
    edge = leading_edge(GatedParameters(gain=0.8, open_reset=True, update_bias=1.0))
    assert edge.growth == pytest.approx(-0.2 / (1 + np.exp(-1.0)))
    assert not edge.marginal
    shut = leading_edge(GatedParameters(gain=0))
    assert shut.growth == pytest.approx(-0.5)


def test_a_stable_point_behind_a_changing_update_gate_is_as_slow_as_one_likes():
    edge = leading_edge(GatedParameters(gain=2, open_reset=True, update_gain=5, input_deviation=2))
    assert edge.fixed_point.stable
    assert (edge.growth, edge.relaxation_time) == (0, np.inf)


def test_marginal_range_ends_where_theory_says():
    lower, upper = marginal_range(GatedParameters(update_gain=20, open_reset=True))
    assert lower == pytest.approx(1, abs=1e-5)
    assert upper == pytest.approx(3.2732, abs=1e-4)
    shut = marginal_range(GatedParameters(update_gain=20, update_bias=-2, open_reset=True))
    assert shut[1] > upper
    with pytest.raises(ConfigError, match="update_gain=0"):
        marginal_range(GatedParameters(open_reset=True))


def test_small_variances_have_the_slopes_of_the_expansion():
    """g s_0 = 1 + u/2 (2 - alpha^2 (1 - s_0)(2 - 3 s_0)) for fixed points, to first order in u."""
    variance, bias, gain = 1e-4, -0.5, 2.0
    rest = 1 / (1 + np.exp(-bias))
    slope = (fixed_point_gain(gated(gain, bias), np.array([variance]))[0] * rest - 1) / variance
    assert slope == pytest.approx((2 - gain**2 * (1 - rest) * (2 - 3 * rest)) / 2, abs=2e-3)
    flat = stability_index(gated(gain, bias), np.array([1 / rest]), np.array([1e-12]))
    assert flat[0] == pytest.approx(1, abs=1e-9)
