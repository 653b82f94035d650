"""How a text file lays out its cells: what separates them, decimal comma or point, header or none."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from attractor.errors import ConfigError

from .record import Signal

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
