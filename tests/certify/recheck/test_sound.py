"""Every amount that rounding may cost is inside of the bounds, each by itself, compared with fractions."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.network import Affine, Node
from attractor.certify.recheck.sound import interval_of, line_of, range_of, walked

_ENTRY = np.zeros(1, int)


def _exact(one, values):
    """An affine function of values, in fractions."""
    total = [Fraction(float(bias)) for bias in one.bias]
    for source, part in one.terms.items():
        for row, weights in enumerate(part.matrix):
            total[row] += sum(
                Fraction(float(weight)) * value for weight, value in zip(weights, values[source], strict=True)
            )
    return total


def _scaled(generator, *shape):
    return generator.normal(size=shape) * 10.0 ** generator.integers(-4, 5, shape)


def _point(generator, size):
    point = _scaled(generator, 1, size)
    return (point, point), [Fraction(float(one)) for one in point[0]]


@pytest.mark.parametrize("seed", range(3))
def test_an_interval_holds_the_exact_value_at_a_point(seed):
    generator = np.random.default_rng(seed)
    for _ in range(200):
        box, exact = _point(generator, 5)
        one = Affine({0: Dense(_scaled(generator, 3, 5))}, _scaled(generator, 3))
        low, high = interval_of(one, [box])
        for row, value in enumerate(_exact(one, [exact])):
            assert Fraction(low[0, row]) <= value <= Fraction(high[0, row])
            assert (
                high[0, row] - low[0, row]
                <= 1e-13 * (np.abs(one.terms[0].matrix) @ np.abs(box[0][0])).max() + 1e-9
            )


@pytest.mark.parametrize("seed", range(3))
def test_a_walk_through_exact_lines_is_as_sound_as_its_sums(seed):
    """Lines h(z) = z without error, so that only the sums of the walk are left to be wrong."""
    generator = np.random.default_rng(seed)
    for _ in range(200):
        box, exact = _point(generator, 4)
        inner = [Affine({0: Dense(_scaled(generator, 6, 4))}, _scaled(generator, 6))]
        inner.append(
            Affine({0: Dense(_scaled(generator, 6, 4)), 1: Dense(_scaled(generator, 6, 6))}, np.zeros(6))
        )
        last = {
            0: Dense(_scaled(generator, 1, 4)),
            1: Dense(_scaled(generator, 1, 6)),
            2: Dense(_scaled(generator, 1, 6)),
        }
        output = Affine(last, _scaled(generator, 1))
        nodes, ranges, values, lines = [Node("relu", (one,)) for one in inner], [box], [exact], []
        for node in nodes:
            ends = interval_of(node.arguments[0], ranges)
            ranges.append(ends)
            ones = (np.ones((1, 1, 6)),)
            line = line_of(node, (ones, ones), (ends,), ranges)
            lines.append(line._replace(top=0 * line.top, bottom=0 * line.bottom))
            values.append(_exact(node.arguments[0], values))
        upper = walked(nodes, ranges, lines, output, _ENTRY, 1)[0, 0]
        lower = -walked(nodes, ranges, lines, output, _ENTRY, -1)[0, 0]
        assert Fraction(lower) <= _exact(output, values)[0] <= Fraction(upper)


def test_products_that_underflow_are_inside_of_a_walk():
    """1e-100 * 1e-100 * 1e-150 * 1e300 is 1e-50, and its first three factors give zero."""
    node = Node("relu", (Affine({0: Dense(np.array([[1e-150]]))}, np.zeros(1)),))
    box = (np.full((1, 1), 1e300), np.full((1, 1), 1e300))
    ranges = [box, interval_of(node.arguments[0], [box])]
    slopes = (np.full((1, 1, 1), 1e-100),)
    line = line_of(node, (slopes, slopes), (ranges[1],), ranges)
    line = line._replace(top=0 * line.top, bottom=0 * line.bottom)
    for weight in (1e-100, -1e-100):
        output = Affine({1: Dense(np.array([[weight]]))}, np.zeros(1))
        assert walked([node], ranges, [line], output, _ENTRY, 1)[0, 0] >= weight * 1e50


@pytest.mark.parametrize("function", ["relu", "square", "clip", "product"])
def test_a_line_lies_on_its_side_of_the_function_exactly(function):
    """At ends of the box and at kinks, in fractions; rounding is largest where slope and value cancel."""
    values = {
        "relu": lambda z: max(z, Fraction(0)),
        "square": lambda z: z * z,
        "clip": lambda z: min(max(z, Fraction(-1)), Fraction(1, 2)),
        "product": lambda x, y: x * y,
    }[function]
    count, parameters = 1 + (function == "product"), (-1.0, 0.5) if function == "clip" else ()
    generator = np.random.default_rng(0)
    arguments = tuple(Affine({0: Dense(np.ones((1, 1)))}, np.zeros(1)) for _ in range(count))
    node = Node(function, arguments, parameters)
    for _ in range(400):
        ends = [np.sort(_scaled(generator, 2)) for _ in range(count)]
        boxes = tuple((np.array([[low]]), np.array([[high]])) for low, high in ends)
        slopes = tuple(_scaled(generator, 1, 1, 1) for _ in range(count))
        if generator.random() < 0.5:  # through the origin and one end: the difference is rounding alone
            slopes = (np.array([[[boxes[-1][1][0, 0] if count == 2 else 1.0]]]), *slopes[1:])
        line = line_of(node, (slopes, slopes), boxes, [boxes[0], range_of(node, boxes)])
        exact = [Fraction(float(slope[0, 0, 0])) for slope in slopes]
        for corner in range(2**count):
            point = [Fraction(float(end[corner >> place & 1])) for place, end in enumerate(ends)]
            gap = values(*point) - sum(slope * one for slope, one in zip(exact, point, strict=True))
            assert Fraction(line.bottom[0, 0, 0]) <= gap <= Fraction(line.top[0, 0, 0])


@pytest.mark.parametrize("seed", range(2))
def test_what_folding_has_lost_is_inside(seed):
    """Any map within the units that an affine function says it is known to."""
    generator = np.random.default_rng(seed)
    unit = Fraction(1, 2**52)
    for _ in range(200):
        box, exact = _point(generator, 3)
        matrix = _scaled(generator, 1, 3)
        sizes = np.abs(matrix) * 10.0 ** generator.integers(0, 6, (1, 3))
        one = Affine({0: Dense(matrix)}, _scaled(generator, 1))
        known = replace(one, sizes={0: Dense(sizes)}, bias_size=1e3 * np.abs(one.bias), roundings=7)
        low, high = interval_of(known, [box])
        upper = walked([], [box], [], known, _ENTRY, 1)[0, 0]
        signs = np.sign(box[0][0])
        for side in (-1, 1):
            off = sum(
                Fraction(float(size)) * abs(value) for size, value in zip(sizes[0], exact, strict=True)
            ) + Fraction(float(known.bias_size[0]))
            true = _exact(one, [exact])[0] + side * 7 * unit * off
            assert Fraction(low[0, 0]) <= true <= Fraction(high[0, 0]), signs
            assert true <= Fraction(upper)


_CANCELLING = np.array([1e17, 0.1, -1e17])


def _three(column, box):
    """A node of three numbers, column x each, whose lines are h(z) = z without error."""
    node = Node("relu", (Affine({0: Dense(column[:, None])}, np.zeros(3)),))
    ranges = [box, interval_of(node.arguments[0], [box])]
    ones = (np.ones((1, 1, 3)),)
    line = line_of(node, (ones, ones), (ranges[1],), ranges)
    return node, ranges, line._replace(top=0 * line.top, bottom=0 * line.bottom)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("shift", range(3))
def test_coefficients_intercepts_and_constants_that_cancel_are_doubted(sign, shift):
    """1e17, 0.1 and -1e17 add up to 0.1, and to nothing in float64."""
    column = np.roll(_CANCELLING, shift)
    point = (np.ones((1, 1)), np.ones((1, 1)))
    plain = Affine({1: Dense(np.ones((1, 3)))}, np.zeros(1))
    node, ranges, line = _three(column, point)
    assert walked([node], ranges, [line], plain, _ENTRY, sign)[0, 0] >= sign * 0.1
    # The same numbers as intercepts of a node whose argument is zero.
    node, ranges, line = _three(np.zeros(3), point)
    offset = column[None, None]
    line = line._replace(top=offset, bottom=offset, errors=(0 * line.errors[0],))
    assert walked([node], ranges, [line], plain, _ENTRY, sign)[0, 0] >= sign * 0.1
    # As the constant of the output, an intercept, and what the input adds.
    node, ranges, line = _three(np.zeros(3), point)
    offset = np.array([column[1], 0.0, 0.0])[None, None]
    line = line._replace(top=offset, bottom=offset, errors=(0 * line.errors[0],))
    last = replace(plain, terms={1: plain.terms[1], 0: Dense(column[2:, None])}, bias=column[:1])
    assert walked([node], ranges, [line], last, _ENTRY, sign)[0, 0] >= sign * 0.1
