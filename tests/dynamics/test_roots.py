"""Newton's method and the bracketed root finders, by functions whose roots are known."""

import numpy as np
import pytest

from attractor.dynamics.roots import (
    Linearised,
    bordered,
    bounded_minimum,
    bracketed_root,
    largest,
    newton,
    solved,
)

ROOTS = np.array([2.0, -3.0])


def squares(unknowns):
    """x_i^2 = r_i^2."""
    errors = unknowns**2 - ROOTS**2
    return Linearised(errors, lambda: np.diag(2 * unknowns), largest(errors, 9.0))


def test_newton_finds_the_root_that_its_start_is_near():
    found = newton(squares, np.array([2.5, -2.0]), 1e-13)
    assert np.allclose(found.unknowns, ROOTS, rtol=1e-12)
    assert found.residual < 1e-13
    assert 3 <= found.steps <= 7, "convergence is quadratic"


def test_newton_stops_where_it_is_told_to():
    assert newton(squares, np.array([2.5, -2.0]), 1e-13, most=2).steps == 2
    far = newton(squares, np.array([1e3, 1e3]), 1e-13)
    assert far.steps == 0, "a residual above the limit is given up at once"
    assert newton(squares, np.array([1e3, 1e3]), 1e-13, lost=np.inf).residual < 1e-13
    assert newton(squares, np.array([np.nan, 1.0]), 1e-13).steps == 0
    assert newton(squares, ROOTS, 1e-13).steps == 0, "a root needs no step"


def test_singular_equations_get_the_shortest_solution():
    assert np.allclose(solved(np.ones((2, 2)), np.array([2.0, 2.0])), [1, 1])
    assert np.allclose(solved(np.diag([1.0, 2.0]), np.array([2.0, 2.0])), [2, 1])


def test_a_border_adds_an_equation_and_an_unknown():
    larger = bordered(np.eye(2), np.array([5.0, 6.0]), np.array([7.0, 8.0]))
    assert larger.tolist() == [[1, 0, 5], [0, 1, 6], [7, 8, 0]]


@pytest.mark.parametrize("root", [-0.3, 0.0, 0.7])
def test_roots_and_minima_of_functions_of_one_number(root):
    assert abs(bracketed_root(lambda x: (x - root) ** 3 + (x - root), (-1.0, 1.0), 1e-12) - root) < 1e-11
    at, least = bounded_minimum(lambda x: 2 + (x - root) ** 2, (-1.0, 1.0), 1e-9)
    assert abs(at - root) < 1e-6
    assert least == pytest.approx(2)
