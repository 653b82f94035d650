"""Constants that a rule computes itself are rounded: what they cost is inside of the bounds."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
from networks import bounds

from attractor.certify.dual.lowering import network_of
from attractor.program import double_precision, trace


def bounded(function, point):
    with double_precision():
        network = network_of(trace(function, jnp.asarray(point)))
    least, most, _ = bounds(network, point[None], point[None])
    return least[0], most[0]


@pytest.mark.parametrize("divisor", [3.0, 7.0, 0.1, 49.0])
def test_a_quotient_is_bounded_as_it_is_written(divisor):
    for point in (np.array([1.0]), np.array([5.0]), np.array([1 / 3])):
        least, most = bounded(lambda x: x / divisor, point)
        exact = Fraction(float(point[0])) / Fraction(divisor)
        assert Fraction(float(least[0])) <= exact <= Fraction(float(most[0]))


def test_a_quotient_by_a_power_of_two_is_exact():
    with double_precision():
        exact, rounded = (network_of(trace(lambda x, by=by: x / by, jnp.ones(1))) for by in (4.0, 3.0))
    assert exact.output.roundings == 0
    assert rounded.output.roundings > 0


def test_the_quarter_turn_of_a_cosine_is_not_exact():
    """cos of the number next to pi / 2 is about 6e-17 and not zero."""
    least, most = bounded(jnp.cos, np.array([np.pi / 2]))
    assert least[0] <= 6.123233995736766e-17 <= most[0]
