"""The run folder: all that one training leaves behind, checked when it is read back.

    weights.safetensors     the weights of every replica
    evaluation.safetensors  the data and the predictions the report shows
    card.json               format, model and its options, equation, signals, scaling, metrics, versions
    SHA256SUMS              digests of the three files above (`sha256sum -c SHA256SUMS`)
    log.jsonl               one line a validation, for people to follow; nothing reads it back
    checkpoint.safetensors  only while training is unfinished
    report.html             the report

Pages, certificates and exports that are made of a run later carry its `Origin`: the digests of the weights
and of the equation. Writing another run over it removes those that speak of the old one.

Nothing in it is code, and reading it runs none. A folder whose digests do not match is refused; see
`attractor.folders` for the rules that hold for every folder. The digests protect against accidents, not
against people: take runs from people you trust.
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
from attractor.folders import LOCK, SEAL, digest, is_sealed, read_sealed, write_sealed
from attractor.origin import Origin, origin_of, strangers

FORMAT = 2
REPORT = "report.html"
UNJUDGED = {"analysis": "pending"}
"""On the card of a run that was saved at once after training; the command that made it still judges it."""
_HASHED = ("weights.safetensors", "evaluation.safetensors", "card.json")
_DERIVED = (REPORT, "certificate.html", "stability.json", "control.html", "closed_loop.csv", "dynamics.html",
            "dynamics.json", "robustness.html", "robustness.json", "step.py", "step.c", "step.casadi",
            "step.onnx", "sequence.onnx", "controller.c")  # fmt: skip
"""What commands leave in a run folder; a table of numbers, or a file of an older version, has no stamp."""
_THREADS = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "XLA_FLAGS")
"""What the user's shell may say about threads."""


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

    @property
    def origin(self) -> Origin:
        """What everything that is made from this run carries."""
        return Origin(self.card["weights_sha256"], self.card["equation"]["sha256"])


def save_run(folder: Path, run: Run, *, overwrite: bool = False) -> Origin:
    """Write a finished run; the digests come last and make it valid.

    Format, digest of the weights and versions are computed here, whatever the card says of them. What was
    made from a run that is replaced (pages, certificates, exports in the folder) is removed, unless the new
    one has the same weights and the same equation.

    Returns:
        What everything that is made from the run carries.

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
    origin = Run(card, run.weights, run.evaluation).origin
    write_sealed(folder, content, _stale(folder, origin))
    return origin


def weights_digest(weights: Arrays) -> str:
    """The SHA-256 that `weights.safetensors` with these arrays has."""
    return digest(safetensors.numpy.save(weights))


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
    if card["weights_sha256"] != digest(content["weights.safetensors"]):
        raise RunFolderError(
            f"{folder / 'card.json'} is the card of other weights than {folder / 'weights.safetensors'}"
        )
    return Run(card, weights, evaluation)


def check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write over a finished run by accident; one that was never judged may be judged now.

    Raises:
        RunFolderError: the folder already holds a finished run and `overwrite` is off.
    """
    if is_finished(folder) and not overwrite and not is_unjudged(folder):
        message = f"{folder} already holds a finished run; choose another folder or overwrite it on purpose"
        if not (folder / REPORT).exists():
            message += f". Its report was not written yet: `attractor report {folder}` writes it"
        raise RunFolderError(message)


def check_origin(folder: Path, origin: Origin | None) -> None:
    """Refuse to put what was made from one run into the folder of another.

    Raises:
        RunFolderError: the folder holds a run with another origin.
    """
    there = _origin_in(folder)
    if there is not None and there != origin:
        raise RunFolderError(
            f"{folder} holds another run than the one that was read: the result {there.objection(origin)} "
            "and is not written; give the command again"
        )


def data_source(folder: Path) -> str:
    """Where the data of the run in a folder came from; empty if it has none, or does not say."""
    try:
        facts = load_run(folder).card.get("data")
    except RunFolderError:
        return ""
    return str(facts.get("source") or "") if isinstance(facts, dict) else ""


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
        raise RunFolderError(
            f"{folder} was trained and saved, but the command ended before it had judged the model. Give it "
            f"again, it trains nothing twice: {run.card.get('command', 'see the documentation of the run')}"
        )


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
        "threads": allowed_threads(),
        **{name: os.environ[name] for name in _THREADS if name in os.environ},
        **{name: version(name) for name in packages},
    }


def allowed_threads() -> int:
    """Processors that this process may use, which is how many threads JAX takes; not those of the machine."""
    named = os.environ.get("NPROC", "")
    if named.isdecimal() and int(named):
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _stale(folder: Path, origin: Origin) -> list[Path]:
    """What the folder holds that was made from anything else."""
    if not folder.is_dir():
        return []
    stale = list(strangers(folder, origin))
    if _origin_in(folder) != origin:
        known = (folder / name for name in _DERIVED)
        stale += [path for path in known if path.is_file() and origin_of(path) is None]
    return stale


def _origin_in(folder: Path) -> Origin | None:
    """The origin of the run in a folder; None if there is none, or one that cannot be read."""
    try:
        return load_run(folder).origin
    except RunFolderError:
        return None


def _dump(card: Mapping[str, Any]) -> bytes:
    return (json.dumps(card, indent=2, allow_nan=True) + "\n").encode()


def _parse_card(folder: Path, content: bytes) -> dict[str, Any]:
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as problem:
        raise RunFolderError(f"{folder / 'card.json'} is not JSON: {problem}") from problem
    if isinstance(card, dict) and card.get("format") == 1:
        raise RunFolderError(
            f"{folder} was written by an older version of Attractor (format 1), which did not record the "
            f"equation of the model; this version reads format {FORMAT}: train again"
        )
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else type(card).__name__
        raise RunFolderError(
            f"{folder / 'card.json'} has format {found!r}; this version reads format {FORMAT}"
        )
    if not (_is_digest(card.get("weights_sha256")) and _has_equation(card)):
        raise RunFolderError(f"{folder / 'card.json'} names neither the weights nor the equation of the run")
    return card


def _has_equation(card: Mapping[str, Any]) -> bool:
    equation = card.get("equation")
    return isinstance(equation, dict) and _is_digest(equation.get("sha256"))


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _why_unfinished(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no run folder {folder}"
    if (folder / "checkpoint.safetensors").exists():
        return f"{folder} holds an unfinished training; run the same command again to resume it"
    if any((folder / name).exists() for name in _HASHED):
        return f"{folder} was not written to its end: {SEAL} is missing; train or save the model again"
    if (folder / LOCK).exists():
        return f"{folder} holds a command that did not come far enough to leave anything; give it again"
    return f"{folder} is not a run folder of Attractor: {SEAL} is missing"
