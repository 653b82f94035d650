"""What the command line answers whatever the command: help, version, misspelt words, JSON, users' text."""

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest
from test_cli_classify import call, said

from attractor import cli
from attractor.cli import cache
from attractor.cli.console import Json, NotProvedError

GROUPS = ("train", "use", "understand", "prove", "manage")


def test_the_help_groups_all_commands_by_what_people_want(capsys):
    assert call("--help") == 0
    told = capsys.readouterr().out
    lines = told.splitlines()
    places = [lines.index(group) for group in GROUPS]
    assert places == sorted(places)
    listed = [line.split()[0] for line in lines if line.startswith("  ") and not line.startswith("  -")]
    assert sorted(set(listed) & set(cli.COMMANDS)) == sorted(cli.COMMANDS)
    for status in (0, 2, 3, 4, 5, cli.OUR_BUG, cli.INTERRUPTED):
        assert f"\n{status} " in told
    for option in ("--json", "--no-cache", "--version"):
        assert option in told


def test_without_a_command_the_help_is_shown_and_the_status_says_so(capsys):
    assert call() == 2
    assert "identify" in capsys.readouterr().out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_where_the_table_says(name):
    module, _, kind = cli.COMMANDS[name].home.partition(":")
    assert callable(getattr(import_module(f"attractor.cli.{module}"), kind).run)
    assert cli.COMMANDS[name].group in GROUPS


def test_the_help_of_a_command_is_that_of_the_librarys_settings(capsys):
    assert call("identify", "--help") == 0
    told = said(capsys)
    assert "--final-rate" in told
    assert "last learning rate, as a share of the peak" in told
    assert "--rows" not in told, "blocks of rows are given by role"


def test_the_version_is_told(capsys):
    assert call("--version") == 0
    assert said(capsys) == f"attractor {version('attractor')}"
    assert call("--version", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"version": version("attractor")}


@pytest.mark.parametrize(
    ("word", "hint"), [("identfy", "did you mean 'identify'?"), ("x", "`attractor --help` lists them")]
)
def test_a_misspelt_command_is_answered_with_the_nearest(word, hint, capsys):
    assert call(word, "--out", "x") == 2
    told = said(capsys)
    assert f"there is no command '{word}'" in told
    assert hint in told


def log(path):
    path.write_text("valve[bold],level :smile:\n" + "".join(f"{k % 5},{k % 7}\n" for k in range(60)))
    return path


def test_json_is_one_document_of_numbers_and_nothing_else(tmp_path, capsys):
    assert call("doctor", log(tmp_path / "log.csv"), "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"] == 60
    assert facts["inputs"] == ["valve [bold]"]
    assert {"severity", "message", "advice"} == set(facts["findings"][0])
    assert call("doctor", tmp_path / "log.csv") == 0
    assert "60 rows of" in said(capsys), "words again, without --json"


def test_json_of_a_mistake_holds_the_message(capsys):
    assert call("--json", "doctor", "nowhere.csv") == 2
    told = capsys.readouterr()
    assert "nowhere.csv" in json.loads(told.out)["error"]
    assert "nowhere.csv" in told.err


def test_json_of_what_is_not_proved_holds_what_was_found(capsys):
    def task():
        raise NotProvedError("no time", {"verdict": "unknown", "rate": float("nan")})

    cli.json.wanted = True
    try:
        assert cli._run(task, []) == 5
    finally:
        cli.json.wanted = False
    assert json.loads(capsys.readouterr().out) == {"error": "no time", "verdict": "unknown", "rate": None}


def test_json_has_plain_values_only(tmp_path, capsys):
    import numpy as np

    Json(wanted=True).say({"a": np.float32(0.5), "b": np.arange(2), "c": tmp_path, "d": (True, None, np.inf)})
    found = json.loads(capsys.readouterr().out)
    assert found == {"a": 0.5, "b": [0, 1], "c": str(tmp_path), "d": [True, None, None]}


def test_text_of_the_users_is_shown_as_it_is(tmp_path, capsys):
    assert call("doctor", log(tmp_path / "log.csv")) == 0
    assert "valve [bold] -> level :smile:" in said(capsys)
    assert call("doctor", tmp_path / "[red]x.csv") == 2
    assert "[red]x.csv" in said(capsys)
    assert call("lyapunov", "e.py:Gem[/bold]") == 2
    assert "Gem[/bold]" in said(capsys)
    assert call("[red]identify") == 2
    assert "'[red]identify'" in said(capsys)


def test_a_value_out_of_range_is_named_by_its_option(capsys):
    assert call("certify", "run", "--time-budget", "-1") == 2
    told = said(capsys)
    assert "--time-budget=-1.0: expected" in told
    assert "│" not in told


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user whose cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in (
        "ATTRACTOR_CACHE",
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    ):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def test_programs_are_kept_by_the_type_of_processor(home, monkeypatch):
    folder = cache.use_cache()
    assert folder.parent == home / "attractor" / "compiled"
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    monkeypatch.setattr(cache, "_PROCESSOR", cache.re.compile("^processor.*", cache.re.MULTILINE))
    assert cache.processor_type() != folder.name, "another processor has another folder"


@pytest.mark.parametrize("how", ["switch", "of the user's own", "no folder"])
def test_the_cache_can_be_off_and_is_never_in_the_way(home, monkeypatch, how):
    if how == "switch":
        monkeypatch.setenv("ATTRACTOR_CACHE", "off")
    elif how == "no folder":
        (home / "attractor").write_text("a file in its place")
    else:
        monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    before = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    assert cache.use_cache() is None
    assert os.environ.get("JAX_COMPILATION_CACHE_DIR") == before
    assert not (home / "attractor" / "compiled").exists()


def test_an_option_switches_the_cache_off(monkeypatch):
    def forbidden():
        raise AssertionError

    monkeypatch.setattr(cli, "use_cache", forbidden)
    monkeypatch.setattr(sys, "argv", ["attractor", "--version", "--no-cache"])
    with pytest.raises(SystemExit) as end:
        cli.program()
    assert end.value.code == 0


def test_the_cache_is_bounded_and_what_was_used_last_stays(tmp_path):
    for age, name in enumerate("abcd"):
        path = tmp_path / name / "program"
        path.parent.mkdir()
        path.write_bytes(bytes(10))
        os.utime(path, (1000 - age, 1000 - age))
    cache.bound(tmp_path, 25)
    assert sorted(path.parent.name for path in tmp_path.rglob("program")) == ["a", "b"]


KEPT = "import jax, jax.numpy as jnp; print(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones((3, 3)))[0, 0])"


@pytest.mark.slow
def test_a_program_of_one_process_serves_the_next(home, monkeypatch):
    folder = cache.use_cache()
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    outputs = [subprocess.check_output([sys.executable, "-c", KEPT]) for _ in range(2)]
    assert outputs[0] == outputs[1]
    assert [path for path in folder.rglob("*") if path.is_file()]


def test_tests_leave_the_cache_of_the_user_alone():
    assert os.environ["ATTRACTOR_CACHE"] == "off"
