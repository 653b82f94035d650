"""Killed at every file event: run folders, diagrams and single files are old, new, or said to be unfinished.

Run by `test_files_survive_kills.py` as a program of its own, because it forks: a process with the threads of
XLA must not.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
from kills import forked, strays

from attractor.errors import AttractorError
from attractor.files import append_line, write_atomically
from attractor.folders import locked, read_sealed, write_sealed
from attractor.runs import Run, load_run, save_run


def run_of(value):
    card = {"kind": "test", "value": value, "equation": {"sha256": "e" * 64}}
    return Run(card, {"w": np.full(3, value)}, {"e": np.zeros(2)})


def write_run(folder, value):
    with locked(folder):
        save_run(folder, run_of(value), overwrite=True)


def read_run(folder):
    run = load_run(folder)
    assert run.card["value"] == run.weights["w"][0]
    return run.card["value"]


def write_file(folder, value):
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "page.html", str(value).encode())
    append_line(folder / "log.jsonl", str(value))


def read_one(folder):
    return int((folder / "page.html").read_text()) if (folder / "page.html").exists() else None


def write_table(folder, value):
    with locked(folder):
        write_sealed(folder, {"a": str(value).encode(), "b": str(value).encode()})


def read_table(folder):
    contents = read_sealed(folder, ("a", "b"))
    assert contents["a"] == contents["b"]
    return int(contents["a"])


WRITERS = {"run": (write_run, read_run), "file": (write_file, read_one), "sealed": (write_table, read_table)}


def trial(room, kind, event):
    """Kill a writer that replaces the first version by the second; what a reader finds then and later."""
    write, read = WRITERS[kind]
    folder, said = room / "folder", room / "said"
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, 1)
    status = forked(lambda: write(folder, 2), folder, said, event)
    try:
        between = read(folder)
    except AttractorError as problem:
        between = str(problem)
    said_why = ("not a run folder", "did not come far enough", "was not written to its end", "cannot be read")
    assert between in (1, 2) or any(words in between for words in said_why), between
    write(folder, 2)
    assert read(folder) == 2
    assert not strays(folder), strays(folder)
    return status


def main():
    room, counts = Path(sys.argv[1]), {}
    for kind in WRITERS:
        event = 1
        while trial(room, kind, event) == -9:
            event += 1
        counts[kind] = event - 1
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main()
