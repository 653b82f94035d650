"""A figure as a file of its own, with the colours that it else takes from the page."""

import re
from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from .page import environment, write_document
from .style import WIDE, Size, house_style, to_svg

_ROOT = re.compile(r":root\s*\{.*?\}", re.DOTALL)


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
    ground = Markup('<style>{}</style><rect width="100%" height="100%" fill="var(--card)"/>')
    head, body = svg.split(">", 1)
    return f"{head}>{ground.format(Markup(rules))}{body}\n"  # noqa: S704 (the rules are ours)


def write_svg(document: str, path: Path) -> Path:
    """Write it; a reader never sees half a file.

    Raises:
        StorageError: the file cannot be written.
    """
    return write_document(document, path)
