"""Killed at any file event, a run is the old one, the new one, or refused; the same command ends it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from attractor import runs

PROGRAM = Path(__file__).parent / "run_killed.py"
SENTENCES = (
    r"there is no run folder FOLDER",
    r"FOLDER holds an unfinished training; run the same command again to resume it",
    r"FOLDER was not written to its end: SHA256SUMS is missing; train or save the model again",
    r"FOLDER holds a command that did not come far enough to leave anything; give it again",
    r"FOLDER is not a run folder of Attractor: SHA256SUMS is missing",
)
FEWEST = 60
"""File events of the life of a run, at least; a hook that hears none would find nothing wrong."""


@pytest.mark.parametrize("how", [pytest.param("fresh", marks=pytest.mark.slow), "overwriting"])
def test_a_run_that_is_killed_at_any_event_is_whole_or_says_why_not(tmp_path, how):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), how], capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    assert len(lines) > FEWEST
    *killed, (status, last, whole) = lines
    assert (status, last) == (0, ["new", []]), done.stderr
    assert set(whole) == {
        *runs._HASHED,
        "SHA256SUMS",
        "log.jsonl",
        "report.html",
        *(["notes.txt"] if how == "overwriting" else []),
    }
    for _, found, again in killed:
        if isinstance(found, str):
            assert any(re.fullmatch(sentence, found) for sentence in SENTENCES), found
        else:
            owner, strangers = found
            assert owner in ("old", "new")
            assert strangers == []
        assert again == whole
