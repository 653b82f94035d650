"""Write a delimited text file so that no half-written one can be seen."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attractor.errors import InputDataError, ShapeError
from attractor.files import write_atomically

from .record import Record

if TYPE_CHECKING:
    import pandas as pd

Column = Sequence[str] | Sequence[float] | np.ndarray

_NEEDS_QUOTES = re.compile(r"[\",;\t]|^[#%\s]|\s$")


def write_csv(path: str | Path, header: Sequence[str], columns: Sequence[Column]) -> Path:
    """Write columns to a comma-separated file; `read_csv` reads the same numbers back, bit for bit.

    The text goes to a temporary file in the same folder, is flushed to the disk and then takes the name
    `path` in one step, so a reader sees the old file or the new one, never a part.

    Args:
        path: the file to write or replace.
        header: a name for each column, with its unit in brackets if it has one.
        columns: for each name a float array of shape (rows,), or a list of texts; NaN becomes a blank cell.

    Returns:
        The path.

    Raises:
        ShapeError: the number of names and columns, or the lengths of the columns, differ.
        InputDataError: two columns have the same name, or a text has a line break.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    _check_shapes(path, header, columns)
    cells = [_as_text(column) for column in columns]
    text = "".join(_lines(path, [str(name) for name in header], cells))
    write_atomically(path, text.encode(errors="backslashreplace"))
    return path


def write_record(path: str | Path, record: Record) -> Path:
    """Write experiment, time, inputs and outputs of a record, one row a sample.

    Raises:
        StorageError: the file cannot be written.
    """
    frame = to_frame(record)
    return write_csv(path, list(frame), [frame[name].tolist() for name in frame])


def to_frame(record: Record) -> "pd.DataFrame":
    """A record as a DataFrame with the columns experiment, time [s], inputs and outputs, one row a sample.

    Example:
        >>> import pandas as pd
        >>> from attractor.data import read_csv
        >>> log = pd.DataFrame({"q [l/s]": [1.0, 2.0], "level": [0.1, 0.2]})
        >>> list(to_frame(read_csv(log, inputs=["q"], outputs=["level"])))
        ['experiment', 'time [s]', 'q [l/s]', 'level']
    """
    import pandas as pd

    experiments = record.experiments
    names = [name for one in experiments for name in [one.name] * len(one)]
    times = np.concatenate([np.arange(len(one)) * record.sampling_time for one in experiments])
    signals = np.concatenate([np.hstack([one.inputs, one.outputs]) for one in experiments])
    labels = [signal.label for signal in (*record.inputs, *record.outputs)]
    _check_names("a record as a table", ["experiment", "time [s]", *labels])
    return pd.DataFrame({"experiment": names, "time [s]": times, **dict(zip(labels, signals.T, strict=True))})


def _check_shapes(path: Path, header: Sequence[str], columns: Sequence[Column]) -> None:
    if not header or len(header) != len(columns):
        raise ShapeError(
            f"{path}: {len(header)} column names for {len(columns)} columns; give one name for each"
        )
    _check_names(path, header)
    for name, column in zip(header, columns, strict=True):
        if np.ndim(column) != 1 or len(column) != len(columns[0]):
            raise ShapeError(
                f"{path}: column '{name}' has shape {np.shape(column)}, column '{header[0]}' has "
                f"{np.shape(columns[0])}; all columns are lists of one length"
            )


def _check_names(where: Path | str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InputDataError(
                f"{where}: column name '{name}' is used more than once; give each column its own name"
            )


def _as_text(column: Column) -> list[str]:
    """The cells of a column; `repr` of a float is the shortest text that reads back to the same bits."""
    if isinstance(column, list | tuple) and column and isinstance(column[0], str):
        return [quoted(str(cell)) for cell in column]
    array = np.asarray(column)
    if array.dtype.kind in "US":
        return [quoted(str(cell)) for cell in array]
    return ["" if value != value else repr(value) for value in array.tolist()]  # noqa: PLR0124  (NaN)


def quoted(cell: str) -> str:
    """The text of a cell, in quotes where a reader would otherwise split or skip it.

    Raises:
        InputDataError: the text has a line break.
    """
    if "\n" in cell or "\r" in cell:
        raise InputDataError(f"the text {cell!r} has a line break; a cell of the file is one line")
    return '"' + cell.replace('"', '""') + '"' if _NEEDS_QUOTES.search(cell) else cell


def _lines(path: Path, header: Sequence[str], cells: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ",".join(quoted(name) for name in header) + "\n"
    # A lone blank cell would be a blank line, which readers skip.
    blank = '""' if len(cells) == 1 else ""
    for row in zip(*cells, strict=True):
        yield (",".join(row) or blank) + "\n"
