"""Delimited text: from the bytes of a file to lines, cells and numbers."""

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from attractor.errors import ConfigError, InputDataError

from .record import Signal

MISSING_MARKS = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none"})
DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "blanks": " ", "space": " ", "\\t": "\t"}
# How a line without data begins: with nothing, or with the mark of a comment.
_SKIPPED = frozenset({"", "#", "%"})
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# A text file has tabs and line ends below code 32; form feeds and the like are rare even in old ones.
_CONTROL = bytes(set(range(32)) - {9, 10, 11, 12, 13})
# Windows-1252 differs from Latin-1 in 27 codes; the five that it leaves unused stay those of Latin-1.
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") or chr(code) for code in range(0x80, 0xA0)}
_SNIFFED = ("\t", ";", ",")
# How many lines at the top decide about the delimiter, and how many below the header about a row of units.
_SAMPLE, _UNITS_SAMPLE = 50, 10
_LONGEST_UNIT = 20
# A cell between blanks: a quoted text, or a word that keeps the bracket with its unit, as in `q3 [ml/s]`.
_BLANK_CELL = re.compile(r"\"[^\"]*\"|[^\s\[(]+(?:\s*[\[(][^\])]{0,40}[\])])?|\S+")
_BLANK = '""'  # a blank cell in the only column, whatever separates cells
_QUOTED = re.compile(r"\"[^\"]*\"")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
DATE = re.compile(r"\d{1,4}([-./])\d{1,2}\1(\d{1,4})|\d{8}T")


@dataclass(frozen=True)
class TextLines:
    """The lines of a file that are neither blank nor a comment.

    Args:
        path: the file.
        lines: their text, without line ends.
        numbers: where they stand in the file, counted from 1 as an editor does.
        blank: where its blank lines stand, counted alike.
    """

    path: Path
    lines: list[str]
    numbers: Int[np.ndarray, "lines"]
    blank: Int[np.ndarray, "blank"]

    def where(self, row: int) -> str:
        """Name a line for a message: file and row."""
        return f"{self.path}, row {self.numbers[row]}"

    def with_gaps(self, first: int, columns: int) -> "TextLines":
        """The lines; of a single column with the blank ones between rows of data, each a missing value.

        Args:
            first: the first row of data.
            columns: how many there are. Between rows of several cells a blank line is none of them.
        """
        if columns > 1:
            return self
        rows = self.numbers[first:]
        gaps = self.blank[(self.blank > rows[0]) & (self.blank < rows[-1])]
        numbers = np.concatenate([self.numbers, gaps])
        order = np.argsort(numbers)
        texts = [*self.lines, *[_BLANK] * len(gaps)]
        return replace(self, lines=[texts[place] for place in order], numbers=numbers[order])


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
        raise InputDataError(
            f"{path}: the file is empty; a header row and at least two rows of numbers are needed"
        )
    blank = [index for index, line in enumerate(lines) if not line.strip()]
    numbers, gaps = (np.asarray(found, dtype=np.int64) + 1 for found in (kept, blank))
    return TextLines(path, [lines[index] for index in kept], numbers, gaps)


def decode(data: bytes, path: Path) -> str:
    """The text of `data`; `path` is for the message.

    Raises:
        InputDataError: the bytes are not text.
    """
    is_utf16 = data.startswith(_UTF16_MARKS)
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        # Older loggers write a degree sign in the Windows code page.
        text = "\0" if is_utf16 else data.decode("latin-1").translate(_WINDOWS)
    # More than one control character in a hundred bytes; those of UTF-16 are halves of letters.
    is_odd = not is_utf16 and len(data) - len(data.translate(None, _CONTROL)) > len(data) / 100
    if "\0" in text or is_odd:
        raise InputDataError(
            f"{path}: this is a binary file, not delimited text; export it as CSV (one row per sample) first"
        )
    return text


def _read_bytes(path: Path) -> bytes:
    check_file(path)
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise InputDataError(
            f"{path}: the file cannot be read ({error}); check its name and its permissions"
        ) from None


def check_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        InputDataError: nothing has this name, or a folder has.
    """
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except (OSError, ValueError):
        return  # reading it says what is wrong
    if is_folder:
        raise InputDataError(f"{path}: this is a folder; give the CSV file inside it")
    if not exists:
        raise InputDataError(f"{path}: no such file; check the name and the folder (now in {Path.cwd()})")


@dataclass(frozen=True)
class Layout:
    """How cells are told apart and how numbers are written.

    Args:
        delimiter: the character between two cells; a blank stands for any run of blanks and tabs.
        has_decimal_comma: whether `3,5` means three and a half.
    """

    delimiter: str = ","
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
    layout = Layout(sniff_delimiter(lines[:_SAMPLE]) if delimiter is None else check_delimiter(delimiter))
    has_comma = layout.delimiter != "," and any(
        _DECIMAL_COMMA.fullmatch(cell) for line in lines[1:] if "," in line for cell in layout.split_row(line)
    )
    return Layout(layout.delimiter, has_comma)


def check_delimiter(delimiter: str) -> str:
    """The delimiter as one character.

    Raises:
        ConfigError: it is neither one character nor a known name, or it could be part of a number.
    """
    character = DELIMITER_NAMES.get(delimiter, delimiter)
    if len(character) != 1 or character.isalnum() or character in '+-."\r\n#%':
        raise ConfigError(
            f"delimiter {delimiter!r} cannot separate cells; give one character or one of: "
            f"{', '.join(DELIMITER_NAMES)}"
        )
    return character


def sniff_delimiter(lines: Sequence[str]) -> str:
    """The first of tab, semicolon and comma that is in at least half of the lines, else blanks."""
    bare = [_QUOTED.sub("", line) for line in lines]
    for character in _SNIFFED:
        if 2 * sum(character in line.strip() for line in bare) >= len(bare):
            return character
    return " "


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


def is_number(cell: str, layout: Layout = Layout()) -> bool:
    """Whether the text of a cell is a number, or one of the marks of a missing one."""
    try:
        parse_number(cell.replace(",", ".") if layout.has_decimal_comma else cell, Layout())
    except ValueError:
        return False
    return True


def shortened(cell: str) -> str:
    """The text of a cell as a message quotes it."""
    return repr(cell if len(cell) <= 40 else cell[:37] + "...")


def explain(cell: str, layout: Layout) -> str:
    """Why a cell is no number, and what to do."""
    shown = shortened(cell)
    if layout.has_decimal_comma and "." in cell and is_number(cell.replace(".", ""), layout):
        return f"{shown} has a point where the file uses decimal commas; write it without the point"
    if layout.delimiter == " " and "," in cell:
        return f"{shown} is not a number; if commas separate the columns, set delimiter to 'comma'"
    return f"{shown} is not a number; correct the cell, or leave it blank and set what missing values become"


def read_header(lines: Sequence[str], layout: Layout) -> tuple[list[Signal], int]:
    """The columns that the first lines of a file name, and how many of them they are.

    A first line of numbers only is no header: the columns are c1, c2, ... then. A row of units may follow
    the names (see `_units`).
    """
    heads = layout.split(lines[0])
    while heads and not heads[-1]:
        heads.pop()
    if all(is_number(cell, layout) for cell in layout.split_row(lines[0])):
        return [Signal(f"c{position}") for position in range(1, len(heads) + 1)], 0
    signals = [parse_signal(head or f"c{position}") for position, head in enumerate(heads, 1)]
    units = _units(lines[1 : 2 + _UNITS_SAMPLE], layout, signals)
    if units is None:
        return signals, 1
    return [Signal(signal.name, unit) for signal, unit in zip(signals, units, strict=True)], 2


def _units(lines: Sequence[str], layout: Layout, signals: Sequence[Signal]) -> list[str] | None:
    """The units in the row below the names; None if that row holds data.

    It is a row of units if no head has a unit, no cell of it is a number, the rows below hold numbers in at
    least one column for which it has a text, and it has no text for columns that are neither numbers nor
    dates: there it might be the first row of data.
    """
    if len(lines) < 2 or any(signal.unit for signal in signals):
        return None
    units, *below = [(layout.split_row(line) + [""] * len(signals))[: len(signals)] for line in lines]
    named = 0
    for unit, cells in zip(units, zip(*below, strict=True), strict=True):
        known = [cell for cell in cells if cell.lower() not in MISSING_MARKS]
        is_numeric = bool(known) and all(is_number(cell, layout) for cell in known)
        is_date = bool(known) and all(DATE.match(cell) for cell in known)
        has_unit = unit not in ("", "-")
        if len(unit) > _LONGEST_UNIT or (unit and is_number(unit, layout)):
            return None
        if has_unit and not (is_numeric or is_date):
            return None
        named += has_unit and is_numeric
    return [unit.strip("[]()- ") for unit in units] if named else None


def parse_signal(label: str) -> Signal:
    """The name and the unit in the head of a column: `q3 [ml/s]` or `q3 (ml/s)`.

    `u(1)` and `u[1]` are names: an index, not a unit.
    """
    text = label.strip()
    start = max(text.rfind("["), text.rfind("(")) if text.endswith(("]", ")")) else -1
    name, unit = text[: max(start, 0)], text[start + 1 : -1]
    is_index = not name.endswith((" ", "\t")) and unit.strip().isdigit()
    if not name.strip() or is_index or "]" in unit or ")" in unit:
        return Signal(text)
    return Signal(name.strip(), unit.strip())
