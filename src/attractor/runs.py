"""The run folder: all that one training leaves behind, checked when it is read back.

    weights.safetensors     the weights of every member
    evaluation.safetensors  the data and the predictions the report shows
    card.json               format, model and its options, signals, scaling, metrics, versions
    SHA256SUMS              digests of the three files above (`sha256sum -c SHA256SUMS`)
    log.jsonl               one line a validation, for people to follow; nothing reads it back
    checkpoint.safetensors  only while training is unfinished
    report.html             the report

Nothing in it is code, and reading it runs none. A folder whose digests do not match is refused; see
`attractor.folders` for the rules that hold for every folder.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.numpy

from attractor.arrays import Arrays, read_arrays
from attractor.errors import InputDataError, RunFolderError
from attractor.files import append_line, make_folder, write_atomically
from attractor.folders import SEAL, digest, is_sealed, read_sealed, write_sealed

FORMAT = 1
UNJUDGED = {"analysis": "pending"}
"""On the card of a run that was saved at once after training; the command that made it still judges it."""
_HASHED = ("weights.safetensors", "evaluation.safetensors", "card.json")


@dataclass(frozen=True)
class Run:
    """What a finished run folder holds.

    Args:
        card: the content of card.json.
        weights: arrays by name.
        evaluation: data and predictions by name.
    """

    card: dict[str, Any]
    weights: Arrays
    evaluation: Arrays


def save_run(folder: Path, run: Run, *, overwrite: bool = False) -> None:
    """Write a finished run; the digests come last and make it valid.

    Format, digest of the weights and versions are computed here, whatever the card says of them.

    Raises:
        RunFolderError: the folder already holds a finished run and `overwrite` is off.
        StorageError: a file cannot be written.
    """
    check_free(folder, overwrite=overwrite)
    make_folder(folder)
    weights = safetensors.numpy.save(run.weights)
    evaluation = safetensors.numpy.save(run.evaluation)
    computed = {"format": FORMAT, "weights_sha256": digest(weights), "made_with": environment()}
    card = {"format": FORMAT, **run.card, **computed}  # a card read back holds those of its old weights
    content: dict[str, bytes] = dict(zip(_HASHED, (weights, evaluation, _dump(card)), strict=True))
    write_sealed(folder, content)


def load_run(folder: Path) -> Run:
    """Read a finished run back.

    Raises:
        RunFolderError: the folder is missing, foreign, unfinished, damaged, or of an unknown format.
    """
    if not is_finished(folder):
        raise RunFolderError(_why_unfinished(folder))
    content = read_sealed(folder, _HASHED)
    card = _parse_card(folder, content["card.json"])
    try:
        weights, evaluation = (read_arrays(content[name], folder / name) for name in _HASHED[:2])
    except InputDataError as problem:
        raise RunFolderError(str(problem)) from problem
    return Run(card, weights, evaluation)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write over a finished run by accident; one that was never judged may be judged now.

    Raises:
        RunFolderError: the folder already holds a finished run and `overwrite` is off.
    """
    if is_finished(folder) and not overwrite and not is_unjudged(folder):
        message = f"{folder} already holds a finished run; choose another folder or overwrite it on purpose"
        raise RunFolderError(message)


def is_finished(folder: Path) -> bool:
    """Whether the folder holds a finished run (not whether it is intact)."""
    return is_sealed(folder)


def is_unjudged(folder: Path, fingerprint: str | None = None) -> bool:
    """Whether a run was saved after its training, and the command ended before it had judged the model.

    Args:
        folder: of the run.
        fingerprint: of a training; the run of another one does not count. None takes any.
    """
    try:
        card = load_run(folder).card if is_finished(folder) else {}
    except RunFolderError:
        return False
    return card.items() >= UNJUDGED.items() and fingerprint in (None, card.get("fingerprint"))


def check_judged(folder: Path, run: Run) -> None:
    """Refuse to report on a run whose command ended between training and judging.

    Raises:
        RunFolderError: it did; the message has the command.
    """
    if run.card.items() >= UNJUDGED.items():
        message = (
            f"{folder} was trained and saved, but the command ended before it had judged the model. Give it "
            f"again, it trains nothing twice: {run.card.get('command', 'see the documentation of the run')}"
        )
        raise RunFolderError(message)


def append_log(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one line of JSON to a log.

    The line is not forced onto the disk: a power cut may lose it. What must not be lost is in a checkpoint.

    Raises:
        StorageError: the disk is full or the file cannot be written.
    """
    append_line(path, json.dumps(entry))


def write_log(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a whole log anew: what was there, torn lines and lost ones included, is replaced.

    Raises:
        StorageError: the disk is full or the file cannot be written.
    """
    write_atomically(path, "".join(json.dumps(entry) + "\n" for entry in entries).encode())


def environment() -> dict[str, Any]:
    """Versions and machine facts on which bit-identity depends."""
    packages = ("attractor", "jax", "jaxlib", "equinox", "optax", "diffrax", "numpy")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": os.cpu_count(),
        **{name: version(name) for name in packages},
    }


def _dump(card: Mapping[str, Any]) -> bytes:
    return (json.dumps(card, indent=2, allow_nan=True) + "\n").encode()


def _parse_card(folder: Path, content: bytes) -> dict[str, Any]:
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as problem:
        message = f"{folder / 'card.json'} is not JSON: {problem}"
        raise RunFolderError(message) from problem
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else type(card).__name__
        message = f"{folder / 'card.json'} has format {found!r}; this version reads format {FORMAT}"
        raise RunFolderError(message)
    return card


def _why_unfinished(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no run folder {folder}"
    if (folder / "checkpoint.safetensors").exists():
        return f"{folder} holds an unfinished training; run the same command again to resume it"
    return f"{folder} is not a run folder of Attractor: {SEAL} is missing"
