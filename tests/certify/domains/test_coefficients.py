"""Coefficients, curves and facts: what is exact stays exact, and no error is larger than it must be."""

from fractions import Fraction

import numpy as np
import pytest
from numpy_rules import by_numpy

from attractor.certify.domains.algebra import enclose, plus, row_corners, scaled, shifted, times
from attractor.certify.domains.choices import is_multiple
from attractor.certify.domains.interval import TRANSCENDENTAL, UNIT, Interval, exactly
from attractor.certify.domains.polynomial import (
    Coefficient,
    Curve,
    Norm,
    Ranges,
    added,
    coefficient,
    finite_coefficient,
    multiplied,
    pieces,
    product_of,
    reciprocal,
    sum_of,
    symbol_form,
    through,
)
from attractor.certify.domains.vectors import is_short, norm_form, normalised_form, softmax_form


@pytest.fixture(autouse=True)
def _numpy():
    with by_numpy():
        yield


def interval(low, high):
    return Interval(np.array(low, float), np.array(high, float))


def symbol(low=(-1.0,), high=(1.0,)):
    size = len(low)
    return symbol_form(interval(low, high), exactly(np.eye(size)))


def test_a_number_or_array_is_known_exactly_unless_it_is_said_to_be_wrong():
    assert coefficient(3) == Coefficient(3.0, 0.0)
    assert coefficient(np.float64(-2.0), 0.25) == Coefficient(-2.0, 0.5)
    assert coefficient(np.array(2.0)) == Coefficient(2.0, 0.0)
    array = coefficient(np.array([1.0, -2.0]), 0.5)
    np.testing.assert_array_equal(array.error, [0.5, 1.0])
    assert coefficient(np.array([1.0, -2.0])).exact
    assert not array.exact
    assert coefficient(np.array([1.0, -2.0], np.float32), 0.5).exact, "in single precision nothing is widened"
    ends = array.interval
    np.testing.assert_array_equal(ends, [[0.5, -3.0], [1.5, -1.0]])


@pytest.mark.parametrize(
    ("known", "never"),
    [
        (Coefficient(2.0), True), (Coefficient(-1.0), True), (Coefficient(0.0), False),
        (Coefficient(np.inf), False), (Coefficient(np.nan), False), (Coefficient(2.0, 0.1), False),
        (Coefficient(np.array(2.0)), False),
    ],
)  # fmt: skip
def test_a_factor_is_never_zero_if_it_is_a_number_that_is_known_to_be_finite_and_none(known, never):
    assert known.never_zero == never


def test_whole_numbers_and_signs_are_added_and_multiplied_exactly():
    assert added(Coefficient(3.0), Coefficient(-5.0)) == Coefficient(-2.0, 0.0)
    assert multiplied(Coefficient(3.0), Coefficient(-5.0)) == Coefficient(-15.0, 0.0)
    wrong = Coefficient(0.1, 0.5)
    for one, other in ((Coefficient(-1.0), wrong), (wrong, Coefficient(-1.0))):
        assert multiplied(one, other) == Coefficient(-0.1, 0.5)
    for one, other in ((Coefficient(1.0), wrong), (wrong, Coefficient(1.0))):
        assert multiplied(one, other) == wrong
    large = 2.0**53 - 1
    assert added(Coefficient(large), Coefficient(-1.0)).exact
    assert not added(Coefficient(large), Coefficient(1.0)).exact
    assert not added(Coefficient(0.5), Coefficient(0.25)).exact


@pytest.mark.parametrize("wrap", [float, np.array])
def test_the_error_of_a_sum_and_a_product_is_that_of_its_parts_and_one_rounding(wrap):
    one, other = Coefficient(wrap(0.3), 0.01), Coefficient(wrap(-0.7), 0.02)
    total, both = added(one, other), multiplied(one, other)
    assert 0.03 <= total.error <= 2 * 0.03 + 1e-12
    exact = 0.01 * 0.7 + 0.02 * (0.3 + 0.01)
    assert exact <= both.error <= 2 * exact + 1e-12
    for made in (
        added(Coefficient(wrap(0.3)), Coefficient(wrap(0.4))),
        multiplied(Coefficient(wrap(0.3)), Coefficient(wrap(0.4))),
    ):
        assert UNIT * abs(made.value) <= made.error <= 2 * UNIT * abs(made.value)
    half = multiplied(Coefficient(wrap(0.3)), other)
    assert 0.3 * 0.02 <= half.error <= 2 * 0.3 * 0.02 + 1e-12
    half = multiplied(one, Coefficient(wrap(-0.7)))
    assert 0.7 * 0.01 <= half.error <= 2 * 0.7 * 0.01 + 1e-12


def test_one_over_a_power_of_two_is_exact_and_one_over_zero_is_no_number():
    for power in (0.25, -8.0, 1):
        assert reciprocal(power) == Coefficient(1 / power, 0.0)
    third = reciprocal(3.0)
    assert (
        abs(Fraction(third.value) - Fraction(1, 3))
        <= Fraction(third.error)
        <= Fraction(1, 3) * Fraction(2.1 * UNIT)
    )
    assert np.isnan(reciprocal(0.0).value)
    found = reciprocal(np.array([4.0, 0.0, -2.0]))
    np.testing.assert_array_equal(found.value, [0.25, np.nan, -0.5])
    assert found.error[0] == 2 * UNIT * 0.25


def test_an_infinite_factor_is_no_number_where_it_is_infinite():
    assert finite_coefficient(2.0) == Coefficient(2.0, 0.0)
    assert np.isnan(finite_coefficient(np.inf).value)
    np.testing.assert_array_equal(finite_coefficient(np.array([1.0, -np.inf])).value, [1, np.nan])
    np.testing.assert_array_equal(finite_coefficient(np.array([1.0, 2.0])).value, [1, 2])


def curve(base, value, slope):
    return Curve(base, lambda p: Ranges(interval(*value), interval(*slope)))


def test_curves_of_one_quantity_are_added_multiplied_and_followed_by_their_rules():
    base = symbol()
    one, other = curve(base, (1, 2), (3, 4)), curve(base, (-1, 5), (0.5, 1))
    whole = interval(-1, 1)
    np.testing.assert_allclose(sum_of(one, other).ranges(whole).value, [0, 7], atol=1e-280)
    np.testing.assert_allclose(sum_of(one, other).ranges(whole).slope, [3.5, 5])
    both = product_of(one, other).ranges(whole)
    np.testing.assert_allclose(both.value, [-2, 10])
    np.testing.assert_allclose(both.slope, [1 * 0.5 - 4, 2 * 1 + 20])  # f g' + f' g
    after = through(one, lambda v: interval(v.low + 10, v.high + 10), lambda v: interval(-v.high, -v.low))
    np.testing.assert_allclose(after.ranges(whole).value, [11, 12])
    np.testing.assert_allclose(after.ranges(whole).slope, [-8, -3])
    assert sum_of(one, curve(symbol(), (0, 1), (0, 1))) is None
    assert product_of(one, curve(symbol(), (0, 1), (0, 1))) is None


def test_pieces_cover_an_interval_and_share_their_ends_where_it_may_be_cut():
    low, high = pieces(interval([0.0, -1.0], [1.0, 3.0]), 4, np.array([True, False]))
    np.testing.assert_allclose(low[:, 0], [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(high[:, 0], [0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(low[1:, 0], high[:-1, 0])
    np.testing.assert_array_equal(low[:, 1], [-1] * 4)
    np.testing.assert_array_equal(high[:, 1], [3] * 4)
    whole = pieces(interval([0.1], [0.7]), 7, np.array([True]))
    assert (whole.low[0], whole.high[-1]) == (0.1, 0.7)


def test_what_a_form_is_zero_with_is_known_of_multiples_only():
    x = symbol()
    assert scaled(x, coefficient(2.0)).zeros == (x, True)
    assert scaled(x, coefficient(0.0)).zeros == (x, False)
    assert scaled(x, coefficient(np.array([2.0]))).zeros == (x, False)
    assert shifted(x, 0.5).zeros is None


def test_a_form_is_a_multiple_of_another_one_if_all_their_terms_are():
    x, y = symbol(), symbol()
    gap = plus(scaled(x, coefficient(2.0)), scaled(y, coefficient(-1.0)))
    assert is_multiple(scaled(gap, coefficient(-3.0)), gap)
    assert is_multiple(shifted(scaled(x, coefficient(3.0)), -0.75), shifted(x, -0.25))
    assert not is_multiple(shifted(scaled(x, coefficient(3.0)), -0.7), shifted(x, -0.25))
    assert not is_multiple(plus(x, y), gap)
    assert not is_multiple(x, gap)
    assert not is_multiple(gap, x)
    assert is_multiple(scaled(x, coefficient(0.0)), gap), "nothing is zero wherever the gap is"
    assert not is_multiple(gap, scaled(x, coefficient(0.0)))
    assert not is_multiple(scaled(x, coefficient(np.array([2.0]))), x), "not known while tracing"
    assert not is_multiple(scaled(x, Coefficient(2.0, 0.1)), x)


def ends(form):
    return [float(end[0]) for end in enclose(form).value]


def test_a_polynomial_takes_its_extremes_at_corners_and_parts_that_share_nothing_on_their_own():
    x, y, z = (symbol((low,), (high,)) for low, high in ((-1.0, 2.0), (0.5, 3.0), (-2.0, -1.0)))
    assert ends(times(x, y)) == pytest.approx([-3, 6])
    assert ends(plus(times(x, y), scaled(x, coefficient(-3.0)))) == pytest.approx([-5, 2.5])  # x (y - 3)
    assert ends(plus(times(x, y), z)) == pytest.approx([-5, 5])
    assert ends(plus(plus(x, z), scaled(x, coefficient(-1.0)))) == pytest.approx([-2, -1])
    assert ends(times(plus(x, z), y)) == pytest.approx([-9, 3])
    assert ends(shifted(scaled(y, coefficient(-2.0)), 1.0)) == pytest.approx([-5, 0])


def test_errors_of_coefficients_widen_both_ends():
    x = symbol((1.0,), (2.0,))
    low, high = ends(scaled(x, Coefficient(3.0, 0.5)))
    assert 3 - 2 <= low <= 2.5
    assert 7 <= high <= 6 + 2 + 1e-9


def test_errors_of_the_coefficients_of_products_widen_by_the_size_of_the_product():
    both = scaled(times(symbol((1.0,), (2.0,)), symbol((-3.0,), (4.0,))), Coefficient(3.0, 0.25))
    low, high = ends(both)
    assert -18 - 2 * 4 * 0.25 * 8 <= low <= -18 - 0.25 * 6
    assert 24 + 0.25 * 8 <= high <= 24 + 2 * 4 * 0.25 * 8


def test_a_product_of_more_than_six_symbols_closes_its_factors():
    """Two factors of three symbols each stay open; a third one makes one symbol of what came before."""
    factors = [symbol() for _ in range(7)]
    product = factors[0]
    for factor in factors[1:6]:
        product = times(product, factor)
    assert len(product.symbols) == 6
    assert len(times(product, factors[6]).symbols) == 2
    assert len(times(times(factors[0], factors[1]), factors[0]).symbols) == 2, "a shared symbol closes both"


def test_the_rows_of_a_form_are_widened_by_the_size_of_what_cancels():
    """0.1 a + 0.2 b - 0.3 c, where all three have slope 1 along one axis: 2.8e-17, of terms of 0.6."""
    parts = [symbol_form(interval([0.0], [1.0]), exactly(np.ones((1, 1)))) for _ in range(3)]
    form = scaled(parts[0], coefficient(0.1))
    for part, weight in zip(parts[1:], (0.2, -0.3), strict=True):
        form = plus(form, scaled(part, coefficient(weight)))
    found = float(row_corners(form).max())
    operations = 6 + 4 * 3 + 2  # of the row, and of the coefficient of each symbol
    assert found == pytest.approx(2 * operations * UNIT * 0.6, rel=0.05)


def test_the_rows_of_a_form_hold_the_width_of_what_it_is_made_of():
    wide = symbol_form(interval([0.0], [1.0]), interval([[-1.0, 2.0]], [[3.0, 2.5]]))
    np.testing.assert_allclose(row_corners(wide).max(axis=0), [[3, 2.5]])
    np.testing.assert_allclose(
        row_corners(scaled(wide, Coefficient(-2.0, 0.5))).max(axis=0), [[9, 7.5]], rtol=0.1
    )
    sloped = symbol_form(
        interval([0.0], [1.0]), interval([[-1.0, 2.0]], [[3.0, 2.5]]), interval([-4.0], [0.5])
    )
    np.testing.assert_allclose(row_corners(sloped).max(axis=0), [[12, 10]])
    product = times(symbol((2.0,), (3.0,)), symbol((-5.0,), (1.0,)))
    np.testing.assert_allclose(row_corners(product).max(axis=0), [[4]])  # |y + x|
    assert row_corners(product).shape == (4, 1, 1)


def test_a_slope_that_is_not_known_has_rows_without_bound():
    lost = symbol_form(interval([0.0], [1.0]), interval([[np.nan]], [[np.nan]]))
    assert row_corners(lost).max() == np.inf


def test_a_form_of_too_many_corners_is_bounded_by_its_range():
    """Nine slopes have 512 corners, more than are looked at; the hull of the derivative holds as well."""
    form = None
    for _ in range(9):
        one = symbol_form(interval([0.0], [1.0]), exactly(np.ones((1, 1))), interval([-1.0], [0.5]))
        form = one if form is None else plus(form, one)
    assert row_corners(form).shape[0] == 1
    np.testing.assert_allclose(row_corners(form), [[[9]]], rtol=1e-12)
    few = symbol_form(interval([0.0], [1.0]), exactly(np.ones((1, 1))), interval([-1.0], [0.5]))
    assert row_corners(few).shape[0] == 2


@pytest.mark.parametrize(("entries", "short"), [(64, True), (65, False)])
def test_the_jacobian_of_a_function_of_a_vector_is_written_out_up_to_64_entries(entries, short):
    assert is_short(symbol([0.0] * entries, [1.0] * entries)) is short


def test_a_softmax_is_widened_by_the_roundings_of_its_sum_and_the_size_of_its_arguments():
    low, high = np.zeros(3), np.array([0.0, 0.0, 0.0])
    found = enclose(softmax_form(symbol_form(Interval(low, high), exactly(np.eye(3))))).value
    allowed = 2.0**-51 * 2 * (TRANSCENDENTAL + 3)
    np.testing.assert_allclose(found.high * 3 - 1, allowed, rtol=0.05)
    np.testing.assert_allclose(1 - found.low * 3, allowed, rtol=0.05)
    far = symbol_form(Interval(np.array([0.0, 9.0]), np.array([0.0, 9.0])), exactly(np.eye(2)))
    spread = enclose(softmax_form(far)).value
    share = np.exp([-9.0, 0.0]) / (1 + np.exp(-9.0))
    np.testing.assert_allclose(spread.high / share - 1, 2.0**-51 * 36 * 10, rtol=0.05)


def test_a_softmax_takes_its_extremes_at_corners_and_its_slopes_stay_below_a_quarter():
    low, high = np.array([-1.0, 0.0, 0.5]), np.array([1.0, 0.5, 2.0])
    found = enclose(softmax_form(symbol_form(Interval(low, high), exactly(np.eye(3)))))

    def share(own, others):
        return np.array([
            1 / (1 + sum(np.exp(others[j] - own[i]) for j in range(3) if j != i)) for i in range(3)
        ])

    np.testing.assert_allclose(found.value, [share(low, high), share(high, low)], rtol=1e-12)
    value = found.value
    for i in range(3):
        for j in range(3):
            if i == j:
                most = min(0.25, value.high[i] * (1 - value.low[i]))
                ends = max(0, value.low[i] * (1 - value.high[i])), most
            else:
                ends = max(-0.25, -value.high[i] * value.high[j]), -value.low[i] * value.low[j]
            np.testing.assert_allclose(
                [found.jacobian.low[i, j], found.jacobian.high[i, j]], ends, rtol=1e-12
            )


def test_a_norm_is_bounded_by_its_ends_and_its_slopes_by_the_nearest_one():
    low, high = np.array([0.3, -0.8]), np.array([0.4, 0.6])
    vector = symbol_form(Interval(low, high), exactly(np.eye(2)))
    found = enclose(norm_form(Norm(vector, 4.0, 0.25, 0.5)))
    ends = np.sqrt([4 * 0.09 + 0.25, 4 * (0.16 + 0.64) + 0.25])
    np.testing.assert_allclose(found.value, ends, rtol=1e-12)
    steep = np.minimum(2, 4 * np.array([0.4, 0.8]) / ends[0])
    np.testing.assert_allclose(found.jacobian, [[0, -steep[1]], [steep[0], steep[1]]], rtol=1e-12, atol=1e-12)
    zero = symbol_form(Interval(-high, high), exactly(np.eye(2)))
    np.testing.assert_allclose(
        enclose(norm_form(Norm(zero, 1.0, 0.0, 0.5))).jacobian, [[-1, -1], [1, 1]], rtol=1e-12
    )


def test_a_vector_divided_by_its_norm_stays_on_the_sphere_and_its_slopes_below_one_over_the_nearest_norm():
    low, high = np.array([0.3, -0.8]), np.array([0.4, 0.6])
    vector = symbol_form(Interval(low, high), exactly(np.eye(2)))
    found = enclose(normalised_form(Norm(vector, 4.0, 0.25, -0.5)))
    nearest, farthest = np.sqrt([4 * 0.09 + 0.25, 4 * (0.16 + 0.64) + 0.25])
    np.testing.assert_allclose(found.value.low, [0.3 / farthest, -0.5], rtol=1e-12)
    np.testing.assert_allclose(found.value.high, [0.5, 0.5], rtol=1e-12)
    share = 4 * (0.3 / farthest) ** 2
    np.testing.assert_allclose(found.jacobian.low[0], [0, -0.5 / nearest], atol=1e-12)
    np.testing.assert_allclose(found.jacobian.high[0], [(1 - share) / nearest, 0.5 / nearest], rtol=1e-12)
    np.testing.assert_allclose(found.jacobian.low[1], [-0.5 / nearest, 0], atol=1e-12)
    np.testing.assert_allclose(found.jacobian.high[1], [0.5 / nearest, 1 / nearest], rtol=1e-12)


def test_a_jacobian_is_multiplied_by_those_of_its_arguments():
    """y = |p| of p = (x1 + x2, x1 - x2) on a box: rows times columns, with signs kept."""
    inner = np.array([[1.0, 1.0], [1.0, -1.0]])
    vector = symbol_form(interval([3.0, 3.9], [3.0, 4.1]), exactly(inner))
    found = enclose(norm_form(Norm(vector, 1.0, 0.0, 0.5))).jacobian
    steep = np.array([3.0, 4.1]) / np.hypot(3.0, 3.9)
    steep = np.minimum(steep, 1)
    np.testing.assert_allclose(found.low, [0, -steep[1]], atol=1e-12)
    np.testing.assert_allclose(found.high, [steep.sum(), steep[0]], rtol=1e-12)
