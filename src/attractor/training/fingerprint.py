"""What identifies a training: a digest of every array, number, text and function that it sees.

A checkpoint is resumed by the training that wrote it and by no other. The digest is taken from the *task*
that is trained, so that whatever comes to matter for a training is covered without being listed: what the
trainer does not see cannot change it, and what it sees is in the task, its settings and its seed.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import jax
import numpy as np

_ROOMS = ("attractor.", "jax", "equinox", "optax", "numpy", "builtins")
"""Where classes come from whose code does not change between two commands of one installation."""


def fingerprint(**parts: Any) -> str:
    """The digest of everything in the parts: their arrays with types and shapes, in their order and grouping.

    Equal parts have equal digests in every process of one version of Python. Functions count by their code,
    their defaults and what they enclose; what they call does not count.

    Args:
        parts: by name: arrays, numbers, texts, containers, dataclasses, Equinox modules, functions.

    Example:
        >>> a, b, c = ([float(n)] for n in range(3))
        >>> fingerprint(train=[a], check=[b, c]) == fingerprint(train=[a, b], check=[c])
        False
    """
    return _digest(parts, frozenset()).hex()


def _digest(value: Any, above: frozenset[int]) -> bytes:
    """Of one value; `above` holds what it lies in, where a circle would end."""
    if id(value) in above:
        return _joined("circle", ())
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _of_array(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return _joined(type(value).__name__, [repr(value).encode()])
    inner: Callable[[Any], bytes] = partial(_digest, above=above | {id(value)})
    return _joined(*_parts(value, inner))


def _parts(value: Any, inner: Callable[[Any], bytes]) -> tuple[str, list[bytes]]:
    """Kind and parts of what is not an array or a plain value."""
    if isinstance(value, Mapping):
        pairs = sorted((inner(key), inner(one)) for key, one in value.items())
        return "table", [part for pair in pairs for part in pair]
    if isinstance(value, set | frozenset):
        return "set", sorted(map(inner, value))
    if isinstance(value, list | tuple):
        return "list", list(map(inner, value))
    if isinstance(value, partial | MethodType | FunctionType | CodeType):
        return str(type(value).__name__), list(map(inner, _of_function(value)))
    return _of_object(value, inner)


def _of_array(value: Any) -> bytes:
    if isinstance(value, jax.Array) and jax.numpy.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype.hasobject:
        return _joined(f"objects {array.shape}", [_digest(array.tolist(), frozenset())])
    return _joined(f"{array.dtype} {array.shape}", [np.ascontiguousarray(array).tobytes()])


def _of_function(value: partial[Any] | MethodType | FunctionType | CodeType) -> list[Any]:
    """What decides what a function computes."""
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, FunctionType):
        enclosed = [_content(cell) for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, enclosed]
    return [value.co_code, value.co_consts, value.co_names]


def _of_object(value: Any, inner: Callable[[Any], bytes]) -> tuple[str, list[bytes]]:
    """Kind and parts of a class, of something that has a name, or of an object by its fields."""
    name = getattr(value, "__qualname__", None)
    if isinstance(value, type):
        return f"class {name}", [] if _is_ours(value) else [inner(_functions(value))]
    if isinstance(name, str):
        return f"named {getattr(value, '__module__', '')} {name}", []
    known = {one.name: getattr(value, one.name, None) for one in fields(value)} if is_dataclass(value) else {}
    return "object", [inner(type(value)), inner(known or getattr(value, "__dict__", {}))]


def _is_ours(kind: type) -> bool:
    return kind.__module__.startswith(_ROOMS)


def _functions(kind: type) -> list[Any]:
    """What a class of the user's own computes with, its bases of that kind included."""
    own = [base for base in kind.__mro__ if not _is_ours(base)]
    return [{name: one for name, one in vars(base).items() if isinstance(one, FunctionType)} for base in own]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _joined(kind: str, parts: Iterable[bytes]) -> bytes:
    """Of a kind and its parts, each with its length, so that no two lists of parts look alike."""
    total = hashlib.sha256(f"{len(kind)} {kind}".encode())
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.digest()
