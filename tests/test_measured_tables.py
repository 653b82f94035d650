"""Results as files, and the page that is made of them."""

import json

import pytest
from rich.table import Table

from benchmarks.recording import record
from benchmarks.tables import PAGE, markdown, page, section


def table():
    grid = Table("cell", "time", title="Times")
    grid.add_row("gru", "1.5 ms")
    grid.add_row("a|b", "2 ms")
    return grid


def test_a_file_of_results_says_where_its_numbers_come_from(tmp_path):
    path = record("times", table(), [{"x": 0.123456}], seeds=range(2), folder=tmp_path)
    content = json.loads(path.read_text())
    assert content["tables"][0] == {
        "title": "Times",
        "rows": [{"cell": "gru", "time": "1.5 ms"}, {"cell": "a|b", "time": "2 ms"}],
    }
    assert content["seeds"] == [0, 1]
    assert {"command", "commit", "date", "machine"} <= set(content)
    assert {"cores", "jax", "numpy"} <= set(content["machine"])
    assert str(tmp_path) not in path.read_text(), "no folder of a machine in a published file"


def test_a_section_names_its_command_and_shows_its_rows(tmp_path):
    content = json.loads(record("times", table(), [{"x": 0.123456}], seeds=[3], folder=tmp_path).read_text())
    text = section("times", content)
    assert text.startswith("## times\n")
    assert f"`{content['command']}`, commit {content['commit']}" in text
    assert "seeds 3" in text
    assert "| cell | time |\n| --- | --- |\n| gru | 1.5 ms |\n| a\\|b | 2 ms |" in text
    assert "| 0.1235 |" in text


def test_rows_that_lack_a_column_leave_it_empty():
    assert "| 1 |  |" in markdown({"title": "", "rows": [{"a": 1, "b": 2}, {"a": 1}]})


def test_a_column_that_begins_later_is_shown():
    assert "| x | y |" in markdown({"title": "", "rows": [{"x": 1}, {"y": 2}]})


@pytest.mark.parametrize(("name", "rows"), [("", []), ("../outside", []), ("times", {"x": 1})])
def test_what_is_no_result_is_refused(tmp_path, name, rows):
    with pytest.raises(ValueError, match=r"is no name|expected title and rows"):
        record(name, rows, folder=tmp_path)


def test_a_torn_file_is_named(tmp_path):
    (tmp_path / "torn.json").write_text('{"tables": [')
    with pytest.raises(SystemExit, match=r"torn\.json is no file of results"):
        page(tmp_path)


def test_the_page_of_the_documentation_is_what_the_files_say():
    assert PAGE.read_text() == page(), "run python -m benchmarks.tables"
