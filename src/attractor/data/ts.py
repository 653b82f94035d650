"""The `.ts` format of the time series classification archive (sktime, aeon)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError, UnsupportedError

from .plaintext import TextLines, read_lines
from .sequences import Sequences, trimmed
from .series_text import assemble, parse_series, stack_dimensions

_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class _Header:
    """What the lines before `@data` say.

    Args:
        rows: how many lines they are.
        dimensions: variables of each case, if said.
        is_equal: whether all series are said to have one length.
        is_labelled: whether a class ends each line.
        classes: those listed, if any.
    """

    rows: int
    dimensions: int | None
    is_equal: bool
    is_labelled: bool
    classes: tuple[str, ...] | None


def read_ts(path: str | Path) -> Sequences:
    """Read labelled series from a `.ts` file.

    Each line is a case: the dimensions separated by colons, their values by commas, the class at the end.
    `?` and `NaN` are missing values. Steps at the end of a case that have no value in any dimension are
    padding, as the archive pads series of unequal length, and are cut off. Dimensions of one case may differ
    in length; the rest of the shorter ones is missing.

    Args:
        path: the file.

    Returns:
        The cases, called by their place; variables are v1, v2, ...; classes in the order of the header.

    Raises:
        InputDataError: the file cannot be used; the message names file, row and dimension.
        UnsupportedError: the file has time stamps, or values to predict in place of classes.

    Example:
        >>> train = read_ts("BasicMotions_TRAIN.ts")  # doctest: +SKIP
    """
    text = read_lines(path)
    header = _read_header(text)
    cases, words = [], []
    for row in range(header.rows, len(text.lines)):
        parts = text.lines[row].split(":")
        if header.is_labelled:
            words.append(parts.pop().strip())
        cases.append(_read_case(parts, header, _where(text, row)))
    rows = text.numbers[header.rows :].tolist()
    cases = _cut(cases, rows, header, text.path)
    return assemble(text.path, rows, cases, words if header.is_labelled else None, header.classes)


def _where(text: TextLines, row: int) -> str:
    return f"{text.path}, row {text.numbers[row]}"


def _read_header(text: TextLines) -> _Header:
    said: dict[str, tuple[list[str], str]] = {}
    for row, line in enumerate(text.lines):
        if not line.lstrip().startswith("@"):
            message = (
                f"{_where(text, row)}: the text {line[:40]!r} comes before @data; a .ts file begins with "
                "lines such as @classLabel true a b, then @data, then one line for each case"
            )
            raise InputDataError(message)
        key, *rest = line.strip()[1:].split() or [""]
        if key.casefold() == "data":
            return _interpret(said, row + 1, text)
        said[key.casefold()] = (rest, _where(text, row))
    message = f"{text.path}: the line @data is missing; the cases come after it"
    raise InputDataError(message)


def _interpret(said: dict[str, tuple[list[str], str]], rows: int, text: TextLines) -> _Header:
    _refuse(said)
    if "classlabel" not in said:
        message = (
            f"{text.path}: the header has no @classLabel; add '@classLabel true' with the classes, or "
            "'@classLabel false'"
        )
        raise InputDataError(message)
    return _Header(
        rows,
        _read_dimensions(said),
        _truth(said, "equallength"),
        _truth(said, "classlabel"),
        tuple(said["classlabel"][0][1:]) or None,
    )


def _refuse(said: dict[str, tuple[list[str], str]]) -> None:
    if _truth(said, "timestamps"):
        message = (
            f"{said['timestamps'][1]}: series with time stamps are not read; bring them to equal steps and "
            "write their values alone, or use a table with a time column"
        )
        raise UnsupportedError(message)
    if _truth(said, "targetlabel"):
        message = (
            f"{said['targetlabel'][1]}: the file holds numbers to predict (@targetLabel), not classes; a "
            "classifier needs @classLabel"
        )
        raise UnsupportedError(message)


def _truth(said: dict[str, tuple[list[str], str]], key: str) -> bool:
    rest, where = said.get(key, (["false"], ""))
    truth = _TRUTH.get(rest[0].casefold()) if rest else None
    if truth is None:
        message = f"{where}: @{key} is followed by {' '.join(rest)[:40]!r}, expected true or false"
        raise InputDataError(message)
    return truth


def _read_dimensions(said: dict[str, tuple[list[str], str]]) -> int | None:
    if _truth(said, "univariate"):
        return 1
    rest, where = said.get("dimensions", said.get("dimension", ([], "")))
    if not where:
        return None
    if len(rest) != 1 or not rest[0].isdecimal() or not 0 < len(rest[0]) < 9 or int(rest[0]) < 1:
        message = f"{where}: @dimensions is followed by {' '.join(rest)[:40]!r}, expected a number from 1 on"
        raise InputDataError(message)
    return int(rest[0])


def _read_case(parts: list[str], header: _Header, where: str) -> Float[np.ndarray, "time variables"]:
    if not parts or (header.dimensions is not None and len(parts) != header.dimensions):
        message = (
            f"{where}: {len(parts)} dimensions where the header says {header.dimensions or 'one or more'}; "
            "colons separate the dimensions"
            + (" and the class" if header.is_labelled else "; there is no class, as @classLabel is false")
        )
        raise InputDataError(message)
    return stack_dimensions([
        parse_series(part, f"{where}, dimension {place + 1}") for place, part in enumerate(parts)
    ])


def _cut(
    cases: list[Float[np.ndarray, "_ _"]], rows: list[int], header: _Header, path: Path
) -> list[Float[np.ndarray, "_ _"]]:
    """The cases without padding, after a look at whether they are alike as far as they must be."""
    for row, case in zip(rows, cases, strict=True):
        if case.shape[1] != cases[0].shape[1]:
            message = (
                f"{path}, row {row}: {case.shape[1]} dimensions, row {rows[0]} has {cases[0].shape[1]}; "
                "every case needs the same"
            )
            raise InputDataError(message)
        if header.is_equal and len(case) != len(cases[0]):
            message = (
                f"{path}, row {row}: {len(case)} steps, row {rows[0]} has {len(cases[0])}, and the header "
                "says @equalLength true; complete the row, or say false"
            )
            raise InputDataError(message)
    return [trimmed(case, f"{path}, row {row}") for row, case in zip(rows, cases, strict=True)]
