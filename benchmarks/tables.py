"""The tables of the documentation, made from the files in `results/`.

python -m benchmarks.tables            write docs/measured.md
python -m benchmarks.tables --check    exit 1 where the page is not what the files say
"""

import argparse
import json
import sys
from pathlib import Path

from benchmarks.recording import RESULTS, ROOT

PAGE = ROOT / "docs" / "measured.md"
HEAD = """# Measured figures

Made by `python -m benchmarks.tables` from the files in `results/`; do not edit. Every table names the command
that prints it again, the commit, the day and the machine. "Earlier" tables were measured before results were
kept as files: their rows name the commit that wrote them down.
"""


def page(folder: Path = RESULTS) -> str:
    """The whole page."""
    parts = [of_file(path) for path in sorted(folder.glob("*.json"))]
    return "\n".join([HEAD, *parts])


def of_file(path: Path) -> str:
    """The section of one file; one that is not as `record` writes it is named."""
    try:
        return section(path.stem, json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as problem:
        raise SystemExit(
            f"{path.name} is no file of results ({type(problem).__name__}: {problem}); write it again"
        ) from problem


def section(name: str, content: dict) -> str:
    """The tables of one file below what they were measured with."""
    seeds = f", seeds {', '.join(map(str, content['seeds']))}" if content["seeds"] else ""
    machine = content["machine"]
    where = ", ".join(f"{key} {value}" for key, value in machine.items())
    told = f"`{content['command']}`, commit {content['commit']}, {content['date']}{seeds}; {where}."
    if not content["command"]:  # written down row by row
        told = f"{where[0].upper()}{where[1:]}."
    tables = [markdown(table) for table in content["tables"]]
    return "\n".join([f"## {content.get('title', name)}", "", told, "", *tables])


def markdown(table: dict) -> str:
    """One table; its columns are the names in its rows, in their order."""
    rows = table["rows"]
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names), *([shown(row.get(name, "")) for name in names] for row in rows)]
    title = [f"**{table['title']}**", ""] if table["title"] else []
    return "\n".join([*title, *("| " + " | ".join(line) + " |" for line in lines), ""])


def shown(value: object) -> str:
    """A value in a cell: numbers to four digits."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    text = page()
    if parser.parse_args().check:
        same = PAGE.exists() and PAGE.read_text() == text
        print(
            "docs/measured.md:", "fine" if same else "not what results/ says; run python -m benchmarks.tables"
        )
        return not same
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
