"""Where a training writes: its log, its checkpoint, and what it tells while it runs."""

import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import jax
from jaxtyping import PyTree

from attractor.errors import ConfigError, RunFolderError
from attractor.folders import locked
from attractor.progress import Reporter, SilentReporter
from attractor.runs import append_log, write_log

from .checkpoint import CHECKPOINT, check_own, from_arrays, load_training, save_checkpoint
from .task import BatchIterator, IteratorState

Tree = TypeVar("Tree")
Entry = dict[str, Any]
"""One validation: step, seconds, and by replica loss, validation and what was observed."""


@dataclass(frozen=True)
class RunLog:
    """A folder with a log and a checkpoint, or nowhere.

    The checkpoint holds the history of the training; the log only shows it. A log that was lost, torn or
    ran ahead of the checkpoint is written anew when the training goes on. Where several processes train one
    model (`jax.distributed`), all of them read, and only the first one writes and reports.

    Args:
        folder: the run folder; None keeps everything in memory.
        fingerprint: identifies data, model and settings; a checkpoint of another one is refused. None takes
            the digest of the task with all its arrays, the settings, the seed, the optimiser, and the kind
            and first state of an iterator of batches.
        reporter: hears about progress.
        name: of the checkpoint; a race of several trainings in one folder has one for each.
    """

    folder: Path | None = None
    fingerprint: str | None = None
    reporter: Reporter = field(default_factory=SilentReporter)
    name: str = CHECKPOINT

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint file."""
        return self.folder / self.name if self.folder else None

    @property
    def log(self) -> Path | None:
        """The log file; None where this process does not write one."""
        return self.folder / "log.jsonl" if self.folder and is_first_process() else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While this process writes in the folder, no other training may.

        Raises:
            StorageError: another one does.
        """
        with locked(self.folder) if self.folder and is_first_process() else contextlib.nullcontext():
            yield

    def restart(self, history: list[Entry]) -> None:
        """Make the log show this history and nothing else; no log where there is no history."""
        if self.log is None:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if history:
            write_log(self.log, history)
        else:
            self.log.unlink(missing_ok=True)

    def add(self, entry: Entry) -> None:
        """Add an entry to the log."""
        if self.log is not None:
            append_log(self.log, entry)

    def report(self, done: int, total: int, message: str) -> None:
        """Tell the reporter."""
        if is_first_process():
            self.reporter.update(done, total, message)

    def load(
        self, like: Tree, fingerprint: str, batches: BatchIterator | None = None
    ) -> tuple[Tree, list[Entry]]:
        """What the checkpoint holds, and its history; `like` and no history where there is none.

        Args:
            like: the training at its start.
            fingerprint: of the training.
            batches: its iterator, which is set to where it stood.

        Raises:
            RunFolderError: the checkpoint is damaged, or that of another training.
        """
        path, history = self.checkpoint, []
        if path is not None and path.exists():
            check_own(path, fingerprint)
            arrays, facts = load_training(path)
            like, history = from_arrays(like, arrays, str(path)), facts["history"]
            if batches is not None:
                batches.set_state(_iterator_state(facts.get("batches"), path))
        self.restart(history)
        return like, history

    def save(
        self, tree: PyTree, fingerprint: str, history: list[Entry], batches: BatchIterator | None = None
    ) -> None:
        """Write the checkpoint.

        Raises:
            StorageError: it cannot be written; the previous one stays.
        """
        if self.checkpoint is not None and is_first_process():
            state = {} if batches is None else {"batches": plain_state(batches)}
            facts = {"fingerprint": fingerprint, "history": history, **state}
            save_checkpoint(self.checkpoint, tree, facts)

    def discard(self) -> None:
        """Remove the checkpoint of a training that leaves nothing worth going on from."""
        if self.checkpoint is not None and is_first_process():
            self.checkpoint.unlink(missing_ok=True)


def is_first_process() -> bool:
    """Whether this is the process that writes and reports."""
    return jax.process_index() == 0


def plain_state(batches: BatchIterator) -> dict[str, Any]:
    """The state of an iterator as JSON holds it.

    Raises:
        ConfigError: it is not what JSON gives back as it was.
    """
    state = batches.get_state()
    if isinstance(state, bytes):
        return {"base64": base64.b64encode(state).decode()}
    try:
        same = json.loads(json.dumps(state)) == state
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ConfigError(
            f"the iterator of batches has the state {state!r}, which JSON does not give back as it was; "
            "`get_state` must return bytes or lists, texts, numbers and dictionaries with texts as keys, so "
            "that it can be part of a checkpoint"
        )
    return {"state": state}


def _iterator_state(saved: object, path: Path) -> IteratorState:
    if isinstance(saved, Mapping) and isinstance(saved.get("base64"), str):
        with contextlib.suppress(ValueError):
            return base64.b64decode(saved["base64"], validate=True)
    if isinstance(saved, Mapping) and "state" in saved:
        return saved["state"]
    raise RunFolderError(
        f"{path} does not say where the iterator of batches stood; delete it to start this training again"
    )
