"""Delimited text: from the bytes of a file to lines, cells and numbers."""

import codecs
import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import ConfigError, InputDataError

from .record import Signal

# How a line without data begins: with nothing, or with the mark of a comment.
_SKIPPED = frozenset({"", "#", "%"})
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# A text file has tabs and line ends below code 32; form feeds and the like are rare even in old ones.
_CONTROL = bytes(set(range(32)) - {9, 10, 11, 12, 13})
# Windows-1252 differs from Latin-1 in 27 codes; the five that it leaves unused stay those of Latin-1.
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") or chr(code) for code in range(0x80, 0xA0)}


@dataclass(frozen=True)
class TextLines:
    """The lines of a file that are neither blank nor a comment.

    Args:
        path: the file.
        lines: their text, without line ends.
        numbers: their places in the file, counted from 1 as an editor does.
    """

    path: Path
    lines: list[str]
    numbers: Int[np.ndarray, "lines"]


def read_lines(path: str | Path) -> TextLines:
    """Read a text file: UTF-8, UTF-16 with its mark, or Windows-1252; any line ends.

    Args:
        path: the file.

    Returns:
        Its lines without blank ones and without comments (lines that begin with `#` or `%`).

    Raises:
        InputDataError: the file is missing, unreadable, binary, or holds no data.
    """
    path = Path(path)
    text = decode(_read_bytes(path), path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = [index for index, line in enumerate(lines) if line.lstrip()[:1] not in _SKIPPED]
    if not kept:
        message = f"{path}: the file is empty; a header row and at least two rows of numbers are needed"
        raise InputDataError(message)
    return TextLines(path, [lines[index] for index in kept], np.asarray(kept, dtype=np.int64) + 1)


def decode(data: bytes, path: Path) -> str:
    """The text of `data`; `path` is for the message.

    Raises:
        InputDataError: the bytes are not text.
    """
    if data.startswith(_UTF16_MARKS):
        return _decode_utf16(data, path)
    if _looks_binary(data):
        raise _binary(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Older loggers write a degree sign in the Windows code page.
        return data.decode("latin-1").translate(_WINDOWS)


def _decode_utf16(data: bytes, path: Path) -> str:
    try:
        text = data.decode("utf-16")
    except UnicodeDecodeError:
        raise _binary(path) from None
    if "\0" in text:
        raise _binary(path)
    return text


def _looks_binary(data: bytes) -> bool:
    """A zero byte, or more than one control character in a hundred bytes."""
    return b"\0" in data or len(data) - len(data.translate(None, _CONTROL)) > len(data) / 100


def _binary(path: Path) -> InputDataError:
    return InputDataError(
        f"{path}: this is a binary file, not delimited text; export it as CSV (one row per sample) first"
    )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        message = f"{path}: no such file; check the name and the folder (now in {Path.cwd()})"
    except IsADirectoryError:
        message = f"{path}: this is a folder; give the CSV file inside it"
    except (OSError, ValueError) as error:
        message = f"{path}: the file cannot be read ({error}); check its name and its permissions"
    raise InputDataError(message)


MISSING_MARKS = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none"})
DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "blanks": " ", "space": " ", "\\t": "\t"}
_SNIFFED = ("\t", ";", ",")
_SAMPLE = 50
# A cell between blanks: a quoted text, or a word that keeps the bracket with its unit, as in `q3 [ml/s]`.
_BLANK_CELL = re.compile(r"\"[^\"]*\"|[^\s\[(]+(?:\s*[\[(][^\])]*[\])])?|\S+")
_QUOTED = re.compile(r"\"[^\"]*\"")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_UNIT = re.compile(r"(?P<name>.*?\S)(?P<gap>\s*)[\[(](?P<unit>[^\[\]()]*)[\])]")


@dataclass(frozen=True)
class Layout:
    """How cells are told apart and how numbers are written.

    Args:
        delimiter: the character between two cells; a blank stands for any run of blanks and tabs.
        has_decimal_comma: whether `3,5` means three and a half.
    """

    delimiter: str
    has_decimal_comma: bool = False

    def split(self, line: str) -> list[str]:
        """The cells of a line, without quotes and outer blanks."""
        if self.delimiter == " ":
            return [cell.strip('"').strip() for cell in _BLANK_CELL.findall(line)]
        if '"' not in line:
            return [cell.strip() for cell in line.split(self.delimiter)]
        row = next(csv.reader([line], delimiter=self.delimiter, skipinitialspace=True), [])
        return [cell.strip() for cell in row]

    def split_row(self, line: str) -> list[str]:
        """The cells of a line of data, where a bracket means nothing and blanks always separate."""
        if self.delimiter == " " and '"' not in line:
            return line.split()
        return self.split(line)


def find_layout(lines: Sequence[str], delimiter: str | None = None) -> Layout:
    """Find out how the cells of a file are laid out.

    Args:
        lines: the lines of the file, header first if there is one.
        delimiter: the character between cells, or its name (`comma`, `semicolon`, `tab`, `blanks`);
            sniffed from the first lines when `None`.

    Returns:
        The layout; the decimal comma is recognised wherever the comma is not the delimiter.
    """
    chosen = sniff_delimiter(lines[:_SAMPLE]) if delimiter is None else check_delimiter(delimiter)
    layout = Layout(chosen)
    if chosen == ",":
        return layout
    return Layout(chosen, any(_shows_decimal_comma(line, layout) for line in lines[1:]))


def check_delimiter(delimiter: str) -> str:
    """The delimiter as one character.

    Raises:
        ConfigError: it is neither one character nor a known name, or it could be part of a number.
    """
    character = DELIMITER_NAMES.get(delimiter, delimiter)
    if len(character) != 1 or character.isalnum() or character in '+-."\r\n#%':
        known = ", ".join(DELIMITER_NAMES)
        message = f"delimiter {delimiter!r} cannot separate cells; give one character or one of: {known}"
        raise ConfigError(message)
    return character


def sniff_delimiter(lines: Sequence[str]) -> str:
    """The first of tab, semicolon and comma that is in at least half of the lines, else blanks."""
    bare = [_QUOTED.sub("", line) for line in lines]
    for character in _SNIFFED:
        if 2 * sum(character in line.strip() for line in bare) >= len(bare):
            return character
    return " "


def _shows_decimal_comma(line: str, layout: Layout) -> bool:
    return "," in line and any(_DECIMAL_COMMA.fullmatch(cell) for cell in layout.split_row(line))


def is_number(cell: str, layout: Layout) -> bool:
    """Whether the text of a cell is a number, or one of the marks of a missing one."""
    if cell.lower() in MISSING_MARKS:
        return True
    try:
        float(cell.replace(",", ".") if layout.has_decimal_comma else cell)
    except ValueError:
        return False
    return "_" not in cell


def has_header(line: str, layout: Layout) -> bool:
    """Whether the first line of a file names the columns: at least one cell is not a number."""
    return not all(is_number(cell, layout) for cell in layout.split_row(line))


def parse_signal(label: str) -> Signal:
    """The name and the unit in the head of a column: `q3 [ml/s]` or `q3 (ml/s)`.

    `u(1)` and `u[1]` are names: an index, not a unit.
    """
    match = _UNIT.fullmatch(label.strip())
    if match is None or (not match["gap"] and match["unit"].strip().isdigit()):
        return Signal(label.strip())
    return Signal(match["name"].strip(), match["unit"].strip())


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
