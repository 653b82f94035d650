"""Commands that are killed at every file event, given again, and compared with the undisturbed command.

Four commands: a training with checkpoints and refinement from Python and from the shell, a phase diagram, an
export. Each trial starts in a
fresh folder, dies at one file event (a file is opened for writing, flushed, renamed, removed, locked), and is
given again. It must end in the same bits, or in a sentence that names the command which does; no temporary
file may stay.

    python -m benchmarks.kills --scenarios fit phase export identify
"""

import argparse
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.recording import record

TESTS = Path(__file__).resolve().parents[1] / "tests"
PLANT = "plant ph --samples 300 --out {room}/ph.csv"
IDENTIFY = (
    "identify {room}/ph.csv --inputs q3 --outputs pH --cell tanh --hidden 2 --steps 600 --window 20 "
    "--washout 5 --batch-size 8 --refine 2 --out {folder}"
)
PHASE = (
    "phase --x g_h 0.5:2:3 --y b_r -1:1:2 --size 10 --time 8 --transient 4 --workers 1 --fixed alpha_r=0.5 "
    "--out {folder}"
)
EXPORT = "export {room}/model --to numpy c onnx --out {folder}"


def command(words):
    """A command line of Attractor, to be done in a process of its own."""

    def act():
        from attractor import cli

        sys.argv = ["attractor", *shlex.split(words)]
        cli.main()

    return act


def fitted(room, folder):
    """Training and saving from Python, which writes everything that the command does but the report."""

    def act():
        from attractor import PlantModel
        from attractor.data import read_csv
        from attractor.training import TrainingSettings

        record = read_csv(room / "ph.csv", inputs=["q3"], outputs=["pH"])
        settings = TrainingSettings(steps=600, batch_size=8, refine=2)
        model = PlantModel("tanh", 2, window=20, washout=5, training=settings)
        model.fit(record, folder=folder).save(folder, overwrite=True)

    return act


SCENARIOS = {
    "fit": fitted,
    "phase": lambda room, folder: command(PHASE.format(room=room, folder=folder)),
    "export": lambda room, folder: command(EXPORT.format(room=room, folder=folder)),
    "identify": lambda room, folder: command(IDENTIFY.format(room=room, folder=folder)),
}
LEFT_OUT = ("lock", "log.jsonl", "report.html", "diagram.html", "card.json", "SHA256SUMS")
"""Files that hold seconds, or the digest of such a file."""


def bits(folder):
    """What is left of a command, without what differs from one run to the next by the clock."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and path.name not in LEFT_OUT and not name.startswith("parts"):
            data = path.read_bytes()
            found[name] = re.sub(rb'"seconds": [0-9.e-]+', b"", data) if path.suffix == ".json" else data
    return found


def trial(task, room, event, expected):
    """Kill at an event and give the command again: what was wrong, if anything; None without the event."""
    from kills import forked, strays

    folder, said = room / "killed", room / "said"
    shutil.rmtree(folder, ignore_errors=True)
    act = task(room, folder)
    status = forked(act, folder, said, event)
    if status != -9:
        return None if status == 0 else f"status {status}: {said.read_text()[-300:]}"
    again = forked(act, folder, said)
    if again:
        told = " ".join(said.read_text().split())
        if "already holds a finished run" in told and bits(folder) == expected:
            return ""  # it was killed after all was done
        if "attractor report" not in told:
            return f"given again: status {again}: {told[-300:]}"
        again = forked(command(f"report {folder}"), folder, said)
    if again:
        return f"the remedy: status {again}: {said.read_text()[-300:]}"
    left = strays(folder)
    if left:
        return f"stray {left}"
    found = bits(folder)
    names = [name for name in sorted({*expected, *found}) if found.get(name) != expected.get(name)]
    return f"differs in {names}" if names else ""


def scenario(name, room, first, every):
    """Trials of one command, as counts and faults."""
    from kills import forked

    task, whole = SCENARIOS[name], room / "whole"
    shutil.rmtree(whole, ignore_errors=True)
    status = forked(task(room, whole), whole, room / "said")
    if status:
        sys.exit((room / "said").read_text())
    expected = bits(whole)
    killed, faults, event, begin = 0, [], first, time.monotonic()
    while (wrong := trial(task, room, event, expected)) is not None:
        killed += 1
        faults += [[event, wrong]] if wrong else []
        print(f"{name}: event {event}, {killed} kills, {len(faults)} faults {wrong}", flush=True)
        event += every
    return {"kills": killed, "faults": faults, "seconds": round(time.monotonic() - begin)}


def prepare(room):
    """Make a log and a model for the commands to start from."""
    from kills import forked

    for act in (command(PLANT.format(room=room)), SCENARIOS["identify"](room, room / "model")):
        status = forked(act, room / "model", room / "said")
        if status:
            sys.exit((room / "said").read_text())


def main():
    """Print what every kill led to; the status is 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenarios", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--first", type=int, default=1, help="event to begin with")
    parser.add_argument("--every", type=int, default=1, help="kill at every so-manieth event")
    asked = parser.parse_args()
    sys.path[:0] = [str(TESTS)]
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        # children share what they compile; the parent computes nothing, so that it may fork
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(room / "compiled")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        import attractor.report  # noqa: F401

        prepare(room)
        results = {one: scenario(one, room, asked.first, asked.every) for one in asked.scenarios}
    record("kills", *({"title": one, "rows": [found]} for one, found in results.items()))
    print({one: (found["kills"], len(found["faults"])) for one, found in results.items()})
    sys.exit(any(found["faults"] for found in results.values()))


if __name__ == "__main__":
    main()
