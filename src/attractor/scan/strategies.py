"""What a scan keeps for the backward pass.

A strategy runs a `Loop`: the split step of a cell over one sequence, with every array in the open. Strategies
agree in values and gradients and differ in memory and time. What the process keeps between two steps of a
training is set by `keep_freed_memory`.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree, Shaped

from attractor.cells import CellLike, State
from attractor.errors import ConfigError, UnsupportedError

from .split import COSTLY, SplitStep, Values

_KEEP_COSTLY = jax.checkpoint_policies.save_only_these_names(COSTLY)

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

# What one step gets of the sequences: driven values, and whether the step is valid.
Part = tuple[Values, Array]
Body = Callable[[State, Part], tuple[State, PyTree]]


class Loop(eqx.Module):
    """A cell, one sequence, and what is read of every state: all that a strategy needs.

    It is a pytree. A strategy with a derivative of its own differentiates with respect to the loop itself
    (`equinox.filter_custom_vjp`), and so with respect to weights, inputs and start.

    Args:
        cell: with its weights.
        read: what is kept of every state; what it closes over is an array of it.
        inputs: u, shape (time, ...); padding holds harmless values.
        keys: one key for each step; None without noise.
        state: where the sequence starts.
        valid: which steps count; None where all do. Any other step leaves the state untouched.
        step: the step of the cell, split by what its equations depend on.
    """

    cell: CellLike
    read: Callable[[State], PyTree]
    inputs: Shaped[Array, "time ..."]
    keys: Shaped[Array, "time ..."] | None
    state: State
    valid: Bool[Array, " time"] | None
    step: SplitStep

    def driven(self) -> tuple[Values, Values]:
        """What does not change over time, and what inputs and keys contribute to each step (leading axis)."""
        shared = self.step.prepare(jax.tree.leaves(eqx.filter(self.cell, eqx.is_array)))
        keys = [] if self.keys is None else [self.keys]
        return shared, jax.vmap(lambda *one: self.step.drive(shared, one))(self.inputs, *keys)

    def scan(self) -> tuple[Body, State, Part]:
        """`body, carry, sequence` of a `jax.lax.scan`: masked, and checkpointed step by step.

        Of a step the costly products are kept for the backward pass. Elementwise work is done a second time
        there, which is faster than reading its results.
        """
        shared, driven = self.driven()
        leaves, structure = jax.tree.flatten(self.state)

        def advance(carry: Values, part: Part) -> Values:
            values, here = part
            if self.valid is None:
                return self.step.advance(shared, values, carry)
            # A masked step repeats the first: its Jacobian is finite, and no 0 * inf poisons a gradient.
            safe = _choose(here, carry, jax.lax.stop_gradient(leaves))
            return _choose(here, self.step.advance(shared, values, safe), carry)

        if not self.step.has_effects:
            advance = jax.checkpoint(advance, policy=_KEEP_COSTLY, prevent_cse=False)

        def body(state: State, part: Part) -> tuple[State, PyTree]:
            new = jax.tree.unflatten(structure, advance(jax.tree.leaves(state), part))
            return new, self.read(new)

        counted = jnp.arange(len(self.inputs)) if self.valid is None else self.valid
        return body, self.state, (driven, counted)


def _choose(here: Array, one: Values, other: Values) -> Values:
    return [jnp.where(here, left, right) for left, right in zip(one, other, strict=True)]


@runtime_checkable
class Strategy(Protocol):
    """A way to run a loop.

    `jax.lax.scan(*loop.scan())` is the plain way; `Loop` masks and checkpoints for all strategies.

    The strategy `Reversible`, which keeps the last state alone and undoes the steps, has its place here. It
    finds all it needs in the loop: `loop.cell` with its weights, whose `half_step` it runs forwards and
    backwards (see `attractor.cells.HalfStep`), raw `loop.inputs` and `loop.keys`, which it drives in chunks
    of one shape both ways so that the gates agree in bits, `loop.valid`, and `loop.read` with the cotangent
    of what was read. The bits that forgetting destroys are a residual of its custom derivative. A step with
    effects never reaches it: such a loop is always stored.
    """

    def run(self, loop: Loop) -> tuple[State, PyTree]:
        """The state after the last valid step, and what was read of all states (leading axis time)."""
        ...


@dataclass(frozen=True)
class Store:
    """Keep the products of every step and its state: fastest, memory proportional to time x gates."""

    def run(self, loop: Loop) -> tuple[State, PyTree]:
        """Run the loop."""
        return jax.lax.scan(*loop.scan())

    def __str__(self) -> str:
        return "store: products and states of all steps are kept for the backward pass"


@dataclass(frozen=True)
class Recompute:
    """Keep the state every `every` steps and compute the rest a second time in the backward pass.

    One more forward pass buys a memory of about steps / every + every values a unit; the default `every`,
    the root of the number of steps, makes that smallest (Griewank 1992; Chen et al. 2016, arXiv 1604.06174).

    Args:
        every: steps between two kept states; None chooses the root of the length.

    Raises:
        ConfigError: `every` below one.
    """

    every: int | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise ConfigError(f"every={self.every}: expected at least one step between kept states")

    def run(self, loop: Loop) -> tuple[State, PyTree]:
        """Run the loop in chunks, then what is left over."""
        body, carry, sequence = loop.scan()
        steps = len(loop.inputs)
        every = self.every or max(isqrt(steps), 1)
        count = steps // every
        whole = count * every

        def chunk(carry: State, part: Part) -> tuple[State, PyTree]:
            return jax.lax.scan(body, carry, part)

        chunk = jax.checkpoint(chunk, prevent_cse=False)
        chunks = jax.tree.map(lambda leaf: leaf[:whole].reshape(count, every, *leaf.shape[1:]), sequence)
        carry, results = jax.lax.scan(chunk, carry, chunks)
        flat = jax.tree.map(lambda leaf: leaf.reshape(whole, *leaf.shape[2:]), results)
        if whole == steps:
            return carry, flat
        carry, rest = chunk(carry, jax.tree.map(lambda leaf: leaf[whole:], sequence))
        return carry, jax.tree.map(lambda one, two: jnp.concatenate([one, two]), flat, rest)

    def __str__(self) -> str:
        return f"recompute: one state in {self.every or 'sqrt(steps)'} is kept, the rest computed twice"


_NAMED: dict[str, Strategy] = {"store": Store(), "recompute": Recompute()}


def strategy(memory: str | Strategy) -> Strategy:
    """The strategy of a name, or the strategy itself.

    Raises:
        UnsupportedError: `reversible`, which is not built yet.
        ConfigError: any other unknown name.
    """
    if not isinstance(memory, str):
        return memory
    if memory in _NAMED:
        return _NAMED[memory]
    if memory == "reversible":
        raise UnsupportedError(
            "memory='reversible' is not available yet; memory='recompute' needs little memory as well"
        )
    raise ConfigError(
        f"memory={memory!r}: expected one of {', '.join(map(repr, _NAMED))} or a strategy object"
    )


def keep_freed_memory(largest: int = 1 << 30) -> bool:
    """Let this process use freed memory again instead of giving it back to the system, where glibc is used.

    A compiled gradient takes all its temporary memory in one piece and frees it at its end. glibc gives a
    piece above 32 MiB back to the system, and the next step pays for every page of it again: about 8 of 103
    ms for a GRU with 256 units, 64 steps and a batch of 128 on two cores. The price is that the process
    keeps its largest extent. The command line does this; a program that imports the library decides itself.

    Args:
        largest: bytes of the largest piece that is kept.

    Returns:
        Whether the C library took the setting; False where it is not glibc.
    """
    try:
        tune = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(tune(_MMAP_THRESHOLD, largest) and tune(_TRIM_THRESHOLD, (1 << 31) - 1))
