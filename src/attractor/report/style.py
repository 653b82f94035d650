"""From a matplotlib figure to an inline SVG that takes its colours and its font from the page."""

import io
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import matplotlib
import numpy as np
from jaxtyping import Float, Num
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from attractor.errors import printable


class Hue:
    """The colours of all figures. Nothing else uses these; the style sheet says what they look like."""

    INK = "#010101"
    MUTED = "#010102"
    GRID = "#010103"
    MEASURED = "#010104"
    MODEL = "#010105"
    VALIDATION = "#010106"
    TEST = "#010107"
    ALERT = "#010108"
    BAND = "#010109"
    CARD = "#01010a"


_VARIABLES = {value: name.lower() for name, value in vars(Hue).items() if name.isupper()}
Side = Literal["center", "right"]

LAST_FONT = "Last Resort High-Efficiency"
_FONTS = ["DejaVu Sans", LAST_FONT]
"""The second has a box for every character that the first lacks, so that nothing is missing while text is
measured; the page draws all text in fonts of its own."""
_DRAWING = threading.RLock()
"""Settings of matplotlib hold for the whole process: one figure is drawn at a time."""
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Size:
    """The screen a figure is drawn for.

    Args:
        name: class of the figure in the style sheet.
        width: CSS pixels.
        font: font size, CSS pixels.
        bins: of an envelope over the whole width.
    """

    name: str
    width: float
    font: float
    bins: int

    @property
    def is_wide(self) -> bool:
        """Panels may stand side by side."""
        return self.width > 600


WIDE = Size("wide", 980.0, 12.5, 420)
NARROW = Size("narrow", 330.0, 11.0, 170)


@contextmanager
def house_style(size: Size, salt: str) -> Iterator[None]:
    """The settings under which a figure is drawn and saved; other threads wait until it is.

    Args:
        size: screen to draw for.
        salt: makes the ids of the figure different from those of its neighbours.

    Yields:
        Nothing; the settings hold inside the `with` block.
    """
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "font.family": _FONTS,
        "font.size": size.font,
        "text.parse_math": False,
        "path.simplify": False,
        "text.color": Hue.INK,
        "axes.edgecolor": Hue.GRID,
        "axes.labelcolor": Hue.MUTED,
        "axes.labelsize": size.font,
        "axes.titlesize": size.font,
        "axes.titlecolor": Hue.INK,
        "axes.titlelocation": "left",
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.formatter.useoffset": False,
        "axes.unicode_minus": True,
        "grid.color": Hue.GRID,
        "grid.linewidth": 0.8,
        "xtick.color": Hue.GRID,
        "ytick.color": Hue.GRID,
        "xtick.labelcolor": Hue.MUTED,
        "ytick.labelcolor": Hue.MUTED,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "legend.frameon": False,
        "legend.borderaxespad": 0.2,
        "legend.handlelength": 1.6,
        "legend.columnspacing": 1.6,
        "lines.solid_joinstyle": "round",
        "figure.facecolor": "none",
        "savefig.facecolor": "none",
    }
    known: Any = matplotlib.rcParams
    with _DRAWING:
        before = {name: known[name] for name in settings}
        known.update(settings)
        try:
            yield
        finally:
            known.update(before)


def to_svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as inline SVG: themed, without fixed size, ids that start with `name`, short numbers.

    Args:
        figure: drawn inside `house_style`.
        name: unique on the page; letters, digits and hyphens.
        title: what a screen reader says.

    Returns:
        Markup that is safe to insert into the page.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    svg = printable(buffer.getvalue())
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = _shortened(_own_ids(re.sub(r"<defs>\s*</defs>", "", svg), name))
    svg = _in_tags(svg, _themed)
    width, height = figure.get_size_inches() * 72
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">'
    )
    body = svg[svg.index(">") + 1 :]
    return head.format(width, height, printable(title)) + Markup(body)  # noqa: S704


def _in_tags(svg: str, change: Callable[[str], str]) -> str:
    """Change the tags and leave what stands between them, which is text of the user's."""
    return re.sub(r"<[^>]*>", lambda tag: change(tag[0]), svg)


def _own_ids(svg: str, name: str) -> str:
    """Only ids that something refers to remain, and they begin with the figure's name."""
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', "".join(re.findall(r"<[^>]*>", svg))))

    def own(tag: str) -> str:
        tag = tag.replace("xlink:href", "href")
        tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", tag)
        return re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", tag)

    return _in_tags(svg, own)


def _shortened(svg: str) -> str:
    """One decimal of a CSS pixel is enough for the eye."""

    def shorten_path(attribute: re.Match[str]) -> str:
        path = shorten(attribute)
        if not set("CQzZ").isdisjoint(path):
            return path
        # After M, further points are lines; a segment of no length is a dot of the round line end.
        path = re.sub(r"M (\S+ \S+) L \1(?= (?:M |\"))", r"M \1 h0", path)
        return path.replace(" L ", " ")

    def shorten(attribute: re.Match[str]) -> str:
        return re.sub(r"-?\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), attribute[0])

    def shorten_tag(tag: str) -> str:
        tag = re.sub(r' d="[^"]*"', shorten_path, tag)
        return re.sub(r' (?:x|y|width|height)="[^"]*"| transform="[^"]*"', shorten, tag)

    return _in_tags(re.sub(r"\s*\n\s*", " ", svg), shorten_tag)


def _themed(tag: str) -> str:
    """Chosen colours become custom properties, the font becomes the page's."""
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, f"var(--{variable})")
    tag = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", tag)
    return re.sub(r"(font: [^'\"]*px) [^;\"]*", r"\1 var(--font)", tag)


def legend_above(axes: Axes, columns: int = 4) -> None:
    """A legend in one line above the panel."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, labelcolor=Hue.MUTED)


def powers_of_ten(axes: Axes, *names: Literal["x", "y"]) -> None:
    """A logarithmic axis with labels like 10⁻², written without a formula.

    An axis of less than two decades has labels at 2 and 5 times the powers as well.
    """
    for name in names:
        axis = axes.xaxis if name == "x" else axes.yaxis
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        axis.set_major_formatter(FuncFormatter(lambda value, _: power_label(value)))
        axis.set_minor_locator(LogLocator(subs=(2, 5)))
        axis.set_minor_formatter(FuncFormatter(partial(_label_between, axis)))
        axes.tick_params(axis=name, which="minor", length=0)


def _label_between(axis: Axis, value: float, _: int) -> str:
    low, high = axis.get_view_interval()
    return power_label(value) if high < 100 * low else ""


def power_label(value: float) -> str:
    """A power of ten, or one digit times it, as text.

    Example:
        >>> power_label(0.01), power_label(0.05)
        ('10⁻²', '5·10⁻²')
    """
    digit, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if digit == "1" else f"{digit}·{power}"


_TOP = 26.0
_BOTTOM = 42.0
_RIGHT = 6.0
_BETWEEN_ROWS = 72.0
_CHARACTER = 0.62


def panels(
    size: Size, heights: Sequence[int], columns: int = 1, *, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure with fixed margins; the labels of all vertical axes stand in one line.

    Fixed margins cost nothing, where a layout engine would draw every figure twice.

    Args:
        size: screen to draw for.
        heights: of every row of panels, CSS pixels.
        columns: panels side by side.
        share: the rows share the horizontal axis, so that only the last one is labelled.

    Returns:
        The figure and its panels, row by row.
    """
    gap = 12.0 if share else _BETWEEN_ROWS
    left = size.font * (1.2 + 7.0 * _CHARACTER)
    total = _TOP + sum(heights) + gap * (len(heights) - 1) + _BOTTOM
    width = (size.width - columns * left - _RIGHT * (1 + 3 * (columns - 1))) / columns
    figure = Figure(figsize=(size.width / 72.0, total / 72.0), dpi=72)
    axes: list[Axes] = []
    tops = np.cumsum([_TOP, *(height + gap for height in heights)])
    for top, height in zip(tops, heights, strict=False):
        for column in range(columns):
            x = left + column * (width + left + 3 * _RIGHT)
            box = (x / size.width, 1.0 - (top + height) / total, width / size.width, height / total)
            axes.append(figure.add_axes(box, sharex=axes[0] if share and axes else None))
            axes[-1].yaxis.set_label_coords(-(left - 0.6 * size.font) / width, 0.5)
            axes[-1].tick_params(labelbottom=not share or len(axes) == len(heights), bottom=not share)
    return figure, axes


def grid_of(size: Size, count: int, height: int, most_columns: int) -> tuple[Figure, list[Axes]]:
    """So many equal panels: side by side up to `most_columns` on a wide screen, else one below the other."""
    columns = min(count, most_columns) if size.is_wide else 1
    figure, axes = panels(size, [height] * -(-count // columns), columns)
    for surplus in axes[count:]:
        surplus.remove()
    return figure, axes[:count]


def envelope(
    time: Num[np.ndarray, " time"], values: Float[np.ndarray, " time"], bins: int
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """The smallest and the largest value of every bin, so that no peak gets lost.

    Values that are not finite count as missing; a bin of nothing else gives NaN, a gap in the line.

    Args:
        time: increasing.
        values: one per time.
        bins: the result has at most twice as many points.

    Returns:
        Times and values to draw, unchanged where the series is short enough.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    if len(values) <= 2 * bins:
        return np.asarray(time, float), values
    starts = np.linspace(0, len(values), bins, endpoint=False).astype(int)
    extremes = np.stack([np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)], axis=1)
    # A rising bin is drawn from its low to its high end, a falling one the other way round.
    ends = np.append(starts[1:], len(values)) - 1
    falling = values[starts] > values[ends]
    extremes[falling] = extremes[falling, ::-1]
    # The two points stand a quarter and three quarters into the bin; at one time they would draw stairs.
    left, right = time[starts].astype(float), time[ends].astype(float)
    return np.stack(
        [0.75 * left + 0.25 * right, 0.25 * left + 0.75 * right], axis=1
    ).ravel(), extremes.ravel()


def segments(
    positions: np.ndarray, ends: np.ndarray, *, upright: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Lines from one end to the other at every position, as one path with gaps, which keeps a page small.

    Two equal ends give a dot where the line has round ends.

    Args:
        positions: shape (lines,).
        ends: shape (lines, 2).
        upright: the ends are vertical coordinates; False makes them horizontal ones.
    """
    gap = np.full(len(positions), np.nan)
    along = np.column_stack([ends, gap]).ravel()
    across = np.column_stack([positions, positions, gap]).ravel()
    return (across, along) if upright else (along, across)


def replica_style(replica: int, chosen: int, first: bool, word: str) -> dict[str, Any]:
    """How the curve of one of several trainings is drawn: the one that was kept in colour, the others grey.

    Args:
        replica: its number.
        chosen: the number of the one that was kept.
        first: whether it is the first that is drawn, and stands in the legend for the others.
        word: what a training is called: "seed".
    """
    if replica == chosen:
        return {"color": Hue.MODEL, "linewidth": 1.8, "label": f"{word} {replica}, kept"}
    return {"color": Hue.MEASURED, "linewidth": 1.2, "label": f"other {word}s" if first else None}


def mark_point(
    axes: Axes, x: float, y: float, text: str, side: Literal["center", "right"] = "center"
) -> None:
    """A dot with a text above it."""
    axes.plot(x, y, "o", markersize=8, color=Hue.MODEL, markeredgecolor=Hue.CARD, markeredgewidth=2)
    offset = (0 if side == "center" else 4, 9)
    axes.annotate(text, (x, y), offset, textcoords="offset points", color=Hue.INK, ha=side)
