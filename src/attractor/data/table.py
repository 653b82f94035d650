"""A table of cells, from a file or a DataFrame: columns by name, read as text, as numbers or as instants."""

import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from attractor.errors import ConfigError, InputDataError
from attractor.shown import Shown

from .delimited import (
    MISSING_MARKS,
    Layout,
    TextLines,
    explain,
    find_layout,
    parse_number,
    parse_signal,
    read_header,
    read_lines,
)
from .record import Signal

if TYPE_CHECKING:
    import pandas as pd

_OTHER_BLANKS = re.compile("[\v\f\x1c-\x1f]")  # separate cells for `str.split`, but not for pandas
# Below so many rows it is quicker to convert cell by cell: pandas takes some 50 microseconds for each column.
_FEW_ROWS = 200
# pandas reads these as one and zero; in a log they are no numbers.
_TRUTHS = ("true", "True", "TRUE", "false", "False", "FALSE")
_MARKS = [form for mark in MISSING_MARKS for form in {mark, mark.upper(), mark.title()}] + ["NaN"]
_ONE_LEVEL = {
    "columns": "give each one name: frame.columns = ['_'.join(map(str, one)) for one in frame.columns]",
    "index": "give one table for each recording: [group for _, group in table.groupby(level=0)]",
}
_MANY_COLUMNS = 2000  # from so many on nobody looks for the one that was meant


@dataclass(frozen=True)
class Table(Shown):
    """Columns with names and units; a column is converted only when it is asked for.

    Args:
        path: the file, or `DataFrame`.
        signals: name and unit of each column.
        row_numbers: how messages count the rows: lines of the file from 1 on, or the index of the DataFrame.
    """

    path: Path
    signals: tuple[Signal, ...]
    row_numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.row_numbers)

    @cached_property
    def _positions(self) -> dict[str, list[int]]:
        """The columns of each name."""
        found: dict[str, list[int]] = {}
        for position, signal in enumerate(self.signals):
            found.setdefault(signal.name, []).append(position)
        return found

    def called(self, name: str) -> list[int]:
        """The positions of the columns with this name, whatever their units."""
        return self._positions.get(name, [])

    def find(self, label: str) -> int:
        """The position of a column, asked for by its name with or without its unit.

        Raises:
            InputDataError: no column, or more than one, has this name.
        """
        wanted = parse_signal(label)
        by_name = self.called(wanted.name)
        exact = [position for position in by_name if self.signals[position] == wanted]
        positions = exact or ([] if wanted.unit else by_name)
        if len(positions) == 1:
            return positions[0]
        if not positions:
            raise self._unknown(label)
        labels = ", ".join(f"'{self.signals[position].label}'" for position in positions)
        raise InputDataError(f"{self.path}: several columns are called '{label}': {labels}; add the unit")

    def check_once(self, positions: Sequence[int], advice: str) -> None:
        """Refuse a column that is chosen more than once.

        Args:
            positions: the columns chosen.
            advice: what a column may be.

        Raises:
            ConfigError: names the first such column.
        """
        for position, count in Counter(positions).items():
            if count > 1:
                raise ConfigError(
                    f"{self.path}: column '{self.signals[position].label}' is chosen more than once; {advice}"
                )

    def first_of(self, names: Sequence[str], taken: Sequence[int] = ()) -> int | None:
        """The free column with the first of these names, whatever its case."""
        heads: dict[str, list[int]] = {}
        for position, signal in enumerate(self.signals):
            heads.setdefault(signal.name.casefold(), []).append(position)
        free = (position for name in names for position in heads.get(name, []) if position not in taken)
        return next(free, None)

    def text(self, position: int) -> list[str]:
        """The cells of one column as they are written, without outer blanks and quotes."""
        raise NotImplementedError

    def cell(self, row: int, position: int) -> str:
        """One of them."""
        return self.text(position)[row]

    def numbers(self, positions: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        """Some columns as float64, shape (rows, columns); NaN where a cell is blank or marks a missing value.

        Raises:
            InputDataError: a cell holds text or an infinite number; row, column and text are named.
        """
        values = self._numbers(positions)
        for row, index in np.argwhere(np.isinf(values))[:1]:
            text = self.cell(int(row), positions[index])
            raise InputDataError(
                f"{self.where(int(row), positions[index])}: {text!r} is infinite; correct the cell, or leave "
                "it blank and set what missing values become"
            )
        return values

    def _numbers(self, positions: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        """`numbers`, where infinite ones pass."""
        raise NotImplementedError

    def instants(self, position: int) -> np.ndarray | None:
        """The column as instants, if it holds them as such and not as text."""

    def copied(self, position: int) -> list[str] | Float[np.ndarray, " rows"]:
        """A column for `write_csv`: its text, but numbers where a decimal comma would be misread."""
        return self.text(position)

    def where(self, row: int, position: int) -> str:
        """Name a cell for a message: file, row and column."""
        return f"{self.path}, row {self.row_numbers[row]}, column '{self.signals[position].label}'"

    def _cell_by_cell(self, positions: Sequence[int], layout: Layout) -> Float[np.ndarray, "rows columns"]:
        """Numbers from text, slowly: it can say what is wrong with a cell."""
        values = np.empty((len(self), len(positions)))
        for index, position in enumerate(positions):
            for row, cell in enumerate(self.text(position)):
                try:
                    values[row, index] = parse_number(cell, layout)
                except ValueError:
                    raise InputDataError(f"{self.where(row, position)}: {explain(cell, layout)}") from None
        return values

    def _unknown(self, label: str) -> InputDataError:
        folded = {name.casefold(): name for name in reversed(self._positions)}
        sought = parse_signal(label).name.casefold() if len(folded) < _MANY_COLUMNS else ""
        near = difflib.get_close_matches(sought, folded, n=1, cutoff=0.5)
        hint = f"did you mean '{folded[near[0]]}'? " if near else ""
        available = ", ".join(signal.label for signal in self.signals)
        return InputDataError(f"{self.path}: no column '{label}'; {hint}Available columns: {available}")


@dataclass(frozen=True)
class TextTable(Table):
    """The rows of a delimited text file.

    Args:
        layout: how the cells are told apart.
        lines: the text of each row of data.
    """

    layout: Layout
    lines: list[str]

    @cached_property
    def _columns(self) -> list[tuple[str, ...]]:
        """The cells of every column: each row is split once, however many columns are asked for."""
        width = len(self.signals)
        return list(zip(*(self.layout.split_row(line)[:width] for line in self.lines), strict=True))

    def text(self, position: int) -> list[str]:
        """The cells of one column as they are written, without outer blanks and quotes."""
        return list(self._columns[position])

    def cell(self, row: int, position: int) -> str:
        """One of them, for which only its row is split."""
        return self.layout.split_row(self.lines[row])[position]

    def copied(self, position: int) -> list[str] | Float[np.ndarray, " rows"]:
        """A column for `write_csv`: its text, but numbers where a decimal comma would be misread."""
        if self.layout.has_decimal_comma:
            try:
                return self.numbers([position])[:, 0]
            except InputDataError:
                pass
        return self.text(position)

    def _numbers(self, positions: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        values = self._at_once(positions) if positions and len(self) >= _FEW_ROWS else None
        return self._cell_by_cell(positions, self.layout) if values is None else values

    def _at_once(self, positions: Sequence[int]) -> Float[np.ndarray, "rows columns"] | None:
        """The reader of pandas; None where a cell is something else than a plain number.

        It rounds correctly: the bits are those of Python's `float`.
        """
        import pandas as pd

        text, mark = "\n".join(self.lines), self.layout.delimiter
        # Runs of blanks and tabs are one separator for pandas too; other blanks of Unicode are not.
        if mark == " " and ('"' in text or not text.isascii() or _OTHER_BLANKS.search(text)):
            return None
        if any(word in text for word in _TRUTHS):
            return None
        try:
            frame = pd.read_csv(
                io.StringIO(text),
                sep=r"\s+" if mark == " " else mark,
                header=None,
                names=range(len(self.signals)),
                usecols=sorted(set(positions)),
                index_col=False,
                dtype=np.float64,
                decimal="," if self.layout.has_decimal_comma else ".",
                na_values=_MARKS,
                keep_default_na=False,
                skipinitialspace=True,
                skip_blank_lines=False,
                lineterminator="\n",
                low_memory=False,
            )
        except (ValueError, OverflowError):
            return None
        return frame[list(positions)].to_numpy() if len(frame) == len(self) else None


@dataclass(frozen=True)
class FrameTable(Table):
    """A DataFrame, or a file that pandas reads as one.

    Args:
        frame: its columns are those of `signals`, called 0, 1, ... here.
    """

    frame: "pd.DataFrame"

    def text(self, position: int) -> list[str]:
        """The cells of one column as text; blank where a value is missing."""
        column = self.frame[position]
        missing = column.isna().to_numpy()
        return ["" if gone else str(cell) for cell, gone in zip(column.tolist(), missing, strict=True)]

    def instants(self, position: int) -> np.ndarray | None:
        """The column as instants, if it holds them as such and not as text."""
        column = self.frame[position]
        if column.dtype.kind == "m":
            return (column - column.iloc[:1].squeeze()).to_numpy()
        if column.dtype.kind != "M":
            return None
        return (column.dt.tz_convert(None) if column.dt.tz is not None else column).to_numpy()

    def copied(self, position: int) -> list[str] | Float[np.ndarray, " rows"]:
        """A column for `write_csv`: numbers where it holds floating ones, else text."""
        column = self.frame[position]
        return column.to_numpy(np.float64) if column.dtype == np.float64 else self.text(position)

    def _numbers(self, positions: Sequence[int]) -> Float[np.ndarray, "rows columns"]:
        values = np.empty((len(self), len(positions)))
        for index, position in enumerate(positions):
            column = self.frame[position]
            if column.dtype.kind in "mMc":
                raise InputDataError(
                    f"{self.path}: column '{self.signals[position].label}' holds {column.dtype}, expected "
                    "real numbers; name it as the time, or leave it out"
                )
            if column.dtype.kind in "biuf":
                values[:, index] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            else:
                values[:, index] = self._cell_by_cell([position], Layout())[:, 0]
        return values


def read_table(source: "str | Path | pd.DataFrame | Table", delimiter: str | None = None) -> Table:
    """Read a table without converting its cells.

    The first row of a text file that is not a comment names the columns, with units in brackets if there are
    any (`q3 [ml/s]`), or in a row of their own below the names; a file that begins with numbers has the
    columns c1, c2, ... instead. A delimiter at the end of every row is tolerated. Blank lines are left out;
    between the rows of a single column they are blank cells. Other formats are known by their ends:
    `.parquet` (extra `parquet`) and `.mat` (up to version 7; the columns of a matrix u are u1, u2, ...).

    Args:
        source: a file, or a DataFrame; a named index and an index of instants become columns.
        delimiter: one character or `comma`, `semicolon`, `tab`, `blanks`; sniffed when `None`.

    Returns:
        The table, with one row per line of data.

    Raises:
        InputDataError: the file cannot be read, has no rows, columns with the same head or ragged rows.
    """
    if isinstance(source, Table):
        return source
    if not isinstance(source, str | Path):
        frame = _as_frame(source)
        return _frame_table(_with_index(frame), Path("DataFrame"), np.asarray(frame.index))
    if Path(source).suffix.casefold() in (".parquet", ".mat"):
        from .binary_files import read_frame

        frame = read_frame(Path(source))
        return _frame_table(_with_index(frame), Path(source), np.arange(1, len(frame) + 1))
    text = read_lines(source)
    try:
        return _text_table(text, delimiter)
    except csv.Error:
        raise _unreadable(text) from None


def _frame_table(frame: "pd.DataFrame", path: Path, rows: np.ndarray) -> FrameTable:
    """The table in a DataFrame; `rows` are how messages count its rows."""
    _check_levels(frame, str(path), "columns")
    signals = [parse_signal(str(head)) for head in frame.columns]
    _check_heads(signals, str(path))
    if not len(frame):
        raise InputDataError(f"{path}: the table has columns but no rows of data")
    return FrameTable(path, tuple(signals), rows, frame.set_axis(range(len(signals)), axis=1))


def _as_frame(table: object) -> "pd.DataFrame":
    """A table of any library, known by its attribute `columns`, as a DataFrame of pandas."""
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        return table
    columns = getattr(table, "columns", None)
    if columns is None:
        raise InputDataError(f"{type(table).__name__} is no table; give the path of a file, or a DataFrame")
    return pd.DataFrame(np.asarray(table), columns=list(columns))


def _check_levels(table: object, where: str, *parts: str) -> None:
    for part in parts:
        index = getattr(table, part, None)
        if index is not None and getattr(index, "nlevels", 1) > 1:
            raise InputDataError(
                f"{where}: a DataFrame with a MultiIndex of {part}, such as {index[0]}; {_ONE_LEVEL[part]}"
            )


def _with_index(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The frame with its index among the columns, unless the index only counts the rows."""
    index = frame.index
    is_instants = index.nlevels == 1 and index.dtype.kind in "mM"
    if is_instants and index.name is None:
        return frame.rename_axis("time").reset_index()
    if index.nlevels == 2 and index.names == [None, None]:
        return frame.rename_axis(["case", "time"]).reset_index()
    if is_instants or index.nlevels > 1 or index.name is not None:
        return frame.reset_index()
    return frame


def _text_table(text: TextLines, delimiter: str | None) -> TextTable:
    layout = find_layout(text.lines, delimiter)
    signals, first = read_header(text.lines, layout)
    _check_heads(signals, text.where(0))
    if first == len(text.lines):
        raise InputDataError(f"{text.path}: the file has a header but no rows of data below it")
    rows = text.with_gaps(first, len(signals))
    table = TextTable(text.path, tuple(signals), rows.numbers[first:], layout, rows.lines[first:])
    _check_widths(table)
    return table


def _check_heads(signals: Sequence[Signal], where: str) -> None:
    twice = [signal.label for signal, count in Counter(signals).items() if count > 1]
    if twice:
        raise InputDataError(
            f"{where}: the header names column '{twice[0]}' more than once; give each column its own name"
        )


def _unreadable(text: TextLines) -> InputDataError:
    """The error for a quoted cell that is longer than the reader takes."""
    most = csv.field_size_limit()
    row = next((row for row, line in enumerate(text.lines) if '"' in line and len(line) > most), 0)
    return InputDataError(
        f"{text.where(row)}: a quoted cell has more than {most} characters; close the quote that begins it, "
        "or shorten the text"
    )


def _check_widths(table: TextTable) -> None:
    """Each row has a cell for every column; what it has beyond them is blank.

    A quote that does not end within its row is never seen by pandas alone: it would take the next row in.
    """
    width, mark = len(table.signals), table.layout.delimiter
    for row, line in enumerate(table.lines):
        # Splitting all rows would take longer than reading the numbers.
        if line.count(mark) == width - 1 and mark != " " and '"' not in line:
            continue
        cells = table.layout.split_row(line)
        if len(cells) >= width and not any(cells[width:]):
            continue
        if len(cells) < width:
            what = f"column '{table.signals[len(cells)].label}' is the first without a cell"
        else:
            what = f"the text {next(cell for cell in cells[width:] if cell)!r} is beyond the last column"
        raise InputDataError(
            f"{table.path}, row {table.row_numbers[row]}: {len(cells)} cells where the file has {width} "
            f"columns ({what}); complete or remove this row, or set delimiter to what separates the columns"
        )


def column_names(table: object, where: str = "a DataFrame") -> tuple[str, ...] | None:
    """What the columns of a table are called; None for arrays, and for columns that have numbers only.

    Args:
        table: anything.
        where: what a message calls it.

    Raises:
        InputDataError: several levels of names, names that are partly texts, or a name twice.
    """
    columns = getattr(table, "columns", None)
    if columns is None:
        return None
    _check_levels(table, where, "columns", "index")
    names = list(columns)
    texts = [isinstance(name, str) for name in names]
    if not any(texts):
        return None
    if not all(texts) or len(set(names)) < len(names):
        raise InputDataError(f"{where}: columns {names}; expected names that are texts, each of them once")
    return tuple(map(str, names))


def numbers_of(values: object, where: str) -> Float[np.ndarray, "..."]:
    """Values as float64; what is masked, or marked as missing in a table, is NaN.

    Args:
        values: an array, a masked array, a table or a list.
        where: what a message calls them.

    Raises:
        InputDataError: something in it is no real number; of a table, row and column are named.
    """
    if hasattr(values, "toarray"):
        raise InputDataError(f"{where} is sparse; sparse input is not supported: give {where}.toarray()")
    to_frame = getattr(values, "to_frame", None)  # a single column has it
    if to_frame is not None or hasattr(values, "columns"):
        frame = _as_frame(to_frame() if to_frame else values)
        table = _frame_table(frame, Path(where), np.asarray(frame.index))
        numbers = table.numbers(range(len(table.signals)))
        return numbers[:, 0] if to_frame else numbers
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(float), np.nan)
    try:
        array = np.asarray(values)
        if array.dtype.kind == "c":
            raise TypeError(
                "Complex data not supported; give real and imaginary parts as columns of their own"
            )
        return array.astype(float)
    except (TypeError, ValueError) as problem:
        raise InputDataError(f"{where} holds something that is not a number: {problem}") from problem


def positions_of(known: Sequence[str], found: Sequence[str], where: str) -> list[int]:
    """Where the known columns are among those found.

    Args:
        known: names in the order wanted.
        found: names of a table.
        where: what a message calls it.

    Raises:
        InputDataError: a column is missing.
    """
    absent = [name for name in known if name not in found]
    if absent:
        raise InputDataError(
            f"{where} has no column {', '.join(map(repr, absent))}; it has {', '.join(found)}"
        )
    return [list(found).index(name) for name in known]
