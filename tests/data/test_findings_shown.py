"""What the doctor found, as people see it, and where warnings point."""

import inspect
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attractor.data import Sequences, examine_sequences
from attractor.data.finding import Findings, note, warning
from attractor.errors import warn

CASES = Sequences.from_arrays([[[1.0, np.nan]]] * 3 + [[[1.0, 2.0]]], ["a", "a", "b", "<i>"])


def test_findings_are_read_in_a_few_lines_and_as_a_table():
    found = examine_sequences(CASES)
    assert isinstance(found, list)
    lines = repr(found).splitlines()
    assert 2 <= len(lines) <= 6
    assert lines[0].startswith("the data doctor found ")
    assert "Severity" not in repr(found)
    page = found._repr_html_()
    assert page.count("<tr>") == len(found) + 1
    assert "<i>" not in page
    assert all(one.message in str(found) for one in found)


def test_counts_of_findings_and_none():
    assert str(Findings([])) == "the data doctor found nothing to complain about"
    some = Findings([
        warning("x", "u", "u is flat", "Look."),
        note("y", "", "few", "Go on."),
        note("z", "", "b", "c"),
    ])
    assert str(some).splitlines()[0] == "the data doctor found 1 warning, 2 notes"
    assert str(some).splitlines()[1] == "warning: u is flat. Look."


def test_a_warning_points_at_the_line_of_the_user():
    inside = {"__name__": "attractor.data.pretended", "warn": inspect.unwrap(warn)}
    exec("def read():\n    warn('odd', UserWarning)\n\ndef fit():\n    read()\n", inside)  # noqa: S102 (ours)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        inside["fit"]()
    assert Path(heard[0].filename).name == Path(__file__).name
    assert 'inside["fit"]()' in Path(__file__).read_text().splitlines()[heard[0].lineno - 1]


@pytest.mark.parametrize("names", [list("pqr"), [7, 8, 9], None])
def test_a_wide_table_calls_its_cases_by_its_index(names):
    wide = pd.DataFrame(np.eye(3)).add_prefix("t")
    data = Sequences.from_arrays(wide if names is None else wide.set_axis(names))
    assert data.ids == tuple(map(str, names or ("case 0", "case 1", "case 2")))
