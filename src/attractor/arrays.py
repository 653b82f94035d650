"""Named arrays and a few facts in one safetensors file.

Reading runs no code, and a file of any origin gives arrays or a typed error. A file claims types and shapes
in its head; safetensors compares them with the bytes that are there, so that no claim allocates memory.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, deserialize

from attractor.errors import WRONG_FACTS, InputDataError

Arrays = dict[str, np.ndarray]

_TYPES = {
    **{f"F{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    **{f"I{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    "BOOL": np.dtype(bool),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "C64": np.dtype(np.complex64),
}
"""The names of types in a file, as NumPy calls them; JAX brings bfloat16."""


def pack(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any] | None = None) -> bytes:
    """The bytes of a file with arrays, facts (plain JSON values) and the digest of both."""
    whole = {name: np.array(array, order="C") for name, array in arrays.items()}
    text = json.dumps(facts or {})
    return safetensors.numpy.save(whole, {"facts": text, "sha256": _digest(whole, text)})


def unpack(data: bytes, where: Path | str) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and facts back.

    Args:
        data: what `pack` made.
        where: the file, for the message.

    Raises:
        InputDataError: the bytes are damaged or something else.
    """
    arrays = read_arrays(data, where)
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        text = metadata["facts"]
        if metadata["sha256"] != _digest(arrays, text):
            raise InputDataError(f"{where} is damaged: its content is not what was written")
        facts = json.loads(text)
    except InputDataError:
        raise
    except WRONG_FACTS as problem:
        raise InputDataError(
            f"{where} is damaged: it lacks a fact or holds a wrong one ({problem})"
        ) from problem
    if not isinstance(facts, dict):
        raise InputDataError(f"{where} is damaged: its facts are no table")
    return arrays, facts


def read_arrays(data: bytes, where: Path | str) -> Arrays:
    """The arrays of a safetensors file.

    Args:
        data: the whole file.
        where: the file, for the message.

    Raises:
        InputDataError: the bytes are no safetensors file, or hold a type that NumPy does not know.
    """
    try:
        return {name: _array(name, entry) for name, entry in deserialize(data)}
    except (SafetensorError, *WRONG_FACTS) as problem:
        raise InputDataError(f"{where}: not a safetensors file of numbers ({problem})") from problem


def _array(name: str, entry: Mapping[str, Any]) -> np.ndarray:
    kind = _TYPES.get(entry["dtype"])
    if kind is None:
        raise InputDataError(f"{name} has the type {entry['dtype']}, known are {', '.join(_TYPES)}")
    return np.frombuffer(entry["data"], kind).reshape(entry["shape"])


def _digest(arrays: Mapping[str, np.ndarray], facts: str) -> str:
    """Of everything that is read back: names, types, shapes and bytes of the arrays, and the facts."""
    total = hashlib.sha256(facts.encode())
    for name in sorted(arrays):
        total.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        total.update(np.ascontiguousarray(arrays[name]).tobytes())
    return total.hexdigest()
