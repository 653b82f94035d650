"""From the bytes of a file to its lines of data: encodings, line ends, comments and blank lines."""

import codecs
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from attractor.errors import InputDataError

# How a line without data begins: with nothing, or with the mark of a comment.
_SKIPPED = frozenset({"", "#", "%"})
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# A text file has tabs and line ends below code 32; form feeds and the like are rare even in old ones.
_CONTROL = bytes(set(range(32)) - {9, 10, 11, 12, 13})
# Windows-1252 differs from Latin-1 in 27 codes; the five that it leaves unused stay those of Latin-1.
_WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") or chr(code) for code in range(0x80, 0xA0)}


@dataclass(frozen=True)
class TextLines:
    """The lines of a file that are neither blank nor a comment.

    Args:
        path: the file.
        lines: their text, without line ends.
        numbers: their places in the file, counted from 1 as an editor does.
    """

    path: Path
    lines: list[str]
    numbers: Int[np.ndarray, "lines"]


def read_lines(path: str | Path) -> TextLines:
    """Read a text file: UTF-8, UTF-16 with its mark, or Windows-1252; any line ends.

    Args:
        path: the file.

    Returns:
        Its lines without blank ones and without comments (lines that begin with `#` or `%`).

    Raises:
        InputDataError: the file is missing, unreadable, binary, or holds no data.
    """
    path = Path(path)
    text = decode(_read_bytes(path), path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = [index for index, line in enumerate(lines) if line.lstrip()[:1] not in _SKIPPED]
    if not kept:
        message = f"{path}: the file is empty; a header row and at least two rows of numbers are needed"
        raise InputDataError(message)
    return TextLines(path, [lines[index] for index in kept], np.asarray(kept, dtype=np.int64) + 1)


def decode(data: bytes, path: Path) -> str:
    """The text of `data`; `path` is for the message.

    Raises:
        InputDataError: the bytes are not text.
    """
    if data.startswith(_UTF16_MARKS):
        return _decode_utf16(data, path)
    if _looks_binary(data):
        raise _binary(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Older loggers write a degree sign in the Windows code page.
        return data.decode("latin-1").translate(_WINDOWS)


def _decode_utf16(data: bytes, path: Path) -> str:
    try:
        text = data.decode("utf-16")
    except UnicodeDecodeError:
        raise _binary(path) from None
    if "\0" in text:
        raise _binary(path)
    return text


def _looks_binary(data: bytes) -> bool:
    """A zero byte, or more than one control character in a hundred bytes."""
    return b"\0" in data or len(data) - len(data.translate(None, _CONTROL)) > len(data) / 100


def _binary(path: Path) -> InputDataError:
    return InputDataError(
        f"{path}: this is a binary file, not delimited text; export it as CSV (one row per sample) first"
    )


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        message = f"{path}: no such file; check the name and the folder (now in {Path.cwd()})"
    except IsADirectoryError:
        message = f"{path}: this is a folder; give the CSV file inside it"
    except (OSError, ValueError) as error:
        message = f"{path}: the file cannot be read ({error}); check its name and its permissions"
    raise InputDataError(message)
