"""Names of classes as numbers: the words of a file, or any list of labels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from attractor.errors import InputDataError

UNKNOWN = frozenset({"", "?"})
"""How files write that nobody knows the class; `none` and `NA` may well be classes."""


def encode_words(
    words: Sequence[str], where: Callable[[int], str], classes: Sequence[str] | None = None
) -> tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...]]:
    """Class words as places in the list of classes.

    Args:
        words: one for each case; blank or `?` if nobody knows it, which holds for all cases or for none.
        where: names the place of a case for messages.
        classes: all classes in the order wanted; None takes those that occur, numbers in the order of
            their size and words in that of the alphabet.

    Returns:
        Labels, None if no case has one; and the classes.

    Raises:
        InputDataError: some cases have no label, or one that is not among the classes.
    """
    unknown = [word in UNKNOWN for word in words]
    if all(unknown):
        return None, tuple(classes or ())
    if any(unknown):
        message = (
            f"{where(unknown.index(True))}: the case has no label, others have; give it one or remove it"
        )
        raise InputDataError(message)
    order = tuple(classes) if classes else sort_classes(set(words))
    places = {name: place for place, name in enumerate(order)}
    labels = [places.get(word, -1) for word in words]
    if -1 in labels:
        case = labels.index(-1)
        message = f"{where(case)}: class {words[case]!r} is unknown; known: {', '.join(order)}"
        raise InputDataError(message)
    return np.array(labels, dtype=np.int64), order


def sort_classes(words: set[str]) -> tuple[str, ...]:
    """Numbers by size, anything else by the alphabet."""
    try:
        return tuple(sorted(words, key=lambda word: (float(word), word)))
    except ValueError:
        return tuple(sorted(words))


def check_labels(labels: Any) -> np.ndarray:
    """Labels as an array of whole numbers, texts or truth values.

    Raises:
        InputDataError: a label is missing, or a fraction: those are values to predict, not classes.
    """
    array = np.asarray(labels)
    if array.ndim != 1:
        message = f"labels have shape {array.shape}, expected (cases,): one label for each case"
        raise InputDataError(message)
    if array.dtype.kind == "O":
        array = _plain(array)
    if array.dtype.kind not in "biufUS":
        message = f"labels of type {array.dtype} are no classes; give texts or whole numbers"
        raise InputDataError(message)
    if array.dtype.kind == "f":
        return _whole(array)
    return array.astype(str) if array.dtype.kind == "S" else array


def _plain(array: np.ndarray) -> np.ndarray:
    """Python objects, as tables hold them, as an array of one type."""
    for case, label in enumerate(array):
        # NaN, the mark of a missing value in tables, differs from itself.
        if label is None or label != label:  # noqa: PLR0124
            message = f"case {case} has no label ({label!r}); give it one or leave the case out"
            raise InputDataError(message)
    return np.array(array.tolist())


def _whole(array: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(array) | (array != np.rint(array)))
    if len(bad):
        message = f"case {bad[0]} has the label {array[bad[0]]:g}; classes are texts or whole numbers"
        raise InputDataError(message)
    return array.astype(np.int64)
