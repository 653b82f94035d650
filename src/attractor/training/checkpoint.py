"""Checkpoints: a pytree and a few facts in one safetensors file, whole or not there at all."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from attractor.arrays import pack, unpack
from attractor.errors import InputDataError, RunFolderError, StorageError
from attractor.files import write_atomically
from attractor.folders import locked, read_file
from attractor.origin import Origin
from attractor.runs import Run, is_unjudged, load_run, save_run

Tree = TypeVar("Tree")

CHECKPOINT, REFINEMENT = CHECKPOINTS = ("checkpoint.safetensors", "refinement.safetensors")
"""Files that a training leaves until it is finished."""

_MOST = 2**63


def to_arrays(tree: Any) -> dict[str, np.ndarray]:
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


def save_checkpoint(path: Path, tree: Any, facts: Mapping[str, Any]) -> None:
    """Write the arrays of `tree` and `facts` (plain JSON values)."""
    write_atomically(path, pack(to_arrays(tree), facts))


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays (for `from_arrays`) and the facts of a checkpoint.

    Raises:
        RunFolderError: the file is damaged.
    """
    try:
        return unpack(read_file(path), path)
    except InputDataError as problem:
        raise RunFolderError(f"{path} is damaged; delete it to start this training again") from problem


def load_training(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
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


def _is_history(entries: Any) -> bool:
    """Whether these are entries of a log: a step, seconds, and a loss and a validation figure a member."""
    return isinstance(entries, list) and all(
        isinstance(entry, dict)
        and all(_is_number(entry.get(name)) for name in ("step", "seconds"))
        and all(_are_numbers(entry.get(name)) for name in ("loss", "validation"))
        for entry in entries
    )


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and len(values) > 0 and all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    """Whether this is a number that a float can hold; JSON knows larger ones."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST
    return whole or isinstance(value, float)


def holds_numbers(leaf: Any) -> bool:
    """Whether a leaf is an array, a number, a flag or a random key."""
    return eqx.is_array(leaf) or (eqx.is_array_like(leaf) and np.asarray(leaf).dtype.kind in "biufcV")


def _plain(leaf: Any) -> np.ndarray:
    """A leaf as an array of a type that a file knows."""
    if eqx.is_array(leaf) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.array(leaf, order="C")  # ascontiguousarray would give a scalar an axis
    if array.dtype == np.complex128:
        return array[..., None].view(np.float64)  # a file knows no complex numbers of double precision
    return array


def _restore(name: str, leaf: Any, value: np.ndarray, where: str) -> Any:
    plain = _plain(leaf)
    if plain.shape != value.shape or plain.dtype != value.dtype:
        raise RunFolderError(
            f"{where}: {name} is {value.dtype}{list(value.shape)}, expected {plain.dtype}{list(plain.shape)}"
        )
    if eqx.is_array(leaf) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jax.numpy.asarray(value))
    own = np.asarray(leaf).dtype
    if own == np.complex128:
        value = value.view(np.complex128)[..., 0]
    if eqx.is_array(leaf):
        return jax.numpy.asarray(value)
    return value if isinstance(leaf, np.ndarray) else type(leaf)(value[()])
