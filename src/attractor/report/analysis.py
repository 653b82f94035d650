"""A page about one analysis of a model: a verdict, tiles, and sections of figures and tables."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from attractor.origin import Origin

from .page import Drawing, draw, environment, write_document
from .style import Size


class Tile(NamedTuple):
    """One figure on top of the page."""

    label: str
    value: str
    unit: str
    note: str


@dataclass(frozen=True)
class Picture:
    """A figure with its caption.

    Args:
        name: unique on the page; letters, digits and hyphens.
        title: what stands above it.
        caption: how to read it.
        plot: draws it for a screen.
        facts: short facts above the figure, value and what it is.
    """

    name: str
    title: str
    caption: str
    plot: Callable[[Size], Figure]
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Sheet:
    """A table: the first column holds words, the others what they are about."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    name: str
    heading: str
    lead: str
    pictures: tuple[Picture, ...] = ()
    sheets: tuple[Sheet, ...] = ()


@dataclass(frozen=True)
class AnalysisContents:
    """Everything the page shows.

    Args:
        kind: what sort of report it is.
        title: what it is about.
        verdict: the result in one sentence.
        tone: how good that is.
        tiles: figures on top.
        sections: the body.
        reproduce: the command that made it.
        origin: the weights and the equation it speaks of; None for what no run stands behind.
    """

    kind: str
    title: str
    verdict: str
    tone: Literal["good", "fair", "poor"]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    reproduce: str
    origin: Origin | None = None


def render_analysis(contents: AnalysisContents) -> str:
    """The page as one HTML document without scripts, light and dark."""
    drawings: dict[str, Drawing] = {
        picture.name: draw(picture.name, picture.title, picture.plot)
        for section in contents.sections
        for picture in section.pictures
    }
    return environment().get_template("analysis.html.j2").render(contents=contents, drawings=drawings)


def write_analysis(contents: AnalysisContents, path: Path) -> Path:
    """Write the page; a reader never sees half a file.

    Raises:
        StorageError: if the file cannot be written.
    """
    return write_document(render_analysis(contents), path)
