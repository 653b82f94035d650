"""The life of a run folder, killed at each of its file events in turn; prints one line an event.

The line says how the process ended, what a reader finds then, and what stands in the folder after the same
command was given again. Run by `test_run_killed.py`: `python run_killed.py FOLDER fresh|overwriting`.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np
from kills import forked

from attractor.errors import RunFolderError
from attractor.files import write_atomically
from attractor.folders import locked
from attractor.origin import strangers
from attractor.runs import REPORT, UNJUDGED, Run, append_log, load_run, write_log
from attractor.training.checkpoint import save_checkpoint, save_finished

KILLED = -9
CHECKPOINT = "checkpoint.safetensors"
EQUATION = {"sha256": "e" * 64}
OLD, NEW = ({"weight": np.full(3, value, np.float32)} for value in (1.0, 2.0))


def run_of(weights, **card):
    return Run({"kind": "test", "equation": EQUATION, "fingerprint": "f", **card}, weights, {})


def command(folder):
    """What `identify` does to its folder: train with checkpoints, save, judge, save, report."""
    with locked(folder):
        write_log(folder / "log.jsonl", [])
        for step in range(2):
            append_log(folder / "log.jsonl", {"step": step})
            save_checkpoint(folder / CHECKPOINT, NEW, {"fingerprint": "f", "history": []})
    for card in (UNJUDGED, {}):
        origin = save_finished(folder, run_of(NEW, **card), (CHECKPOINT,), "f", overwrite=True)
    write_atomically(folder / REPORT, origin.stamp.encode())


def begun(folder, how):
    """The folder before: none, or the run of other weights with all that was made from it."""
    if how == "overwriting":
        origin = save_finished(folder, run_of(OLD), (), "f", overwrite=False)
        for name in (REPORT, "certificate.html", "stability.json", "step.c"):
            (folder / name).write_text(origin.stamp)
        (folder / "closed_loop.csv").write_text("no stamp")
        (folder / "notes.txt").write_text("of the user")


def found(folder):
    """What a reader says: whose weights these are, and what of other weights is beside them; or why not."""
    try:
        run = load_run(folder)
    except RunFolderError as problem:
        return str(problem).replace(str(folder), "FOLDER")
    owner = {1.0: "old", 2.0: "new"}[float(run.weights["weight"][0])]
    stale = [path.name for path in strangers(folder, run.origin)]
    if owner == "new" and (folder / "closed_loop.csv").exists():
        stale.append("closed_loop.csv")
    return [owner, sorted(stale)]


def content(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def main(place, how):
    """One line for each event, until the child comes to its end."""
    os.fsync = lambda _: None  # the system lives on, and waiting for the disk is nearly all of the time
    event, status = 1, KILLED
    while status == KILLED:
        folder = Path(place) / f"run {event}"
        begun(folder, how)
        status = forked(lambda folder=folder: command(folder), folder, Path(place) / "said", event)
        then = found(folder)
        command(folder)
        again = content(folder)
        again.pop("lock")  # holds the number of the process
        print(json.dumps([status, then, again]), flush=True)  # noqa: T201
        event += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
