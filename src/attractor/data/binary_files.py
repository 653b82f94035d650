"""Data in binary files: labelled series in `.npz`, tables in `.parquet` and `.mat`."""

import lzma
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from attractor.errors import (
    WRONG_FACTS,
    AttractorError,
    InputDataError,
    ShapeError,
    UnsupportedError,
    printable,
)

from .delimited import check_file
from .labelled_sequences import Sequences, default_names
from .sequence_labels import check_labels

if TYPE_CHECKING:
    import pandas as pd

_ALIASES = {
    "X": ("X",),
    "y": ("y",),
    "length": ("length", "lengths"),
    "classes": ("classes",),
    "names": ("names", "variables"),
    "ids": ("ids",),
}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# Bytes of float64 from which on an array that is mostly compression is refused.
LARGE = 2**28
# No measured data shrink to a two-hundredth; a quarter of a gigabyte that does is a trap or empty.
_BEST_COMPRESSION = 200
_MATLAB_NUMBERS = re.compile("double|single|logical|u?int(8|16|32|64)")
_DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    *WRONG_FACTS,
)


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


@contextmanager
def _sound(path: Path, kind: str, remedy: str, *more: type[Exception]) -> Iterator[None]:
    """Turn what readers raise over a damaged file of a kind, and the errors named, into one error."""
    try:
        yield
    except AttractorError:
        raise
    except FileNotFoundError:
        raise InputDataError(
            f"{path}: no such file; check the name and the folder (now in {Path.cwd()})"
        ) from None
    except (*_DAMAGED, *more) as problem:
        raise InputDataError(f"{path}: this is no sound {kind} file ({problem}); {remedy}") from None


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the keys we know, by their first name."""
    with _sound(path, ".npz", "write it again with numpy.savez"), zipfile.ZipFile(path) as archive:
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


def check_growth(where: str, packed: int, cells: int, dtype: np.dtype) -> None:
    """Refuse data that would fill the memory out of a small file, before they are unpacked.

    Numbers become float64, eight bytes each, however small their type is in the file.

    Args:
        where: the file, and the array in it, for the message.
        packed: bytes that they take in the file.
        cells: how many numbers they are.
        dtype: their type in the file.

    Raises:
        InputDataError: they would be large, and nearly all of them is compression.
    """
    becomes = cells * (8 if dtype.kind in "biuf" else dtype.itemsize)
    if becomes > LARGE and cells * dtype.itemsize > _BEST_COMPRESSION * packed:
        raise InputDataError(
            f"{where}: {packed} bytes unpack to {becomes / 1e9:.1f} GB, as no measured data do; save the "
            "data without compression if they are what you want"
        )


def read_frame(path: Path) -> "pd.DataFrame":
    """The table in a `.parquet` or `.mat` file.

    Raises:
        InputDataError: the file is missing or damaged, or holds no table.
        UnsupportedError: the library that reads the format is not installed, or the version is not read.
    """
    check_file(path)
    return _read_parquet(path) if path.suffix.casefold() == ".parquet" else _read_mat(path)


def _read_parquet(path: Path) -> "pd.DataFrame":
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile, read_table
        from pyarrow.types import is_large_string, is_string
    except ImportError:
        raise UnsupportedError(
            f"{path}: .parquet files are read by pyarrow; pip install 'attractor[parquet]'"
        ) from None
    with _sound(path, ".parquet", "write it again", ArrowException), ParquetFile(path) as file:
        groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
        cells = sum(group.column(at).num_values for group in groups for at in range(group.num_columns))
        check_growth(str(path), path.stat().st_size, cells, np.dtype(float))
        # A text that many rows share is kept once in the file; it stays so in memory.
        texts = [one.name for one in file.schema_arrow if is_string(one.type) or is_large_string(one.type)]
        return read_table(path, read_dictionary=texts).to_pandas()


def _read_mat(path: Path) -> "pd.DataFrame":
    """The columns of a MATLAB file: its vectors, and the columns of its matrices.

    Single numbers, texts, cells and structs are left alone.
    """
    import pandas as pd
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    with _sound(path, ".mat", "save it again", MatReadError):
        try:
            held = {name: shape for name, shape, kind in whosmat(path) if _MATLAB_NUMBERS.fullmatch(kind)}
        except NotImplementedError:
            raise UnsupportedError(
                f"{path}: MATLAB files of version 7.3 are not read; save it again with save(name, '-v7')"
            ) from None
        cells = sum(math.prod(shape) for shape in held.values())
        check_growth(str(path), path.stat().st_size, cells, np.dtype(float))
        arrays = loadmat(path, variable_names=list(held), spmatrix=False)
    columns = {
        head: values for name in held for head, values in _mat_columns(name, np.asarray(arrays[name])).items()
    }
    if len({len(values) for values in columns.values()}) != 1:
        found = ", ".join(f"{head} ({len(values)})" for head, values in columns.items()) or "none"
        raise InputDataError(
            f"{path}: a table needs vectors of one length; there are: {found}. Save "
            "only those that belong together"
        )
    return pd.DataFrame(columns)


def _mat_columns(name: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """A vector under its own name, the columns of a matrix `u` as u1, u2, ..."""
    if array.ndim != 2 or array.size < 2 or array.dtype.kind not in "biuf":
        return {}
    if 1 in array.shape:
        return {name: array.ravel()}
    return {f"{name}{position}": column for position, column in enumerate(array.T, 1)}


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
