"""Results with a picture: `plot` draws it into axes of matplotlib, a notebook shows it by itself.

What draws a page draws here as well, in the names of colours of the house (`Hue`); on a page the style sheet
says what they look like, elsewhere `in_plain_colours` does.
"""

import base64
import io
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any

from attractor.errors import printable
from attractor.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PLAIN = {
    "INK": "#141c26", "MUTED": "#566273", "GRID": "#e3e8ee", "MEASURED": "#a3aebb", "MODEL": "#1f56d8",
    "VALIDATION": "#0c8577", "TEST": "#d96c0a", "ALERT": "#cf3434", "BAND": "#1f56d81c", "CARD": "#ffffff",
}  # fmt: skip
_COLOURED = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
_INCHES, _DOTS = (6.4, 3.6), 110


class Drawn(Shown):
    """Base of results that have a picture.

    Which one says the class, `class Found(Drawn, picture="module:function")`, by the name of a function of
    the result and of axes, so that matplotlib is imported only when something is drawn.
    """

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the result.

        Args:
            ax: axes of matplotlib to draw into; None makes a new figure of `matplotlib.pyplot`, which a
                notebook shows and `plt.show()` opens.

        Returns:
            The axes, for titles and limits of your own.
        """
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots(layout="constrained")[1]
        module, _, name = self.picture.partition(":")
        getattr(import_module(module), name)(self, ax)
        in_plain_colours(ax)
        return ax

    def picture_shown(self) -> str:
        """The figure of a notebook, made without pyplot, so that no state of the user's changes."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=_INCHES, layout="constrained")
        self.plot(figure.add_subplot())
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=_DOTS)
        return f"data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}"


def in_plain_colours(axes: "Axes") -> None:
    """Give what was drawn colours that show without a style sheet, and show texts as they are."""
    from matplotlib.colors import to_hex
    from matplotlib.text import Text

    from .style import LAST_FONT, Hue

    seen = {getattr(Hue, name).lower(): plain for name, plain in _PLAIN.items()}
    for artist in axes.findobj():
        for name in _COLOURED:
            _recolour(artist, name, seen, to_hex)
    for text in axes.findobj(Text):
        # It has a box for every character that the font of the user lacks.
        text.set_fontfamily([*text.get_fontfamily(), LAST_FONT])
    # The numbers of the axes are written by matplotlib and stay what they are.
    own = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    legend = axes.get_legend()
    for text in chain(own, legend.get_texts() if legend else ()):
        if isinstance(text, Text):
            text.set_parse_math(False)
            text.set_text(printable(text.get_text()))


def _recolour(artist: Any, name: str, plain: dict[str, str], to_hex: Any) -> None:
    """Put the plain colours where an artist has those of the house, with the opacity that it has."""
    from matplotlib.colors import to_rgba, to_rgba_array

    get, put = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
    if get is None or put is None:
        return
    found = get()
    if isinstance(found, str) and found in ("none", "auto", "face"):
        return
    rows = to_rgba_array(found)
    names = [plain.get(to_hex(row)) for row in rows]
    if not any(names):
        return
    new = [
        tuple(row) if name is None else (*to_rgba(name)[:3], to_rgba(name)[3] * row[3])
        for row, name in zip(rows, names, strict=True)
    ]
    put(new[0] if isinstance(found, str) or len(new) == 1 else new)
