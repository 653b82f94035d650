"""Many independent tasks: on one core, on all of them or on a cluster, and none of them twice."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from joblib import Parallel, delayed

from attractor.arrays import Arrays, pack, unpack
from attractor.errors import InputDataError, RunFolderError
from attractor.files import make_folder, remove_strays, write_atomically
from attractor.folders import read_file
from attractor.progress import Reporter


class Task(NamedTuple):
    """A call that gives arrays.

    Args:
        name: of the file that keeps its result.
        call: a function of a module, so that another process finds it.
        arguments: of the call.
        shapes: of the arrays of float64 that it gives, by name.
    """

    name: str
    call: Callable[..., Arrays]
    arguments: tuple[Any, ...]
    shapes: Mapping[str, tuple[int, ...]]

    def accepts(self, arrays: Arrays) -> bool:
        """Whether these can be what the call gave."""
        found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
        return found == {name: (shape, np.dtype(float)) for name, shape in self.shapes.items()}


class TaskStore:
    """Results of finished tasks, one file each, written whole or not at all.

    Every file holds the digest of its content, the name of its task and what it is a part of: one that was
    damaged, renamed or moved here from elsewhere counts as missing, and its task is done again.

    Args:
        folder: where they lie; None keeps them in memory.
        origin: what all results are parts of.
    """

    def __init__(self, folder: Path | None, origin: str = "") -> None:
        self._folder, self._origin = folder, origin
        self._known: dict[str, Arrays] = {}
        if folder is not None:
            make_folder(folder)
            remove_strays(folder)

    def find(self, task: Task) -> Arrays | None:
        """The result of a task; None where it is missing or its file cannot be trusted."""
        if task.name not in self._known and self._folder is not None:
            path = self._folder / _file(task.name)
            with contextlib.suppress(RunFolderError, InputDataError):
                arrays, facts = unpack(read_file(path), path)
                if facts == self._facts(task.name) and task.accepts(arrays):
                    self._known[task.name] = arrays
        return self._known.get(task.name)

    def keep(self, name: str, arrays: Arrays) -> None:
        """Keep a result."""
        self._known[name] = arrays
        if self._folder is not None:
            write_atomically(self._folder / _file(name), pack(arrays, self._facts(name)))

    def _facts(self, name: str) -> dict[str, str]:
        return {"task": name, "origin": self._origin}


def _file(name: str) -> str:
    return f"{name}.safetensors"


def done(tasks: list[Task], store: TaskStore, reporter: Reporter) -> list[Arrays]:
    """Results of all tasks in their order; only those are computed that the store lacks.

    Tasks go through joblib: `with joblib.parallel_config(backend="loky", n_jobs=2)` around the call uses two
    processes, `backend="dask"` or `"ray"` a cluster. Only this process writes to the store.

    Args:
        tasks: what to compute.
        store: of finished results.
        reporter: hears about every task.
    """
    missing = [task for task in tasks if store.find(task) is None]
    try:
        for place, (name, arrays) in enumerate(_computed(missing)):
            store.keep(name, arrays)
            reporter.update(len(tasks) - len(missing) + place + 1, len(tasks), name)
    finally:
        reporter.close()
    found = [store.find(task) for task in tasks]
    return [arrays for arrays in found if arrays is not None]


def _computed(tasks: list[Task]) -> Iterator[tuple[str, Arrays]]:
    # Tasks take seconds: several in one batch would only coarsen progress and what a killed run keeps.
    pool: Any = Parallel(return_as="generator_unordered", batch_size=cast(Any, 1))
    return iter(pool(delayed(_named)(task) for task in tasks)) if tasks else iter(())


def _named(task: Task) -> tuple[str, Arrays]:
    return task.name, task.call(*task.arguments)
