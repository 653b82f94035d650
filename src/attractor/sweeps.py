"""Sweeps: many independent tasks, resumed where they were stopped, on this machine or on a cluster.

A sweep is a list of tasks, calls that give arrays. It goes through joblib, so that
`joblib.parallel_config(backend="dask")` or `"ray"` around it moves the same call to a cluster. With a folder,
every finished task is a file of its own; a sweep that was killed computes only what is missing, and ends in
the same bits.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import joblib
import numpy as np

from attractor.arrays import Arrays, pack, unpack
from attractor.errors import ConfigError, InputDataError, RunFolderError
from attractor.files import make_folder, remove_strays, write_atomically
from attractor.folders import read_file
from attractor.progress import Reporter, SilentReporter


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
    damaged, renamed or moved here from elsewhere counts as missing, and its task is computed again.

    Args:
        folder: where they lie; None keeps them in memory.
        origin: what all results are parts of.
    """

    def __init__(self, folder: Path | None = None, origin: str = "") -> None:
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


def store_for(folder: Path | None, digest: str) -> TaskStore:
    """The store of what has this digest: `parts/DIGEST` in a folder, or memory where that is None."""
    return TaskStore(None if folder is None else folder / "parts" / digest[:16], digest)


def sweep(
    tasks: list[Task], store: TaskStore | None = None, reporter: Reporter | None = None
) -> list[Arrays]:
    """Results of all tasks in their order; only those are computed that the store lacks.

    `with spread(...)` or `joblib.parallel_config(...)` around the call says where they run; without it they
    run here, one after the other. Only this process writes to the store.

    Args:
        tasks: what to compute.
        store: of finished results; None computes all.
        reporter: hears about every task.
    """
    store, reporter = store or TaskStore(), reporter or SilentReporter()
    missing = [task for task in tasks if store.find(task) is None]
    try:
        for count, (name, arrays) in enumerate(_computed(missing), 1 + len(tasks) - len(missing)):
            store.keep(name, arrays)
            reporter.update(count, len(tasks), name)
    finally:
        reporter.close()
    found = map(store.find, tasks)
    return [arrays for arrays in found if arrays is not None]


def _computed(tasks: list[Task]) -> Iterator[tuple[str, Arrays]]:
    # Tasks take seconds: several in one batch would only coarsen progress and what a killed run keeps.
    pool: Any = joblib.Parallel(return_as="generator_unordered", batch_size=cast(Any, 1))
    return iter(pool(joblib.delayed(_named)(task) for task in tasks)) if tasks else iter(())


def _named(task: Task) -> tuple[str, Arrays]:
    return task.name, task.call(*task.arguments)


@contextlib.contextmanager
def spread(backend: str = "loky", workers: int = -1, scheduler: str | None = None) -> Iterator[None]:
    """Sweeps inside of it run in several processes.

    Args:
        backend: of joblib: "loky" for processes of this machine, "dask" for a cluster.
        workers: how many; -1 takes one for every core, or all of the cluster.
        scheduler: address of a running Dask cluster; None starts one on this machine.

    Yields:
        Nothing.

    Raises:
        ConfigError: a scheduler for another backend, a scheduler that does not answer, or Dask is missing.
    """
    with contextlib.ExitStack() as held:
        if backend == "dask":
            held.enter_context(_dask_client(workers, scheduler))
        elif scheduler is not None:
            raise ConfigError(f"scheduler={scheduler}: only the backend dask has one, and not {backend}")
        held.enter_context(joblib.parallel_config(backend=backend, n_jobs=workers))
        yield


def _dask_client(workers: int, scheduler: str | None) -> contextlib.AbstractContextManager[Any]:
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as problem:
        raise ConfigError("the backend dask needs distributed: pip install attractor[cluster]") from problem
    if scheduler is None:
        count = None if workers < 0 else workers
        return Client(n_workers=count, threads_per_worker=1, dashboard_address=None)
    try:
        return Client(scheduler)
    except (OSError, ValueError) as problem:
        raise ConfigError(f"no Dask scheduler answers at {scheduler}: {problem}") from problem
