"""A figure as a file of its own, with the colours that it else takes from the page."""

import re
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from .page import environment, write_document
from .style import WIDE, Size, house_style, to_svg

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
