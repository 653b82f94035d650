"""Bounds beside those of auto_LiRPA (CROWN and alpha-CROWN): the same networks, one core each, in one run.

    python -m benchmarks.verification_beside PYTHON --path auto_LiRPA --seeds 3

PYTHON is an interpreter with torch, and the path holds the source of auto_LiRPA. What is told is how much of
the gap between CROWN's bound and the largest output that an attack reached is closed, in the mean over
outputs and the median over seeds; the seconds are the median, without what either side needs to read a
network.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.relaxation import Region, output_box, walk, wanted_of
from attractor.certify.dual.slopes import Objectives, descended
from attractor.certify.dual.tightening import Effort, tightened
from attractor.certify.verify.trajectories import WholeRuns, attacked
from benchmarks.recording import record
from benchmarks.verification import CELLS, arrays_of, unrolled

# Sizes, activation, radius.
NETWORKS = (
    ((10, 100, 100, 100, 100), "relu", 0.05),
    ((10, 100, 100, 100, 100), "relu", 0.2),
    ((3, 10, 10, 1), "relu", 0.3),
    ((6, 20, 20, 20, 1), "relu", 0.1),
    ((3, 10, 10, 1), "tanh", 0.3),
    ((6, 20, 20, 20, 1), "tanh", 0.1),
    ((3, 10, 10, 1), "logistic", 0.3),
)
THEIRS = ("CROWN", "alpha-CROWN 20", "alpha-CROWN 100")
OURS = ("ours: walk", "ours: 20 steps", "ours: 300 steps", "ours: boxes too")


def layers(sizes, activation, radius, seed):
    """A random network with its box, and its arrays for the peer."""
    generator, nodes, arrays = np.random.default_rng(seed), [], {"activation": np.array(activation)}
    for index, (before, size) in enumerate(pairwise(sizes)):
        arrays[f"matrix{index}"] = 1.5 * generator.normal(size=(size, before)) / np.sqrt(before)
        arrays[f"bias{index}"] = 0.3 * generator.normal(size=size)
        one = Affine({index: Dense(arrays[f"matrix{index}"])}, arrays[f"bias{index}"])
        nodes.append(Node(activation, (one,)))
    middle = generator.uniform(-1, 1, sizes[0])
    arrays |= {"low": middle - radius, "high": middle + radius}
    output = nodes.pop().arguments[0]
    return Network(sizes[0], tuple(nodes), output), arrays


def ours(network, low, high):
    """Upper bounds of all outputs and seconds, by method."""
    region, lows, highs = Region(network, low, high), low[None], high[None]
    sought = Objectives(*wanted_of(region, network.output, np.eye(len(network.output.bias))))
    interval, found = output_box(region, lows, highs, region.root)[1][0], {}
    for name, steps, effort in zip(OURS, (0, 20, 300, 300), (0, 0, 0, 60), strict=True):
        begin = time.process_time()
        known = tightened(region, lows, highs, None, Effort(steps=effort))
        if steps:
            upper = descended(
                region, lows, highs, sought, known.boxes, known.lines, steps=steps
            ).walked.upper[0]
        else:
            upper = walk(region, lows, highs, *sought, known.lines).upper[0]
        found[name] = {"upper": np.minimum(upper, interval), "s": time.process_time() - begin}
    return found


def problems(seeds):
    """Name, seed, network and arrays of every problem."""
    found = []
    for sizes, activation, radius in NETWORKS:
        name = f"{activation} {'-'.join(map(str, sizes))} {radius:g}"
        found += [(name, seed, layers(sizes, activation, radius, seed)) for seed in seeds]
    for cell in CELLS:
        kind, units, steps, radius = cell
        for seed in seeds:
            network, low, high = unrolled(*cell, seed)
            arrays = arrays_of(*cell, seed) | {"low": low, "high": high}
            found.append((f"{kind} {units} units {steps} steps {radius:g}", seed, (network, arrays)))
    return found


def theirs(python, path, everything):
    """What the peer says of all problems."""
    flat = {
        f"{name}|{seed}/{part}": array
        for name, seed, (_, arrays) in everything
        for part, array in arrays.items()
    }
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "problems.npz"
        np.savez(file, **flat)
        script = Path(__file__).with_name("verification_peer.py")
        done = subprocess.run(
            [python, script, file], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": str(path), "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": ""},
        )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def table(everything, peer):
    """Shares of the gap that are closed, and seconds."""
    grid = Table(title="Percent of the gap between CROWN and what an attack reached that is closed; seconds")
    for column in ("problem", *THEIRS, *OURS):
        grid.add_column(column)
    rows: dict[str, list[dict]] = {}
    for name, seed, (network, arrays) in everything:
        with np.errstate(all="ignore"):
            reached = attacked(
                WholeRuns(network, len(network.output.bias)), arrays["low"], arrays["high"],
                (arrays["low"] + arrays["high"]) / 2,
            ).high[0]  # fmt: skip
            found = {**peer[f"{name}|{seed}"], **ours(network, arrays["low"], arrays["high"])}
        rows.setdefault(name, []).append(shares(found, reached))
    for name, one in rows.items():
        told = []
        for method in (*THEIRS, *OURS):
            values = [row[method] for row in one]
            if any(isinstance(value, str) for value in values):
                told.append(next(value for value in values if isinstance(value, str)))
                continue
            share, seconds = np.median(np.array(values), axis=0)
            told.append(f"{share:.1f}; {seconds:.2f} s")
        grid.add_row(name, *told)
    return grid


def shares(found, reached):
    """For each method the mean share of the gap and the seconds, or the name of the peer's error."""
    first = np.array(found["CROWN"]["upper"])
    gap = first - reached
    wide = gap > 1e-6 * np.abs(first)
    told = {}
    for name, one in found.items():
        if "error" in one:
            told[name] = one["error"]
            continue
        upper = np.array(one["upper"])
        if (upper < reached - 1e-4 * np.maximum(np.abs(reached), 1)).any():
            raise AssertionError(f"{name}: an attack went beyond the bound")
        told[name] = (
            100 * float(np.mean((first - upper)[wide] / gap[wide])) if wide.any() else 0.0,
            one["s"],
        )
    return told


def main():
    """Print and record the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("python", type=Path)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    everything = problems(range(asked.seeds))
    found = table(everything, theirs(asked.python, asked.path, everything))
    Console(width=200).print(found)
    record("verification_beside", found, seeds=range(asked.seeds))


if __name__ == "__main__":
    main()
