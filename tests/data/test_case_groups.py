"""Groups of cases from a table."""

import numpy as np
import pytest

from attractor.data import Sequences, read_case_groups
from attractor.data.long_table import with_known_groups
from attractor.errors import InputDataError

DATA = Sequences.from_arrays(np.zeros((3, 2, 1)))


def test_rows_are_found_by_the_names_of_the_cases(write):
    text = "group;case;note\nb;case 2;x\na;case 0;y\na;case 1;z\nc;case 9;w\nb;case 2;again\n"
    assert read_case_groups(write(text), DATA).tolist() == ["a", "a", "b"]


def test_without_names_the_rows_are_the_cases(write):
    assert read_case_groups(write("group\np1\np2\np1\n"), DATA).tolist() == ["p1", "p2", "p1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("group\np1\np2\n", "2 groups for 3 cases"),
        ("case,group\ncase 0,a\ncase 2,b\n", "no group for .*case 1"),
        (
            "case,group\ncase 0,a\ncase 0,b\ncase 1,a\ncase 2,b\n",
            "row 3.*case 0 is in group a and in group b",
        ),
        ("case,group\ncase 0,a\ncase 1,\ncase 2,b\n", "row 3, column 'group': blank"),
        ("case,patient\ncase 0,a\ncase 1,b\ncase 2,b\n", "group"),
    ],
)
def test_mistakes_are_named(write, text, words):
    with pytest.raises(InputDataError, match=words):
        read_case_groups(write(text), DATA)


def test_a_table_of_other_cases_gives_groups_to_those_that_it_names(write):
    known = ("one", "two")
    named = write("case,group\none,a\ncase 0,b\ncase 1,b\ncase 2,c\n")
    assert with_known_groups(DATA, named, known).groups.tolist() == ["b", "b", "c"]
    assert with_known_groups(DATA, named, ("case 2",)).groups is None, "another case may be meant"
    assert with_known_groups(DATA, write("case,group\ncase 0,b\n"), known).groups is None
    assert with_known_groups(DATA, write("group\na\nb\nc\n"), known).groups is None
