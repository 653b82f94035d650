"""A plugin of pytest that counts what is compiled: `pytest -p tests.compiled_programs --programs FILE ...`.

What costs time in these tests is building programs (tracing and lowering; XLA itself is told to be quick).
FILE gets one line of JSON for each test: its seconds, the programs lowered while it ran and
in its fixtures, the seconds that tracing, lowering and compiling took, and how often which function was
lowered. The summary tells programs per test, and the tests and functions that build the most.
"""

import json
import os
import time
from collections import Counter
from pathlib import Path

import jax

_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_STEPS = ("/jax/core/compile/jaxpr_trace_duration", _LOWERED, "/jax/core/compile/backend_compile_duration")
_LISTED = 25


class _Counting:
    """What the test that is running has built so far."""

    def __init__(self):
        self.programs, self.seconds = Counter(), Counter()

    def heard(self, event, duration, **details):
        if event in _STEPS:
            self.seconds[event.rsplit("/", 1)[1]] += duration
        if event == _LOWERED:
            self.programs[details.get("fun_name", "unknown")] += 1


_counting = _Counting()


def pytest_addoption(parser):
    """The file to write to; nothing is counted without it."""
    parser.addoption("--programs", help="write the compiled programs of each test to this file")


def pytest_configure(config):
    """Listen to JAX."""
    if config.getoption("--programs"):
        jax.monitoring.register_event_duration_secs_listener(
            lambda *one, **more: _counting.heard(*one, **more)
        )


def pytest_runtest_protocol(item, nextitem):
    """Begin anew with every test, its fixtures included."""
    global _counting
    _counting = _Counting()
    item.began = time.perf_counter()


def pytest_runtest_teardown(item, nextitem):
    """One line for the test that ends."""
    target = item.config.getoption("--programs")
    if target:
        line = {
            "test": item.nodeid,
            "seconds": time.perf_counter() - item.began,
            "programs": sum(_counting.programs.values()),
            "building": dict(_counting.seconds),
            "functions": dict(_counting.programs),
        }
        with Path(f"{target}.{os.getpid()}").open("a") as file:  # each process has its own
            file.write(json.dumps(line) + "\n")


def pytest_terminal_summary(terminalreporter, config):
    """Programs per test, and who builds them."""
    target = config.getoption("--programs")
    if target:
        parts = sorted(Path(target).parent.glob(f"{Path(target).name}.*"))
        lines = [line for part in parts for line in part.read_text().splitlines()]
        Path(target).write_text("\n".join(lines))
        for part in parts:
            part.unlink()
        terminalreporter.write_line(summary([json.loads(line) for line in lines]))


def summary(lines):
    """The figures of a file of lines, in words."""
    total, tests = sum(line["programs"] for line in lines), max(len(lines), 1)
    functions = Counter()
    for line in lines:
        functions.update(line["functions"])
    heaviest = sorted(lines, key=lambda line: -line["programs"])[:_LISTED]
    return "\n".join([
        f"{total} programs in {tests} tests, {total / tests:.2f} each",
        *(f"{count:6} {name}" for name, count in functions.most_common(_LISTED)),
        *(f"{line['programs']:6} {line['seconds']:6.1f} s {line['test']}" for line in heaviest),
    ])
