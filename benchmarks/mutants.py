"""Small mistakes put into the rules of proofs, the storage of runs and FlatMap: do the tests of each notice?

A seeded sample of mutants, each of which differs from the source in one operator, number, condition, loop,
decorator or caught exception, meets the fast tests of its own module (the table `ROOMS`); it dies if one of
them fails. `make mutants` installs the library that makes the mutants, cosmic-ray, and starts this.

    python -m benchmarks.mutants --count 300 --seed 2

Places in the source are drawn alike, and at each place one of the operators that fit it: of those of the
library, the ones that leave an expression meaningful (arithmetic for arithmetic, logic for logic, order for
order), for a shift of floats fails in every test that reaches it and proves nothing of the test. Not drawn is
what changes no behaviour: annotations, docstrings, texts of messages, types in `isinstance` and `cast`,
arguments of `dataclass`, and that what is zipped has one length. What survives is listed with its line; a
mutant that does the same as the source (a bound that looks at more corners) is listed as well.

The source is never touched: tests run in a copy, each mutant in a process forked from one that has imported
the libraries already (see `benchmarks.forked_tests`). The limit of each mutant is processor time, five times
what its tests take. A run that is interrupted writes what it knows, and the next one goes on: outcomes are
kept in a folder. A death counts as long as the source and the file of tests that killed stay the same, a
survival as long as all of them do.
"""

import argparse
import ast
import contextlib
import difflib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from benchmarks.recording import ROOT, record

RUNNER = Path(__file__).with_name("forked_tests.py")
DOMAINS = "src/attractor/certify/domains/"


@dataclass(frozen=True)
class Room:
    """Files that are mutated, and the tests that each of their mutants meets.

    Args:
        files: below the repository.
        tests: quickest first.
        prepared: modules of the house that need none of the files.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]
    prepared: tuple[str, ...]


ROOMS = {
    "storage of runs": Room(
        tuple(f"src/attractor/{name}.py" for name in ("files", "folders", "runs")),
        tuple(f"tests/test_{name}.py" for name in "files folders runs files_survive_kills".split()),
        ("attractor.errors",),
    ),
    "FlatMap": Room(
        ("src/attractor/program/flat.py",),
        ("tests/program/test_flat_layout.py", "tests/program/test_flat.py"),
        ("attractor.cells",),
    ),
    "rules of certificates": Room(
        tuple(
            f"{DOMAINS}{name}.py"
            for name in "interval polynomial algebra choices vectors polynomial_rules cell_bounds".split()
        ),
        tuple(
            f"tests/certify/domains/test_{name}.py"
            for name in (
                "coefficients choices cell_bounds interval_numbers attained arithmetic rules vectors "
                "registered_rules attack"
            ).split()
        ),
        ("attractor.program", "attractor.cells", "attractor.scan", "attractor.registry"),
    ),
}

_ARITHMETIC = {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"}
_LOGIC = {"BitOr", "BitAnd", "BitXor"}
_ORDER = {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"}
_IDENTITY = {"Is", "IsNot"}
_SIGNS = {"UAdd", "USub"}
_REMOVED = {
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Invert",
}
_NOT_USED = {"VariableReplacer", "VariableInserter"}
"""They need names to put in."""


@dataclass(frozen=True)
class Place:
    """Where the source can be changed, and how.

    Args:
        file: below the repository.
        span: first and last (line, column).
        ways: operators of cosmic-ray with the number of their occurrence in the file.
    """

    file: str
    span: tuple[tuple[int, int], tuple[int, int]]
    ways: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Mutant:
    """One changed file.

    Args:
        room: the name of its room.
        file: below the repository.
        line: of the change.
        operator: of cosmic-ray.
        before: the line as it is.
        after: the line as it is in the mutant.
    """

    room: str
    file: str
    line: int
    operator: str
    before: str
    after: str


def fits(operator: str) -> bool:
    """Whether an operator leaves what it changes meaningful."""
    kind, *ends = operator.split("_")
    if kind == "ReplaceBinaryOperator":
        if operator.endswith(
            "BitOr_BitXor"
        ):  # the same for flags, and for conditions that exclude each other
            return False
        return any(set(ends) <= group for group in (_ARITHMETIC, _LOGIC))
    if kind == "ReplaceComparisonOperator":
        return any(set(ends) <= group for group in (_ORDER, _IDENTITY))
    if kind == "ReplaceUnaryOperator":
        return set(ends) <= _SIGNS or operator in _REMOVED
    return operator not in _NOT_USED


@cache
def operators() -> dict[str, object]:
    """The operators that are used, by name."""
    from cosmic_ray.operators.provider import OperatorProvider

    provider = OperatorProvider()
    return {name: provider[name]() for name in sorted(provider) if fits(name)}


def places(tree: Path, file: str) -> list[Place]:
    """Everything in a file that can be changed, in the order of its lines."""
    from cosmic_ray.ast import ast_nodes, get_ast

    source = (tree / file).read_text()
    nodes, idle, found = list(ast_nodes(get_ast(source))), _without_behaviour(source), {}
    for name, operator in operators().items():
        spans = [span for node in nodes for span in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(spans):
            if not any(first <= start and end <= last for first, last in idle):
                found.setdefault((start, end), []).append((name, occurrence))
    return [Place(file, span, tuple(ways)) for span, ways in sorted(found.items())]


def _without_behaviour(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Spans of annotations, messages and the like."""
    lines, spans = source.splitlines(), []

    def column(line: int, offset: int) -> int:
        return len(lines[line - 1].encode()[:offset].decode())

    for node in ast.walk(ast.parse(source)):
        for one in filter(None, _IDLE.get(type(node), lambda node: [])(node)):
            first = one.lineno, column(one.lineno, one.col_offset)
            spans.append((first, (one.end_lineno, column(one.end_lineno, one.end_col_offset))))
    return spans


def _of_class(node: ast.ClassDef) -> list[ast.AST]:
    calls = [one for one in node.decorator_list if isinstance(one, ast.Call)]
    return [part for one in calls if ast.unparse(one.func) == "dataclass" for part in one.keywords]


def _of_call(node: ast.Call) -> list[ast.AST]:
    name = ast.unparse(node.func)
    types = {"isinstance": node.args[1:], "cast": node.args[:1]}.get(name, [])
    return [*types, *(node.keywords if name == "zip" else [])]


_IDLE = {
    ast.arg: lambda node: [node.annotation],
    ast.AnnAssign: lambda node: [node if ast.unparse(node.annotation) == "TypeAlias" else node.annotation],
    ast.FunctionDef: lambda node: [node.returns],
    ast.ClassDef: _of_class,
    ast.Raise: lambda node: [node],
    ast.Assign: lambda node: [node] if ast.unparse(node.targets[0]) == "message" else [],
    ast.AugAssign: lambda node: [node] if ast.unparse(node.target) == "message" else [],
    ast.Call: _of_call,
}
"""Parts of a node that say something to readers, type checkers and the reader of an error only."""


def drawn(tree: Path, count: int, seed: int) -> list[tuple[Mutant, str]]:
    """Mutants of a sample with their source, room by room, in each as they were drawn."""
    random_ = random.Random(seed)  # noqa: S311
    everything = [
        (room, place) for room, one in ROOMS.items() for file in one.files for place in places(tree, file)
    ]
    chosen = random_.sample(everything, len(everything))
    found: list[tuple[Mutant, str]] = []
    for room, place in chosen:
        if len(found) == count:
            break
        ways = random_.sample(place.ways, len(place.ways))
        made = next((one for way in ways if (one := _mutated(tree, room, place, *way)) is not None), None)
        found += [] if made is None else [made]
    order = list(ROOMS)
    return sorted(found, key=lambda pair: order.index(pair[0].room))


def _mutated(
    tree: Path, room: str, place: Place, operator: str, occurrence: int
) -> tuple[Mutant, str] | None:
    """The mutant of a place; None where it is no program, or the same one."""
    from cosmic_ray.mutating import mutate_code

    source = (tree / place.file).read_text()
    changed = mutate_code(source, operators()[operator], occurrence)
    try:
        if changed is None or ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:
        return None
    lines = source.splitlines(), changed.splitlines()
    first, *_ = (
        block for block in difflib.SequenceMatcher(None, *lines).get_opcodes() if block[0] != "equal"
    )
    _, begin, end, new_begin, new_end = first
    before, after = (
        " ".join(map(str.strip, part)) for part in (lines[0][begin:end], lines[1][new_begin:new_end])
    )
    return Mutant(room, place.file, begin + 1, operator, before, after), changed


_OUTCOMES = (0, 1, 2)
"""Of pytest: all passed, one failed, a file of tests could not be imported."""


class Runner:
    """A process that meets mutants of one room with its tests.

    Args:
        room: whose tests.
        tree: a copy of the repository.
        seconds: the limit of processor time.
    """

    def __init__(self, room: Room, tree: Path) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(tree / "src"),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        self.room, self.tree = room, tree
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), *room.prepared],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tree,
            env=environment,
        )
        self.seconds = 3600
        try:
            self.seconds = 30 + 5 * self._untouched()
        except BaseException:
            self.close()
            raise

    def _untouched(self) -> float:
        """The time of the tests without a mutant, which writes the bytecode that all others use."""
        file = self.room.files[0]
        said = self.meet(file, (self.tree / file).read_text(), warm=True)
        if said["status"]:
            raise SystemExit(f"the tests fail without a mutant, status {said['status']}:\n{said['said']}")
        return said["seconds"]

    def meet(self, file: str, source: str, *, warm: bool = False) -> dict:
        """What the tests say of a changed file."""
        task = {
            "file": file,
            "source": source,
            "tests": self.room.tests,
            "seconds": self.seconds,
            "warm": warm,
        }
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("the process that runs the tests has ended; see its last words above")
        said = json.loads(answer)
        if said["status"] not in _OUTCOMES and said["status"] >= 0:
            raise SystemExit(f"the tests could not be run, status {said['status']}:\n{said['said']}")
        return said

    def close(self) -> None:
        """End the process, with what it has started."""
        self.process.terminate()
        self.process.wait()


def digest(*contents: bytes) -> str:
    """A name for contents."""
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def digests(paths: list[Path]) -> str:
    """A name for files."""
    return digest(*(path.read_bytes() for path in sorted(paths)))


class Outcomes:
    """What became of mutants, kept in a file that grows line by line.

    Args:
        folder: a file for each state of the source, and of what tests share, is made in it.
        tree: the copy of the repository that tests run in.
    """

    def __init__(self, folder: Path, tree: Path) -> None:
        self.tree = tree
        shared = [path for path in (tree / "tests").rglob("*.py") if not path.name.startswith("test_")]
        source, helpers = digests(list((tree / "src").rglob("*.py"))), digests(shared)
        self.path = folder / f"{source}-{helpers}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.known = {one["mutant"]: one for one in map(json.loads, lines)}

    def of(self, source: str, room: Room) -> dict | None:
        """The outcome of a mutant, if it holds for the tests as they are."""
        one = self.known.get(digest(source.encode()))
        if one is None:
            return None
        now = self.tests_of(room)
        decisive = [one["killer"]] if one["killer"] in now else list({*now, *one["tests"]})
        return one if all(one["tests"].get(name) == now.get(name) for name in decisive) else None

    def keep(self, source: str, room: Room, outcome: dict) -> dict:
        """Write an outcome down."""
        killer = outcome["failed"].partition("::")[0]
        one = {"mutant": digest(source.encode()), "killer": killer, "tests": self.tests_of(room), **outcome}
        self.known[one["mutant"]] = one
        with self.path.open("a") as file:
            file.write(json.dumps(one) + "\n")
        return one

    def tests_of(self, room: Room) -> dict[str, str]:
        """Digests of the files of tests of a room."""
        return {name: digest((self.tree / name).read_bytes()) for name in room.tests}


def all_met(
    mutants: list[tuple[Mutant, str]], outcomes: Outcomes, tree: Path
) -> Iterator[tuple[Mutant, dict]]:
    """Meet mutants one after the other.

    Yields:
        A mutant and what became of it.
    """
    runner = None
    try:
        for mutant, source in mutants:
            room = ROOMS[mutant.room]
            outcome = outcomes.of(source, room)
            if outcome is None:
                if runner is None or runner.room is not room:
                    if runner is not None:
                        runner.close()
                    runner = Runner(room, tree)
                outcome = outcomes.keep(source, room, runner.meet(mutant.file, source))
            yield mutant, outcome
    finally:
        if runner is not None:
            runner.close()


def summary(found: list[tuple[Mutant, dict]]) -> list[dict]:
    """How many mutants of each file died, by a failing test or by the limit of time."""
    rows = []
    for file in sorted({mutant.file for mutant, _ in found}):
        kinds = Counter(_kind(outcome["status"]) for mutant, outcome in found if mutant.file == file)
        rows.append({"file": file, "mutants": kinds.total(), **{kind: kinds[kind] for kind in KINDS}})
    total = {name: sum(row[name] for row in rows) for name in ("mutants", *KINDS)}
    rows.append({"file": "all", **total})
    return [{**row, "dead": f"{1 - row['survived'] / row['mutants']:.1%}"} for row in rows if row["mutants"]]


KINDS = ("failed", "ended", "survived")


def _kind(status: int) -> str:
    """`failed` by a test, `ended` by a limit or a signal, or `survived`."""
    return "survived" if not status else "ended" if status < 0 else "failed"


def copied(tree: Path) -> None:
    """The repository without what is made of it."""
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)


def main() -> None:
    """Print what became of every mutant, and write `results/mutants.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "mutants", help="of the outcomes")
    parser.add_argument("--show", action="store_true", help="list the mutants and meet none")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        copied(tree)
        mutants = drawn(tree, asked.count, asked.seed)
        if asked.show:
            for one, _ in mutants:
                print(f"{one.file}:{one.line} {one.operator}\n- {one.before}\n+ {one.after}")
            return
        found = []
        for one in (signal.SIGINT, signal.SIGTERM):  # a shell has its jobs ignore the first one
            signal.signal(one, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            for mutant, outcome in all_met(mutants, Outcomes(asked.folder, tree), tree):
                found.append((mutant, outcome))
                fate = "dies" if outcome["status"] else f"SURVIVES {mutant.before} -> {mutant.after}"
                print(f"{len(found)}/{asked.count} {mutant.file}:{mutant.line} {fate}", flush=True)
    write(found, asked.count, asked.seed)


def write(found: list[tuple[Mutant, dict]], count: int, seed: int) -> None:
    """Print and record what is known, which may be of a part of the sample."""
    rows = summary(found)
    survivors = [asdict(mutant) for mutant, outcome in found if not outcome["status"]]
    survivors.sort(key=lambda one: (one["file"], one["line"]))
    title = f"{len(found)} of {count} mutants, and the tests of their module"
    record("mutants", {"title": title, "rows": rows}, {"title": "Survivors", "rows": survivors}, seeds=[seed])
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
