"""The main figures of the theory of gating on one page: simulation beside mean-field theory.

Krishnamurthy, Can and Schwab 2022, *Theory of gating in recurrent neural networks*, PRX 12, 011011 (arXiv
2007.14823), and Can, Krishnamurthy and Schwab 2020 (arXiv 2002.00025) for GRU and LSTM: phase diagram,
spectra with their boundary, a discontinuous transition with hysteresis, chaos that an input starts, memory
by an update gate, its reset, and the dimension that an output gate sets.

    python -m experiments.gating --out gating.html
    python -m experiments.gating --quick --out gating.html    # small networks, a minute or two

The ranges of the published figures are not known to us; values here are those of the phenomena that the
abstract states.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from attractor.files import write_atomically
from attractor.progress import reporter_for
from attractor.report.about import About
from attractor.report.page import Page, Section, Tile, render, write_document
from benchmarks.recording import record

from .gating_experiments import DIMENSION, DRIVEN, EXPONENT, INTEGRATOR, Size
from .gating_sections import (
    Part,
    chaos_section,
    dimension_section,
    hysteresis_section,
    memory_section,
    phase_section,
    spectra_section,
    table_section,
)


@dataclass(frozen=True)
class Effort:
    """Sizes of all simulations.

    Args:
        exponent: of the table of theory and simulation.
        integrator: of memory.
        dimension: of the dimension.
        hysteresis: units and points of the scan.
        grid: points on a side of the phase diagram.
        spectra: units of the networks whose eigenvalues are shown.
        driven: of the networks under constant input.
    """

    exponent: Size = EXPONENT
    integrator: Size = INTEGRATOR
    dimension: Size = DIMENSION
    hysteresis: tuple[int, int] = (600, 14)
    grid: int = 24
    spectra: int = 400
    driven: Size = DRIVEN


QUICK = Effort(
    exponent=Size(120, range(1), 40.0, 40.0),
    integrator=Size(100, range(2), 50.0, 50.0),
    dimension=Size(60, range(2), 50.0, 100.0),
    hysteresis=(120, 6),
    grid=6,
    spectra=120,
    driven=Size(120, range(1), 40.0, 40.0),
)


def parts(effort: Effort, folder: Path | None) -> dict[str, Callable[[], Part]]:
    """What makes each section, by its name.

    Args:
        effort: sizes.
        folder: for tiles of the phase diagram; None keeps none.
    """
    return {
        "theory": lambda: table_section(effort.exponent),
        "phase": lambda: phase_section(effort.grid, folder),
        "spectra": lambda: spectra_section(effort.spectra),
        "hysteresis": lambda: hysteresis_section(*effort.hysteresis),
        "input": lambda: chaos_section(effort.driven),
        "memory": lambda: memory_section(effort.integrator),
        "dimension": lambda: dimension_section(effort.dimension),
    }


def reproduce(effort: Effort, folder: Path | None = None, names: tuple[str, ...] = ()) -> list[Part]:
    """Run all parts, or those that are named, one after the other."""
    reporter, made, found = reporter_for("gating"), parts(effort, folder), []
    names = names or tuple(made)
    for place, name in enumerate(names):
        reporter.update(place, len(names), name)
        found.append(made[name]())
    reporter.update(len(names), len(names))
    reporter.close()
    return found


def contents(found: list[Part]) -> Page:
    """The page."""
    sections: tuple[Section, ...] = tuple(part.section for part in found)
    tiles: tuple[Tile, ...] = tuple(part.tile for part in found if part.tile is not None)
    return Page(
        kind="Reproduction",
        verdict=" ".join(part.sentence for part in found),
        tone="good",
        meaning="What the paper says of infinitely many units, beside networks of finite size.",
        steps=(),
        tiles=tiles,
        sections=sections,
    )


def main() -> None:
    """Run, print what was found, write the page and its figures as JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names: Any = tuple(parts(QUICK, None))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--parts", nargs="*", default=[], choices=names)
    parser.add_argument("--cache", type=Path, default=None, help="folder for tiles of the phase diagram")
    parser.add_argument("--out", type=Path, default=Path("gating.html"))
    asked = parser.parse_args()
    found = reproduce(QUICK if asked.quick else Effort(), asked.cache, tuple(asked.parts))
    console = Console()
    for part in found:
        console.print(part.sentence)
    record("gating", [{"section": part.section.name, "finding": part.sentence} for part in found])
    figures = {part.section.name: part.figures for part in found}
    write_atomically(asked.out.with_suffix(".json"), (json.dumps(figures, indent=1) + "\n").encode())
    command = " ".join(["python -m experiments.gating", *sys.argv[1:]])
    about = About("Theory of gating in recurrent networks", command)
    console.print(f"page: {write_document(render(contents(found), about), asked.out)}")


if __name__ == "__main__":
    main()
