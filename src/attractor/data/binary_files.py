"""What binary files of any kind must not do, and tables in `.parquet` and `.mat` files."""

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

from attractor.errors import WRONG_FACTS, AttractorError, InputDataError, UnsupportedError

from .delimited import check_file

if TYPE_CHECKING:
    import pandas as pd

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


@contextmanager
def sound(path: Path, kind: str, remedy: str, *more: type[Exception]) -> Iterator[None]:
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
    with sound(path, ".parquet", "write it again", ArrowException), ParquetFile(path) as file:
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

    with sound(path, ".mat", "save it again", MatReadError):
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
