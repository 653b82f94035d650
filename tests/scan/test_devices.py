"""Batches over devices and hosts; both need processes of their own."""

import os
import pathlib
import socket
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scan_cases import CELLS, signal

import attractor
from attractor.scan import sharded_gradient, unroll

HERE = pathlib.Path(__file__).parent
SOURCE = pathlib.Path(attractor.__file__).parents[1]


def start(script, *arguments):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (SOURCE, HERE))),
        "JAX_PLATFORMS": "cpu",
    }
    return subprocess.Popen(
        [sys.executable, HERE / script, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(processes, seconds):
    """Outputs of all processes; none survives, and a dead-lock ends as a failure."""
    try:
        outputs = [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def free_port():
    with socket.socket() as place:
        place.bind(("localhost", 0))
        return place.getsockname()[1]


@pytest.mark.slow
def test_two_devices_give_the_gradient_of_one_and_never_wait_for_each_other():
    (output,) = finish([start("on_two_devices.py")], 200)
    assert "two devices: fine" in output


@pytest.mark.slow
def test_two_hosts_with_half_the_batch_each_give_the_gradient_of_the_whole(tmp_path):
    try:
        port = free_port()
    except OSError as error:
        pytest.skip(f"no local port: {error}")
    results = [tmp_path / f"{process}.npz" for process in (0, 1)]
    outputs = finish([start("on_two_hosts.py", port, rank, results[rank]) for rank in (0, 1)], 200)
    assert all("two hosts: fine" in output for output in outputs)
    first, second = (np.load(result) for result in results)
    assert len(first.files) == 5
    for name in first.files:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.skipif(len(jax.devices()) != 1, reason="the plain path is that of one device")
def test_one_device_computes_the_plain_gradient():
    def loss(cell, batch):
        return jnp.mean(jax.vmap(lambda u: unroll(cell, u).last)(batch) ** 2)

    cell, batch = CELLS["gru"](), signal(3, 5, 2)
    value, gradient = sharded_gradient(loss)(cell, batch)
    expected, slope = eqx.filter_jit(eqx.filter_value_and_grad(loss))(cell, batch)
    assert value == expected
    assert eqx.tree_equal(gradient, slope)
