"""Bounds of the backward walk: attacked by samples, exact where they can be, outward where numbers cancel."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from networks import KINDS, bounds, made

from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.lowering import network_of
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.relaxation import Region, lines_of, walk, wanted_of
from attractor.certify.dual.tightening import tightened
from attractor.program import double_precision, trace


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [0.0, 0.05, 0.5])
def test_no_output_leaves_its_bounds_and_no_inner_value_its_box(kind, width):
    for seed in range(8):
        network = made([3, 6, 5, 4, 2], [kind, "relu", kind], seed)
        generator = np.random.default_rng(seed)
        low = generator.uniform(-1, 1, (4, 3))
        high = low + width * generator.random((4, 3))
        least, most, boxes = bounds(network, low, high)
        for piece in range(4):
            inputs = generator.uniform(low[piece], high[piece], (200, 3))
            inputs[:8] = np.where(generator.random((8, 3)) < 0.5, low[piece], high[piece])
            values = network.values(inputs)
            outputs = network.output.of(values)
            slack = 1e-14 * (1 + np.abs(outputs).max())  # rounding of the sampled values themselves
            assert (outputs <= most[piece] + slack).all()
            assert (outputs >= least[piece] - slack).all()
            for node, box in zip(network.nodes, boxes, strict=True):
                for argument, (lower, upper) in zip(node.arguments, box, strict=True):
                    inner = argument.of(values)
                    assert (inner <= upper[piece] + slack).all()
                    assert (inner >= lower[piece] - slack).all()
        if width == 0.0:
            # A point: the bound is the value, to rounding.
            np.testing.assert_allclose(most, network.evaluate(low), atol=1e-9)


def test_any_slopes_give_a_valid_bound():
    generator = np.random.default_rng(7)
    for seed in range(20):
        kinds = list(generator.choice(KINDS, 3))
        network = made([3, 4, 4, 4, 1], kinds, seed)
        low, high = -0.4 * np.ones((1, 3)), 0.4 * np.ones((1, 3))
        region = Region(network, low[0], high[0])
        boxes, _, _ = tightened(region, low, high)
        inputs = generator.uniform(-0.4, 0.4, (300, 3))
        most = network.evaluate(inputs).max()
        wanted, constant = wanted_of(region, network.output, np.eye(1))
        for _ in range(10):
            lines = []
            for index, box in enumerate(boxes):
                own = [tuple(generator.normal(size=low.shape) for low, _ in box) for _ in range(2)]
                lines.append(lines_of(region, index, box, tuple(own)))
            assert walk(region, low, high, wanted, constant, lines).upper[0, 0] >= most


def test_an_affine_network_is_bounded_exactly():
    network = made([4, 3], [], 0)
    low, high = -np.ones((1, 4)), 2 * np.ones((1, 4))
    least, most, _ = bounds(network, low, high)
    matrix, bias = network.output.terms[0].matrix, network.output.bias
    exact = bias + np.maximum(matrix * -1, matrix * 2).sum(axis=1)
    np.testing.assert_allclose(most[0], exact, rtol=1e-12)
    assert (least < most).all()


def test_stable_rectifiers_are_bounded_exactly():
    network = made([3, 5, 2], ["relu"], 1)
    shifted = Node("relu", (Affine(network.nodes[0].arguments[0].terms, 10 * np.ones(5)),))
    stable = Network(3, (shifted,), network.output)
    low, high = -np.ones((1, 3)), np.ones((1, 3))
    _, most, _ = bounds(stable, low, high)
    through = network.output.terms[1].matrix @ shifted.arguments[0].terms[0].matrix
    exact = (
        network.output.bias + network.output.terms[1].matrix @ (10 * np.ones(5)) + np.abs(through).sum(axis=1)
    )
    np.testing.assert_allclose(most[0], exact, rtol=1e-12)


def test_the_bound_of_a_triangle_is_that_of_crown():
    """One neuron max(x, 0) on [-1, 3], minus x: the chord 0.75 x + 0.75 meets it at both ends."""
    node = Node("relu", (Affine({0: Dense(np.eye(1))}, np.zeros(1)),))
    output = Affine({1: Dense(np.eye(1)), 0: Dense(-0.75 * np.eye(1))}, np.zeros(1))
    _, most, _ = bounds(Network(1, (node,), output), np.array([[-1.0]]), np.array([[3.0]]))
    assert most[0, 0] == pytest.approx(0.75, abs=1e-12)


def test_halves_are_bounded_no_worse_than_the_whole():
    for seed in range(10):
        network = made([3, 8, 8, 1], ["relu", "tanh"], seed)
        low, high = -np.ones((1, 3)), np.ones((1, 3))
        region = Region(network, low[0], high[0])
        whole, lines, _ = tightened(region, low, high)
        wanted, constant = wanted_of(region, network.output, np.eye(1))
        before = walk(region, low, high, wanted, constant, lines).upper[0, 0]
        lows, highs = np.repeat(low, 2, axis=0), np.repeat(high, 2, axis=0)
        highs[0, 0] = lows[1, 0] = 0.0
        known = [tuple((np.repeat(a, 2, axis=0), np.repeat(b, 2, axis=0)) for a, b in box) for box in whole]
        boxes, _, _ = tightened(region, lows, highs, known)
        for old, new in zip(whole, boxes, strict=True):
            for (least, most), (lower, upper) in zip(old, new, strict=True):
                assert (lower >= least).all()
                assert (upper <= most).all()
        assert before >= network.evaluate(np.random.default_rng(0).uniform(-1, 1, (500, 3))).max()


@pytest.mark.parametrize("seed", range(30))
def test_numbers_that_cancel_are_bounded_in_exact_arithmetic(seed):
    """Weights like 1e8, 1 and -1e8: the exact value of a rectified sum, in fractions, is inside."""
    generator = np.random.default_rng(seed)
    weights = [
        generator.choice([1e8, -1e8, 1.0, -1.0, 1e-3, 3e7, 1 / 3], (size, inside))
        for size, inside in ((5, 3), (4, 5), (1, 4))
    ]
    nodes = tuple(
        Node("relu", (Affine({index: Dense(matrix)}, np.zeros(len(matrix))),))
        for index, matrix in enumerate(weights[:2])
    )
    network = Network(3, nodes, Affine({2: Dense(weights[2])}, np.zeros(1)))
    point = generator.choice([0.1, 1 / 3, 0.7, -0.3], (1, 3))
    least, most, _ = bounds(network, point, point)
    values = [Fraction(float(entry)) for entry in point[0]]
    for index, matrix in enumerate(weights):
        sums = [sum(Fraction(float(w)) * v for w, v in zip(row, values, strict=True)) for row in matrix]
        values = [max(one, Fraction(0)) for one in sums] if index < 2 else sums
    assert Fraction(float(least[0, 0])) <= values[0] <= Fraction(float(most[0, 0]))


def test_what_cancels_while_maps_are_folded_is_bounded_as_written():
    """Matrices of 1e8 and 1 whose product cancels in floating point: the exact value is inside."""
    generator = np.random.default_rng(0)
    for _ in range(60):
        parts = [generator.choice([1e8, -1e8, 1.0, -1.0, 1 / 3, 1e-3], (3, 3)) for _ in range(3)]
        shift = generator.choice([1e8, -1e8, 1.0, 1e-9], 3)
        point = generator.choice([0.1, 1 / 3, -0.7], (1, 3))

        def function(x, parts=parts, shift=shift):
            return parts[2] @ (parts[1] @ (parts[0] @ x + shift) - shift) + x - x * 1e8 + x * 1e8

        with double_precision():
            network = network_of(trace(function, jnp.asarray(point[0])))
        least, most, _ = bounds(network, point, point)
        start = [Fraction(float(one)) for one in point[0]]
        values = start
        for index, matrix in enumerate(parts):
            values = [sum(Fraction(float(w)) * v for w, v in zip(row, values, strict=True)) for row in matrix]
            moved = (1 - 2 * index) if index < 2 else 0
            values = [v + moved * Fraction(float(s)) for v, s in zip(values, shift, strict=True)]
        for number, exact in enumerate(v + x for v, x in zip(values, start, strict=True)):
            assert Fraction(float(least[0, number])) <= exact <= Fraction(float(most[0, number]))
