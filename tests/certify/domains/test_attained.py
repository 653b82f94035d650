"""The bounds of every rule are attained: by the value at a single point, by corners over a box."""

import attained
import pytest


@pytest.mark.parametrize("part", range(6))
def test_at_a_single_point_every_bound_is_the_value(part):
    assert attained.at_point(part, 6) == []


@pytest.mark.parametrize("name", attained.EXACT)
def test_over_a_box_bounds_are_the_extremes_of_the_program(name):
    assert attained.exact(name) == []


@pytest.mark.parametrize("name", attained.LOOSE)
def test_over_a_box_bounds_leave_little_beside_the_extremes_of_the_program(name):
    assert attained.loose(name) == []


def test_the_largest_of_up_to_sixteen_states_moves_as_one_of_them():
    """Of more than that the hull of the slopes is taken, which adds up."""
    assert attained.sums_of_largest(16) == pytest.approx(1)
    assert attained.sums_of_largest(17) == pytest.approx(17)
