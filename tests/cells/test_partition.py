"""Groups of variables: what is a partition, how an input is cut, what people may write."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.cells import Partition, channelled_groups, parse_groups
from attractor.errors import ConfigError

NAMES = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "heart rate")


@st.composite
def partitions_of_six(draw):
    """One, three or six groups: few shapes, so that little is compiled."""
    order, count = draw(st.permutations(range(6))), draw(st.sampled_from([1, 3, 6]))
    cuts = sorted(draw(st.sets(st.integers(1, 5), min_size=count - 1, max_size=count - 1)))
    edges = [0, *cuts, 6]
    return tuple(tuple(order[edges[k] : edges[k + 1]]) for k in range(count))


@given(partitions_of_six())
@settings(max_examples=40, deadline=None)
def test_an_arranged_input_holds_every_group_and_zeros_behind_it(groups):
    partition = Partition(groups)
    values = np.arange(1.0, partition.size + 1)
    found = np.asarray(partition.arrange(jnp.asarray(values)))
    for row, group in zip(found, groups, strict=True):
        np.testing.assert_array_equal(row, [*values[list(group)], *[0] * (partition.widest - len(group))])
    assert sorted(partition.order) == list(range(partition.size))


def test_missing_values_become_zero_and_a_group_without_any_is_not_observed():
    seen = Partition(((0, 2), (1,))).observe(jnp.array([jnp.nan, jnp.nan, 3.0]))
    np.testing.assert_array_equal(seen.values, [0, 0, 3])
    np.testing.assert_array_equal(seen.grouped, [[0, 3], [0, 0]])
    np.testing.assert_array_equal(seen.observed, [True, False])


def test_equal_consecutive_groups_are_only_a_view():
    plain = jax.make_jaxpr(Partition(((0, 1), (2, 3))).arrange)(jnp.zeros(4))
    mixed = jax.make_jaxpr(Partition(((0, 2), (1, 3))).arrange)(jnp.zeros(4))
    assert "gather" not in str(plain)
    assert "gather" in str(mixed)


@pytest.mark.parametrize(
    ("groups", "size", "said"),
    [
        (((0, 1), (1, 2)), 3, "variable 1 in groups 0, 1"),
        (((0, 0), (1,)), 2, "variable 0 in groups 0, 0"),
        (((0,), ()), 1, "group 1 is empty"),
        ((), 1, "no group"),
        (((0, 3),), 4, "variable 1, 2 in no group"),
        (((0,), (-1,)), 2, "variable -1 is negative"),
        (((0,), (1,)), 3, "not all of the 3 variables 0 to 2; look at 2"),
        (((0,), (1, 2)), 2, "more than the 2 variables 0 to 1; look at 2"),
        (None, 0, "input_size=0"),
    ],
)
def test_what_is_no_partition_is_refused_with_the_positions(groups, size, said):
    with pytest.raises(ConfigError, match=said):
        Partition.of(groups, size)


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("acc_*,gyro_*,heart rate", ((0, 1, 2), (3, 4), (5,))),
        (" acc_* , gyro_* , heart* ", ((0, 1, 2), (3, 4), (5,))),
        ("0-2,3-5", ((0, 1, 2), (3, 4, 5))),
        ("5+0,1-4", ((5, 0), (1, 2, 3, 4))),
        ("acc_x+gyro_x,/.*_y/,acc_z+heart?rate", ((0, 3), (1, 4), (2, 5))),
        ("/acc_[xy]/,acc_z,[gh]*", ((0, 1), (2,), (3, 4, 5))),
        ([["acc_x", 1], "acc_z", ("gyro_*", "heart rate")], ((0, 1), (2,), (3, 4, 5))),
        ([0, 1, 2, "3-5"], ((0,), (1,), (2,), (3, 4, 5))),
        ("acc_x+acc_*,3-5", ((0, 1, 2), (3, 4, 5))),  # twice in one group is once
    ],
)
def test_groups_are_written_by_name_pattern_and_position(text, groups):
    assert parse_groups(text, NAMES) == groups


def test_a_name_wins_over_a_position_and_may_hold_commas_in_a_list():
    assert parse_groups("1,0", ("0", "1")) == ((1,), (0,))
    assert parse_groups([["a,b"], ["c+d"]], ("a,b", "c+d")) == ((0,), (1,))
    assert parse_groups([[1], [0]], ("1", "0")) == ((1,), (0,))  # a number is a position


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acc_*,giro_x", r"'giro_x' means no variable; did you mean 'gyro_x'\?.*heart rate"),
        ("acc_*,zzzz", r"'zzzz' means no variable\. Variables: acc_x"),
        ("acc_*,gyro_*", "in no group: 'heart rate'"),
        ("0-3,gyro_*,5", "'gyro_x' is in groups 0 and 1"),
        ("0-2,3-6", "'3-6': expected positions from 0 to 5"),
        ("2-0,3-5", "'2-0': expected positions from 0 to 5"),
        ("0-5,", "a group without a variable"),
        ("", "a group without a variable"),
        ([], "a group without a variable"),
        ("/acc_(/,3-5", r"'/acc_\(/' is no regular expression"),
    ],
)
def test_groups_that_make_no_partition_name_the_variables(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_groups(text, NAMES)


def test_channels_of_a_variable_join_its_group():
    assert channelled_groups(((0, 2), (1,)), 1) == ((0, 2), (1,))
    assert channelled_groups(((2, 0), (1,)), 3) == ((2, 0, 5, 3, 8, 6), (1, 4, 7))
    assert Partition(channelled_groups(((0, 2), (1,)), 2)).size == 6
    with pytest.raises(ConfigError, match="copies=0"):
        channelled_groups(((0,),), 0)
    with pytest.raises(ConfigError, match="variable 0 in groups 0, 1"):
        channelled_groups(((0,), (0,)), 2)
