"""Outputs that a change of the code must leave as they are: stored, and two stores compared.

    python -m benchmarks.golden write FOLDER [--only certificates exports]
    python -m benchmarks.golden compare BEFORE AFTER

`write` makes one JSON file for each section of `golden_cases`. Floating-point numbers are stored in
hexadecimal, so that nothing is lost; names of verdicts, digests and counts as they are. `compare` prints one
row for each case: equal in bits, or the largest difference relative to the largest number of that entry,
beside the tolerance. It exits with 1 where a difference is larger, something is missing on either side, or a
name, count or digest differs. Stores agree in bits only between runs on the same type of processor.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

# One thread each, before LAPACK is loaded: the number of threads may change the last bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

# Training repeats every rounding thousands of times, so what is trained may move more than what is computed
# once. The figures are about ten times what rounding alone does to the present code: the same store written
# with XLA confined to older instructions (XLA_FLAGS=--xla_cpu_max_isa=SSE4_2, no fused multiply-add) differs
# from the usual one by a tenth of them.
TOLERANCES = {
    "demo": 0.0,
    "certificates": 0.0,
    "spectra": 0.0,
    "mean-field": 0.0,
    "classifiers": 0.0,
    "plants": 0.0,
    "exports": 0.0,
    "resume": 0.0,
}


def encode(value: Any) -> Any:
    """A value as JSON that is read back without loss: text and names as they are, arrays number by number."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str) or value is None:
        return value
    array = np.asarray(value)
    if array.dtype.kind in "biu":
        return {"shape": list(array.shape), "whole": [int(one) for one in array.ravel()]}
    numbers = [float(one).hex() for one in array.ravel()]
    return {"shape": list(array.shape), "type": str(array.dtype), "numbers": numbers}


def difference(before: Any, after: Any) -> float:
    """The largest difference of two stored values, relative to the largest number of the first.

    0 where all bits are equal or only the type differs; infinite where something else than finite
    floating-point numbers differs.
    """
    if before == after:
        return 0.0
    if not (_has_numbers(before) and _has_numbers(after) and before["shape"] == after["shape"]):
        return float("inf")
    one, other = (np.array([float.fromhex(text) for text in side["numbers"]]) for side in (before, after))
    finite = np.isfinite(one) & np.isfinite(other)
    if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
        return float("inf")
    one, other = one[finite], other[finite]
    scale = np.abs(one).max(initial=0.0) or 1.0
    return float(np.abs(one - other).max(initial=0.0) / scale)


def _has_numbers(value: Any) -> bool:
    return isinstance(value, dict) and "numbers" in value


@dataclass(frozen=True)
class Row:
    """How two stores of one case compare.

    Args:
        what: section and case.
        entries: number of stored values.
        bits: whether all of them are equal in bits.
        largest: largest relative difference of any entry.
        where: the entry with that difference.
        tolerance: what is allowed.
    """

    what: str
    entries: int
    bits: bool
    largest: float
    where: str
    tolerance: float

    @property
    def good(self) -> bool:
        """Whether the difference is allowed."""
        return self.largest <= self.tolerance

    @property
    def found(self) -> str:
        """The difference as text."""
        if self.bits:
            return "bits equal"
        return f"{self.largest:.1e} in {self.where}" if np.isfinite(self.largest) else self.where

    def __str__(self) -> str:
        """One line of the table."""
        mark = "" if self.good else "  <- NOT EQUAL"
        return f"{self.what:42} {self.entries:7d}  {self.found:44} {self.tolerance:9.0e}{mark}"


def compare_case(what: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> Row:
    """The entries of one case before and after; None where there is no such case."""
    tolerance = TOLERANCES.get(what.split("/")[0], 0.0)
    if before is None or after is None:
        where = f"missing {'before' if before is None else 'after'}"
        return Row(what, len(before or after or ()), False, float("inf"), where, tolerance)
    missing = sorted(before.keys() ^ after.keys())
    if missing:
        side = "before" if missing[0] in after else "after"
        return Row(what, len(before), False, float("inf"), f"{missing[0]} missing {side}", tolerance)
    worst = max(before, key=lambda name: difference(before[name], after[name]), default="")
    largest = difference(before.get(worst), after.get(worst))
    where = worst if np.isfinite(largest) else f"{worst}: {_short(before[worst])} -> {_short(after[worst])}"
    return Row(what, len(before), before == after, largest, where, tolerance)


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, dict) else str(value.get("whole", value["shape"]))
    return text if len(text) <= 16 else f"{text[:16]}..."


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Row]:
    """A row for each case of two stores {section: {case: {entry: value}}}, in the order of the first."""
    rows = []
    for section in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(section, {}), after.get(section, {})
        cases = [*old, *(name for name in new if name not in old)]
        rows += [compare_case(f"{section}/{case}", old.get(case), new.get(case)) for case in cases]
    return rows


def read(folder: Path) -> dict[str, Any]:
    """All sections of a store."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        sys.exit(f"{folder} holds no store: expected files like certificates.json; write one first")
    return {path.stem: json.loads(path.read_text()) for path in paths}


def table(rows: list[Row]) -> str:
    """The rows under a heading, and their sum."""
    bad, moved = sum(not row.good for row in rows), sum(not row.bits for row in rows)
    heading = f"{'what':42} {'entries':>7}  {'difference':44} {'tolerance':>9}"
    verdict = (
        f"{len(rows)} cases: {len(rows) - moved} equal in bits, {moved} not, {bad} beyond their tolerance"
    )
    return "\n".join([heading, *map(str, rows), verdict])


def write(folder: Path, only: list[str]) -> None:
    """Measure sections and store them."""
    # Here, because comparing needs nothing of the library.
    from .golden_cases import SECTIONS, source

    unknown = sorted(set(only) - set(SECTIONS))
    if unknown:
        sys.exit(f"unknown sections: {', '.join(unknown)}; known: {', '.join(SECTIONS)}")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"measuring {source()}", flush=True)
    begun = time.monotonic()
    for name in only or SECTIONS:
        start = time.monotonic()
        cases = {
            case: {entry: encode(value) for entry, value in entries.items()}
            for case, entries in SECTIONS[name]().items()
        }
        (folder / f"{name}.json").write_text(json.dumps(cases, indent=0) + "\n")
        print(f"{name}: {len(cases)} cases in {time.monotonic() - start:.0f} s", flush=True)
    print(f"stored in {folder} after {time.monotonic() - begun:.0f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write", help="measure, and store what was found")
    writing.add_argument("folder", type=Path)
    writing.add_argument("--only", nargs="+", default=[], metavar="SECTION", help="these sections alone")
    comparing = commands.add_parser("compare", help="compare two stores; exit 1 where they differ")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    asked = parser.parse_args()
    if asked.command == "write":
        write(asked.folder, asked.only)
        return
    rows = compare(read(asked.before), read(asked.after))
    print(table(rows))
    sys.exit(any(not row.good for row in rows))


if __name__ == "__main__":
    main()
