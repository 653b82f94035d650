"""A delimited text file as a table of cells: columns by name, read as text or as numbers."""

import csv
import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import InputDataError

from .delimited import Layout, TextLines, convert_cells, find_layout, has_header, parse_signal, read_lines
from .record import Signal


@dataclass(frozen=True)
class Table:
    """The rows of a delimited text file; a column is converted only when it is asked for.

    Args:
        path: the file.
        signals: name and unit of each column.
        layout: how the cells are told apart.
        lines: the text of each row of data.
        row_numbers: the place of each row in the file, counted from 1.
    """

    path: Path
    signals: tuple[Signal, ...]
    layout: Layout
    lines: list[str]
    row_numbers: Int[np.ndarray, "rows"]

    def __len__(self) -> int:
        return len(self.lines)

    def find(self, label: str) -> int:
        """The place of a column, asked for by its name with or without its unit.

        Raises:
            InputDataError: no column, or more than one, has this name.
        """
        wanted = parse_signal(label)
        exact = [place for place, signal in enumerate(self.signals) if signal == wanted]
        by_name = [place for place, signal in enumerate(self.signals) if signal.name == wanted.name]
        places = exact or ([] if wanted.unit else by_name)
        if len(places) == 1:
            return places[0]
        raise self._ambiguous(label, places) if places else self._unknown(label)

    def text(self, place: int) -> list[str]:
        """The cells of one column as they are written, without outer blanks and quotes."""
        return [self._cell(line, place) for line in self.lines]

    def numbers(self, places: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        """Some columns as float64, shape (rows, columns); NaN where a cell is blank or says so.

        Raises:
            InputDataError: a cell holds text or an infinite number; row, column and text are named.
        """
        values = self._numbers_at_once(places)
        if values is None:
            return self._numbers_one_by_one(places)
        self._check_finite(values, places)
        return values

    def where(self, row: int, place: int) -> str:
        """Name a cell for a message: file, row and column."""
        return f"{self.path}, row {self.row_numbers[row]}, column '{self.signals[place].label}'"

    def _cell(self, line: str, place: int) -> str:
        cells = self.layout.split_row(line)
        return cells[place] if place < len(cells) else ""

    def _numbers_at_once(self, places: Sequence[int]) -> Float[np.ndarray, "rows columns"] | None:
        """Numpy's reader in C; None where a cell is blank, quoted, or not a plain number."""
        if self.layout.has_decimal_comma or not self.lines or not places:
            return None
        delimiter = None if self.layout.delimiter == " " else self.layout.delimiter
        try:
            values = np.loadtxt(
                self.lines,
                delimiter=delimiter,
                usecols=list(places),
                comments=None,
                ndmin=2,
                dtype=np.float64,
            )
        except (ValueError, TypeError, OverflowError):
            return None
        return values if len(values) == len(self.lines) else None

    def _numbers_one_by_one(self, places: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        rows = [self.layout.split_row(line) for line in self.lines]
        values = np.empty((len(rows), len(places)))
        for index, place in enumerate(places):
            cells = [row[place] if place < len(row) else "" for row in rows]
            values[:, index] = convert_cells(
                cells, self.layout, lambda row, place=place: self.where(row, place)
            )
        self._check_finite(values, places)
        return values

    def _check_finite(self, values: Float[np.ndarray, "rows columns"], places: Sequence[int]) -> None:
        bad = np.argwhere(np.isinf(values))
        if len(bad):
            row, index = (int(number) for number in bad[0])
            text = self._cell(self.lines[row], places[index])
            message = (
                f"{self.where(row, places[index])}: {text!r} is infinite; correct the cell, or leave it "
                "blank and set what missing values become"
            )
            raise InputDataError(message)

    def _ambiguous(self, label: str, places: Sequence[int]) -> InputDataError:
        labels = ", ".join(f"'{self.signals[place].label}'" for place in places)
        return InputDataError(f"{self.path}: several columns are called '{label}': {labels}; add the unit")

    def _unknown(self, label: str) -> InputDataError:
        names = [signal.name for signal in self.signals]
        folded = {name.casefold(): name for name in reversed(names)}
        near = difflib.get_close_matches(parse_signal(label).name.casefold(), folded, n=1, cutoff=0.5)
        hint = f"did you mean '{folded[near[0]]}'? " if near else ""
        available = ", ".join(signal.label for signal in self.signals)
        return InputDataError(f"{self.path}: no column '{label}'; {hint}Available columns: {available}")


def read_table(path: str | Path, delimiter: str | None = None) -> Table:
    """Read a delimited text file without converting its cells.

    The first row that is not a comment names the columns, with units in brackets if there are any; a file
    that begins with numbers has the columns c1, c2, ... instead. A delimiter at the end of every row is
    tolerated.

    Args:
        path: the file.
        delimiter: one character or `comma`, `semicolon`, `tab`, `blanks`; sniffed when `None`.

    Returns:
        The table, with one row per line of data.

    Raises:
        InputDataError: the file cannot be read, has no rows, columns with the same head or ragged rows.
    """
    text = read_lines(path)
    try:
        return _table(text, delimiter)
    except csv.Error:
        raise _unreadable(text) from None


def _table(text: TextLines, delimiter: str | None) -> Table:
    layout = find_layout(text.lines, delimiter)
    first = 1 if has_header(text.lines[0], layout) else 0
    table = Table(text.path, _signals(text, layout), layout, text.lines[first:], text.numbers[first:])
    if not table.lines:
        message = f"{table.path}: the file has a header but no rows of data below it"
        raise InputDataError(message)
    _check_widths(table)
    return table


def _unreadable(text: TextLines) -> InputDataError:
    """The error for a quoted cell that is longer than the reader takes."""
    most = csv.field_size_limit()
    row = next((row for row, line in enumerate(text.lines) if '"' in line and len(line) > most), 0)
    return InputDataError(
        f"{text.path}, row {text.numbers[row]}: a quoted cell has more than {most} characters; close the "
        "quote that begins it, or shorten the text"
    )


def _signals(text: TextLines, layout: Layout) -> tuple[Signal, ...]:
    heads = layout.split(text.lines[0])
    while heads and not heads[-1]:
        heads.pop()
    if not has_header(text.lines[0], layout):
        return tuple(Signal(f"c{place}") for place in range(1, len(heads) + 1))
    signals = tuple(parse_signal(head or f"c{place}") for place, head in enumerate(heads, 1))
    twice = [signal.label for signal, count in Counter(signals).items() if count > 1]
    if twice:
        message = (
            f"{text.path}, row {text.numbers[0]}: the header names column '{twice[0]}' more than once; "
            "give each column its own name"
        )
        raise InputDataError(message)
    return signals


def _check_widths(table: Table) -> None:
    """Each row has a cell for every column; what it has beyond them is blank."""
    width = len(table.signals)
    for row in _unusual_rows(table.lines, table.layout.delimiter, width):
        cells = table.layout.split_row(table.lines[row])
        if len(cells) < width or any(cells[width:]):
            raise _ragged(table, row, cells)


def _unusual_rows(lines: Sequence[str], delimiter: str, width: int) -> list[int]:
    """Rows with quotes, or with other than `width` cells and at most one delimiter after the last."""
    if delimiter == " ":
        return [row for row, line in enumerate(lines) if '"' in line or len(line.split()) != width]
    return [
        row
        for row, line in enumerate(lines)
        if '"' in line
        or (
            line.count(delimiter) + 1 != width
            and line.rstrip(" ").removesuffix(delimiter).count(delimiter) + 1 != width
        )
    ]


def _ragged(table: Table, row: int, cells: Sequence[str]) -> InputDataError:
    width = len(table.signals)
    if len(cells) < width:
        what = f"column '{table.signals[len(cells)].label}' is the first without a cell"
    else:
        what = f"the text {next(cell for cell in cells[width:] if cell)!r} is beyond the last column"
    return InputDataError(
        f"{table.path}, row {table.row_numbers[row]}: {len(cells)} cells where the file has {width} columns "
        f"({what}); complete or remove this row, or set delimiter to what separates the columns"
    )
