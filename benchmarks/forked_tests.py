"""Runs tests against changed files, each time in a process forked from one that has imported what is slow.

It is started by `benchmarks.mutants` in a copy of the repository. Every line on its input is a task in JSON:

    {"file": "src/attractor/runs.py", "source": "...", "tests": ["tests/test_runs.py"], "seconds": 60}

The file gets the source, a child runs the tests in their order and stops at the first failure, the file gets
its old content back, and a line with the outcome is printed. `seconds` bounds the processor time of the child
and of each process it starts, so that a busy machine kills nothing that is only slow; a child that sleeps for
twenty times as long is killed, too.

The parent imports libraries and rooms of the house that need none of the changed files. It computes nothing
with JAX, which may not be forked once it has made its backend.
"""

import contextlib
import importlib
import json
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

LIBRARIES = (
    "jax", "jax.numpy", "jax.scipy.special", "equinox", "optax", "diffrax", "optimistix", "jaxtyping",
    "beartype", "numpy", "scipy.special", "scipy.optimize", "scipy.linalg", "pandas", "safetensors.numpy",
    "hypothesis", "mpmath", "pytest", "pytest_timeout",
)  # fmt: skip
OPTIONS = (
    "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not peer",
    "-W", "ignore::pytest.PytestAssertRewriteWarning", "--jaxtyping-packages=", "--timeout=0",
)  # fmt: skip
"""The hook that checks types is installed here, before anything of the house is imported."""
_MEMORY = 24 * 2**30


class _Noted:
    """Writes down which test failed first, or which file could not be read."""

    def __init__(self, path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        self._note(report)

    def pytest_collectreport(self, report):
        self._note(report)

    def _note(self, report):
        if report.failed and not self.path.stat().st_size:
            self.path.write_text(report.nodeid)


def prepare(rooms):
    """Import libraries and rooms, with the types of the house checked as in every run of its tests."""
    for name in LIBRARIES:
        importlib.import_module(name)
    import jaxtyping

    runpy.run_path("tests/conftest.py")  # checks the types of closures a few times only
    jaxtyping.install_import_hook(["attractor"], "beartype.beartype")
    for name in rooms:
        importlib.import_module(name)
    from jax._src import xla_bridge

    if xla_bridge.backends_are_initialized():
        raise RuntimeError(f"importing {', '.join(rooms)} made a backend of JAX; it cannot be forked")


def met(task):
    """The outcome of the tests with the changed file: status, first failure and processor time.

    Raises:
        ValueError: the parent has imported the file that is to be changed.
    """
    path = Path(task["file"])
    module = ".".join(path.with_suffix("").parts[1:])
    if module in sys.modules:
        raise ValueError(f"{module} is imported already: prepare less")
    before, facts = path.read_bytes(), path.stat()
    try:
        path.write_text(task["source"])
        os.utime(path, (facts.st_atime, facts.st_mtime + time.time() % 10**6 + 10))  # no old bytecode fits
        return _forked(task)
    finally:
        path.write_bytes(before)
        os.utime(path, (facts.st_atime, facts.st_mtime))


def _forked(task):
    with tempfile.TemporaryDirectory() as name:
        noted, said = Path(name) / "noted", Path(name) / "said"
        noted.touch()
        began = time.monotonic()
        child = os.fork()
        if not child:
            _run(task, noted, said, name)
        try:
            status, used = _waited(child, began + 20 * task["seconds"])
        finally:
            with contextlib.suppress(ProcessLookupError):  # and what the tests have started
                os.killpg(child, signal.SIGKILL)
        return {
            "status": status,
            "failed": noted.read_text(),
            "seconds": round(used, 1),
            "said": said.read_text(errors="replace")[-2000:],
        }


def _waited(child, until):
    """Exit status and processor time of a child, which is killed at a moment."""
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.05)


def _run(task, noted, said, folder):
    """Run the tests; this process ends here."""
    status = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        out = os.open(said, os.O_WRONLY | os.O_CREAT)
        for handle in (1, 2):
            os.dup2(out, handle)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        seconds = int(task["seconds"])
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        sys.dont_write_bytecode = not task.get("warm", False)
        import pytest

        options = [*OPTIONS, f"--basetemp={folder}/tests"]
        status = int(pytest.main([*options, *task["tests"]], plugins=[_Noted(noted)]))
    except BaseException:  # noqa: BLE001 - the parent tells what it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main():
    """Prepare the rooms in the arguments, then do the tasks on the input."""
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # of a fork beside threads
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no child stays
    prepare(sys.argv[1:])
    for line in sys.stdin:
        print(json.dumps(met(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
