"""Labelled series from a file of any known format, or from a DataFrame; groups of cases in a small table."""

import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import ConfigError, InputDataError, ShapeError, printable
from attractor.settings import Settings

from .archive_text import read_arff, read_case_rows, read_ts, stack_dimensions
from .binary_files import check_growth, sound
from .delimited import find_layout, is_number, read_lines, shortened
from .labelled_sequences import Sequences, default_names, empty_cases, name_some
from .sequence_labels import check_labels, encode_words
from .table import Table, numbers_of, read_table
from .time_axis import TIME_NAMES, read_time

if TYPE_CHECKING:
    import pandas as pd


CASE_NAMES = ("id", "case", "case_id", "series", "sequence")
LABEL_NAMES = ("label", "class", "target", "y")


@dataclass(frozen=True)
class LongColumns(Settings):
    """What the columns of a table of series mean, where the header alone does not say it.

    Args:
        case: the column that tells the cases apart; one called id, case, case_id, series or sequence is
            found by itself.
        label: the class, the same in all rows of a case; one called label, class, target or y is found by
            itself. Without such a column the cases have no labels.
        time: numbers or dates by which the rows of a case are put in order; one called time, timestamp or t
            is found by itself. Without it the rows of a case follow one another as in the file.
        variables: the measured quantities; all other columns if empty.
        delimiter: what separates the cells: one character, or comma, semicolon, tab, blanks. Sniffed if
            `None`.
    """

    case: str | None = None
    label: str | None = None
    time: str | None = None
    variables: tuple[str, ...] = ()
    delimiter: str | None = None


@dataclass(frozen=True)
class _Parts:
    """Which column of the table plays which part."""

    case: int
    label: int | None
    time: int | None
    variables: tuple[int, ...]


@dataclass(frozen=True)
class _Rows:
    """The rows of a table, case after case.

    Args:
        order: rows of the table, those of one case together, in the order of time.
        codes: the case of each of them.
        lengths: how many each case has.
        names: of the cases, in the order in which they appear in the file.
    """

    order: Int[np.ndarray, " rows"]
    codes: Int[np.ndarray, " rows"]
    lengths: Int[np.ndarray, " cases"]
    names: tuple[str, ...]

    @property
    def starts(self) -> Int[np.ndarray, " cases"]:
        """Where each case begins in `order`."""
        return np.cumsum(self.lengths) - self.lengths


def read_long_csv(source: "str | Path | pd.DataFrame", columns: LongColumns = LongColumns()) -> Sequences:
    """Read labelled series from a table with one row for each case and time.

    Rows may come in any order if there is a time column. The steps of a case are taken as equally spaced; a
    blank cell is a missing value.

    Args:
        source: a file whose first row names the columns, or a DataFrame; the two levels of a MultiIndex of
            its rows are case and time.
        columns: which of them is the case, the class, the time, a variable.

    Returns:
        The cases in the order in which they first appear, called as the file calls them.

    Raises:
        ConfigError: a column is chosen twice.
        InputDataError: the file cannot be used; the message names file, row, column and text.

    Example:
        >>> import pandas as pd
        >>> stays = pd.DataFrame({"stay": ["a", "a", "b"], "pulse": [71, 74, 90], "died": [0, 0, 1]})
        >>> read_long_csv(stays, LongColumns(case="stay", label="died")).lengths.tolist()
        [2, 1]
    """
    table = read_table(source, columns.delimiter)
    parts = _find_parts(table, columns)
    rows = _group(table, parts)
    values = empty_cases(rows.lengths, len(parts.variables))
    steps = np.arange(len(rows.order)) - np.repeat(rows.starts, rows.lengths)
    values[rows.codes, steps] = table.numbers(parts.variables)[rows.order]
    labels, classes = _read_classes(table, parts, rows)
    names = tuple(table.signals[position].label for position in parts.variables)
    return Sequences(values, rows.lengths, names, labels, classes, rows.names)


def _find_parts(table: Table, columns: LongColumns) -> _Parts:
    chosen = [table.find(name) for name in columns.variables]

    def find(wanted: str | None, usual: Sequence[str]) -> int | None:
        return table.first_of(usual, chosen) if wanted is None else table.find(wanted)

    case = find(columns.case, CASE_NAMES)
    if case is None:
        heads = name_some([signal.label for signal in table.signals])
        raise InputDataError(
            f"{table.path}: which column tells the cases apart? Name it; there are: {heads}. The table needs "
            "one row for each case and time; one with a whole case in a row is not read"
        )
    label, time = find(columns.label, LABEL_NAMES), find(columns.time, TIME_NAMES)
    roles = [position for position in (case, label, time) if position is not None]
    table.check_once([*chosen, *roles], "a column is the case, the label, the time, or a variable")
    variables = chosen or [position for position in range(len(table.signals)) if position not in roles]
    if not variables:
        raise InputDataError(
            f"{table.path}: no column is left for the variables; the file needs at least one"
        )
    return _Parts(case, label, time, tuple(variables))


def _group(table: Table, parts: _Parts) -> _Rows:
    words = _filled(table, parts.case, "say to which case the row belongs")
    numbers: dict[str, int] = {}
    codes = np.array([numbers.setdefault(word, len(numbers)) for word in words])
    lengths = np.bincount(codes)
    if parts.time is None:
        order = np.argsort(codes, kind="stable")
        return _Rows(order, codes[order], lengths, tuple(numbers))
    times = read_time(table, parts.time).values
    order = np.lexsort((times, codes))
    rows = _Rows(order, codes[order], lengths, tuple(numbers))
    same = (np.diff(times[order]) == 0) & (np.diff(rows.codes) == 0)
    for first, second in zip(order[:-1][same], order[1:][same], strict=True):
        raise InputDataError(
            f"{table.where(int(second), parts.time)}: case '{words[first]}' has this time already in row "
            f"{table.row_numbers[first]}; remove one of the rows, or check the column of the cases"
        )
    return rows


def _read_classes(
    table: Table, parts: _Parts, rows: _Rows
) -> tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...]]:
    """Labels and classes; each row of a case tells the same class."""
    if parts.label is None:
        return None, ()
    position, words = parts.label, np.array(table.text(parts.label))
    first = rows.order[rows.starts]
    for at in np.flatnonzero(words[rows.order] != words[first][rows.codes])[:1]:
        row, case = int(rows.order[at]), rows.codes[at]
        raise InputDataError(
            f"{table.where(row, position)}: case '{rows.names[case]}' has the label {str(words[row])!r} here "
            f"and {str(words[first[case]])!r} in row {table.row_numbers[first[case]]}; a case has one label"
        )
    return encode_words(words[first].tolist(), lambda case: table.where(int(first[case]), position))


def read_case_groups(path: str | Path, data: Sequences) -> np.ndarray:
    """The group of every case, as text, in the order of the data.

    The table has a column `group`, and a column `case` with the names of the cases in any order; cases that
    the data do not have are passed over. Without the column `case` its rows are the cases of the data in
    their order.

    Args:
        path: a delimited text file with a header.
        data: the cases.

    Raises:
        InputDataError: a case without a group or with two, or a column or rows that are missing.

    Example:
        >>> patients = read_case_groups("patients.csv", cases)  # doctest: +SKIP
    """
    table = read_table(path)
    groups = _filled(table, table.find("group"), "every case needs a group")
    position = table.first_of(["case"])
    if position is None:
        if len(groups) != len(data):
            raise InputDataError(
                f"{table.path}: {len(groups)} groups for {len(data)} cases; give one row for each case, or a "
                "column 'case' with their names"
            )
        return np.array(groups)
    known: dict[str, str] = {}
    for row, (name, group) in enumerate(zip(table.text(position), groups, strict=True)):
        if known.setdefault(name, group) != group:
            raise InputDataError(
                f"{table.where(row, position)}: {name} is in group {known[name]} and in group {group}"
            )
    lost = [name for name in data.ids if name not in known]
    if lost:
        raise InputDataError(f"{table.path}: no group for {name_some(lost)}")
    return np.array([known[name] for name in data.ids])


def _filled(table: Table, position: int, advice: str) -> list[str]:
    """The text of a column that may not have a blank cell."""
    words = table.text(position)
    if "" in words:
        raise InputDataError(f"{table.where(words.index(''), position)}: blank; {advice}")
    return words


_ALIASES = {
    "X": ("X",),
    "y": ("y",),
    "length": ("length", "lengths"),
    "classes": ("classes",),
    "names": ("names", "variables"),
    "ids": ("ids",),
}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: str | Path, like: Sequences | None = None) -> Sequences:
    """Read labelled series from an `.npz` file.

    Keys: `X`, shape (cases, time, variables), or (cases, time) for one variable, any real type; NaN is a
    missing value. Optional are `y` (whole numbers, or texts), `length` (steps of each case; what lies beyond
    is padding), `classes` (names of the numbers in `y`, which count from 0), `names` or `variables`, and
    `ids`. Other keys are left alone. Without `length` all cases last to the end, missing values or not.

    Args:
        path: the file.
        like: the training cases. Where this file lacks `classes` or names of variables, they are those of
            the training cases; numbers in `y` are then positions in their list of classes.

    Returns:
        The cases. Without `classes` and `like` the numbers themselves are the names of the classes.

    Raises:
        InputDataError: the file is damaged, lacks `X`, holds Python objects, or its arrays do not fit.

    Example:
        >>> train = read_npz("PenDigits_train.npz")  # doctest: +SKIP
    """
    path = Path(path)
    arrays = _load(path)
    try:
        return _sequences(arrays, like)
    except InputDataError as problem:
        raise type(problem)(f"{path}: {problem}") from None


def _sequences(arrays: dict[str, np.ndarray], like: Sequences | None) -> Sequences:
    if "X" not in arrays:
        raise InputDataError("no array 'X'; save one with numpy.savez, of shape (cases, time, variables)")
    values = arrays["X"][:, :, None] if arrays["X"].ndim == 2 else arrays["X"]
    if values.ndim != 3 or 0 in values.shape:
        raise ShapeError(f"'X' has shape {values.shape}, expected (cases, time, variables), none of them 0")
    if values.dtype.kind not in "biuf":
        raise InputDataError(f"'X' holds {values.dtype}, expected real numbers")
    cases, time, variables = values.shape
    lengths = arrays.get("length", np.full(cases, time))
    if lengths.shape != (cases,) or lengths.dtype.kind not in "iu":
        raise ShapeError(
            f"'length' of shape {lengths.shape} and type {lengths.dtype}, expected a whole number for each "
            f"of {cases} cases"
        )
    names = default_names(variables) if like is None or len(like.names) != variables else like.names
    names = _texts(arrays["names"]) if "names" in arrays else names
    labels, classes = _read_labels(arrays, like)
    ids = _texts(arrays["ids"]) if "ids" in arrays else ()
    return Sequences(values.astype(float), lengths.astype(np.int64), names, labels, classes, ids)


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the keys we know, by their first name."""
    with sound(path, ".npz", "write it again with numpy.savez"), zipfile.ZipFile(path) as archive:
        held = set(archive.namelist())
        found = {
            key: next((name for name in names if f"{name}.npy" in held), None)
            for key, names in _ALIASES.items()
        }
        return {key: _member(archive, f"{name}.npy", path) for key, name in found.items() if name is not None}


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array, once its head has been checked: nothing large is allocated for a false claim."""
    info = archive.getinfo(name)
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise InputDataError(
                f"{path}, {name}: format {version} is for arrays with fields; save a plain array"
            )
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise InputDataError(
                f"{path}, {name}: Python objects could run code when read; save numbers or texts"
            )
        if math.prod(shape) * dtype.itemsize != info.file_size - file.tell():
            raise InputDataError(
                f"{path}, {name}: shape {shape} of {dtype} is not what the file holds; it is damaged"
            )
    check_growth(f"{path}, {name}", min(info.compress_size, path.stat().st_size), math.prod(shape), dtype)
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _read_labels(
    arrays: dict[str, np.ndarray], like: Sequences | None
) -> tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...]]:
    if "y" not in arrays:
        return None, () if like is None else like.classes
    labels = check_labels(arrays["y"])
    if labels.dtype.kind == "U":
        words, positions = np.unique(labels, return_inverse=True)
        return positions, tuple(words.tolist())
    positions = labels.astype(np.int64)
    if "classes" in arrays:
        return positions, _texts(arrays["classes"])
    if like is not None:
        return positions, like.classes
    largest = int(positions.max(initial=0))
    if largest >= max(1000, len(positions)):
        raise InputDataError(
            f"'y' goes up to {largest} for {len(positions)} cases; classes count from 0. Save 'classes' with "
            "their names and the positions in that list as 'y'"
        )
    return positions, tuple(str(number) for number in range(largest + 1))


def _texts(array: np.ndarray) -> tuple[str, ...]:
    plain = np.atleast_1d(array.astype(str) if array.dtype.kind == "S" else array)
    return tuple(printable(str(one)) for one in plain.ravel().tolist())


_TABLES = (".csv", ".tsv", ".txt", ".parquet")
_READERS: dict[str, Callable[[str | Path], Sequences]] = {".ts": read_ts, ".arff": read_arff}
# How the names of files end that `read_sequences` knows.
SUFFIXES = (".npz", *_READERS, *_TABLES)


def read_sequences(
    source: "str | Path | pd.DataFrame",
    columns: LongColumns | None = None,
    *,
    like: Sequences | None = None,
) -> Sequences:
    """Read labelled series; the end of the file's name tells its format.

    Args:
        source: an `.npz`, `.ts` or `.arff` file; a table (`.csv`, `.tsv`, `.txt`, `.parquet`, or a DataFrame)
            with one row for each case and time; a `.tsv` file without a header, with a case in each row and
            its class in front; or a DataFrame with a case in each row and a series in each cell. See
            `read_npz`, `read_ts`, `read_arff`, `read_long_csv` and `read_case_rows`.
        columns: what the columns of a table mean; only for tables.
        like: the cases that a model learned from: this file gets their variables and classes.

    Returns:
        The cases.

    Raises:
        ConfigError: columns are given for a file that is no table.
        InputDataError: an unknown ending, or a file that cannot be used.

    Example:
        >>> train = read_sequences("JapaneseVowels_train.npz")  # doctest: +SKIP
        >>> test = read_sequences("JapaneseVowels_test.npz", like=train)  # doctest: +SKIP
    """
    suffix = Path(source).suffix.casefold() if isinstance(source, str | Path) else ""
    name = source if suffix else "DataFrame"
    data = _read(source, suffix, columns, like)
    if like is None:
        return data
    try:
        return data.aligned(like)
    except InputDataError as problem:
        raise InputDataError(f"{name}: {problem}") from None


def _read(
    source: "str | Path | pd.DataFrame", suffix: str, columns: LongColumns | None, like: Sequences | None
) -> Sequences:
    if not isinstance(source, str | Path):
        is_nested = columns is None and _series_columns(source)
        return _read_nested(source) if is_nested else read_long_csv(source, columns or LongColumns())
    if suffix not in SUFFIXES:
        raise InputDataError(f"{source}: unknown ending {suffix!r}; known are {', '.join(SUFFIXES)}")
    if suffix == ".tsv" and columns is None:
        return _read_rows(source)
    if suffix in _TABLES:
        return read_long_csv(source, columns or LongColumns())
    if columns is not None:
        raise ConfigError(
            f"{source}: columns are for tables ({', '.join(_TABLES)}); a {suffix} file names its own"
        )
    return read_npz(source, like) if suffix == ".npz" else _READERS[suffix](source)


def _read_rows(path: str | Path) -> Sequences:
    """A `.tsv` file: with a header a table of cases and times, of numbers alone a case in each row."""
    text = read_lines(path)
    layout = find_layout(text.lines, "tab")
    if all(is_number(cell, layout) for cell in layout.split_row(text.lines[0])[1:]):
        return read_case_rows(text, layout)
    return read_long_csv(path)


def _series_columns(frame: "pd.DataFrame") -> list[str]:
    """The columns of a DataFrame whose cells are series."""
    first = {name: frame[name].iloc[0] for name in getattr(frame, "columns", ()) if len(frame)}
    return [name for name, cell in first.items() if not isinstance(cell, str) and np.ndim(cell) == 1]


def _read_nested(frame: "pd.DataFrame") -> Sequences:
    """Cases of a DataFrame with a case in each row, a variable in each column, and series as cells.

    A column called label, class, target or y is the class; the index calls the cases.

    Raises:
        InputDataError: a column that is neither a variable nor the class.
    """
    series = _series_columns(frame)
    labels = [name for name in frame.columns if name not in series]
    if len(labels) > 1 or not {str(name).casefold() for name in labels} <= {*LABEL_NAMES}:
        raise InputDataError(
            f"DataFrame: columns {', '.join(map(repr, labels))} hold single values, the others series; leave "
            f"one with the class, called {' or '.join(LABEL_NAMES)}"
        )
    cases = [
        stack_dimensions([_series(cell, index, name) for name, cell in zip(series, row, strict=True)])
        for index, row in zip(frame.index, zip(*(frame[name] for name in series), strict=True), strict=True)
    ]
    data = Sequences.from_arrays(cases, frame[labels[0]].tolist() if labels else None, list(map(str, series)))
    is_counted = frame.index.equals(frame.reset_index().index)
    return data if is_counted else replace(data, ids=tuple(map(str, frame.index)))


def _series(cell: Any, index: object, name: str) -> Float[np.ndarray, " time"]:
    where = f"DataFrame, row {index}, column '{name}'"
    array = np.asarray(cell)
    if array.ndim != 1 or not array.size:
        raise InputDataError(
            f"{where}: {shortened(str(cell))} is no series of numbers; leave the row out, or give it one"
        )
    return numbers_of(cell, where)
