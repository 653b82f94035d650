"""Labelled series from a file of any known format, or from a DataFrame."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from attractor.errors import ConfigError, InputDataError

from .archive_text import check_class_in_front, read_arff, read_case_rows, read_ts, stack_dimensions
from .delimited import find_layout, is_number, read_lines, shortened
from .given_cases import series_columns
from .labelled_sequences import Sequences
from .long_columns import LABEL_NAMES, LongColumns
from .long_table import read_long_csv, told, without_counters
from .npz_file import read_npz
from .table import numbers_of

if TYPE_CHECKING:
    import pandas as pd

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
        columns: what the columns of a table mean; of other files only the variables can be chosen.
        like: the cases that a model learned from: this file gets their variables and classes.

    Returns:
        The cases. Variables that only count rows or cases, or tell the time, are left out, unless variables
        are chosen or `like` is given: a `DataWarning` names them (see `counting_variables`).

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
    asked = {} if columns is None else columns.asked
    if not isinstance(source, str | Path):
        if not series_columns(source):
            return read_long_csv(source, columns, like)
        return _without_counters(_read_nested(source, columns or LongColumns()), like)
    if suffix not in SUFFIXES:
        raise InputDataError(f"{source}: unknown ending {suffix!r}; known are {', '.join(SUFFIXES)}")
    if suffix == ".tsv" and not asked:
        return _read_rows(source, like)
    if suffix in _TABLES:
        return read_long_csv(source, columns, like)
    if {*asked} - {"variables"}:
        raise ConfigError(
            f"{source}: columns are for tables ({', '.join(_TABLES)}); a {suffix} file names its own, of "
            "which variables can be chosen"
        )
    data = read_npz(source, like) if suffix == ".npz" else _READERS[suffix](source)
    variables = () if columns is None else columns.wanted
    return told(data.chosen(variables)) if variables else _without_counters(data, like)


def _without_counters(data: Sequences, like: Sequences | None) -> Sequences:
    """The cases without variables that only count, which is told; those that a model knows stay."""
    return told(data if like is not None else without_counters(data))


def _read_rows(path: str | Path, like: Sequences | None) -> Sequences:
    """A `.tsv` file: with a header a table of cases and times, of numbers alone a case in each row."""
    text = read_lines(path)
    layout = find_layout(text.lines, "tab")
    numeric = [is_number(cell, layout) for cell in layout.split_row(text.lines[0])]
    if all(numeric[1:]):
        return read_case_rows(text, layout)
    if all(numeric[:-1]):
        check_class_in_front([layout.split_row(line) for line in text.lines], text)
    return read_long_csv(path, like=like)


def _read_nested(frame: "pd.DataFrame", columns: LongColumns) -> Sequences:
    """Cases of a DataFrame with a case in each row, a variable in each column, and series as cells.

    A column called label, class, target or y is the class, or the one that is named; so is the group. The
    index calls the cases.

    Raises:
        InputDataError: a column that is neither a variable nor the class.
    """
    series = series_columns(frame)
    others = [name for name in frame.columns if name not in series]
    known = {name for name in (columns.label, columns.group, *columns.case_columns) if name is not None}
    usual = [name for name in others if str(name).casefold() in LABEL_NAMES]
    labels = [columns.label] if columns.label is not None else [name for name in usual if name not in known]
    absent = [name for name in known if name not in others]
    odd = [name for name in others if name not in {*labels, *known}]
    if absent or odd or len(labels) > 1:
        what = (
            f"column {', '.join(map(repr, absent))} is not there"
            if absent
            else (f"columns {', '.join(map(repr, odd or labels))} hold single values, the others series")
        )
        raise InputDataError(
            f"DataFrame, with a case in each row and series in its cells: {what}; name the class by "
            f"{columns.written(label=str((others or ['...'])[0]))} and leave the others out by "
            "frame.drop(columns=[...]). Without such a column the labels are given to fit(cases, labels)"
        )
    cases = [
        stack_dimensions([_series(cell, index, name) for name, cell in zip(series, row, strict=True)])
        for index, row in zip(frame.index, zip(*(frame[name] for name in series), strict=True), strict=True)
    ]
    data = Sequences.from_arrays(cases, frame[labels[0]].tolist() if labels else None, list(map(str, series)))
    data = data.chosen(columns.wanted) if columns.wanted else data
    each = [frame[name].astype(str).tolist() for name in columns.case_columns]
    is_counted = not each and frame.index.equals(frame.reset_index().index)
    ids = tuple("/".join(one) for one in zip(*each, strict=True)) if each else tuple(map(str, frame.index))
    data = data if is_counted else replace(data, ids=ids)
    return data if columns.group is None else data.grouped(frame[columns.group].tolist())


def _series(cell: Any, index: object, name: str) -> Float[np.ndarray, " time"]:
    where = f"DataFrame, row {index}, column '{name}'"
    array = np.asarray(cell)
    if array.ndim != 1 or not array.size:
        raise InputDataError(
            f"{where}: {shortened(str(cell))} is no series of numbers; leave the row out, or give it one"
        )
    return numbers_of(cell, where)
