"""Dry run on two hosts: two processes that train one model give the loss curve of one."""

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import on_two_processes
import pytest

import attractor

SCRIPT = pathlib.Path(__file__).parent / "on_two_processes.py"
SOURCE = pathlib.Path(attractor.__file__).parents[1]


def start(*arguments):
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(processes):
    """None survives, and a dead-lock ends as a failure."""
    try:
        outputs = [process.communicate(timeout=150)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output


def free_port():
    with socket.socket() as place:
        place.bind(("localhost", 0))
        return place.getsockname()[1]


def test_two_processes_train_one_model_to_the_loss_curve_of_one(tmp_path):
    try:
        port = free_port()
    except OSError as error:
        pytest.skip(f"no local port: {error}")
    together, alone = tmp_path / "together", tmp_path / "alone"
    for folder in (together, alone):
        folder.mkdir()
    processes = [start(together, port, process) for process in (0, 1)]
    try:
        on_two_processes.main(alone)
    finally:
        finish(processes)
    first, second, one = (
        np.load(path) for path in (together / "0.npz", together / "1.npz", alone / "alone.npz")
    )
    assert len(one.files) == 4
    for name in one.files:
        np.testing.assert_array_equal(first[name], second[name])
        # Float32; the sum over a batch is made in two parts, and twelve steps of Adam follow it.
        np.testing.assert_allclose(first[name], one[name], rtol=1e-4, atol=1e-5)
    for name in ("epochs", "stream"):
        lines = [(folder / name / "log.jsonl").read_text().count("\n") for folder in (together, alone)]
        assert lines == [3, 3], "only the first process writes"
