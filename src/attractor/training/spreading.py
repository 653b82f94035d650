"""The batch of a training step, spread over devices and hosts.

Each device computes the losses of its part of the batch, forward and backward, and one sum over all devices
makes their gradients that of the whole. The parts are cut by `jax.shard_map` and not by sharding constraints:
these put a sum over the devices into every step of the loop backward in time. One gradient of a GRU of 128
units on 64 sequences of 784 steps took 370 ms on one device, 165 ms in parts on the two cores of a machine,
and 440 ms with constraints.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree

from attractor.errors import ConfigError, ShapeError
from attractor.runs import allowed_threads
from attractor.scan.split import product_cost

from .checkpoint import is_key
from .task import Batch, Memory, Model, StepContext, Task

Tree = TypeVar("Tree")
Shared = TypeVar("Shared")
Device = Any
"""A `jax.Device`, which is no type to a static checker."""

WORTH_A_DEVICE = 500_000_000
"""Multiplications in the losses of a batch, forward, for which a device more pays."""
# The program of several devices takes longer to build: 0.2 to 0.4 s of processor time for a GRU classifier,
# and up to 2 s where the cores have other work (a short `classify` of batches of 2.5e9 took 10.5 s spread and
# 8.5 s on one device). One step of 2.5e9 takes 0.4 s on one core, of which a second, busy core took 0.04 to
# 0.1 s off and an idle one 0.2 s: some 20 steps pay for the building, in which the second core takes over
# 2.5e10.
WORTH_COMPILING = 25_000_000_000
"""Multiplications that the other devices must take off the first one in a whole training."""
AXIS = "batch"
"""The name of the axis of a mesh."""
_MOST_CORES = 8
_UNSET = -1
_FLAG = "xla_force_host_platform_device_count"


def use_all_cores() -> None:
    """Make the cores of the processor devices of JAX, so that `train` can spread a batch over them.

    Without it a processor is one device. It does nothing once something has been computed in this process, or
    where the user has set the number of devices (`JAX_NUM_CPU_DEVICES`, `XLA_FLAGS`). Work that stays on one
    device is as fast, and equal in bits, as without it.
    """
    known: Any = jax.config
    asked = known.jax_num_cpu_devices != _UNSET or _FLAG in os.environ.get("XLA_FLAGS", "")
    if not asked:
        with contextlib.suppress(RuntimeError):  # too late: JAX has begun
            jax.config.update("jax_num_cpu_devices", min(allowed_threads(), _MOST_CORES))


def batch_losses(
    task: Task, model: Model, batch: Batch, context: StepContext, mesh: Mesh | None = None
) -> tuple[Float[Array, " batch"], Memory]:
    """The losses of one step and the memory after it.

    Args:
        task: what is learned.
        model: the weights.
        batch: of this step.
        context: of this step.
        mesh: the devices over which the batch is spread; None for one device. A batch that they cannot share
            evenly is computed whole on each.
    """
    examples = batch_size(batch)
    if mesh is None or not examples or examples % mesh.size:
        return _combined(task, _losses(task, model, batch, context), batch, context)

    def losses_of_part(shared: tuple[Task, Model, StepContext], part: Batch) -> PyTree[Array]:
        task, model, context = shared
        first = jax.lax.axis_index(AXIS) * (examples // mesh.size)
        return _losses(task, model, part, replace(context, first=first, batch_size=examples))

    losses = in_parts(losses_of_part, (task, model, context), batch, mesh)
    return _combined(task, losses, batch, context)


def _losses(task: Task, model: Model, batch: Batch, context: StepContext) -> PyTree[Array]:
    """What a task says of examples, each judged alone."""
    found, examples = task.losses(model, batch, context), batch_size(batch)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(found)]
    if examples is not None and any(shape[:1] != (examples,) for shape in shapes):
        raise ShapeError(
            f"`losses` of {type(task).__name__} returned arrays of shape {', '.join(map(str, shapes))} for a "
            f"batch of {examples} examples; expected one loss for each of them, shape ({examples},)"
        )
    return found


def _combined(
    task: Task, losses: PyTree[Array], batch: Batch, context: StepContext
) -> tuple[Float[Array, " batch"], Memory]:
    """What the whole batch makes of its losses: one real number for each example."""
    combined, memory = task.combine(losses, batch, context)
    examples, shape = batch_size(batch), jnp.shape(combined)
    single = len(shape) == 1 and (examples is None or shape == (examples,))
    if not single or not jnp.issubdtype(jnp.result_type(combined), jnp.floating) or not shape[0]:
        raise ShapeError(
            f"the losses of {type(task).__name__} have shape {shape} and type {jnp.result_type(combined)}; "
            f"expected a floating-point loss for each of the {examples or ''} examples of a batch, of which "
            "there is at least one (a difference of (batch,) and (batch, 1) is a table of both)"
        )
    return combined, memory


def in_parts(
    function: Callable[[Shared, Batch], PyTree[Array]], shared: Shared, batch: Batch, mesh: Mesh
) -> PyTree[Array]:
    """What a function makes of a batch, with a part of it on each device; gradients flow through.

    Args:
        function: of what all devices share and of a part of the batch; its results have the examples first.
        shared: a pytree.
        batch: a pytree whose arrays have the examples first; the devices must share them evenly.
        mesh: the devices.
    """
    arrays, static = eqx.partition(shared, eqx.is_array)
    split, rest = eqx.partition(batch, eqx.is_array)

    def on_device(arrays: Shared, part: Batch) -> PyTree[Array]:
        return function(eqx.combine(arrays, static), eqx.combine(part, rest))

    whole, parts = PartitionSpec(), PartitionSpec(AXIS)
    # Unchecked: a loop of a user's cell may begin with a constant state, which the check would refuse.
    spread = jax.shard_map(on_device, mesh=mesh, in_specs=(whole, parts), out_specs=parts, check_vma=False)
    return spread(arrays, split)


def batch_size(batch: Batch) -> int | None:
    """How many examples a batch has; None if its arrays do not agree on it, or there are none."""
    shapes = [leaf.shape if hasattr(leaf, "shape") else () for leaf in jax.tree.leaves(batch)]
    sizes = {shape[0] if shape else None for shape in shapes}
    return sizes.pop() if len(sizes) == 1 else None


def choose_mesh(
    task: Task,
    model: Model,
    context: StepContext,
    batch: Batch,
    steps: int,
    devices: Sequence[Device] | None = None,
) -> Mesh | None:
    """The devices over which the batches of a training are spread; None for one device.

    Several processes (`jax.distributed`) use all their devices. One process uses as many as the work pays
    for: one for every `WORTH_A_DEVICE` multiplications, and so many that they share the batch evenly. A
    training so short that they take less than `WORTH_COMPILING` off the first one stays on one device.

    Args:
        task: what is learned.
        model: its structure, one replica.
        context: of the first step.
        batch: the first one, where it comes from the host; None where the task draws it.
        steps: of the whole training.
        devices: use these, whatever the work.

    Raises:
        ShapeError: devices that must be used cannot share the batch evenly.
    """
    found = _known(devices)
    if devices is None and len(found) == 1:
        return None
    drawn = eqx.filter_eval_shape(task.draw, context) if batch is None else batch
    examples = batch_size(drawn)
    if examples is None:
        if devices is None and jax.process_count() == 1:
            return None
        raise ShapeError(
            f"{len(found)} devices cannot share a batch of {type(task).__name__}: its arrays must all have "
            f"the examples on their first axis, but are {jax.tree.map(jnp.shape, drawn)}"
        )
    if devices is None and jax.process_count() == 1:
        work = multiplications(task, model, drawn, context)
        most = max(1, min(work // WORTH_A_DEVICE, len(found), examples))
        count = max(count for count in range(1, most + 1) if examples % count == 0)
        found = found[: count if steps * work * (1 - 1 / count) >= WORTH_COMPILING else 1]
    if examples % len(found):
        raise ShapeError(
            f"a batch of {examples} examples cannot be shared evenly by {len(found)} devices; choose a "
            f"multiple of {len(found)} as batch size"
        )
    return None if devices is None and len(found) == 1 else Mesh(np.array(found), (AXIS,))


def _known(devices: Sequence[Device] | None) -> list[Device]:
    """The devices of a training.

    Raises:
        ConfigError: something else than different devices of JAX was given.
    """
    if devices is None:
        return list(jax.devices())
    known = jax.devices()
    if not isinstance(devices, Sequence) or not devices or any(one not in known for one in devices):
        raise ConfigError(f"devices={devices!r}: expected a list of some of jax.devices(), which are {known}")
    if len(set(devices)) != len(devices):
        raise ConfigError(f"devices={devices!r}: each device once")
    return list(devices)


def multiplications(task: Task, model: Model, batch: Batch, context: StepContext) -> int:
    """Multiplications of the matrix products in the losses of a batch, in every turn of their loops."""
    traced = eqx.filter_make_jaxpr(lambda task, *given: task.losses(*given))(task, model, batch, context)
    return sum(product_cost(equation) for equation in traced[0].eqns)


def everywhere(tree: Tree, mesh: Mesh) -> Tree:
    """The same arrays on every device of a mesh, those of other processes included."""
    sharding = NamedSharding(mesh, PartitionSpec())

    def place(values: np.ndarray) -> Array:
        return jax.make_array_from_callback(values.shape, sharding, values.__getitem__)

    return jax.tree.map(lambda leaf: _moved(leaf, place), tree)


def held_everywhere(tree: Tree, mesh: Mesh | None) -> Tree:
    """The same, inside of a compiled function."""
    if mesh is None:
        return tree
    arrays, rest = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.lax.with_sharding_constraint(arrays, NamedSharding(mesh, PartitionSpec())), rest)


def on_one_device(tree: Tree, mesh: Mesh | None) -> Tree:
    """The arrays of `everywhere` on the first device of this process, as if it had been alone."""
    return tree if mesh is None else jax.tree.map(lambda leaf: _moved(leaf, jnp.asarray), tree)


def _moved(leaf: PyTree, place: Callable[[np.ndarray], Array]) -> PyTree:
    if not isinstance(leaf, jax.Array):
        return leaf
    if is_key(leaf):
        return jax.random.wrap_key_data(place(np.asarray(jax.random.key_data(leaf))))
    return place(np.asarray(leaf))
