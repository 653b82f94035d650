"""Tables keep the text of every cell and convert on demand."""

import numpy as np
import pytest

from attractor.data import read_table
from attractor.errors import ConfigError, InputDataError


def test_text_stays_as_written(write):
    table = read_table(write('t,u [V],note\n0,1.500,ok\n1,2.50,"a, b"\n'))
    assert len(table) == 2
    assert table.text(table.find("u")) == ["1.500", "2.50"]
    assert table.text(table.find("note")) == ["ok", "a, b"]
    np.testing.assert_array_equal(table.numbers([1, 0]), [[1.5, 0], [2.5, 1]])


def test_blank_cells_are_nan(write):
    table = read_table(write("u,y\n1,\n,2\n"))
    np.testing.assert_array_equal(table.numbers([0, 1]), [[1, np.nan], [np.nan, 2]])


@pytest.mark.parametrize("rows", [4, 300], ids=["few", "many"])
def test_a_blank_line_between_the_rows_of_one_column_is_a_blank_cell(write, rows):
    """It was left out: all that came after it stood a row too early."""
    table = read_table(write("level [m]\n\n" + "1\n" * rows + " \n# calm\n2\n\n\n"))
    np.testing.assert_array_equal(table.numbers([0])[:, 0], [1] * rows + [np.nan, 2])
    assert table.row_numbers.tolist() == [*range(3, rows + 4), rows + 5]
    assert table.cell(rows, 0) == ""


def test_a_blank_line_between_rows_of_several_cells_is_no_row(write):
    table = read_table(write("u,y\n1,2\n\n3,4\n"))
    np.testing.assert_array_equal(table.numbers([0, 1]), [[1, 2], [3, 4]])


def test_rows_remember_their_line(write):
    table = read_table(write("# c\n\nu,y\n1,2\n# c\n3,x\n"))
    assert table.row_numbers.tolist() == [4, 6]
    with pytest.raises(InputDataError, match="row 6, column 'y': 'x'"):
        table.numbers([1])


def test_indices_are_names_not_units(write):
    table = read_table(write("u(1),u(2),y [1]\n1,2,3\n4,5,6\n"))
    assert [s.name for s in table.signals] == ["u(1)", "u(2)", "y"]


@pytest.mark.parametrize("delimiter", ["ab", "", "1", ".", "#"])
def test_impossible_delimiters(write, delimiter):
    with pytest.raises(ConfigError, match="cannot separate cells"):
        read_table(write("u,y\n1,2\n3,4\n"), delimiter)


@pytest.mark.parametrize("delimiter", [",", "comma"])
def test_delimiter_by_name(write, delimiter):
    assert len(read_table(write("u,y\n1,2\n3,4\n"), delimiter).signals) == 2
