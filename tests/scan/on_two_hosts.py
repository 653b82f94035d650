"""Run by test_devices.py, once for each of two processes: `on_two_hosts.py PORT PROCESS RESULT`."""

import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scan_cases import filled, signal

from attractor.cells import ResetAfterGRU
from attractor.scan import devices, sharded_gradient, unroll


def loss(cell, batch):
    inputs, targets = batch
    last = jax.vmap(lambda u: unroll(cell, u).last)(inputs)
    return jnp.mean((last - targets) ** 2)


if __name__ == "__main__":
    port, process, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)
    assert jax.process_count() == 2
    assert devices.needs_collectives(jax.devices())
    assert not devices.needs_collectives(jax.local_devices())
    cell = filled(ResetAfterGRU, 2, 4)
    whole = signal(8, 5, 2), signal(8, 4, seed=1)
    mine = jax.tree.map(lambda leaf: leaf[4 * process : 4 * process + 4], whole)
    gradient = sharded_gradient(loss)
    for _ in range(3):
        result = gradient(cell, mine)
    alone = eqx.filter_jit(eqx.filter_value_and_grad(loss))(cell, whole)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result)]
    for left, right in zip(leaves, jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(left, np.asarray(right), rtol=0, atol=1e-6)
    np.savez(path, *leaves)
    jax.distributed.shutdown()
    sys.stdout.write("two hosts: fine")
