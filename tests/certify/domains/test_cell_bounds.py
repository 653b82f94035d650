"""Boxes, and what the bounds of one step say beside its range: rows, curvature, the image by its middle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_rules import by_numpy
from written import Written

from attractor.certify.domains import (
    Box,
    Interval,
    StepBounds,
    centred_image,
    step_bounds,
    step_image,
    unit_box,
)
from attractor.certify.domains.interval import UNIT
from attractor.errors import ShapeError, UnsupportedError

LOW, HIGH = np.array([-0.5, 0.2, -1.0]), np.array([0.5, 0.4, 1.0])
MATRIX = np.array([[0.3, -0.8], [1.2, 0.5]])


@pytest.fixture(autouse=True)
def _numpy():
    with jax.enable_x64(True), by_numpy():
        yield


def test_a_box_knows_its_states_and_inputs():
    box = Box(LOW, HIGH, 2)
    np.testing.assert_array_equal(box.state, [LOW[:2], HIGH[:2]])
    np.testing.assert_array_equal(box.input, [LOW[2:], HIGH[2:]])
    moved = box.with_state(Interval(np.zeros(2), np.ones(2)))
    np.testing.assert_array_equal(moved.low, [0, 0, -1])
    np.testing.assert_array_equal(moved.high, [1, 1, 1])
    assert moved.states == 2


def test_a_unit_box_holds_states_up_to_one_and_inputs_up_to_their_bounds():
    cell = Written(lambda u, x: x, 2, inputs=3)
    box = unit_box(cell, np.array([0.5, 2.0, 3.0]))
    np.testing.assert_array_equal(box.high, [1, 1, 0.5, 2, 3])
    np.testing.assert_array_equal(box.low, -box.high)
    assert box.states == 2
    np.testing.assert_array_equal(unit_box(cell, 0.25).high, [1, 1, 0.25, 0.25, 0.25])
    np.testing.assert_array_equal(unit_box(cell).high, np.ones(5))


def test_a_bound_is_finite_or_says_so():
    for low, high, finite in (
        (0, 1, True),
        (-np.inf, 1, False),
        (0, np.inf, False),
        (np.nan, 1, False),
        (0, np.nan, False),
    ):
        image = Interval(np.array([0.0, low]), np.array([1.0, high]))
        assert bool(StepBounds(image, image, [], np.zeros(1)).bounded) is finite


def test_sums_of_rows_are_rounded_up_by_their_products_and_sums():
    cell = Written(lambda u, x: MATRIX @ x + 0.25 * u, 2)
    bounds = step_bounds(cell, Box(LOW, HIGH, 2))
    for found, exact in (
        (bounds.row_sums(np.array([1.0, 0.5])), np.abs(MATRIX) @ [1, 0.5]),
        (bounds.input_sums(), np.array([0.25, 0.25])),
    ):
        share = np.asarray(found) / exact - 1
        assert (share > 2 * 4 * UNIT * 0.9).all()
        assert (share < 2e-14).all()


def test_the_image_needs_no_derivatives():
    cell = Written(lambda u, x: jnp.tanh(MATRIX @ x) * x[::-1] + u, 2)
    box = Box(LOW, HIGH, 2)
    np.testing.assert_array_equal(step_image(cell, box), step_bounds(cell, box).image)


def test_a_residual_step_is_bounded_by_its_derivative_around_the_middle():
    """A product with a matrix forgets what it was made of: x - 0.5 W x has the range of x and that of W x."""
    cell = Written(lambda u, x: x - 0.5 * (MATRIX @ x) + u, 2)
    box = Box(LOW, HIGH, 2)
    middle, radius = (LOW + HIGH) / 2, (HIGH - LOW) / 2
    whole = np.hstack([np.eye(2) - 0.5 * MATRIX, np.ones((2, 1))])
    found = centred_image(cell, box)
    np.testing.assert_allclose(found.low, whole @ middle - np.abs(whole) @ radius, rtol=1e-13)
    np.testing.assert_allclose(found.high, whole @ middle + np.abs(whole) @ radius, rtol=1e-13)
    assert (found.low < whole @ middle - np.abs(whole) @ radius).all()
    assert (found.high > whole @ middle + np.abs(whole) @ radius).all()
    plain = step_image(cell, box)
    assert (found.high < plain.high - 0.01).any()


def test_where_the_derivative_has_no_bound_the_image_is_the_plain_one():
    cell = Written(lambda u, x: jnp.sign(x) + 0 * u, 2)
    box = Box(LOW, HIGH, 2)
    np.testing.assert_array_equal(centred_image(cell, box), step_image(cell, box))


def test_curvature_is_how_far_slopes_vary_along_an_axis():
    def curvature(update):
        return np.asarray(step_bounds(Written(update, 2), Box(LOW, HIGH, 2)).curvature)

    steep = 1 - np.tanh(2 * 0.5) ** 2
    other = [1 - np.tanh(2 * end) ** 2 for end in (0.2, 0.4)]
    expected = [2 * (1 - steep), 2 * (other[0] - other[1]), 0.0]
    np.testing.assert_allclose(curvature(lambda u, x: jnp.tanh(2 * x)), expected, atol=1e-12)
    np.testing.assert_allclose(curvature(lambda u, x: MATRIX @ x + u), 0, atol=1e-12)
    larger = curvature(lambda u, x: jnp.maximum(x[0], 3 * u[0]) * jnp.ones(2))
    np.testing.assert_allclose(larger, [1, 0, 3], atol=1e-12)
    jumping = curvature(lambda u, x: jnp.where(x > 0, 1.0, 0.0))
    np.testing.assert_array_equal(jumping, 0)


class Whole(Written):
    def initial_state(self):
        return jnp.zeros(2, int)


class Empty(Written):
    def initial_state(self):
        return jnp.zeros((0, 2))


@pytest.mark.parametrize(
    ("kind", "words"), [(Whole, "holds int.*real numbers only"), (Empty, "holds nothing")]
)
def test_a_state_that_is_no_real_number_has_no_bounds(kind, words):
    with pytest.raises(UnsupportedError, match=words):
        unit_box(kind(lambda u, x: x, 2))


@pytest.mark.parametrize("update", [lambda u, x: (x, x), lambda u, x: x[:1], lambda u, x: {"x": x}])
def test_a_step_that_gives_back_something_else_is_refused(update):
    with pytest.raises(ShapeError, match=r"expected what initial_state\(\) gives"):
        step_bounds(Written(update, 2), Box(LOW, HIGH, 2))


def narrow(x):
    return x.astype(jnp.float32).astype(x.dtype)


REFUSED = {
    "a cast": (lambda u, x: narrow(x), "rounds what depends on the state to float32"),
    "a product of few digits": (
        lambda u, x: jax.lax.dot(jnp.asarray(MATRIX), x, precision=jax.lax.DotAlgorithmPreset.F32_F32_F32),
        "rounds what depends on the state",
    ),
    "one of two truth values": (lambda u, x: jnp.where((x > 0) ^ (x > 1), x, 0.0), "primitive 'xor'"),
    "a choice of whole numbers": (
        lambda u, x: 0.4 * x + 0.4 * jnp.where(x > 0, 1, 0),
        "makes a whole number",
    ),
    "a choice of whole numbers by the input": (
        lambda u, x: x * (2.4 - jax.lax.div(jnp.where(u[0] > -5, 3, 5), 2)),  # 1, not 1.5
        "makes a whole number",
    ),
    "whole numbers that wrap": (
        lambda u, x: x * (1.4 - (jnp.where(x > -5, jnp.uint8(200), jnp.uint8(3)) + jnp.uint8(100)) / 300),
        "makes a whole number",
    ),
    "a choice of truth values": (
        lambda u, x: jnp.where(~jnp.where(x > 0, True, False), 0.5 * x, 0.5 * x + 0.2),
        "chooses between truth values",
    ),
    "a truth value in half precision": (
        lambda u, x: 0.4 * x * (2 - (x > -5).astype(jnp.float16) * 60000 * 2 / 60000),  # it overflows
        "rounds what depends on the state to float16",
    ),
    "a choice in half precision": (
        lambda u, x: x * jnp.where(x > 0, jnp.float16(1), jnp.float16(0)).astype(x.dtype),
        "rounds what depends on the state to float16",
    ),
    "a count of truth values": (lambda u, x: (x > 0).sum() * x, "makes a whole number"),
    "a truth value as a state": (lambda u, x: x > 0, "a truth value as a part of the new state"),
    "a whole number": (lambda u, x: jnp.floor(x).astype(int).astype(float), "whole number"),
    "an index that depends on the state": (lambda u, x: x[jnp.floor(x[:1]).astype(int)] * x, "whole number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_bounds_were_not_derived_for_is_refused_by_name(name):
    update, words = REFUSED[name]
    with pytest.raises(UnsupportedError, match=words):
        step_bounds(Written(update, 2), Box(LOW, HIGH, 2))


def test_what_does_not_depend_on_the_state_may_be_rounded():
    weights = jnp.asarray(MATRIX, jnp.float32)
    found = step_bounds(Written(lambda u, x: narrow(jnp.asarray(MATRIX)) @ x + 0 * u, 2), Box(LOW, HIGH, 2))
    np.testing.assert_allclose(np.abs(np.asarray(found.jacobian.low))[:, :2], np.abs(np.float64(weights)))


def test_a_state_that_is_the_same_whatever_comes_in_has_a_bound():
    found = step_bounds(Written(lambda u, x: jnp.array([1.0, 2.0]), 2), Box(LOW, HIGH, 2))
    np.testing.assert_array_equal(found.image, [[1, 2], [1, 2]])
    np.testing.assert_array_equal(found.jacobian, np.zeros((2, 2, 3)))


def test_leaves_of_a_state_stand_one_behind_the_other():
    class Two(Written):
        def initial_state(self):
            return {"a": jnp.zeros(1), "b": jnp.zeros((1, 2))}

        def __call__(self, input, state, *, key=None):
            return {"a": 2 * state["b"][0, :1], "b": jnp.stack([state["a"], input])[None, :, 0] * 3}

    low, high = np.array([-1.0, 0.0, 2.0, -0.5]), np.array([1.0, 0.25, 3.0, 0.5])
    found = step_bounds(Two(None, 3), Box(low, high, 3))
    np.testing.assert_allclose(found.image, [[0, -3, -1.5], [0.5, 3, 1.5]], atol=1e-12)
    expected = np.array([[0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 3]])
    np.testing.assert_allclose(found.jacobian, [expected, expected], atol=1e-12)
    np.testing.assert_allclose(found.row_sums(np.array([1.0, 0.5, 2.0])), [1, 3, 0], atol=1e-12)
    np.testing.assert_allclose(found.input_sums(), [0, 0, 3], atol=1e-12)


def test_a_sum_of_a_row_is_the_largest_over_its_corners_and_two_roundings_of_each_product_more():
    corners = np.array([[[1.0, 2.0, 8.0]], [[3.0, 0.5, 4.0]]])
    both = Interval(np.zeros(2), np.ones(2))
    bounds = StepBounds(
        both, Interval(np.zeros((2, 3)), np.ones((2, 3))), [corners, 2 * corners], np.zeros(3)
    )
    rows, inputs = bounds.row_sums(np.array([1.0, 4.0])), bounds.input_sums()
    np.testing.assert_allclose(rows / np.array([9, 18]) - 1, 2 * 4 * UNIT, rtol=0.07)
    np.testing.assert_allclose(inputs / np.array([8, 16]) - 1, 2 * 5 * UNIT, rtol=0.07)
    single = np.ones((1, 2, 3), np.float32)
    quick = StepBounds(both, bounds.jacobian, [single], np.zeros(3))
    np.testing.assert_array_equal(quick.row_sums(np.ones(2, np.float32)), [2, 2])


def test_a_choice_between_truth_values_is_refused():
    def update(u, x):
        return jnp.where(jnp.where(x > 0, x > 1, x < -1), x, 0.0)

    with pytest.raises(UnsupportedError, match="'select_n' of a truth value"):
        step_bounds(Written(update, 2), Box(LOW, HIGH, 2))
