"""Series as text: numbers between commas, one dimension after the other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError

from .sequence_labels import encode_words
from .sequences import Sequences, default_names, padded

MARKS = {"?": np.nan, "": np.nan}
"""Texts that `float` does not know and that mean a missing value."""


def parse_series(text: str, where: str) -> Float[np.ndarray, " time"]:
    """The numbers between commas; NaN for `?`, `NaN` or nothing.

    Args:
        text: of one dimension of a case.
        where: file, row and dimension for the message.

    Raises:
        InputDataError: a text that is not a number, or an infinite one; its place is named.
    """
    cells = text.split(",")
    try:
        values = np.array([float(cell) for cell in cells])
        plain = "_" not in text
    except ValueError:
        values, plain = np.zeros(0), False
    if not plain:
        values = np.array([_parse_cell(cell.strip(), f"{where}, value {n}") for n, cell in enumerate(cells)])
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        message = f"{where}, value {infinite[0]}: {cells[infinite[0]]!r} is infinite; correct it or write ?"
        raise InputDataError(message)
    return values


def _parse_cell(cell: str, where: str) -> float:
    if cell in MARKS:
        return MARKS[cell]
    try:
        # Python reads 1_000 as a number; no writer of series means it so.
        return float(cell.replace("_", "x"))
    except ValueError:
        shown = cell if len(cell) <= 40 else cell[:37] + "..."
        message = f"{where}: {shown!r} is not a number; correct it, or write ? if it is missing"
        raise InputDataError(message) from None


def stack_dimensions(
    dimensions: Sequence[Float[np.ndarray, " _"]],
) -> Float[np.ndarray, "time variables"]:
    """Dimensions of a case side by side; a shorter one ends in missing values."""
    case = np.full((max(len(one) for one in dimensions), len(dimensions)), np.nan)
    for place, one in enumerate(dimensions):
        case[: len(one), place] = one
    return case


def assemble(
    path: Path,
    rows: Sequence[int],
    cases: Sequence[Float[np.ndarray, "_ variables"]],
    words: Sequence[str] | None,
    classes: Sequence[str] | None,
) -> Sequences:
    """Labelled cases from what a reader found.

    Args:
        path: the file.
        rows: the row of each case in it, for messages.
        cases: one array a case.
        words: the class of each case; None if the file has none.
        classes: those that the file lists; None takes those that occur.

    Raises:
        InputDataError: no case, or a class that the file does not list.
    """
    if not cases:
        message = f"{path}: the file has a header but no case below @data"
        raise InputDataError(message)
    labels, known = None, tuple(classes or ())
    if words is not None:
        labels, known = encode_words(words, lambda case: f"{path}, row {rows[case]}", classes)
    values, lengths = padded(cases)
    return Sequences(values, lengths, default_names(values.shape[2]), labels, known)
