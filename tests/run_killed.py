"""The life of a run folder, killed at each of its file events in turn; prints one line an event.

A child process is forked for every event; an audit hook counts what Python does to files below the folder
and ends the child there without any clean-up. The line says how the child ended, what a reader finds then,
and what stands in the folder after the same command was given again. Run by `test_run_killed.py`:
`python run_killed.py FOLDER fresh|overwriting`.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

from attractor.errors import RunFolderError
from attractor.files import write_atomically
from attractor.folders import locked
from attractor.origin import strangers
from attractor.runs import REPORT, UNJUDGED, Run, append_log, load_run, write_log
from attractor.training.checkpoint import save_checkpoint, save_finished

KILLED = 77
CHECKPOINT = "checkpoint.safetensors"
EQUATION = {"sha256": "e" * 64}
OLD, NEW = ({"weight": np.full(3, value, np.float32)} for value in (1.0, 2.0))
_EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.truncate", "fcntl.flock"})


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


def killed_at(event, folder):
    """How a child ended that was killed at its event of that number."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    _die_at(event, str(folder))
    try:
        command(folder)
        os._exit(0)
    finally:
        os._exit(1)


def _die_at(event, folder):
    seen = 0

    def hook(name, arguments):
        nonlocal seen
        ours = name == "fcntl.flock" or str(arguments[0] if arguments else "").startswith(folder)
        if name in _EVENTS and ours:
            seen += 1
            if seen > event:
                os._exit(KILLED)

    sys.addaudithook(hook)


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
    event, status = 0, KILLED
    while status == KILLED:
        folder = Path(place) / str(event)
        begun(folder, how)
        status = killed_at(event, folder)
        then = found(folder)
        command(folder)
        again = content(folder)
        again.pop("lock")  # holds the number of the process
        print(json.dumps([status, then, again]), flush=True)  # noqa: T201
        event += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
