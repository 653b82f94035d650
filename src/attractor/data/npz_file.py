"""Labelled series from an `.npz` file."""

import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from attractor.errors import InputDataError, ShapeError, printable

from .binary_files import check_growth, sound
from .finding import Finding, warning
from .labelled_sequences import Sequences, default_names, name_some
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


def read_npz(path: str | Path, like: Sequences | None = None) -> Sequences:
    """Read labelled series from an `.npz` file.

    Keys: `X`, shape (cases, time, variables), or (cases, time) for one variable, any real type; NaN is a
    missing value. Optional are `y` (whole numbers, truth values or texts; those that occur are the classes),
    `length` (steps of each case; what lies beyond is padding), `classes` (names: numbers in `y` are then
    positions in this list, counted from 0), `names` or `variables`, and `ids`. Other keys are left alone.
    Without `length` all cases last to the end, missing values or not.

    Args:
        path: the file.
        like: the training cases. Where this file lacks `classes` or names of variables, they are those of
            the training cases; numbers in `y` that are no names of their classes are positions in the list.
            Where those of the training cases were not, that stands among the remarks.

    Returns:
        The cases.

    Raises:
        InputDataError: the file is damaged, lacks `X`, holds Python objects, or its arrays do not fit.

    Example:
        >>> train = read_npz("PenDigits_train.npz")  # doctest: +SKIP
    """
    path = Path(path)
    arrays = _load(path)
    try:
        return replace(_sequences(arrays, like), source=str(path))
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
    (labels, classes, class_values), counted = _read_labels(arrays, like)
    ids = _texts(arrays["ids"]) if "ids" in arrays else ()
    data = Sequences(
        values.astype(float), lengths.astype(np.int64), names, labels, classes, ids, class_values
    )
    is_new = counted and "classes" not in arrays and like is not None and not like.counted
    return replace(data, counted=counted, remarks=(_counted(classes),) if is_new else ())


def _counted(classes: tuple[str, ...]) -> Finding:
    """A remark on numbers that were taken as positions."""
    pairs = name_some([f"{position} is '{name}'" for position, name in enumerate(classes)])
    message = f"the numbers in 'y' are taken as positions among the classes of the training: {pairs}"
    advice = "If they mean something else, save the names as 'classes', or give the labels as texts."
    return warning("positions", "", message, advice)


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
                f"{path}, {name}: Python objects could run code when read; save numbers or texts, such as "
                f"{name.removesuffix('.npy')}.astype(str)"
            )
        if math.prod(shape) * dtype.itemsize != info.file_size - file.tell():
            raise InputDataError(
                f"{path}, {name}: shape {shape} of {dtype} is not what the file holds; it is damaged"
            )
    check_growth(f"{path}, {name}", min(info.compress_size, path.stat().st_size), math.prod(shape), dtype)
    with archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


_Labels = tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...], tuple[object, ...]]


def _read_labels(arrays: dict[str, np.ndarray], like: Sequences | None) -> tuple[_Labels, bool]:
    """Labels, classes, and these in the type of the file; whether numbers count the classes."""
    if "y" not in arrays:
        return ((None, (), ()) if like is None else (None, like.classes, like.class_values)), False
    labels = check_labels(arrays["y"])
    values, codes = np.unique(labels, return_inverse=True)
    words = tuple(printable(str(one)) for one in values.tolist())
    if labels.dtype.kind in "iu" and "classes" in arrays:
        return (labels.astype(np.int64), _texts(arrays["classes"]), ()), True
    if labels.dtype.kind in "iu" and like is not None and _are_positions(words, like):
        return (labels.astype(np.int64), like.classes, like.class_values), True
    return (codes, words, tuple(values.tolist())), False


def _are_positions(words: tuple[str, ...], like: Sequences) -> bool:
    """Whether numbers are positions among the classes of other cases, whose names are others."""
    is_numeric = bool(like.class_values) and not isinstance(like.class_values[0], str)
    return not is_numeric and not {*words} <= {*like.classes}


def _texts(array: np.ndarray) -> tuple[str, ...]:
    plain = np.atleast_1d(array.astype(str) if array.dtype.kind == "S" else array)
    return tuple(printable(str(one)) for one in plain.ravel().tolist())
