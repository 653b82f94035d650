"""Comparisons are decided where the box decides them, and what may jump has slopes without bound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_rules import by_numpy
from written import Written

from attractor.certify.domains import Box, step_bounds

JUMPS = (-np.inf, np.inf)


@pytest.fixture(autouse=True)
def _numpy():
    with jax.enable_x64(True), by_numpy():
        yield


def bounds(update, *boxes):
    """Ranges and slopes of an elementwise update over boxes of one state, six of them at a time."""
    lows, highs = zip(*boxes, *[boxes[-1]] * (6 - len(boxes)), (0.0, 0.0), strict=True)
    box = Box(np.array(lows), np.array(highs), 6)
    found = step_bounds(Written(lambda u, x: update(x), 6), box)
    values = [*zip(*map(np.asarray, found.image), strict=True)]
    slopes = [*zip(*(np.diagonal(end) for end in found.jacobian), strict=True)]
    return values[: len(boxes)], slopes[: len(boxes)]


def chosen(compare):
    """Slope 2 where the comparison with 1 holds, 3 where it fails, and a jump between."""
    return lambda x: jnp.where(compare(x, 1.0), 2 * x, 3 * x)


BOXES = [(0.2, 0.5), (0.5, 1.0), (0.5, 1.5), (1.0, 1.0), (1.0, 1.5), (1.2, 1.5)]
HOLDS, FAILS, OPEN = (2.0, 2.0), (3.0, 3.0), JUMPS


@pytest.mark.parametrize(
    ("compare", "slopes"),
    [
        (jnp.less, [HOLDS, OPEN, OPEN, FAILS, FAILS, FAILS]),
        (jnp.less_equal, [HOLDS, HOLDS, OPEN, HOLDS, OPEN, FAILS]),
        (jnp.greater, [FAILS, FAILS, OPEN, FAILS, OPEN, HOLDS]),
        (jnp.greater_equal, [FAILS, OPEN, OPEN, HOLDS, HOLDS, HOLDS]),
        (jnp.equal, [FAILS, OPEN, OPEN, OPEN, OPEN, FAILS]),
        (jnp.not_equal, [HOLDS, OPEN, OPEN, OPEN, OPEN, HOLDS]),
    ],
)
def test_a_comparison_is_decided_by_the_ends_of_the_box(compare, slopes):
    np.testing.assert_allclose(bounds(chosen(compare), *BOXES)[1], slopes, rtol=1e-12)
    turned = bounds(lambda x: jnp.where(compare(-1.0, -x), 2 * x, 3 * x), *BOXES)[1]
    np.testing.assert_allclose(turned, slopes, rtol=1e-12)


CONTINUOUS = {
    "rectifier": (lambda p: jnp.where(p > 0, p, 0.0), (0, 0.5), (0, 1)),
    "rectifier of the other side": (lambda p: jnp.where(p < 0, p, 0.0), (-0.4, 0), (0, 1)),
    "the side that fails": (lambda p: jnp.where(p <= 0, 0.0, p), (0, 0.5), (0, 1)),
    "leaky": (lambda p: jnp.where(p >= 0, p, 0.1 * p), (-0.04, 0.5), (0.1, 1)),
    "functions that keep zero": (lambda p: jnp.where(p > 0, jnp.tanh(p), 2 * p), (-0.8, 1.0), (0, 2)),
    "a gap that is zero only with its source": (
        lambda p: jnp.where(-3 * p > 0, p, 2 * p),
        (-0.8, 1.0),
        (1, 2),
    ),
    "a multiple of the gap": (lambda p: jnp.where(p > 0.25, 3 * p - 0.75, 0.0), (-1.95, 0.75), (0, 3)),
    "cases that differ by the gap": (lambda p: jnp.where(p > 0.25, 2 * p, p + 0.25), (-0.8, 1.0), (1, 2)),
    "an exponential unit": (lambda p: jnp.where(p > 0, p, jnp.expm1(p)), (-0.32, 0.64), (0.6, 1.7)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_cases_that_meet_where_the_comparison_changes_have_bounded_slopes(name):
    update, value, slope = CONTINUOUS[name]
    (found,), (steep,) = bounds(update, (-0.4, 0.5))
    assert value[0] - 0.011 <= found[0] <= value[0] + 1e-12
    assert value[1] - 1e-12 <= found[1] <= value[1] + 0.011
    assert slope[0] - 1e-12 <= steep[0] <= slope[0] + 0.8
    assert slope[1] - 0.06 <= steep[1] <= slope[1] + 1e-12


JUMPING = {
    "two numbers": lambda p: jnp.where(p > 0, 1.0, -1.0),
    "zero on one side only": lambda p: jnp.where(p > 0, p, 1.0),
    "a threshold elsewhere": lambda p: jnp.where(p > 0.1, p, 0.0),
    "a gap with more zeros": lambda p: jnp.where(jnp.sin(80 * p) > 0, 0.9 * p, 0.0),
    "a square of the gap's zeros": lambda p: jnp.where(jnp.square(p) - 0.01 > 0, p, 0.0),
    "a case that is not zero with the gap": lambda p: jnp.where(p > 0, jnp.exp(p), p),
    "not quite a multiple": lambda p: jnp.where(p > 0.25, 3 * p - 0.7499999, 0.0),
    "a gap of nothing": lambda p: jnp.where(0 * p > 0, p, 2 * p + 1),
    "a gap that jumps": lambda p: jnp.where(jnp.where(p > 0.1, p, p - 1) > 0, p, 0.0),
    "a truth value": lambda p: (p > 0).astype(p.dtype),
    "a choice that meets elsewhere than at zero": lambda p: jnp.where(
        p > 0, jnp.where(p > 0, p + 1, 1.0), 0.0
    ),
    "one of the two sides on one side": lambda p: jnp.where(p > p[::-1], p[::-1], 0.3),
    "the other of the two sides on one side": lambda p: jnp.where(p > p[::-1], p, 0.3),
    "one of the two sides on the other side": lambda p: jnp.where(p > p[::-1], 0.3, p),
    "the other of the two sides on the other side": lambda p: jnp.where(p[::-1] > p, 0.3, p),
    "an equality": lambda p: jnp.where(p == 0.1, p + 1, p),
}


@pytest.mark.parametrize("name", JUMPING)
def test_what_may_jump_has_no_bounded_slope(name):
    assert bounds(JUMPING[name], (-0.4, 0.5))[1] == [JUMPS]


def test_a_truth_value_is_zero_or_one_where_the_box_decides_it_and_between_elsewhere():
    boxes = (0.2, 0.5), (-0.4, 0.1), (-0.4, 0.5)
    values, slopes = bounds(lambda x: (x > 0.1).astype(x.dtype), *boxes)
    assert values == [(1, 1), (0, 0), (0, 1)]
    assert slopes == [(0, 0), (0, 0), JUMPS]


@pytest.mark.parametrize(
    ("compare", "slope"),
    [
        (jnp.equal, 2),
        (jnp.less_equal, 2),
        (jnp.greater_equal, 2),
        (jnp.not_equal, 3),
        (jnp.less, 3),
        (jnp.greater, 3),
    ],
)
def test_a_quantity_is_equal_to_itself_where_it_has_bounds(compare, slope):
    found = bounds(lambda x: jnp.where(compare(x, x), 2 * x, 3 * x), (-0.4, 0.5))[1]
    np.testing.assert_allclose(found, [[slope, slope]], rtol=1e-12)
    unbounded = bounds(lambda x: jnp.where(compare(1 / x, 1 / x), 2 * x, 3 * x), (-0.4, 0.5), (0.2, 0.5))[1]
    assert unbounded[0] == JUMPS
    np.testing.assert_allclose(unbounded[1], [slope, slope], rtol=1e-12)


def between(x):
    return (x > 0.4) & (x < 1.2)


def far(x):
    return ~between(x)


def beside(x):
    return jnp.concatenate([far(x)[1:], far(x)[:1]]) | (x > 5.0)


def somewhere(x):
    return jnp.broadcast_to(jnp.stack([far(x), x > 3.0]).any(), x.shape)


def everywhere(x):
    return jnp.broadcast_to((x < 2.0).reshape(2, 3).all(axis=0).all(), x.shape)


LOGICAL = [between, far, beside, somewhere, everywhere]
BOX_SIDES = [(0.5, 1.0), (0.0, 0.3), (0.3, 0.5), (1.3, 2.5), (0.5, 0.6), (0.9, 1.1)]


@pytest.mark.parametrize("condition", LOGICAL)
@pytest.mark.parametrize("order", [BOX_SIDES, BOX_SIDES[::-1], BOX_SIDES[:1] * 6])
def test_what_logic_makes_of_truth_values_holds_for_every_point(condition, order):
    """Decided exactly where all corners agree, as each side crosses at most one of the limits."""
    values, slopes = bounds(lambda x: jnp.where(condition(x), 2 * x, 3 * x), *order)
    points = np.random.default_rng(0).uniform(*np.array(order).T, (4000, 6))
    held = np.asarray(jax.vmap(condition)(jnp.asarray(points)))
    for unit, (low, high) in enumerate(order):
        always, never = held[:, unit].all(), not held[:, unit].any()
        factors = [2.0] if always else [3.0] if never else [2.0, 3.0]
        np.testing.assert_allclose(
            values[unit], (factors[0] * low, factors[-1] * high), rtol=1e-12, atol=1e-12
        )
        expected = (factors[0],) * 2 if len(factors) == 1 else JUMPS
        np.testing.assert_allclose(slopes[unit], expected, rtol=1e-12)


def test_a_case_that_is_zero_with_a_part_of_the_condition_jumps_all_the_same():
    """x > 0 alone would meet at zero; with another condition the answer changes elsewhere too."""
    _, slopes = bounds(lambda x: jnp.where((x > 0) & (x < 0.3), x, 0.0), (-0.4, 0.5))
    assert slopes[0] == JUMPS


@pytest.mark.parametrize("update", [lambda p: jnp.where(p != 0, p, 0.0), lambda p: jnp.where(p == 0, 0.0, p)])
def test_being_equal_or_not_says_nothing_of_the_side(update):
    (value,), _ = bounds(update, (-0.4, 0.5))
    np.testing.assert_allclose(value, (-0.4, 0.5), atol=1e-12)


def test_thresholds_of_several_numbers_count_beside_a_square():
    """Zero never exceeds a square; numbers above zero do."""
    limits = jnp.array([0.5, 0.0, 0.1, 2.0, -1.0, 0.3])
    values, _ = bounds(lambda x: jnp.maximum(x * x, limits), *[(-0.5, 0.6)] * 6)
    highest = np.maximum(0.36, limits)
    assert (np.array(values)[:, 1] >= highest - 1e-12).all()
    assert (np.array(values)[:, 1] <= highest + 1e-9).all()
