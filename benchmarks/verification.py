"""How tight, how fast, how many queries decided: bounds of unrolled cells, and networks with queries.

    python -m benchmarks.verification                          bounds of cells, and of one wide network
    python -m benchmarks.verification --queries FOLDER         the queries of a folder as well
    python -m benchmarks.verification --queries FOLDER --peer vibecheck --limit 60

A folder of queries has `results.csv` with the columns benchmark, onnx, vnnlib, timeout_s, verdict. Every
query is one process of `attractor-vnnlib`, as its users start it, and one of the peer, alternating; times
hold the start of the process. The exact largest output of a cell is where a complete search closes its
bracket.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.expressions import mapped
from attractor.certify.dual.linear_maps import Dense, Selection
from attractor.certify.dual.lowering import network_of
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.relaxation import Region, output_box, walk, wanted_of
from attractor.certify.dual.search import search
from attractor.certify.dual.slopes import Objectives, descended
from attractor.certify.dual.tightening import Effort, tightened
from attractor.program import double_precision, trace
from benchmarks.recording import record

# Kind of cell, units, steps, radius of the inputs.
CELLS = (
    ("tanh", 4, 2, 0.3),
    ("tanh", 4, 4, 0.1),
    ("tanh", 8, 6, 0.05),
    ("GRU", 3, 1, 0.5),
    ("GRU", 3, 2, 0.5),
    ("GRU", 4, 3, 0.2),
    ("GRU", 4, 5, 0.1),
    ("LSTM", 4, 1, 0.3),
    ("LSTM", 4, 3, 0.2),
)
INPUTS = 2


def arrays_of(kind, units, steps, radius, seed):
    """Weights of a random cell and of its read-out, and the middle of its inputs."""
    del radius
    generator = np.random.default_rng(seed)
    gates = {"tanh": 1, "GRU": 3, "LSTM": 4}[kind]
    scale = 2 / np.sqrt(units)
    return {
        "kind": np.array(kind),
        "steps": np.array(steps),
        "given": generator.uniform(-scale, scale, (gates * units, INPUTS)),
        "own": generator.uniform(-scale, scale, (gates * units, units)),
        "constant": generator.uniform(-scale, scale, gates * units),
        "readout": generator.normal(size=units),
        "middle": generator.normal(size=steps * INPUTS),
    }


def step_of(kind, units, arrays):
    """A random step `state, input -> state`, and how many states it has; the first `units` are the output."""
    given, own, bias = (arrays[name] for name in ("given", "own", "constant"))

    def tanh(state, at):
        return jnp.tanh(given @ at + own @ state + bias)

    def gru(state, at):
        (a, b, c), (d, e, f) = jnp.split(given @ at + bias, 3), jnp.split(own @ state, 3)
        keep = jax.nn.sigmoid(b + e)
        return (1 - keep) * jnp.tanh(c + jax.nn.sigmoid(a + d) * f) + keep * state

    def lstm(state, at):
        let_in, keep, new, out = jnp.split(given @ at + own @ state[:units] + bias, 4)
        cell = jax.nn.sigmoid(keep) * state[units:] + jax.nn.sigmoid(let_in) * jnp.tanh(new)
        return jnp.concatenate([jax.nn.sigmoid(out) * jnp.tanh(cell), cell])

    return {"tanh": tanh, "GRU": gru, "LSTM": lstm}[kind], units * (1 + (kind == "LSTM"))


def unrolled(kind, units, steps, radius, seed):
    """A read-out of a cell after some steps in normal form, and a box of its inputs."""
    arrays = arrays_of(kind, units, steps, radius, seed)
    step, states = step_of(kind, units, arrays)
    weights, middle = arrays["readout"], arrays["middle"]

    def output(inputs):
        state = jnp.zeros(states)
        for at in inputs.reshape(steps, INPUTS):
            state = step(state, at)
        return (weights @ state[:units])[None]

    with double_precision():
        return network_of(trace(output, jnp.asarray(middle))), middle - radius, middle + radius


def upper_bounds(network, low, high):
    """Of the output: by intervals, a walk, a descent, descents for all boxes as well; and seconds."""
    region, lows, highs = Region(network, low, high), low[None], high[None]
    sought = Objectives(*wanted_of(region, network.output, np.eye(len(network.output.bias))))
    begin = time.process_time()
    known = tightened(region, lows, highs)
    found = [
        output_box(region, lows, highs, region.root)[1],
        walk(region, lows, highs, *sought, known.lines).upper,
    ]
    middle = time.process_time()
    found.append(descended(region, lows, highs, sought, known.boxes, known.lines, steps=300).walked.upper)
    last = time.process_time()
    known = tightened(region, lows, highs, None, Effort(steps=60))
    found.append(descended(region, lows, highs, sought, known.boxes, known.lines, steps=300).walked.upper)
    return [one[0, 0] for one in found], [middle - begin, last - middle, time.process_time() - last]


def exact_upper(network, low, high):
    """The bracket of the largest output, by a complete search, its pieces and seconds."""
    size = len(network.output.bias)
    minus = mapped(Selection(np.arange(size), -np.ones(size), size), network.output)
    found = search(
        Network(network.inputs, network.nodes, minus),
        low,
        high,
        of_clauses([[0]], 1),
        seconds=60,
        tolerance=1e-4,
    )
    return -found.attained, -found.lower, found.pieces, found.seconds


def cells_table(seeds):
    """What of the gap between intervals and the exact maximum each bound closes: median (worst)."""
    grid = Table(title="Unrolled cells: percent of the gap between intervals and the largest output closed")
    columns = (
        "cell",
        "units",
        "steps",
        "radius",
        "one walk",
        "descent",
        "boxes too",
        "bracket",
        "pieces",
        "s",
    )
    for column in columns:
        grid.add_column(column)
    for kind, units, steps, radius in CELLS:
        rows = []
        for seed in seeds:
            problem = unrolled(kind, units, steps, radius, seed)
            (intervals, *others), _ = upper_bounds(*problem)
            attained, proved, pieces, seconds = exact_upper(*problem)
            shares = [100 * (intervals - one) / (intervals - attained) for one in others]
            rows.append([*shares, proved - attained, pieces, seconds])
        rows = np.array(rows)
        told = [f"{np.median(rows[:, at]):.1f} ({rows[:, at].min():.1f})" for at in range(3)]
        most = rows[:, 3:].max(axis=0)
        grid.add_row(
            kind,
            str(units),
            str(steps),
            f"{radius:g}",
            *told,
            f"{most[0]:.1e}",
            f"{most[1]:.0f}",
            f"{most[2]:.1f}",
        )
    return grid


def wide_table():
    """A hundred objectives of three layers of a hundred rectifiers, 300 steps of a descent."""
    generator = np.random.default_rng(0)
    sizes, nodes = [10, 100, 100, 100], []
    for index in range(3):
        matrix = 1.5 * generator.normal(size=(sizes[index + 1], sizes[index])) / np.sqrt(sizes[index])
        nodes.append(Node("relu", (Affine({index: Dense(matrix)}, 0.3 * generator.normal(size=100)),)))
    output = Affine({3: Dense(generator.normal(size=(100, 100)) / 10)}, np.zeros(100))
    network, low = Network(10, tuple(nodes), output), generator.uniform(-1, 1, 10)
    _, seconds = upper_bounds(network, low, low + 0.1)
    grid = Table(title="100 objectives, three layers of 100 rectifiers: seconds of one core")
    for column in ("one walk with all boxes", "300 steps"):
        grid.add_column(column)
    grid.add_row(*(f"{one:.2f}" for one in seconds[:2]))
    return grid


def ours(folder, row, limit):
    """Verdict and seconds of our solver."""
    program = Path(sys.executable).parent / "attractor-vnnlib"
    network, query = folder / row["onnx"], folder / row["vnnlib"]
    begin = time.perf_counter()
    done = subprocess.run(
        [program, "verify", query, "--network", f"N={network}", "--timeout", f"{limit:g}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (done.stdout.split() or ["none"])[0], time.perf_counter() - begin


def theirs(program, folder, row, limit, place):
    """Verdict and seconds of vibecheck on the processor."""
    told = place / "verdict"
    arguments = ["--net", folder / row["onnx"], "--spec", folder / row["vnnlib"], "--timeout", f"{limit:g}"]
    begin = time.perf_counter()
    subprocess.run(
        [program, *arguments, "--device", "cpu", "--results-file", told], capture_output=True, check=False
    )
    verdict = told.read_text().split()[0] if told.exists() else "none"
    return verdict, time.perf_counter() - begin


def queries_tables(data, limit, peer):
    """Verdicts and times, a line a query, and the sums of each benchmark."""
    lines = Table(title=f"Queries, at most {limit:g} s each")
    for column in (
        "benchmark",
        "network",
        "query",
        "verdict",
        "ours",
        "s",
        *(("peer", "s peer") if peer else ()),
    ):
        lines.add_column(column)
    counts = Counter()
    with (data / "results.csv").open() as file, tempfile.TemporaryDirectory() as place:
        for row in csv.DictReader(file):
            folder, most = data / row["benchmark"], min(limit, float(row["timeout_s"]))
            found = [ours(folder, row, most)]
            found += [theirs(peer, folder, row, most, Path(place))] if peer else []
            lines.add_row(
                row["benchmark"], row["onnx"], row["vnnlib"], row["verdict"],
                *(text for verdict, seconds in found for text in (verdict, f"{seconds:.2f}")),
            )  # fmt: skip
            for name, (verdict, seconds) in zip(("ours", "peer"), found, strict=False):
                _count(counts, name, row, verdict, seconds)
    return lines, _sums(counts, ("ours", "peer") if peer else ("ours",))


def _count(counts, name, row, verdict, seconds):
    for group in (row["benchmark"], "all"):
        counts[name, group, row["verdict"]] += verdict == row["verdict"]
        counts[name, group, "wrong"] += verdict in ("sat", "unsat") and verdict != row["verdict"]
        counts[name, group, "s"] += seconds


def _sums(counts, names):
    grid = Table(title="Decided, and sums of times")
    for column in ("benchmark", "solver", "sat", "unsat", "wrong", "s"):
        grid.add_column(column)
    for group in dict.fromkeys(key[1] for key in counts):
        for name in names:
            told = [f"{counts[name, group, what]:.0f}" for what in ("sat", "unsat", "wrong", "s")]
            grid.add_row(group, name, *told)
    return grid


def main():
    """Print and record the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--queries", type=Path)
    parser.add_argument("--limit", type=float, default=60.0)
    parser.add_argument("--peer", help="the program of vibecheck, in an environment of its own")
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args()
    with np.errstate(all="ignore"):
        tables = [cells_table(range(asked.seeds)), wide_table()]
    if asked.queries:
        tables += queries_tables(asked.queries, asked.limit, asked.peer)
    for table in tables:
        Console(width=150).print(table)
    record("verification", *tables, seeds=range(asked.seeds))


if __name__ == "__main__":
    main()
