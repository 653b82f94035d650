"""Damage to files, for readers that must give an answer or a typed error of sane length, and nothing else.

A *sample* is a folder of sound files. A mutation changes one of them: bytes anywhere, or one value of the
JSON or the safetensors head inside, after which digests are written anew, as a forger would. `attack` reads
what comes out.
"""

import copy
import json
import random
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attractor.arrays import pack, unpack
from attractor.errors import AttractorError
from attractor.folders import SEAL, sums

LONGEST, SECONDS = 2500, 60
TOKENS = (
    b"0", b"-1", b"1e999", b"nan", b"null", b"\"", b"'", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r",
    b"\0", b"\x1b[31m", b"\xff\xfe", b"\xef\xbb\xbf", b"999999999999", b"@data", b"?",
    b"%", b"#", b"\xe6\xb8\xa9",
)  # fmt: skip
VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 10**6, 10**12, 2**63, 10**400, 0.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "gru", "text", "\x1b[31m", "x" * 10**4, [], [0], [[1], [2, 3]], {}, {"name": 1},
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Args:
        read: the folder of a sample.
        files: of the folder that mutations change.
        sealed: the files whose digests stand in `SHA256SUMS`, which is written anew after some mutations.
    """

    read: Callable[[Path], Any]
    files: tuple[str, ...]
    sealed: tuple[str, ...] = ()


class HangError(Exception):
    """A reader took more than `SECONDS`."""


def mutated(data: bytes, draw: random.Random) -> bytes:
    """Bytes with one to three changes."""
    if draw.random() < 0.5 and data[:1] in (b"{", b"["):
        return changed_json(data, draw)
    if draw.random() < 0.6 and data[8:9] == b"{":
        return changed_arrays(data, draw)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(CHANGES)(data, draw)
    return data


def changed_json(data: bytes, draw: random.Random) -> bytes:
    """JSON in which one value is another, missing, or twice there."""
    tree = json.loads(data)
    change_tree(tree, draw)
    return json.dumps(tree).encode()


def change_tree(tree: Any, draw: random.Random) -> None:
    """Change one place of nested lists and tables."""
    places = list(inner(tree))
    if not places:
        return
    holder, key = draw.choice(places)
    kind = draw.random()
    if kind < 0.15:
        del holder[key]
    elif kind < 0.25:
        other, name = draw.choice(places)
        holder[key] = copy.deepcopy(other[name])
    else:
        value = draw.choice(VALUES)
        many = isinstance(holder[key], list) and draw.random() < 0.3
        holder[key] = [value] * draw.choice((1, 2, 50)) if many else copy.deepcopy(value)


def inner(tree: Any) -> Any:
    """Every place of nested lists and tables: its holder and its key."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from inner(tree[key])


def changed_arrays(data: bytes, draw: random.Random) -> bytes:
    """A safetensors file with another head, or with other arrays or facts and a digest that fits them."""
    length = int.from_bytes(data[:8], "little")
    if b'"sha256"' in data[:length] and draw.random() < 0.7:
        arrays, facts = unpack(data, "sample")
        if arrays and draw.random() < 0.6:
            name = draw.choice(sorted(arrays))
            arrays = draw.choice(ARRAY_CHANGES)(dict(arrays), name)
        else:
            change_tree(facts, draw)
        return pack(arrays, facts)
    head = json.loads(data[8 : 8 + length])
    change_tree(head, draw)
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _span(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(data) + 1)
    return start, min(len(data), start + draw.choice((1, 1, 2, 8, 100, len(data))))


def _flip(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(max(len(data), 1))
    return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :] if data else data


def _cut(data: bytes, draw: random.Random) -> bytes:
    start, stop = _span(data, draw)
    return data[:start] + data[stop:]


def _end(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def _repeat(data: bytes, draw: random.Random) -> bytes:
    start, stop = _span(data, draw)
    return data[:stop] + data[start:stop] * draw.choice((1, 1, 3, 200)) + data[stop:]


def _token(data: bytes, draw: random.Random) -> bytes:
    start, stop = _span(data, draw)
    kept = data[stop:] if draw.random() < 0.5 else data[start:]
    return data[:start] + draw.choice(TOKENS) * draw.choice((1, 1, 1, 3, 5000)) + kept


def _noise(data: bytes, draw: random.Random) -> bytes:
    start, stop = _span(data, draw)
    return data[:start] + draw.randbytes(stop - start) + data[stop:]


def _swap(data: bytes, draw: random.Random) -> bytes:
    lines = data.split(b"\n")
    one, two = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


CHANGES = (_flip, _flip, _cut, _end, _repeat, _token, _token, _noise, _swap)
ARRAY_CHANGES = (
    lambda arrays, name: {key: value for key, value in arrays.items() if key != name},
    lambda arrays, name: arrays | {name + "x": arrays[name]},
    lambda arrays, name: arrays | {name: arrays[name][None]},
    lambda arrays, name: arrays | {name: arrays[name][..., :1] if arrays[name].ndim else arrays[name]},
    lambda arrays, name: arrays | {name: arrays[name].astype("float64")},
    lambda arrays, name: arrays | {name: arrays[name].astype("int8")},
    lambda arrays, name: arrays | {name: arrays[name] * float("nan")},
)


def attack(reader: Reader, sample: Path, room: Path, seed: int) -> str:
    """Mutate one file of a sample and read it.

    Args:
        reader: what reads.
        sample: the sound files.
        room: an empty folder to work in.
        seed: of the mutation.

    Returns:
        "read", "refused", or a sentence about what is wrong with the reader.
    """
    draw = random.Random(seed)  # noqa: S311
    chosen = draw.choice(reader.files)
    contents = {path.name: path.read_bytes() for path in sample.iterdir()}
    contents[chosen] = mutated(contents[chosen], draw)
    if reader.sealed and draw.random() < 0.8:
        contents[SEAL] = sums({name: contents[name] for name in reader.sealed})
    for name, data in contents.items():
        (room / name).write_bytes(data)
    try:
        return outcome(reader, room)
    finally:
        for path in room.iterdir():
            path.unlink()


def outcome(reader: Reader, folder: Path) -> str:
    """What a reader makes of a folder."""

    def stop(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(folder)
    except AttractorError as problem:
        said = str(problem)
        bad = len(said) > LONGEST or not said or "\x1b" in said
        return f"a message of {len(said)} characters: {said[:200]!r}" if bad else "refused"
    except Exception as problem:  # noqa: BLE001 (whatever a reader raises is what is looked for)
        return f"{type(problem).__name__}: {str(problem)[:300]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return "read"
