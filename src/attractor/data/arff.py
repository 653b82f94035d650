"""The ARFF format of the time series classification archive (Weka), univariate and multivariate."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError, UnsupportedError

from .plaintext import TextLines, read_lines
from .sequences import Sequences, trimmed
from .series_text import assemble, parse_series, stack_dimensions

# A name, bare or in quotes, and what follows it.
_ATTRIBUTE = re.compile(r"@attribute\s+(?P<name>'[^']*'|\"[^\"]*\"|\S+)\s+(?P<kind>.+)", re.IGNORECASE)
_NOMINAL = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^\s,'\"][^,]*)")
_NUMERIC = frozenset({"numeric", "real", "integer"})


@dataclass(frozen=True)
class _Header:
    """What the lines before `@data` say.

    Args:
        rows: how many lines they are.
        steps: numeric attributes; each is one step of a series.
        is_relational: whether a case is a bag of series in quotes.
        classes: of the last attribute; None if it is a text.
    """

    rows: int
    steps: int
    is_relational: bool
    classes: tuple[str, ...] | None


def read_arff(path: str | Path) -> Sequences:
    r"""Read labelled series from an ARFF file of the time series archives.

    A univariate file has one numeric attribute for each step. A multivariate one has a relational attribute:
    a text in quotes in which the two characters `\n` separate the dimensions. The last attribute is the
    class. `?` is a missing value; steps at the end of a case without any value are padding and are cut off.

    Args:
        path: the file.

    Returns:
        The cases, called by their place; variables are v1, v2, ...; classes in the order of the header. If
        the class of every case is `?`, there are no labels.

    Raises:
        InputDataError: the file cannot be used; the message names file, row and dimension.
        UnsupportedError: sparse rows, or a numeric target in place of a class.

    Example:
        >>> train = read_arff("BasicMotions_TRAIN.arff")  # doctest: +SKIP
    """
    text = read_lines(path)
    header = _read_header(text)
    cases, words = [], []
    for row in range(header.rows, len(text.lines)):
        where = f"{text.path}, row {text.numbers[row]}"
        body, word = _split_class(text.lines[row].strip(), header, where)
        dimensions = [
            _read_dimension(part, header, f"{where}, dimension {place + 1}")
            for place, part in enumerate(body.split("\\n"))
        ]
        if cases and len(dimensions) != cases[0].shape[1]:
            message = f"{where}: {len(dimensions)} dimensions, the first case has {cases[0].shape[1]}"
            raise InputDataError(message)
        cases.append(trimmed(stack_dimensions(dimensions), where))
        words.append(word)
    return assemble(text.path, text.numbers[header.rows :].tolist(), cases, words, header.classes)


def _read_header(text: TextLines) -> _Header:
    kinds: list[str] = []
    for row, line in enumerate(text.lines):
        word = line.strip().split(None, 1)[0].casefold()
        if word == "@data":
            return _interpret(kinds, row + 1, text)
        if word == "@attribute":
            kinds.append(_read_kind(line.strip(), f"{text.path}, row {text.numbers[row]}"))
        elif word not in ("@relation", "@end"):
            message = (
                f"{text.path}, row {text.numbers[row]}: the text {line[:40]!r} comes before @data; expected "
                "@relation, @attribute, @end or @data"
            )
            raise InputDataError(message)
    message = f"{text.path}: the line @data is missing; the cases come after it"
    raise InputDataError(message)


def _read_kind(line: str, where: str) -> str:
    match = _ATTRIBUTE.fullmatch(line)
    if match is None:
        message = f"{where}: {line[:60]!r} is not of the form '@attribute name kind'"
        raise InputDataError(message)
    return match["kind"].strip()


def _interpret(kinds: list[str], rows: int, text: TextLines) -> _Header:
    if not kinds or kinds[-1].casefold() in _NUMERIC:
        message = (
            f"{text.path}: the last attribute must be the class, as in '@attribute class {{a,b}}'; numbers "
            "to predict are not classes"
        )
        raise UnsupportedError(message)
    is_relational = kinds[0].casefold() == "relational"
    steps = kinds[1:-1] if is_relational else kinds[:-1]
    odd = [kind for kind in steps if kind.casefold() not in _NUMERIC]
    if odd or not steps:
        what = f"one is {odd[0][:40]!r}" if odd else "there is none"
        message = (
            f"{text.path}: every attribute before the class must be numeric, one for each step, inside one "
            f"relational attribute if there are several dimensions; {what}"
        )
        raise InputDataError(message)
    return _Header(rows, len(steps), is_relational, _read_classes(kinds[-1], text))


def _read_classes(kind: str, text: TextLines) -> tuple[str, ...] | None:
    if kind.casefold() == "string":
        return None
    if not (kind.startswith("{") and kind.endswith("}")):
        message = f"{text.path}: the class attribute is {kind[:60]!r}, expected a list such as {{a,b}}"
        raise InputDataError(message)
    found = _NOMINAL.findall(kind[1:-1])
    return tuple(one or two or three.strip() for one, two, three in found)


def _split_class(line: str, header: _Header, where: str) -> tuple[str, str]:
    """The series of a row as text, and its class."""
    if line.startswith("{"):
        message = f"{where}: sparse rows in braces are not read; write every value"
        raise UnsupportedError(message)
    if not header.is_relational:
        body, _, word = _split_last(line)
        return body, word
    end = line.find(line[0], 1)
    body, rest = line[1:end], line[end + 1 :].lstrip()
    if line[0] not in "'\"" or end < 0 or not rest.startswith(","):
        message = f"{where}: expected the series in quotes, a comma and the class, found {line[:40]!r}"
        raise InputDataError(message)
    return body, _unquoted(rest[1:].strip())


def _split_last(line: str) -> tuple[str, str, str]:
    """What stands before the last comma outside quotes, the comma, and the class without quotes."""
    if len(line) > 1 and line[-1] in "'\"" and (start := line.rfind("," + line[-1])) >= 0:
        return line[:start], ",", _unquoted(line[start + 1 :])
    body, comma, word = line.rpartition(",")
    return body, comma, word.strip()


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word


def _read_dimension(text: str, header: _Header, where: str) -> Float[np.ndarray, " time"]:
    values = parse_series(text, where)
    if len(values) != header.steps:
        message = (
            f"{where}: {len(values)} values where the header has {header.steps} numeric attributes; complete "
            "the row, with ? for what is missing"
        )
        raise InputDataError(message)
    return values
