"""Thousands of damaged files for every reader: an answer or a typed error, nothing else.

Shards run on all cores; a finished shard is kept in the folder, so that a benchmark that was stopped goes on.

    python -m benchmarks.mutations --count 20000
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from joblib import Parallel, delayed

from benchmarks.recording import record

TESTS = Path(__file__).resolve().parents[1] / "tests"
SHARD = 500


def readers():
    """The readers of the test suite, which every process imports for itself."""
    sys.path[:0] = [str(TESTS), str(TESTS / "training"), str(TESTS / "export")]
    from mutated_readers import READERS

    return READERS


def attacked(name, first, out):
    """One shard: counts of what came out, and the first few faults with their seeds."""
    kept = out / f"{name.replace(' ', '-')}-{first:06d}.json"
    if kept.exists():
        return name, json.loads(kept.read_text())
    make, reader = readers()[name]
    from mutations import attack

    counts, faults, begin = Counter(), [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        sample, room = Path(folder) / "sample", Path(folder) / "room"
        sample.mkdir()
        room.mkdir()
        make(sample)
        for seed in range(first, first + SHARD):
            found = attack(reader, sample, room, seed)
            counts[found if found in ("read", "refused") else "fault"] += 1
            faults += [] if found in ("read", "refused") else [[seed, found]]
    result = {**counts, "faults": faults[:20], "seconds": round(time.monotonic() - begin, 1)}
    kept.write_text(json.dumps(result) + "\n")
    return name, result


def main():
    """Print a line for every reader; the status is 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--readers", nargs="*")
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--out", type=Path, default=Path(".cache/mutations"))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    total, faults = {}, 0
    shards = [(name, k) for name in asked.readers or readers() for k in range(0, asked.count, SHARD)]
    pool = Parallel(n_jobs=asked.jobs, return_as="generator", batch_size=1)
    for name, found in pool(delayed(attacked)(name, first, asked.out) for name, first in shards):
        counts = total.setdefault(name, Counter())
        counts.update({key: found.get(key, 0) for key in ("read", "refused", "fault")})
        for seed, what in found["faults"]:
            print(f"{name}, seed {seed}: {what}", flush=True)
        if sum(counts.values()) >= asked.count:
            print(f"{name}: {dict(counts)}", flush=True)
            faults += counts["fault"]
    record("mutations", [{"reader": name, **counts} for name, counts in total.items()])
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
