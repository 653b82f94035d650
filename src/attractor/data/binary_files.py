"""Data in binary files."""

import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import WRONG_FACTS, InputDataError, ShapeError, printable

from .labelled_sequences import Sequences, default_names
from .sequence_labels import check_labels

_ALIASES = {
    "X": ("X",),
    "y": ("y",),
    "length": ("length", "lengths"),
    "classes": ("classes",),
    "names": ("names", "variables"),
    "ids": ("ids",),
}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
LARGE = 2**28
"""Bytes from which on an array that is mostly compression is refused."""
_BEST_COMPRESSION = 200
"""No measured data shrink to a two-hundredth; a quarter of a gigabyte that does is a trap or empty."""
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
            the training cases; numbers in `y` are then places in their list of classes.

    Returns:
        The cases. Without `classes` and `like` the numbers themselves are the names of the classes.

    Raises:
        InputDataError: the file is damaged, lacks `X`, holds Python objects, or its arrays do not fit.

    Example:
        >>> train = read_npz("PenDigits_train.npz")  # doctest: +SKIP
    """
    path = Path(path)
    arrays = _load(path)
    if "X" not in arrays:
        raise InputDataError(
            f"{path}: no array 'X'; save one with numpy.savez, of shape (cases, time, variables)"
        )
    values = _as_values(path, arrays["X"])
    lengths = _read_lengths(path, arrays.get("length"), values)
    names = _texts(arrays["names"]) if "names" in arrays else _names_like(values.shape[2], like)
    labels, classes = _read_labels(path, arrays, like)
    try:
        return Sequences(
            values, lengths, names, labels, classes, _texts(arrays.get("ids", np.array([], str)))
        )
    except InputDataError as problem:
        raise type(problem)(f"{path}: {problem}") from None


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the keys we know, by their first name."""
    try:
        with zipfile.ZipFile(path) as archive:
            held = set(archive.namelist())
            found = {
                key: next((name for name in names if f"{name}.npy" in held), None)
                for key, names in _ALIASES.items()
            }
            return {
                key: _member(archive, f"{name}.npy", path) for key, name in found.items() if name is not None
            }
    except InputDataError:
        raise
    except FileNotFoundError:
        message = f"{path}: no such file; check the name and the folder (now in {Path.cwd()})"
    except _DAMAGED as problem:
        message = f"{path}: this is no sound .npz file ({problem}); write it again with numpy.savez"
    raise InputDataError(message)


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array, after a look at what it claims to be: nothing large is allocated for a false claim."""
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
    packed = min(info.compress_size, path.stat().st_size)
    if info.file_size > max(LARGE, _BEST_COMPRESSION * packed):
        raise InputDataError(
            f"{path}, {name}: {packed} bytes unpack to {info.file_size / 1e9:.1f} GB, as no measured data do"
        )
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _as_values(path: Path, array: np.ndarray) -> Float[np.ndarray, "cases time variables"]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise ShapeError(
            f"{path}: 'X' has shape {array.shape}, expected (cases, time, variables), none of them 0"
        )
    if array.dtype.kind not in "biuf":
        raise InputDataError(f"{path}: 'X' holds {array.dtype}, expected real numbers")
    return array.astype(float)


def _read_lengths(
    path: Path, given: np.ndarray | None, values: Float[np.ndarray, "cases time variables"]
) -> Int[np.ndarray, " cases"]:
    """Lengths of the cases, all steps if none are given."""
    cases, time, _ = values.shape
    if given is None:
        return np.full(cases, time)
    if given.shape != (cases,) or given.dtype.kind not in "iu":
        raise ShapeError(
            f"{path}: 'length' of shape {given.shape} and type {given.dtype}, expected a whole number for "
            f"each of {cases} cases"
        )
    return given.astype(np.int64)


def _names_like(variables: int, like: Sequences | None) -> tuple[str, ...]:
    return default_names(variables) if like is None or len(like.names) != variables else like.names


def _read_labels(
    path: Path, arrays: dict[str, Any], like: Sequences | None
) -> tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...]]:
    if "y" not in arrays:
        return None, () if like is None else like.classes
    try:
        labels = check_labels(arrays["y"])
    except InputDataError as problem:
        raise InputDataError(f"{path}: {problem}") from None
    if labels.dtype.kind == "U":
        words, places = np.unique(labels, return_inverse=True)
        return places, tuple(words.tolist())
    places = labels.astype(np.int64)
    if "classes" in arrays:
        return places, _texts(arrays["classes"])
    return places, _number_classes(path, places) if like is None else like.classes


def _number_classes(path: Path, places: Int[np.ndarray, " cases"]) -> tuple[str, ...]:
    """The numbers 0 to the largest label as names of classes."""
    largest = int(places.max(initial=0))
    if largest >= max(1000, len(places)):
        raise InputDataError(
            f"{path}: 'y' goes up to {largest} for {len(places)} cases; classes count from 0. Save 'classes' "
            "with their names and their places in it as 'y'"
        )
    return tuple(str(number) for number in range(largest + 1))


def _texts(array: np.ndarray) -> tuple[str, ...]:
    plain = np.atleast_1d(array.astype(str) if array.dtype.kind == "S" else array)
    return tuple(printable(str(one)) for one in plain.ravel().tolist())
