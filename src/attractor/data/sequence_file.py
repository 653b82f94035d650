"""Labelled series from a file of any known format."""

from collections.abc import Callable
from pathlib import Path

from attractor.errors import ConfigError, InputDataError

from .archive_text import read_arff, read_ts
from .binary_files import read_npz
from .labelled_sequences import Sequences
from .long_table import LongColumns, read_long_csv

_TABLES = (".csv", ".tsv", ".txt")
_READERS: dict[str, Callable[[str | Path], Sequences]] = {".ts": read_ts, ".arff": read_arff}
SUFFIXES = (".npz", *_READERS, *_TABLES)
"""How the names of files end that `read_sequences` knows."""


def read_sequences(
    path: str | Path, columns: LongColumns | None = None, *, like: Sequences | None = None
) -> Sequences:
    """Read labelled series; the end of the file's name tells its format.

    Args:
        path: an `.npz`, `.ts` or `.arff` file, or a table (`.csv`, `.tsv`, `.txt`) with one row for each case
            and time; see `read_npz`, `read_ts`, `read_arff` and `read_long_csv`.
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
    suffix = Path(path).suffix.casefold()
    if suffix not in SUFFIXES:
        raise InputDataError(f"{path}: unknown ending {suffix!r}; known are {', '.join(SUFFIXES)}")
    if columns is not None and suffix not in _TABLES:
        raise ConfigError(
            f"{path}: columns are for tables ({', '.join(_TABLES)}); a {suffix} file names its own"
        )
    data = _read(path, suffix, columns or LongColumns(), like)
    if like is None:
        return data
    try:
        return data.aligned(like)
    except InputDataError as problem:
        raise InputDataError(f"{path}: {problem}") from None


def _read(path: str | Path, suffix: str, columns: LongColumns, like: Sequences | None) -> Sequences:
    if suffix == ".npz":
        return read_npz(path, like)
    return _READERS[suffix](path) if suffix in _READERS else read_long_csv(path, columns)
