"""Many independent tasks: on one core, on all of them or on a cluster, and none of them twice."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import safetensors.numpy
from joblib import Parallel, delayed
from safetensors import SafetensorError

from attractor.files import make_folder, remove_strays, write_atomically
from attractor.progress import Reporter

Arrays = dict[str, np.ndarray]


class Task(NamedTuple):
    """A call that gives arrays.

    Args:
        name: of the file that keeps its result.
        call: a function of a module, so that another process finds it.
        arguments: of the call.
    """

    name: str
    call: Callable[..., Arrays]
    arguments: tuple[Any, ...]


class TaskStore:
    """Results of finished tasks, one file each, written whole or not at all.

    Args:
        folder: where they lie; None keeps them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, Arrays] = {}
        if folder is not None:
            make_folder(folder)
            remove_strays(folder)

    def find(self, name: str) -> Arrays | None:
        """The result of a task; None where it is missing or its file cannot be read."""
        if name not in self._known and self._folder is not None:
            with contextlib.suppress(OSError, SafetensorError):
                self._known[name] = safetensors.numpy.load((self._folder / _file(name)).read_bytes())
        return self._known.get(name)

    def keep(self, name: str, arrays: Arrays) -> None:
        """Keep a result."""
        self._known[name] = arrays
        if self._folder is not None:
            # one memory layout: a file holds the bytes as they lie
            whole = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
            write_atomically(self._folder / _file(name), safetensors.numpy.save(whole))


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
    missing = [task for task in tasks if store.find(task.name) is None]
    try:
        for place, (name, arrays) in enumerate(_computed(missing)):
            store.keep(name, arrays)
            reporter.update(len(tasks) - len(missing) + place + 1, len(tasks), name)
    finally:
        reporter.close()
    found = [store.find(task.name) for task in tasks]
    return [arrays for arrays in found if arrays is not None]


def _computed(tasks: list[Task]) -> Iterator[tuple[str, Arrays]]:
    # Tasks take seconds: several in one batch would only coarsen progress and what a killed run keeps.
    pool: Any = Parallel(return_as="generator_unordered", batch_size=cast(Any, 1))
    return iter(pool(delayed(_named)(task) for task in tasks)) if tasks else iter(())


def _named(task: Task) -> tuple[str, Arrays]:
    return task.name, task.call(*task.arguments)
