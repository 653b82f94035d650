"""Batches over two devices, in a process of its own: the number of devices is set once a process."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

import attractor
from attractor.training.spreading import batch_size

HERE = pathlib.Path(__file__).parent
SOURCE = pathlib.Path(attractor.__file__).parents[1]


def test_two_devices_train_like_one():
    paths = os.pathsep.join(map(str, (SOURCE, HERE)))
    environment = os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, HERE / "on_two_devices.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "two devices: fine" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("batch", "size"),
    [
        (jnp.zeros((3, 2)), 3),
        ((jnp.zeros((3, 2)), jax.random.split(jax.random.key(0), 3)), 3),
        ((jnp.zeros(3), jnp.zeros(4)), None),
        ((jnp.zeros(3), jnp.zeros(())), None),
        ((jnp.zeros(3), 2.0), None),
        (None, None),
    ],
)
def test_the_size_of_a_batch_is_what_all_its_arrays_agree_on(batch, size):
    assert batch_size(batch) == size
