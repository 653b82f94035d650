"""Tell how a cell will be run, and why."""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from attractor.cells import State, initial_state

from .memory import Strategy, strategy
from .split import AHEAD, ONCE, STEP, WORTH_HOISTING
from .unroll import trace, unroll


@dataclass(frozen=True)
class Explanation:
    """How `unroll` runs a cell; print it.

    Args:
        once: equations that depend on the weights alone, done once a sequence.
        hoisted: equations on inputs alone, done for all steps in one product ahead of the loop.
        stepped: equations inside the loop.
        memory: what the backward pass keeps.
        gradient_bytes: temporary memory of forward and backward for this input, from XLA's own analysis.
        devices: the devices over which `attractor.training.train` can spread a batch.
    """

    once: int
    hoisted: int
    stepped: int
    memory: str
    gradient_bytes: int
    devices: tuple[str, ...]

    def __str__(self) -> str:
        reason = (
            "work on inputs alone leaves the loop: its products are large, or you asked for it"
            if self.hoisted
            else f"no work on inputs leaves the loop: below {WORTH_HOISTING} multiplications, or you asked"
        )
        return "\n".join([
            f"{self.stepped} equations inside the loop, {self.hoisted} ahead of it, {self.once} once",
            reason,
            self.memory,
            f"{self.gradient_bytes / 2**20:.2f} MiB of temporary memory for forward and backward",
            f"a batch can be spread over {len(self.devices)} device(s): " + ", ".join(self.devices),
        ])


def explain(
    cell: Any,
    inputs: Float[Array, "time inputs"],
    state: State | None = None,
    *,
    memory: str | Strategy = "store",
    hoist: bool | None = None,
) -> Explanation:
    """What `unroll` with the same arguments does, and what its gradient costs in memory.

    Args:
        cell: the cell.
        inputs: one sequence, shape (time, inputs); only its shape and type matter.
        state: the state it would start from.
        memory: as in `unroll`.
        hoist: as in `unroll`.
    """
    start = initial_state(cell) if state is None else state
    split, _ = trace(cell, inputs, start, hoist=hoist)
    return Explanation(
        once=split.count(ONCE),
        hoisted=split.count(AHEAD),
        stepped=split.count(STEP),
        memory=str(strategy(memory)),
        gradient_bytes=_gradient_bytes(cell, inputs, start, memory, hoist),
        devices=tuple(str(device) for device in jax.devices()),
    )


def _gradient_bytes(
    cell: Any, inputs: Array, state: State, memory: str | Strategy, hoist: bool | None
) -> int:
    @eqx.filter_grad
    def gradient(cell: Any, inputs: Array, state: State) -> Array:
        last = unroll(cell, inputs, state, memory=memory, hoist=hoist).last
        return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(last)), start=jnp.zeros(()))

    jitted: Any = eqx.filter_jit(gradient)
    compiled = jitted.lower(cell, inputs, state).compile()
    return int(compiled.compiled.memory_analysis().temp_size_in_bytes)
