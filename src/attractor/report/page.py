"""The page: contents in, one HTML document out; and a figure as a file of its own."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from attractor.errors import StorageError, printable
from attractor.files import make_folder, write_atomically
from attractor.origin import Origin

from .style import NARROW, WIDE, Size, house_style, to_svg
from .wording import FILTERS


class Drawing(NamedTuple):
    """The same figure for wide and for narrow screens; the style sheet shows one of them."""

    wide: Markup
    narrow: Markup


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
    """The templates of the house and their filters."""
    environment = Environment(
        loader=PackageLoader("attractor.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment


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


def write_svg(document: str, path: Path) -> Path:
    """Write it; a reader never sees half a file.

    Raises:
        StorageError: the file cannot be written.
    """
    return write_document(document, path)
