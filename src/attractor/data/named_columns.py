"""Tables as users have them (DataFrames, masked arrays) as numbers, their columns found by name.

A table is known by its attribute `columns`, so that no library of tables is asked for.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError


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
    for part in ("columns", "index"):
        if getattr(getattr(table, part, None), "nlevels", 1) > 1:
            message = (
                f"{where}: a DataFrame with a MultiIndex ({part}); give one table for each recording, with "
                "one level of names: [group for _, group in table.groupby(level=0)]"
            )
            raise InputDataError(message)
    names = list(columns)
    texts = [isinstance(name, str) for name in names]
    if not any(texts):
        return None
    if not all(texts) or len(set(names)) < len(names):
        message = f"{where}: columns {names}; expected names that are texts, each of them once"
        raise InputDataError(message)
    return tuple(map(str, names))


def numbers_of(values: Any, where: str) -> Float[np.ndarray, "..."]:
    """Values as float64; what is masked, or marked as missing in a table, is NaN.

    Args:
        values: an array, a masked array, a table or a list.
        where: what a message calls them.

    Raises:
        InputDataError: something in it is no real number.
    """
    if hasattr(values, "toarray"):
        message = f"{where} is sparse; sparse input is not supported: give {where}.toarray()"
        raise InputDataError(message)
    if np.ma.isMaskedArray(values):
        return np.ma.filled(values.astype(float), np.nan)
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O" and hasattr(
            values, "to_numpy"
        ):  # pandas has a mark of its own for missing
            array = values.to_numpy(dtype=float, na_value=np.nan)
        if array.dtype.kind == "c":
            message = "Complex data not supported; give real and imaginary parts as columns of their own"
            raise TypeError(message)
        return array.astype(float)
    except (TypeError, ValueError) as problem:
        message = f"{where} holds something that is not a number: {problem}"
        raise InputDataError(message) from problem


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
        message = f"{where} has no column {', '.join(map(repr, absent))}; it has {', '.join(found)}"
        raise InputDataError(message)
    return [list(found).index(name) for name in known]
