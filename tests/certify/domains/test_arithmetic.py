"""Outward arithmetic against exact fractions and against a library of many digits."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from attractor.certify.domains.algebra import enclose, plus, scaled, shifted
from attractor.certify.domains.interval import (
    SCALAR,
    TINY,
    TRANSCENDENTAL,
    UNIT,
    Interval,
    add,
    contract,
    integer_power,
    multiply,
    real_power,
)
from attractor.certify.domains.polynomial import added, coefficient, multiplied, reciprocal, symbol_form

mpmath.mp.prec = 150

REFERENCES = {
    "tanh": mpmath.tanh,
    "logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "sqrt": mpmath.sqrt,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
}
POSITIVE = ("log", "sqrt", "rsqrt")


def fraction(number):
    return Fraction(float(number))


def intervals(generator, shape):
    ends = generator.uniform(-2, 2, (2, *shape)) * 10.0 ** generator.integers(-12, 6, (2, *shape))
    return Interval(ends.min(axis=0), ends.max(axis=0))


def compiled(function, *arguments):
    """What one program gives, as NumPy arrays: outside of it every operation is a program of its own."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(function)(*arguments))


def test_sums_and_products_hold_the_exact_ones():
    generator = np.random.default_rng(0)
    one, other = intervals(generator, (300,)), intervals(generator, (300,))
    total, both = compiled(lambda *ends: (add(*ends), multiply(*ends)), one, other)
    for i in range(300):
        ends = [[fraction(interval.low[i]), fraction(interval.high[i])] for interval in (one, other)]
        assert fraction(total.low[i]) <= ends[0][0] + ends[1][0]
        assert fraction(total.high[i]) >= ends[0][1] + ends[1][1]
        corners = [left * right for left in ends[0] for right in ends[1]]
        assert fraction(both.low[i]) <= min(corners)
        assert fraction(both.high[i]) >= max(corners)


def test_a_matrix_product_holds_the_exact_extremes():
    generator = np.random.default_rng(1)
    matrix = generator.uniform(-1, 1, (6, 40)) * 10.0 ** generator.integers(-8, 8, (6, 40))
    vector = intervals(generator, (40,))
    found = compiled(lambda *both: contract(*both, ((1,), (0,))), matrix, vector)
    for i in range(6):
        ends = [
            sorted((
                fraction(matrix[i, j]) * fraction(vector.low[j]),
                fraction(matrix[i, j]) * fraction(vector.high[j]),
            ))
            for j in range(40)
        ]
        assert fraction(found.low[i]) <= sum(low for low, _ in ends)
        assert fraction(found.high[i]) >= sum(high for _, high in ends)


def test_what_is_undefined_stays_so_and_what_is_unbounded_is_infinite():
    some = Interval(np.array([0.0, np.nan]), np.ones(2)), Interval(np.zeros(2), np.array([1.0, np.inf]))
    factors = Interval(np.zeros(2), np.zeros(2)), Interval(np.array([-np.inf, np.nan]), np.ones(2))

    def all_three(some, factors):
        products = [contract(jnp.ones((1, 2)), one, ((1,), (0,))) for one in some]
        return *products, multiply(*factors)

    undefined, unbounded, nothing = compiled(all_three, some, factors)
    assert np.isnan(undefined.low).all()
    assert np.isnan(undefined.high).all()
    assert unbounded.high[0] == np.inf
    assert abs(nothing.low[0]) <= 2 * TINY
    assert np.isnan(nothing.low[1])


@pytest.mark.parametrize("name", REFERENCES)
def test_scalar_functions_hold_what_many_digits_say(name):
    generator = np.random.default_rng(2)
    size = 10.0 ** np.concatenate([generator.uniform(-300, 2.5, 150), generator.uniform(-3, 1.6, 250)])
    points = size if name in POSITIVE else np.concatenate([size, -size, [0.0]])
    if name == "log1p":
        points = points[points > -1]
    if name == "reciprocal":
        points = points[np.abs(points) > 1e-200]
    points = points[np.abs(points) > 1e-280] if name in POSITIVE else points
    found, slope = compiled(
        lambda box: (SCALAR[name].value(box), SCALAR[name].slope(box)), Interval(points, points)
    )
    for point, *ends in zip(points, *found, *slope, strict=True):
        exact = REFERENCES[name](mpmath.mpf(float(point)))
        assert ends[0] <= exact <= ends[1], point
        if 1e-3 < abs(point) < 1e3 and name not in ("erf", "erfc", "tanh"):
            derivative = mpmath.diff(REFERENCES[name], mpmath.mpf(float(point)))
            assert ends[2] - 1e-25 <= derivative <= ends[3] + 1e-25, point


def test_transcendental_functions_keep_within_half_of_their_allowance():
    """The bounds allow 2 * TRANSCENDENTAL units; XLA must stay far below, in every shape it compiles for."""
    generator = np.random.default_rng(3)
    points = np.concatenate([
        generator.uniform(-40, 40, 300),
        generator.uniform(-1.5, 1.5, 300),
        [19.99, -19.99],
    ])
    with jax.enable_x64(True):
        for name, function in {
            "tanh": jnp.tanh,
            "logistic": jax.nn.sigmoid,
            "exp": jnp.exp,
            "erf": jax.lax.erf,
        }.items():
            for shape in ((602,), (2, 301), (1,)):
                given = points[: int(np.prod(shape))].reshape(shape)
                values = np.asarray(jax.jit(function)(jnp.asarray(given))).ravel()
                exact = [REFERENCES[name](mpmath.mpf(float(point))) for point in given.ravel()]
                wrong = max(
                    float(abs(mpmath.mpf(float(v)) - e) / abs(e)) for v, e in zip(values, exact, strict=True)
                )
                assert wrong < TRANSCENDENTAL * UNIT, (name, shape)


@pytest.mark.parametrize("exponent", [3, 4, 25, 60, -1, -3, 0.5, 2.7, -1.3])
def test_powers_hold_what_many_digits_say(exponent):
    points = np.random.default_rng(4).uniform(0.2, 3.0, 200)

    def ranges(box):
        power = integer_power(exponent) if isinstance(exponent, int) else real_power(jnp.asarray(exponent))
        return power.value(box), power.slope(box)

    value, slope = compiled(ranges, Interval(points, points))
    for i, point in enumerate(points):
        exact = mpmath.mpf(float(point)) ** mpmath.mpf(exponent)
        steep = mpmath.mpf(exponent) * mpmath.mpf(float(point)) ** (mpmath.mpf(exponent) - 1)
        assert value.low[i] <= exact <= value.high[i]
        assert slope.low[i] <= steep <= slope.high[i]


def test_coefficients_know_their_rounding():
    generator = np.random.default_rng(5)
    numbers = generator.uniform(-2, 2, (200, 3))
    with jax.enable_x64(True):
        for a, b, c in numbers:
            for wrap in (float, jnp.asarray):
                joined = added(multiplied(coefficient(wrap(a)), reciprocal(wrap(b))), coefficient(wrap(c)))
                exact = fraction(a) / fraction(b) + fraction(c)
                ends = joined.interval
                assert fraction(ends.low) <= exact <= fraction(ends.high)


def test_what_cancels_in_floats_but_not_in_truth_is_kept():
    """0.1 x + 0.2 x - 0.3 x is 2.8e-17 x in exact arithmetic."""

    def sum_of_three(ends):
        x = symbol_form(ends, Interval(jnp.ones((1, 1)), jnp.ones((1, 1))))
        total = plus(
            plus(scaled(x, coefficient(0.1)), scaled(x, coefficient(0.2))), scaled(x, coefficient(-0.3))
        )
        found = enclose(shifted(total, 0.0))
        return found.value, found.jacobian

    value, jacobian = compiled(sum_of_three, Interval(np.array([1e10]), np.array([1e10])))
    exact = fraction(0.1) + fraction(0.2) - fraction(0.3)
    assert fraction(value.low[0]) <= exact * 10**10 <= fraction(value.high[0])
    assert fraction(jacobian.low[0, 0]) <= exact <= fraction(jacobian.high[0, 0])
    assert value.high[0] < 1e-5


def test_a_move_widens_nothing():
    with jax.enable_x64(True):
        ends = Interval(jnp.asarray([0.1, 0.2]), jnp.asarray([0.3, 0.7]))
        x = symbol_form(ends, Interval(jnp.eye(2), jnp.eye(2)))
        assert enclose(x).value is ends
        turned = enclose(scaled(x, coefficient(-1.0)))
        np.testing.assert_array_equal(turned.value.low, -ends.high)
        np.testing.assert_array_equal(turned.jacobian.low, -np.eye(2))
