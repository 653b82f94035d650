"""What was measured, as JSON in `results/`: the numbers with command, commit, date, machine and seeds.

`python -m benchmarks.tables` makes the tables of the documentation from these files.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from attractor.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
LIBRARIES = ("jax", "jaxlib", "equinox", "numpy", "scipy")


def record(
    name: str, *tables: Table | Sequence[dict] | dict, seeds: Iterable[int] = (), folder: Path = RESULTS
) -> Path:
    """Write one file of results.

    Args:
        name: of the file, without its ending.
        tables: as they are printed, or rows as dictionaries of one structure, or a dictionary of `title`
            and `rows`.
        seeds: of everything random.
        folder: where the file stands.

    Returns:
        The file.
    """
    if not name or Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a file in {folder.name}")
    content = {
        "command": command(),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "seeds": [int(seed) for seed in seeds],
        "tables": [as_table(one) for one in tables],
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    write_atomically(path, (json.dumps(content, indent=1, default=float) + "\n").encode())
    return path


def as_table(table: Table | Sequence[dict] | dict) -> dict:
    """Title and rows of a table.

    Raises:
        ValueError: a dictionary that is none, or rows of different structure.
    """
    if isinstance(table, dict) and set(table) != {"title", "rows"}:
        raise ValueError(f"a table with {sorted(table)}: expected title and rows")
    if not isinstance(table, Table):
        title, rows = (table["title"], table["rows"]) if isinstance(table, dict) else ("", table)
        return {"title": title, "rows": list(rows)}
    headers = [str(column.header) for column in table.columns]
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    rows = [dict(zip(headers, row, strict=True)) for row in zip(*columns, strict=True)]
    return {"title": str(table.title or ""), "rows": rows}


def command() -> str:
    """The command that runs, as one would type it: the module and its arguments, without folders."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = f"python -m {spec.name}" if spec else f"python {Path(sys.argv[0]).name}"
    return " ".join([program, *(Path(one).name if os.sep in one else one for one in sys.argv[1:])])


def commit() -> str:
    """The commit that is measured, with a plus sign where files differ from it."""

    def git(*arguments: str) -> str:
        asked = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        return "unknown"


def machine() -> dict[str, object]:
    """What the numbers hang on: processor, cores, load and versions; no name of a computer."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


__all__ = ["RESULTS", "as_table", "record"]
