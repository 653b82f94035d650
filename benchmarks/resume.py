"""Kill trainings at random moments with SIGKILL, resume them, and compare the weights bit for bit.

Three tasks: a GRU with an encoder, an LSTM with two seeds, a NNARX model with a refinement. Each is trained
once without interruption; then again and again in a fresh folder, killed at a random time, started again
until it ends. The digests of the final weights must be equal, no stray file may stay.

    python -m benchmarks.resume --kills 50
"""

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMON = ("--inputs", "q3", "--outputs", "pH", "--window", "30", "--washout", "6", "--batch-size", "8")
TASKS = {
    "gru": ("--cell", "gru", "--hidden", "4", "--steps", "6000"),
    "lstm": ("--cell", "lstm", "--hidden", "3", "--steps", "4000", "--seeds", "2"),
    "nnarx": ("--cell", "nnarx", "--hidden", "4", "--steps", "3000", "--refine", "10"),
}


def command(log, folder, options):
    """The command line of a training."""
    words = ["identify", str(log), *COMMON, *options, "--out", str(folder)]
    return [sys.executable, "-m", "attractor", *words]


def finished(folder):
    """Whether the run was sealed."""
    return (folder / "SHA256SUMS").exists()


def digest(folder):
    """Digest of the final weights."""
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


def train(log, folder, options):
    """Train to the end; the seconds from the first checkpoint to the seal and the start-up before it."""
    begin = time.monotonic()
    process = subprocess.Popen(
        command(log, folder, options), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and not (folder / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    first = time.monotonic() - begin
    while process.poll() is None and not finished(folder):
        time.sleep(0.01)
    seconds = time.monotonic() - begin
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(f"training failed: {errors.decode()}")
    return first, seconds


def killed_once(log, folder, options, moment):
    """Start, kill after `moment` seconds; whether it was still training."""
    process = subprocess.Popen(
        command(log, folder, options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return not finished(folder)
    return False


def trial(log, folder, task, times, draw):
    """One training that is killed now and then; how often it was."""
    first, whole = times
    kills = 0
    while draw.random() < 0.85 and not finished(folder):
        kills += killed_once(log, folder, TASKS[task], draw.uniform(0.7 * first, whole))
    if not finished(folder):
        train(log, folder, TASKS[task])
    return kills


def compare(root, wanted, draw):
    """Run trials until there were enough kills; True if all ended in the same bits without strays."""
    log = root / "ph.csv"
    plant = [sys.executable, "-m", "attractor", "plant", "ph", "--samples", "600", "--out", str(log)]
    subprocess.run(plant, check=True, stdout=subprocess.DEVNULL)
    times = {task: train(log, root / task, options) for task, options in TASKS.items()}
    reference = {task: digest(root / task) for task in TASKS}
    kills = same = runs = strays = 0
    while kills < wanted:
        task = list(TASKS)[runs % len(TASKS)]
        folder = root / f"{task}-{runs}"
        kills += trial(log, folder, task, times[task], draw)
        runs += 1
        same += digest(folder) == reference[task]
        strays += len(list(folder.glob(".*.tmp")))
        shutil.rmtree(folder)
        print(f"{kills} kills, {same}/{runs} runs bit-identical, {strays} stray files", flush=True)
    return same == runs and strays == 0


def main():
    """Print how many killed trainings ended in the same bits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sys.exit(not compare(Path(name), asked.kills, random.Random(asked.seed)))  # noqa: S311


if __name__ == "__main__":
    main()
