"""Run by test_devices.py in a process of its own, because the number of devices is set once a process."""

import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from scan_cases import filled, signal

from attractor.cells import ResetAfterGRU
from attractor.errors import ShapeError
from attractor.scan import devices, explain, sharded_gradient, unroll


def loss(cell, batch):
    inputs, targets = batch
    last = jax.vmap(lambda u: unroll(cell, u).last)(inputs)
    return jnp.mean((last - targets) ** 2)


def assert_close(found, expected, **tolerance):
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(left, right, **tolerance)


def check_equal_to_one_device(cell, gradient):
    for examples in (8, 7, 2):
        batch = signal(examples, 5, 2), signal(examples, 4, seed=1)
        expected = eqx.filter_jit(eqx.filter_value_and_grad(loss))(cell, batch)
        assert_close(gradient(cell, batch), expected, rtol=1e-6, atol=1e-6)


def check_collective_path(cell):
    gradient = devices._collective(loss, jax.devices())
    batch = signal(8, 5, 2), signal(8, 4, seed=1)
    assert_close(
        gradient(cell, batch), sharded_gradient(loss, jax.devices()[:1])(cell, batch), rtol=0, atol=1e-6
    )
    with pytest.raises(ShapeError, match="7 examples cannot be spread evenly over 2 devices"):
        gradient(cell, (batch[0][:7], batch[1][:7]))


def check_second_device_alone(cell):
    batch = signal(8, 5, 2), signal(8, 4, seed=1)
    pair = list(reversed(jax.devices()))
    value, _ = sharded_gradient(loss, pair)(cell, batch)
    np.testing.assert_allclose(value, loss(cell, batch), rtol=1e-6)


def check_too_few_examples(cell, gradient):
    with pytest.raises(ShapeError, match="a batch of 1 examples for 2 devices"):
        gradient(cell, (signal(1, 5, 2), signal(1, 4)))


def check_many_steps_in_flight(cell, gradient):
    batch = signal(8, 5, 2), signal(8, 4, seed=1)
    start = loss(cell, batch)
    for _ in range(300):
        value, slope = gradient(cell, batch)
        cell = eqx.apply_updates(cell, jax.tree.map(lambda leaf: -0.1 * leaf, slope))
    assert value < start


def check_types_of_gradients(cell):
    """A loss in half precision neither blurs nor changes the type of the gradient."""
    batch = signal(7, 5, 2), signal(7, 4, seed=1)

    def coarse(cell, batch):
        return loss(cell, batch).astype(jnp.bfloat16)

    found = sharded_gradient(coarse)(cell, batch)[1]
    expected = eqx.filter_jit(eqx.filter_grad(coarse))(cell, batch)
    assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert [leaf.dtype for leaf in jax.tree.leaves(found)] == [
        leaf.dtype for leaf in jax.tree.leaves(expected)
    ]


def check_no_device_waits_for_another():
    """A call comes back long before its work is done; it would not if it waited for the first device."""
    cell, gradient = filled(ResetAfterGRU, 2, 128), sharded_gradient(loss)
    batch = signal(128, 100, 2), signal(128, 128, seed=1)
    jax.block_until_ready(gradient(cell, batch))
    start = time.perf_counter()
    result = gradient(cell, batch)
    called = time.perf_counter() - start
    jax.block_until_ready(result)
    assert called < 0.5 * (time.perf_counter() - start)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 2)
    assert len(jax.devices()) == 2
    assert Mesh(np.array(jax.devices()), ("batch",)).size == 2
    assert not devices.needs_collectives(jax.devices())
    cell, gradient = filled(ResetAfterGRU, 2, 4), sharded_gradient(loss)
    check_equal_to_one_device(cell, gradient)
    check_collective_path(cell)
    check_second_device_alone(cell)
    check_too_few_examples(cell, gradient)
    check_many_steps_in_flight(cell, gradient)
    check_types_of_gradients(cell)
    check_no_device_waits_for_another()
    assert "2 device(s), in independent slices" in str(explain(cell, signal(5, 2)))
    sys.stdout.write("two devices: fine")
