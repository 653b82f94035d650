"""A file about which nothing is known: which columns are signals, and which of them answer."""

import pytest

from attractor.data import ColumnOptions, guess_columns, read_csv
from attractor.errors import InputDataError

LEVEL = "q,valve,level [cm]\n1,2,3\n4,5,6\n"


def test_the_last_column_answers_to_the_others(write):
    path = write("experiment,Time [s],q,valve,level\na,0,1,2,3\na,1,4,5,6\n")
    assert guess_columns(path) == (("q", "valve"), ("level",))
    assert guess_columns(path, ["level"]) == (("level",), ("valve",))
    assert guess_columns(path, [], ["q"]) == (("valve", "level"), ("q",))


@pytest.mark.parametrize("label", ["level", "level [cm]", "level (cm)", " level [ cm ] "])
def test_a_known_column_is_known_with_or_without_its_unit(write, label):
    path = write(LEVEL)
    assert guess_columns(path, outputs=[label]) == (("q", "valve"), (label,))
    assert guess_columns(path, inputs=[label]) == ((label,), ("valve",))
    inputs, outputs = guess_columns(path, outputs=[label])
    assert read_csv(path, inputs=inputs, outputs=outputs).samples == 2


def test_columns_named_in_the_options_are_no_signals(write):
    path = write("stamp [min];run;q;level\n10;a;1;2\n15;a;3;4\n")
    options = ColumnOptions(time="stamp", experiment="run")
    assert guess_columns(path, columns=options) == (("q",), ("level",))
    assert guess_columns(path, outputs=["q"], columns=options) == (("level",), ("q",))


def test_the_delimiter_of_the_options_is_used(write):
    path = write("q|level\n1|2\n3|4\n")
    assert guess_columns(path, columns=ColumnOptions(delimiter="|")) == (("q",), ("level",))


def test_columns_that_differ_by_their_unit_alone_are_told_apart(write):
    path = write("u [V],u [A],y\n1,2,3\n4,5,6\n")
    inputs, outputs = guess_columns(path)
    assert [signal.unit for signal in read_csv(path, inputs=inputs, outputs=outputs).inputs] == ["V", "A"]


def test_refusals(write):
    with pytest.raises(InputDataError, match="has the columns t, y; name an input and an output"):
        guess_columns(write("t,y\n0,1\n1,2\n"))
    with pytest.raises(InputDataError, match="name an input and an output"):
        guess_columns(write("a,b\n0,1\n1,2\n"), outputs=["a", "b"])
    with pytest.raises(InputDataError, match=r"no column 'levle'; did you mean 'level'\?"):
        guess_columns(write(LEVEL), outputs=["levle"])
