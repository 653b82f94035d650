"""Every number of the interval rules: ranges and slopes are held, and attained up to the stated rounding.

Bounds that are needlessly wide prove less than they could; they are mistakes like bounds that are too narrow.
"""

from itertools import pairwise

import numpy as np
import pytest
from numpy_rules import by_numpy
from scipy import special

from attractor.certify.domains.interval import (
    SCALAR,
    TINY,
    TRANSCENDENTAL,
    UNIT,
    Interval,
    above,
    add,
    below,
    contract,
    hull,
    integer_power,
    intersection,
    multiply,
    outward,
    real_power,
    widened,
)

INF = np.inf


@pytest.fixture(autouse=True)
def _numpy():
    with by_numpy():
        yield


def interval(low, high):
    return Interval(np.array(low, float), np.array(high, float))


def ends(found):
    return [float(found.low), float(found.high)]


def test_magnitude_and_width_of_intervals_on_either_side_of_zero():
    found = interval([-3.0, 1.0, -4.0], [2.0, 5.0, -1.0])
    np.testing.assert_array_equal(found.magnitude, [3, 5, 4])
    np.testing.assert_array_equal(found.width, [5, 4, 3])


def test_hull_and_intersection_of_overlapping_intervals():
    one, other = interval([0.0, 1.0], [2.0, 5.0]), interval([1.0, 0.0], [3.0, 4.0])
    np.testing.assert_array_equal(hull(one, other), [[0, 0], [3, 5]])
    np.testing.assert_array_equal(intersection(one, other), [[1, 1], [2, 4]])


def test_rounding_widens_by_twice_the_units_of_the_operations():
    found = widened(interval(8.0, 8.0), 3, np.asarray(4.0))
    assert ends(found) == [8.0 - 24 * UNIT, 8.0 + 24 * UNIT]
    found = outward(interval(-8.0, 4.0), 5)
    assert ends(found) == [-8.0 - 80 * UNIT, 4.0 + 40 * UNIT]
    assert ends(widened(interval(0.0, 0.0), 1, np.asarray(0.0))) == [-TINY, TINY]
    assert ends(outward(interval(0.0, 0.0), 1)) == [-TINY, TINY]


def test_a_sum_is_widened_by_one_operation_of_each_end():
    assert ends(add(interval(-3.0, 1.0), interval(-5.0, 3.0))) == [-8 - 16 * UNIT, 4 + 8 * UNIT]


def test_a_product_has_the_extremes_of_its_corners_and_is_widened_by_one_operation():
    cases = [((-2, 4), (-8, 1), (-32, 16)), ((-2, -1), (-8, -4), (4, 16)), ((2, 4), (1, 8), (2, 32)),
             ((-4, -2), (1, 2), (-8, -2)), ((0, 4), (-2, 2), (-8, 8))]  # fmt: skip
    for one, other, exact in cases:
        for first, second in ((one, other), (other, one)):
            low, high = ends(multiply(interval(*first), interval(*second)))
            error = 2 * UNIT * max(map(abs, exact))
            assert low == exact[0] - error
            assert high == exact[1] + error


def test_single_precision_is_not_widened():
    one = Interval(np.ones(1, np.float32), np.full(1, 2, np.float32))
    assert widened(one, 5, one.low) is one
    assert outward(one, 5) is one
    found = contract(np.ones((1, 1)), one, ((1,), (0,)))
    np.testing.assert_array_equal(found, [[1], [2]])


def test_no_dependence_on_an_unbounded_thing_is_none():
    nothing, everything = interval(0.0, 0.0), interval(-INF, INF)
    for pair in ((nothing, everything), (everything, nothing)):
        assert max(map(abs, ends(multiply(*pair)))) <= 2 * TINY
    assert ends(multiply(interval(0.0, 1.0), everything)) == [-INF, INF]
    assert ends(multiply(interval(2.0, 3.0), interval(1.0, INF)))[1] == INF
    assert ends(multiply(interval(-3.0, -2.0), interval(1.0, INF)))[0] == -INF
    assert np.isnan(ends(multiply(nothing, interval(np.nan, np.nan)))).all()


@pytest.mark.parametrize("axes", [((1,), (0,)), ((0, 1), (0, 1))])
def test_a_contraction_is_attained_up_to_the_roundings_of_its_terms(axes):
    generator = np.random.default_rng(0)
    matrix = generator.uniform(-1, 1, (3, 4))
    middle = generator.uniform(-1, 1, (4, 2) if axes[0] == (1,) else (3, 4))
    radius = generator.uniform(0, 1, middle.shape)
    found = contract(np.asarray(matrix), interval(middle - radius, middle + radius), axes)
    terms = np.prod([matrix.shape[axis] for axis in axes[0]])
    center, spread = (np.tensordot(*pair, axes) for pair in ((matrix, middle), (np.abs(matrix), radius)))
    size = np.tensordot(np.abs(matrix), np.maximum(abs(middle - radius), abs(middle + radius)), axes)
    allowed = 2 * (2 * terms + 6) * UNIT * size
    for end, exact, side in ((found.low, center - spread, -1), (found.high, center + spread, 1)):
        np.testing.assert_array_less(0.7 * allowed, side * (end - exact))
        np.testing.assert_array_less(side * (end - exact), 1.3 * allowed)


def test_a_contraction_of_what_has_no_bound_or_is_not_defined():
    ones, axes = np.ones((1, 2)), ((1,), (0,))
    for end in ("low", "high"):
        broken = interval([0.0, 0.0], [1.0, 1.0])._replace(**{end: np.asarray([0.0, np.nan])})
        assert np.isnan(contract(ones, broken, axes)).all()
    for low, high in ((0.0, INF), (-INF, 0.0), (-INF, INF)):
        for matrix in (ones, 0 * ones):
            found = contract(matrix, interval([0.0, low], [1.0, high]), axes)
            np.testing.assert_array_equal(found, [[-INF], [INF]])


FUNCTIONS = {
    "tanh": (np.tanh, lambda p: 1 / np.cosh(p) ** 2),
    "logistic": (special.expit, lambda p: special.expit(p) * special.expit(-p)),
    "erf": (special.erf, lambda p: 2 / np.sqrt(np.pi) * np.exp(-p * p)),
    "erfc": (special.erfc, lambda p: -2 / np.sqrt(np.pi) * np.exp(-p * p)),
    "exp": (np.exp, np.exp),
    "expm1": (np.expm1, np.exp),
    "log": (np.log, lambda p: 1 / p),
    "log1p": (np.log1p, lambda p: 1 / (1 + p)),
    "sqrt": (np.sqrt, lambda p: 0.5 / np.sqrt(p)),
    "rsqrt": (lambda p: 1 / np.sqrt(p), lambda p: -0.5 * p**-1.5),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda p: -np.sin(p)),
    "square": (np.square, lambda p: 2 * p),
    "reciprocal": (lambda p: 1 / p, lambda p: -1 / p**2),
}
ONLY_POSITIVE = ("log", "sqrt", "rsqrt")


def boxes(name):
    """Intervals on both sides of zero, around it and at it, short and long, and single points."""
    edges = [-3.0, -2.0, -0.9, -0.5, -0.01, 0.0, 0.02, 0.3, 1.0, 1.7, 4.0]
    least = {"log": 0.01, "rsqrt": 0.01, "sqrt": 0.01, "log1p": -0.95}.get(name, -INF)
    for low in edges:
        for high in edges:
            if least <= low <= high and not (name == "reciprocal" and low <= 0 <= high):
                yield low, high


def batch(name):
    """All of them as one interval of one length, whatever the function."""
    pairs = [*boxes(name)]
    return interval(*zip(*pairs, *[pairs[-1]] * (66 - len(pairs)), strict=True))


def assert_attained(found, box, function, within):
    """That the range is that of a function at many points of every box, some of which are its extremes."""
    for known, low, high in zip(
        zip(*map(np.asarray, found), strict=True), *map(np.asarray, box), strict=True
    ):
        special_points = [0, *np.pi * np.arange(-3, 4) / 2]
        exact = function(np.clip([*np.linspace(low, high, 501), *special_points], low, high))
        size, out = 1 + abs(exact).max(), [exact.min() - known[0], known[1] - exact.max()]
        assert -1e-15 * size <= min(out) <= max(out) <= within * size, (low, high)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_range_and_the_slopes_of_a_function_are_attained(name):
    box = batch(name)
    for function, found in zip(FUNCTIONS[name], SCALAR[name], strict=True):
        assert_attained(found(box), box, function, 1e-12)


REACH = {
    "tanh": (-1, 1), "logistic": (0, 1), "erf": (-1, 1), "erfc": (0, 2), "exp": (0, INF), "expm1": (-1, INF),
    "sin": (-1, 1), "cos": (-1, 1), "sqrt": (0, INF), "square": (0, INF),
}  # fmt: skip
STEEPEST = {
    "tanh": (0, 1), "logistic": (0, 0.25), "erf": (0, 1.2), "erfc": (-1.2, 0), "exp": (0, INF),
    "expm1": (0, INF), "sin": (-1, 1), "cos": (-1, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", REACH)
def test_rounding_takes_no_function_out_of_its_reach(name):
    """And at each end of its reach the bound is that end, not a little less."""
    low = 0.0 if name == "sqrt" else -700.0
    found = ends(SCALAR[name].value(interval(low, 700.0)))
    assert found[0] == REACH[name][0]
    assert found[1] == REACH[name][1] or REACH[name][1] == INF
    for point in (-700.0, -30.0, 0.0, 30.0, 700.0):
        if point >= low:
            inside = ends(SCALAR[name].value(interval(point, point)))
            assert REACH[name][0] <= inside[0] <= inside[1] <= REACH[name][1]
        if name in STEEPEST:
            least, most = STEEPEST[name]
            inside = ends(SCALAR[name].slope(interval(point, point)))
            assert least <= inside[0] <= inside[1] <= most


def test_a_transcendental_function_is_widened_by_twice_its_units():
    for name in ("exp", "log", "sqrt", "rsqrt"):
        low, high = ends(SCALAR[name].value(interval(3.0, 3.0)))
        exact = float(FUNCTIONS[name][0](3.0))
        for end in (low, high):
            assert 1.9 * TRANSCENDENTAL * UNIT < abs(end / exact - 1) < 2.1 * TRANSCENDENTAL * UNIT


UNDEFINED = {
    "log": [(-1, 1), (0, 1), (-2, -1)],
    "log1p": [(-2, 1), (-1, 1), (-3, -2)],
    "sqrt": [(-1, 1), (-2, -1)],
    "rsqrt": [(-1, 1), (0, 1), (-2, -1)],
    "reciprocal": [(-1, 1), (0, 1), (-1, 0)],
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_is_not_defined_somewhere_in_an_interval_has_no_range(name):
    for box in UNDEFINED[name]:
        assert np.isnan(ends(SCALAR[name].value(interval(*box)))).all(), box
        slope = ends(SCALAR[name].slope(interval(*box)))
        assert slope == [-INF, INF] or np.isnan(slope).all(), box


def test_a_root_has_a_value_at_zero_and_no_bounded_slope():
    low, high = ends(SCALAR["sqrt"].value(interval(0.0, 4.0)))
    assert low == 0.0
    assert 2.0 <= high <= 2 + 1e-13
    assert ends(SCALAR["sqrt"].slope(interval(0.0, 4.0))) == [-INF, INF]
    assert np.isfinite(ends(SCALAR["sqrt"].slope(interval(1e-3, 4.0)))).all()


@pytest.mark.parametrize("exponent", [-3, -2, -1, 0, 1, 2, 3, 4, 5])
def test_the_range_and_the_slopes_of_a_whole_power_are_attained(exponent):
    power, box = integer_power(exponent), batch("reciprocal" if exponent < 0 else "square")

    def raised(points, exponent=exponent):
        return points**exponent if exponent >= 0 else 1 / points**-exponent

    assert_attained(power.value(box), box, raised, 1e-12)
    if exponent == 0:
        np.testing.assert_array_equal(power.slope(box), 0)
    else:
        assert_attained(power.slope(box), box, lambda p: exponent * raised(p, exponent - 1), 1e-12)


def test_powers_that_are_known_exactly_are_not_widened():
    box = interval(-2.0, 3.0)
    assert ends(integer_power(0).value(box)) == [1, 1]
    assert ends(integer_power(0).slope(box)) == [0, 0]
    assert ends(integer_power(1).slope(box)) == [1, 1]
    assert ends(integer_power(2).value(box))[0] == 0.0
    assert ends(integer_power(4).value(box))[0] == 0.0
    found = ends(integer_power(3).value(interval(2.0, 2.0)))
    units = 2 * (TRANSCENDENTAL + 3) * UNIT
    assert [abs(end / 8 - 1) for end in found] == pytest.approx([units, units], rel=0.01)


@pytest.mark.parametrize("exponent", [0.5, 1.3, -0.7, 2.5])
def test_the_range_and_the_slopes_of_a_real_power_are_attained_where_numbers_are_positive(exponent):
    power, box = real_power(np.asarray(exponent)), batch("rsqrt")
    assert_attained(power.value(box), box, lambda p: p**exponent, 1e-11)
    assert_attained(power.slope(box), box, lambda p: exponent * p ** (exponent - 1), 1e-11)
    outside = interval([-1.0, 0.0, -2.0], [1.0, 1.0, -1.0])
    assert np.isnan(power.value(outside)).all()
    np.testing.assert_array_equal(power.slope(outside), [[-INF] * 3, [INF] * 3])


def test_a_real_power_allows_for_the_rounding_of_its_exponent_and_logarithm():
    power = real_power(np.asarray(1.5))
    low, high = ends(power.value(interval(1.0, 1.0)))
    units = 2 * TRANSCENDENTAL * UNIT * (1 + 100 * 2.5)
    assert [1 - low, high - 1] == pytest.approx([units, units], rel=0.01)


def test_a_sine_keeps_its_extremes_inside_and_none_outside():
    quarter = np.pi / 2
    for name, phase in (("sin", 0.0), ("cos", quarter)):
        for start, stop in pairwise(np.arange(-6, 7)):
            box = start * quarter - phase + 0.1, stop * quarter - phase - 0.1
            found = ends(SCALAR[name].value(interval(*box)))
            exact = sorted(np.sin(np.array(box) + phase))
            assert found == pytest.approx(exact, abs=1e-13)
        assert ends(SCALAR[name].value(interval(1.0, 1.0 + 2 * np.pi))) == [-1, 1]
    turn = 2 * np.pi * 10**6
    found = ends(SCALAR["sin"].value(interval(turn + 0.3, turn + 0.4)))
    assert found == pytest.approx([np.sin(0.3), np.sin(0.4)], abs=1e-6)
    assert found[0] < np.sin(turn + 0.3)
    # so far out that neighbouring floats are a turn apart nothing is known but the reach
    assert ends(SCALAR["sin"].value(interval(1e17, 1e17))) == [-1, 1]


def test_an_extremum_of_the_sine_at_the_end_of_an_interval_is_inside():
    for end in (np.pi / 2, -np.pi / 2):
        for box in (
            (end, end),
            (end - 0.1, end),
            (end, end + 0.1),
            (end + 1e-10, end + 0.1),
            (end - 0.1, end - 1e-10),
        ):
            found = ends(SCALAR["sin"].value(interval(*box)))
            assert np.sign(end) in found


@pytest.mark.parametrize(
    ("box", "value", "slope"),
    [
        ((-3, -2), (2, 3), (-1, -1)),
        ((-3, 2), (0, 3), (-1, 1)),
        ((1, 2), (1, 2), (1, 1)),
        ((0, 2), (0, 2), (0, 1)),
        ((-2, 0), (0, 2), (-1, 0)),
    ],
)
def test_the_magnitude_has_a_kink_at_zero(box, value, slope):
    assert ends(SCALAR["abs"].value(interval(*box))) == [*value]
    assert ends(SCALAR["abs"].slope(interval(*box))) == [*slope]


def test_a_step_is_flat_away_from_its_jumps_and_unbounded_across_them():
    for box, jumps in (((-2, -1), 0), ((1, 2), 0), ((-1, 1), INF), ((0, 1), INF), ((-1, 0), INF)):
        assert ends(SCALAR["sign"].slope(interval(*box))) == [0, jumps]
        assert ends(SCALAR["sign"].value(interval(*box))) == [np.sign(box[0]), np.sign(box[1])]
    for box, jumps in (((0.2, 0.8), 0), ((0.2, 1.0), INF), ((-0.5, 0.5), INF), ((1.0, 1.5), 0)):
        assert ends(SCALAR["floor"].slope(interval(*box))) == [0, jumps]
        assert ends(SCALAR["floor"].value(interval(*box))) == [np.floor(box[0]), np.floor(box[1])]


@pytest.mark.parametrize(
    ("box", "larger", "smaller"),
    [
        ((-1, 0), ((0.5, 0.5), (0, 0)), ((-1, 0), (1, 1))),
        ((-1, 0.5), ((0.5, 0.5), (0, 0)), ((-1, 0.5), (1, 1))),
        ((-1, 2), ((0.5, 2), (0, 1)), ((-1, 0.5), (0, 1))),
        ((0.5, 2), ((0.5, 2), (1, 1)), ((0.5, 0.5), (0, 0))),
        ((1, 2), ((1, 2), (1, 1)), ((0.5, 0.5), (0, 0))),
    ],
)
def test_the_larger_and_the_smaller_of_a_number_and_a_threshold(box, larger, smaller):
    for function, (value, slope) in ((above, larger), (below, smaller)):
        found = function(np.asarray(0.5))
        assert ends(found.value(interval(*box))) == [*value]
        assert ends(found.slope(interval(*box))) == [*slope]


@pytest.mark.parametrize(
    ("exponent", "units"),
    [(2, TRANSCENDENTAL + 1 + 1), (3, TRANSCENDENTAL + 2 + 1), (-1, 2 * TRANSCENDENTAL + 2 + 1)],
)
def test_the_slope_of_a_power_is_widened_by_its_chain_of_products(exponent, units):
    exact = exponent * 3.0 ** (exponent - 1)
    slope = ends(integer_power(exponent).slope(interval(3.0, 3.0)))
    assert [abs(end / exact - 1) for end in slope] == pytest.approx([2 * units * UNIT] * 2, rel=0.02)


@pytest.mark.parametrize(("name", "size"), [("tanh", 1.0), ("logistic", 0.25), ("erf", 1.2)])
def test_the_slope_of_a_bell_is_widened_by_the_units_of_its_largest_term(name, size):
    low, high = ends(SCALAR[name].slope(interval(1.0, 1.0)))
    assert high - low == pytest.approx(4 * TRANSCENDENTAL * UNIT * size, rel=0.02)


def test_the_far_tail_of_erfc_is_only_known_to_be_small():
    low, high = ends(SCALAR["erfc"].value(interval(1.0, 1.0)))
    assert high - low == pytest.approx(8 * TRANSCENDENTAL * UNIT, rel=0.02)
    assert ends(SCALAR["erfc"].value(interval(25.0, 26.0)))[0] == 0.0


def test_a_sine_is_widened_by_the_rounding_of_its_argument():
    for point in (3.0, -30.0):
        low, high = ends(SCALAR["sin"].value(interval(point, point)))
        assert high - low == pytest.approx(4 * TRANSCENDENTAL * UNIT * (1 + abs(point)), rel=0.02)


def test_a_shifted_argument_is_widened_by_its_own_rounding():
    low, high = ends(SCALAR["log1p"].slope(interval(1.0, 1.0)))
    argument = 2 * UNIT / 2  # one unit of 1 + |p| = 2, of an argument of 2
    assert high / 0.5 - 1 == pytest.approx(argument + 2 * TRANSCENDENTAL * UNIT, rel=0.02)
    assert 1 - low / 0.5 == pytest.approx(argument + 2 * TRANSCENDENTAL * UNIT, rel=0.02)
