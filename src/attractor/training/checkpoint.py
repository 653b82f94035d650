"""Checkpoints: a pytree and a few facts in one safetensors file, whole or not there at all.

A checkpoint is resumed by the training that wrote it and by no other. The two know each other by a
fingerprint: a digest of every array, number, text and function that the training sees. It is taken from the
*task* that is trained, so that whatever comes to matter for a training is covered without being listed: what
the trainer does not see cannot change it, and what it sees is in the task, its settings and its seed.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from attractor.arrays import Arrays, pack, unpack
from attractor.errors import InputDataError, RunFolderError, StorageError
from attractor.files import write_atomically
from attractor.folders import locked, read_file
from attractor.origin import Origin
from attractor.runs import Run, is_unjudged, load_run, save_run

Tree = TypeVar("Tree")
Facts = Mapping[str, Any]
"""Plain JSON values by name."""

CHECKPOINT, REFINEMENT = "checkpoint.safetensors", "refinement.safetensors"
RACE = (CHECKPOINT, "checkpoint-2.safetensors", "checkpoint-3.safetensors", "checkpoint-4.safetensors")
"""Of the trainings that race in one folder, in the order in which they start."""
CHECKPOINTS = (*RACE, REFINEMENT)
"""Files that a training leaves until it is finished."""

_MOST = 2**63


def to_arrays(tree: PyTree) -> Arrays:
    """The leaves of a pytree that hold numbers, by their path.

    Python's own numbers and NumPy arrays are among them: a cell may have drawn one while it was built, and
    would draw another one when it is built again.
    """
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, holds_numbers))
    return {jax.tree_util.keystr(path, simple=True, separator="."): _plain(leaf) for path, leaf in leaves}


def from_arrays(like: Tree, arrays: Mapping[str, np.ndarray], where: str) -> Tree:
    """`like` with the leaves replaced that hold numbers; a Python number stays one.

    Raises:
        RunFolderError: names, shapes or types differ from those of `like`.
    """
    template = eqx.filter(like, holds_numbers)
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]
    if set(names) != set(arrays):
        odd = sorted(set(names) ^ set(arrays))
        raise RunFolderError(f"{where} does not fit this model: {', '.join(odd[:5])} missing or not known")
    new = [_restore(name, leaf, arrays[name], where) for name, (_, leaf) in zip(names, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, new), like)


def save_checkpoint(path: Path, tree: PyTree, facts: Facts) -> None:
    """Write the arrays of `tree` and `facts` (plain JSON values)."""
    write_atomically(path, pack(to_arrays(tree), facts))


def load_checkpoint(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays (for `from_arrays`) and the facts of a checkpoint.

    Raises:
        RunFolderError: the file is damaged.
    """
    try:
        return unpack(read_file(path), path)
    except InputDataError as problem:
        raise RunFolderError(f"{path} is damaged; delete it to start this training again") from problem


def load_training(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the facts of the checkpoint of a training: its fingerprint and its history.

    Raises:
        RunFolderError: the file is damaged, or lacks what every checkpoint of a training has.
    """
    arrays, facts = load_checkpoint(path)
    if not (isinstance(facts.get("fingerprint"), str) and _is_history(facts.get("history"))):
        raise RunFolderError(
            f"{path} has no history of a training, or was written by another version of Attractor; delete "
            "the file to start this training again"
        )
    return arrays, facts


def save_finished(
    folder: Path, run: Run, checkpoints: Sequence[str], fingerprint: str, *, overwrite: bool
) -> Origin:
    """Write a finished run and remove the checkpoints of its training.

    A run that is still to be judged (`attractor.runs.UNJUDGED`) keeps them, so that the same command can be
    given again: it trains nothing, and judges.

    Args:
        folder: of the run.
        run: what is written.
        checkpoints: names of the files that its training may have left.
        fingerprint: of its training.
        overwrite: replace a finished run.

    Returns:
        What everything that is made from the run carries.

    Raises:
        RunFolderError: the folder holds a finished run and `overwrite` is off, or another training has its
            checkpoint there.
        StorageError: another process works in the folder, or it cannot be written.
    """
    with locked(folder):
        for name in checkpoints:
            check_own(folder / name, fingerprint)
        if is_unjudged(folder) and not (overwrite or is_unjudged(folder, fingerprint)):
            raise RunFolderError(
                f"{folder} holds the model of another training; choose another folder or overwrite it"
            )
        origin = save_run(folder, run, overwrite=overwrite)
        for name in () if is_unjudged(folder) else checkpoints:
            (folder / name).unlink(missing_ok=True)
    return origin


def remove_leftovers(folder: Path) -> None:
    """Remove checkpoints of a training whose run is finished: the command ended before it could.

    Args:
        folder: of the run.

    Raises:
        RunFolderError: the folder holds no finished run.
    """
    fingerprint = load_run(folder).card.get("fingerprint", "")
    with contextlib.suppress(StorageError), locked(folder):  # who trains here now needs them
        for path in (folder / name for name in CHECKPOINTS if not is_unjudged(folder)):
            with contextlib.suppress(RunFolderError):  # of another training, or damaged: not ours to remove
                check_own(path, fingerprint)
                path.unlink(missing_ok=True)


def check_own(path: Path, fingerprint: str) -> None:
    """Refuse the checkpoint of another training, which may still want to go on.

    Raises:
        RunFolderError: there is one, or the file is damaged.
    """
    if not path.exists():
        return
    _, facts = load_training(path)
    if facts["fingerprint"] != fingerprint:
        raise RunFolderError(
            f"{path} belongs to a training with other data, model, settings, seed or optimiser, or to "
            "another version of Attractor; run that one again, delete the file, or choose another folder"
        )


def _is_history(entries: object) -> bool:
    """Whether these are entries of a log: step, seconds, and loss and validation per replica."""
    return isinstance(entries, list) and all(
        isinstance(entry, dict)
        and all(_is_number(entry.get(name)) for name in ("step", "seconds"))
        and all(_are_numbers(entry.get(name)) for name in ("loss", "validation"))
        for entry in entries
    )


def _are_numbers(values: object) -> bool:
    return isinstance(values, list) and len(values) > 0 and all(map(_is_number, values))


def _is_number(value: object) -> bool:
    """Whether this is a number that a float can hold; JSON knows larger ones."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST
    return whole or isinstance(value, float)


def holds_numbers(leaf: object) -> bool:
    """Whether a leaf is an array, a number, a flag or a random key."""
    return eqx.is_array(leaf) or (eqx.is_array_like(leaf) and np.asarray(leaf).dtype.kind in "biufcV")


def is_key(leaf: object) -> bool:
    """Whether this is a random key, or an array of them."""
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: PyTree) -> np.ndarray:
    """A leaf as an array of a type that a file knows."""
    if is_key(leaf):
        leaf = jax.random.key_data(leaf)
    array = np.array(leaf, order="C")  # ascontiguousarray would give a scalar an axis
    if array.dtype == np.complex128:
        return array[..., None].view(np.float64)  # a file knows no complex numbers of double precision
    return array


def _restore(name: str, leaf: PyTree, value: np.ndarray, where: str) -> PyTree:
    plain = _plain(leaf)
    if plain.shape != value.shape or plain.dtype != value.dtype:
        raise RunFolderError(
            f"{where}: {name} is {value.dtype}{list(value.shape)}, expected {plain.dtype}{list(plain.shape)}"
        )
    if is_key(leaf):
        return jax.random.wrap_key_data(jax.numpy.asarray(value))
    own = np.asarray(leaf).dtype
    if own == np.complex128:
        value = value.view(np.complex128)[..., 0]
    if eqx.is_array(leaf):
        return jax.device_put(value, may_alias=False)
    return value if isinstance(leaf, np.ndarray) else type(leaf)(value[()])


_ROOMS = ("attractor.", "jax", "equinox", "optax", "numpy", "builtins")
"""Where classes come from whose code does not change between two commands of one installation."""


def fingerprint(**parts: object) -> str:
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


def _digest(value: object, above: frozenset[int]) -> bytes:
    """Of one value; `above` holds what it lies in, where a circle would end."""
    if id(value) in above:
        return _joined("circle", ())
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _of_array(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return _joined(type(value).__name__, [repr(value).encode()])
    inner: Callable[[object], bytes] = partial(_digest, above=above | {id(value)})
    return _joined(*_parts(value, inner))


def _parts(value: object, inner: Callable[[object], bytes]) -> tuple[str, list[bytes]]:
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


def _of_array(value: PyTree) -> bytes:
    if is_key(value):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    if array.dtype.hasobject:
        return _joined(f"objects {array.shape}", [_digest(array.tolist(), frozenset())])
    return _joined(f"{array.dtype} {array.shape}", [np.ascontiguousarray(array).tobytes()])


def _of_function(value: partial | MethodType | FunctionType | CodeType) -> list[object]:
    """What decides what a function computes."""
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, FunctionType):
        enclosed = [_content(cell) for cell in value.__closure__ or ()]
        return [value.__code__, value.__defaults__, value.__kwdefaults__, enclosed]
    return [value.co_code, value.co_consts, value.co_names]


def _of_object(value: object, inner: Callable[[object], bytes]) -> tuple[str, list[bytes]]:
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


def _functions(kind: type) -> list[object]:
    """What a class of the user's own computes with, its bases of that kind included."""
    own = [base for base in kind.__mro__ if not _is_ours(base)]
    return [{name: one for name, one in vars(base).items() if isinstance(one, FunctionType)} for base in own]


def _content(cell: CellType) -> object:
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
