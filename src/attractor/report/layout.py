"""Where the panels of a figure stand, in CSS pixels, so that all figures of the page line up."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import Size

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
