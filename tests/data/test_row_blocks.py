"""Blocks of rows in text and on records."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attractor.data import ColumnOptions, RowBlock, parse_row_block, read_csv
from attractor.data.record import find_runs
from attractor.errors import ConfigError, InputDataError


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("train=0:25000", RowBlock("train", 0, 25000)),
        ("40600:", RowBlock("rows 40600:", 40600, None)),
        (":512", RowBlock("rows :512", 0, 512)),
        ("a=b = 1 : 9", RowBlock("a=b", 1, 9)),
    ],
)
def test_forms(text, block):
    assert parse_row_block(text) == block


@pytest.mark.parametrize("text", ["", "x", "=0:5", "a=5", "5:5", "9:2", "-3:5", "a=1:2:3", "1.5:9"])
def test_bad_text(text):
    with pytest.raises(ConfigError, match="rows "):
        parse_row_block(text)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_a_block_or_our_error(text):
    try:
        assert parse_row_block(text).start >= 0
    except ConfigError:
        pass


def test_blocks_become_experiments():
    log = pd.DataFrame({"u": np.arange(10.0), "y": np.arange(10.0)})

    def read(*blocks):
        return read_csv(log, inputs=["u"], outputs=["y"], columns=ColumnOptions(rows=blocks))

    record = read(RowBlock("a", 0, 4), RowBlock("b", 6))
    assert [(e.name, e.inputs[:, 0].tolist()) for e in record.experiments] == [
        ("a", [0, 1, 2, 3]),
        ("b", [6, 7, 8, 9]),
    ]
    with pytest.raises(InputDataError, match=r"which has 10 rows \(0 to 9\)"):
        read(RowBlock("a", 0, 11))
    with pytest.raises(ConfigError, match="two blocks of rows are called 'a'"):
        read(RowBlock("a", 0, 4), RowBlock("a", 6))


@pytest.mark.parametrize(
    ("marks", "runs"), [("", []), ("..", []), ("#", [(0, 1)]), ("##..#", [(0, 2), (4, 5)]), (".#.", [(1, 2)])]
)
def test_runs_of_rows(marks, runs):
    assert find_runs(np.array([mark == "#" for mark in marks], dtype=bool)) == runs
