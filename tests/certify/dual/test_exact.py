"""Networks at points in fractions: as plain arithmetic says, and nothing where a number is not exact."""

from fractions import Fraction

import numpy as np
import pytest

from attractor.certify.dual.exact import below, exact_outputs
from attractor.certify.dual.linear_maps import Dense, Selection
from attractor.certify.dual.network import Affine, Network, Node


def choice(*columns, size=2, source=0):
    return Affine({source: Selection(np.array(columns), np.ones(len(columns)), size)}, np.zeros(len(columns)))


def of(function, *parameters, arguments=1):
    node = Node(function, (choice(0, 1), choice(1, 0))[:arguments], parameters)
    return Network(2, (node,), Affine({1: Dense(np.array([[3.0, -0.1]]))}, np.array([0.7])))


def combined(one, other):
    return Fraction(0.7) + 3 * one - Fraction(0.1) * other


@pytest.mark.parametrize(
    ("function", "parameters", "rule"),
    [
        ("relu", (), lambda z: max(z, Fraction(0))),
        ("clip", (-0.5, 0.2), lambda z: min(max(z, Fraction(-0.5)), Fraction(0.2))),
        ("clip", (0.0, np.inf), lambda z: max(z, Fraction(0))),
        ("square", (), lambda z: z**2),
        ("power", (3.0,), lambda z: z**3),
        ("positive", (), lambda z: Fraction(int(z > 0))),
        ("not_negative", (), lambda z: Fraction(int(z >= 0))),
        ("is_zero", (), lambda z: Fraction(int(z == 0))),
    ],
)
def test_functions_of_one_number_are_exact(function, parameters, rule):
    for point in ([0.1, -0.3], [0.0, 1e-300], [-0.7, 0.9], [5e-324, 0.0]):
        x, y = map(Fraction, point)
        found = exact_outputs(of(function, *parameters), np.array(point))
        assert found == (combined(rule(x), rule(y)),)


def test_products_are_exact_and_layers_follow_each_other():
    x, y = Fraction(0.1), Fraction(0.3)
    assert exact_outputs(of("product", arguments=2), np.array([0.1, 0.3])) == (combined(x * y, x * y),)
    first = Node("square", (choice(0, 1),))
    second = Node("relu", (Affine({0: Dense(np.eye(2)), 1: Dense(-np.eye(2))}, np.array([0.1, 0.0])),))
    network = Network(2, (first, second), Affine({2: Dense(np.ones((1, 2)))}, np.zeros(1)))
    expected = max(x - x * x + Fraction(0.1), Fraction(0)) + max(y - y * y, Fraction(0))
    assert exact_outputs(network, np.array([0.1, 0.3])) == (expected,)


def test_what_is_not_exact_has_no_exact_value():
    assert exact_outputs(of("tanh"), np.zeros(2)) is None
    assert exact_outputs(of("relu"), np.array([np.nan, 0.0])) is None
    rounded = Affine({0: Dense(np.ones((1, 2)))}, np.zeros(1), roundings=1)
    assert exact_outputs(Network(2, (), rounded), np.zeros(2)) is None
    endless = Affine({0: Dense(np.array([[np.inf, 0.0]]))}, np.zeros(1))
    assert exact_outputs(Network(2, (), endless), np.ones(2)) is None


def test_work_without_end_is_not_begun():
    squares = tuple(
        Node("square", (Affine({k: Dense(np.eye(1))}, np.zeros(1)),)) for k in range(40)
    )  # each one doubles the digits
    network = Network(1, squares, Affine({40: Dense(np.eye(1))}, np.zeros(1)))
    assert exact_outputs(network, np.array([0.1])) is None
    assert exact_outputs(of("power", 1e9), np.array([0.1, 0.2])) is None
    large = Network(300, (), Affine({0: Dense(np.ones((300, 300)))}, np.zeros(300)))
    assert exact_outputs(large, np.ones(300)) is None


@pytest.mark.parametrize("exact", [Fraction(1, 10), Fraction(-1, 10), Fraction(1, 3), Fraction(10) ** 400])
def test_the_float_below_is_the_next_one(exact):
    for sign in (1, -1):
        found = below(sign * exact)
        assert found == -np.inf or Fraction(found) <= sign * exact
        with np.errstate(over="ignore"):
            after = np.nextafter(found, np.inf)
        assert after == np.inf or Fraction(float(after)) > sign * exact
