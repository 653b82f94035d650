"""The page: its contents in, one HTML document out; and a figure as a file of its own.

A page leads from the verdict to what it means, to the next command, to the figures and then to the details.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from attractor.errors import StorageError, printable
from attractor.files import make_folder, write_atomically

from .about import About
from .style import NARROW, WIDE, Size, house_style, to_svg

Tone = Literal["good", "fair", "poor"]
Rows = tuple[tuple[str, ...], ...]


class Tile(NamedTuple):
    """One number on top of the page."""

    label: str
    value: str
    unit: str
    note: str


class Step(NamedTuple):
    """What to do next: why, and the command that does it."""

    why: str
    command: str


@dataclass(frozen=True)
class PageFigure:
    """A figure with its caption.

    Args:
        name: unique on the page; letters, digits and hyphens.
        title: what stands above it.
        caption: how to read it; empty where the figure before it says so.
        plot: draws it for a screen.
        facts: short facts above the figure, value and what it is.
    """

    name: str
    title: str
    caption: str
    plot: Callable[[Size], Figure]
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PageTable:
    """A table: the first column holds words, the others what they are about."""

    title: str
    header: tuple[str, ...]
    rows: Rows
    caption: str = ""


class Note(NamedTuple):
    """A finding with its severity: "error", "warning", "info" or "ok"."""

    severity: str
    message: str
    advice: str = ""

    @property
    def tone(self) -> str:
        """The class of the finding in the style sheet."""
        return {"error": "bad", "warning": "fair", "ok": "good"}.get(self.severity, "info")


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    name: str
    heading: str
    lead: str = ""
    figures: tuple[PageFigure, ...] = ()
    tables: tuple[PageTable, ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Page:
    """What a page says of a result.

    Args:
        kind: what sort of page it is.
        verdict: the result in one sentence.
        tone: how good that is.
        meaning: what follows from it for whoever uses the result.
        steps: what to do next, the best first.
        tiles: numbers on top.
        sections: the body, figures first.
        facts: what a JSON file beside the page says in addition to the result.
    """

    kind: str
    verdict: str
    tone: Tone
    meaning: str
    steps: tuple[Step, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Drawing(NamedTuple):
    """The same figure for wide and for narrow screens; the style sheet shows one of them."""

    wide: Markup
    narrow: Markup


def render(page: Page, about: About) -> str:
    """The page as one HTML document: inline figures, no scripts, no network, light and dark.

    Args:
        page: words, numbers and figures; every word is escaped.
        about: what the page speaks of.
    """
    drawings = {
        figure.name: draw(figure.name, figure.title, figure.plot)
        for section in page.sections
        for figure in section.figures
    }
    return environment().get_template("page.html.j2").render(page=page, about=about, drawings=drawings)


def write_document(document: str, path: Path) -> Path:
    """Write a page; a reader never sees half a file.

    Names of any origin may stand on it: control characters, and bytes of file names that are not UTF-8, are
    written as escape sequences.

    Raises:
        StorageError: if the file cannot be written.
    """
    try:
        make_folder(path.parent)
        write_atomically(path, printable(document).encode())
    except StorageError as error:
        raise StorageError(f"The report could not be written: {error}") from error
    return path


def environment() -> Environment:
    """The templates of the house."""
    return Environment(
        loader=PackageLoader("attractor.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def draw(name: str, title: str, plot: Callable[[Size], Figure]) -> Drawing:
    """Draw for both screens under ids of their own.

    Args:
        name: begins every id of the figure.
        title: what a screen reader says.
        plot: draws for one screen.
    """
    drawings = []
    for size in (WIDE, NARROW):
        own_name = f"{name}-{size.name}"
        with house_style(size, own_name):
            drawings.append(to_svg(plot(size), own_name, title))
    return Drawing(*drawings)


_ROOT = re.compile(r":root\s*\{.*?\}", re.DOTALL)
_VIEW = re.compile(r'viewBox="0 0 (\S+) (\S+)"')
_MARGIN = 12.0
"""Labels reach a little beyond the figure, where a page has room for them."""


def standalone_svg(name: str, title: str, plot: Callable[[Size], Figure]) -> str:
    """The figure for a wide screen as an SVG document, on a ground of its own, in light colours.

    Args:
        name: begins every id of the figure.
        title: what a screen reader says.
        plot: draws for one screen.
    """
    style = environment().get_template("style.css.j2").render()
    colours = _ROOT.search(style)
    rules = colours[0] if colours else ""
    with house_style(WIDE, name):
        svg = to_svg(plot(WIDE), name, title)
    head, body = svg.split(">", 1)
    ground = f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="100%" height="100%" fill="var(--card)"/>'
    return f"{_VIEW.sub(_widened, head)}><style>{rules}</style>{ground}{body}\n"


def _widened(view: re.Match[str]) -> str:
    width, height = (float(side) + 2 * _MARGIN for side in view.groups())
    return f'viewBox="{-_MARGIN:g} {-_MARGIN:g} {width:g} {height:g}" width="{width:g}" height="{height:g}"'
