"""Cells of text to numbers, one by one: the careful path, which can say what is wrong with a cell."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError

from .layout import MISSING_MARKS, Layout


def convert_cells(
    cells: Sequence[str], layout: Layout, where: Callable[[int], str]
) -> Float[np.ndarray, "rows"]:
    """Convert the cells of one column, shape (rows,); NaN for a missing value.

    Args:
        cells: the text of each row.
        layout: says whether a comma is the decimal sign.
        where: names the place of a row for the message.

    Raises:
        InputDataError: a cell is neither a number nor a mark of a missing value.
    """
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        try:
            values[row] = parse_number(cell, layout)
        except ValueError:
            raise InputDataError(f"{where(row)}: {_explain(cell, layout)}") from None
    return values


def parse_number(cell: str, layout: Layout) -> float:
    """The number in a cell, NaN if the cell marks a missing value.

    Raises:
        ValueError: the text is not a number.
    """
    if cell.lower() in MISSING_MARKS:
        return float("nan")
    # A point in a file with decimal commas would group thousands: reading it as a decimal is a silent error.
    if "_" in cell or (layout.has_decimal_comma and "." in cell):
        raise ValueError(cell)
    return float(cell.replace(",", ".") if layout.has_decimal_comma else cell)


def _explain(cell: str, layout: Layout) -> str:
    shown = cell if len(cell) <= 40 else cell[:37] + "..."
    if layout.has_decimal_comma and "." in cell and _is_number_without(cell, "."):
        return f"{shown!r} has a point where the file uses decimal commas; write it without the point"
    if layout.delimiter == " " and "," in cell:
        return f"{shown!r} is not a number; if commas separate the columns, set delimiter to 'comma'"
    return (
        f"{shown!r} is not a number; correct the cell, or leave it blank and set what missing values become"
    )


def _is_number_without(cell: str, character: str) -> bool:
    try:
        float(cell.replace(character, "").replace(",", "."))
    except ValueError:
        return False
    return True
