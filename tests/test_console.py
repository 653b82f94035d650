"""What a file says reaches the terminal as text, never as a command."""

import io
import warnings

import pytest
from rich.console import Console
from rich.table import Table

from attractor.cli import console
from attractor.cli.console import PlainConsole, escaped
from attractor.progress import BarReporter, LineReporter

HOSTILE = "flow \x1b]0;owned\x07\x9b31m [red]x[/] \udcff :smile:"
SHOWN = r"flow \x1b]0;owned\x07\x9b31m [red]x[/] \xff :smile:"


@pytest.fixture
def plain():
    return PlainConsole(file=io.StringIO(), width=200, emoji=False, force_terminal=False)


def test_names_of_columns_are_printed_as_text(plain):
    plain.print(f"column {escaped(HOSTILE)}")
    plain.print(HOSTILE, markup=False)
    grid = Table("name", escaped(HOSTILE), title=escaped(HOSTILE))
    grid.add_row("row", escaped(HOSTILE))
    plain.print(grid)
    said = plain.file.getvalue()
    assert said.count(SHOWN) == 5
    assert not set("\x1b\x07\x9b\udcff") & set(said)


def test_warnings_are_printed_as_text(plain, monkeypatch):
    monkeypatch.setattr(console, "errors", plain)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = console.show_warning
        warnings.warn(f"variable {HOSTILE} is constant", stacklevel=1)
    assert plain.file.getvalue() == f"warning: variable {SHOWN} is constant\n"


def test_progress_is_printed_as_text():
    lines, bars = io.StringIO(), io.StringIO()
    LineReporter("training", lines).update(1, 1, HOSTILE)
    bar = BarReporter("training", Console(file=bars, width=300, force_terminal=False))
    bar.update(1, 1, HOSTILE)
    bar.close()
    for said in (lines.getvalue(), bars.getvalue()):
        assert SHOWN in said
        assert not set("\x1b\x07\x9b\udcff") & set(said)
