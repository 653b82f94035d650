"""Files of specifications: VNN-LIB 1.0 and 2.0, told apart by what stands in them."""

import re
from pathlib import Path

from attractor.errors import InputDataError

from .query import Query
from .source import Source
from .vnnlib_one import read_one
from .vnnlib_two import read_two

LARGEST = 200_000_000
"""Bytes; a specification of a million bounds has a quarter of that."""
# The first thing in the file that is no comment.
_STATES_VERSION = re.compile(r"(?:\s+|;[^\n]*(?:\n|\Z))*+\(\s*vnnlib-version\b")


def read_query(path: str | Path) -> Query:
    """The question that a file of VNN-LIB asks.

    Args:
        path: the file, in version 1.0 or 2.0; one that states no version is in 1.0.

    Returns:
        The networks that it speaks of, and what a satisfying assignment looks like.

    Raises:
        InputDataError: it cannot be read, is too large, or is not VNN-LIB; file and line are named.
        UnsupportedError: it is valid, and asks for more than is read, or the package vnnlib is missing.
    """
    source = Source(str(path), _text(Path(path)))
    nothing = source.line_of("\0")
    if nothing is not None:
        raise source.fault(nothing, "a zero byte: this is no text; unpack the file, or get it anew")
    return read_two(source) if _STATES_VERSION.match(source.text) else read_one(source)


def _text(path: Path) -> str:
    content = _content(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise InputDataError(
            f"{path}, line {line}: byte {content[problem.start]:#04x} is no UTF-8: "
            "unpack the file where it is compressed, or save it as UTF-8"
        ) from problem


def _content(path: Path) -> bytes:
    """What is in the file, with a byte more than is allowed: pipes and devices state no size."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as problem:
        raise InputDataError(
            f"{path}: cannot be read ({problem}): check the path and the rights"
        ) from problem
    if len(content) > LARGEST:
        raise InputDataError(f"{path}: larger than {LARGEST} bytes: split it into several queries")
    return content
